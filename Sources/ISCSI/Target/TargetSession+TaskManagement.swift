// Task management, RFC 7143 §11.5. Tasks whose data is still being collected end here; what the
// owner executes is listed in the event, and the owner answers when none of it can touch the
// medium.
import Bytes

extension TargetSession {
  mutating func manageTasks(_ pdu: PDU) -> RejectReason? {
    let header = pdu.header
    let tag = header.initiatorTaskTag
    // RFC 7143 §11.5.2: there is no data.
    guard tag != reservedTag, pdu.data.isEmpty else { return .invalidPDUField }
    guard description.type == .normal else { return .commandNotSupported }
    guard tasks[tag] == nil, !tasks.isFunction(tag) else { return .taskInProgress }
    let hasRoom = tasks.functionCount < configuration.immediateCommandsMax
    guard hasRoom || !header.isImmediate else { return .immediateCommandReject }
    let reply = tasks.beginFunction(tag)
    if hasRoom {
      carryOut(header, reply)
    } else {
      completeTaskManagement(reply, .rejected)
    }
    return nil
  }

  private mutating func carryOut(_ header: BasicHeaderSegment, _ reply: TaskHandle) {
    guard let function = TaskManagementFunction(rawValue: header.flags & 0x7f) else {
      return completeTaskManagement(reply, .notSupported)
    }
    switch function {
    case .abortTask:
      abortTask(header, reply)
    case .abortTaskSet, .clearTaskSet, .logicalUnitReset:
      abort(function, header, reply) { $0.isSameUnit(header) }
    case .targetWarmReset, .targetColdReset:
      // RFC 7143 §4.2.3.3: what was sent before and hasn't come counts as received.
      window.plugGaps(before: SerialNumber(header.word24))
      abort(function, header, reply) { _ in true }
    case .clearACA:
      // SAM-5 §7.4: there is none where NORMACA is 0.
      completeTaskManagement(reply, .notSupported)
    case .taskReassign:
      completeTaskManagement(reply, .reassignmentNotSupported)
    }
    // What waited for a request that was aborted goes on.
    deliverHeld()
  }

  /// Answers a task management request.
  package mutating func completeTaskManagement(
    _ reply: TaskHandle, _ response: TaskManagementResponse
  ) {
    guard phase == .fullFeature, tasks.endFunction(reply) else { return }
    var header = BasicHeaderSegment(opcode: .taskManagementResponse)
    header.byte2 = response.rawValue
    header.initiatorTaskTag = reply.taskTag
    send(PDU(header: header), advances: true)
  }

  private mutating func abortTask(_ header: BasicHeaderSegment, _ reply: TaskHandle) {
    let tag = header.word20
    if tag.isMirroredTag {
      let task = MirroredTask(taskTag: tag, lun: header.lun)
      events.append(.abortMirrored(task, reply: reply))
      return
    }
    // RFC 7143 §11.5.1: not of another task management request, nor of this one.
    guard !tasks.isFunction(tag) else { return completeTaskManagement(reply, .rejected) }
    guard let task = tasks[tag], !task.isAborted, task.header.isSameUnit(header) else {
      return completeTaskManagement(
        reply, plug(header, tag) ? .complete : .taskDoesNotExist)
    }
    forget(task)
    guard task.isDelivered else { return completeTaskManagement(reply, .complete) }
    events.append(
      .taskManagement(
        TaskManagement(
          handle: reply, function: .abortTask, lun: header.lun, aborted: [task.handle])))
  }

  // RFC 7143 §11.6.1: a command that never came, or waits for its turn, counts as received and
  // aborted, where its number is in the window and before that of the request.
  private mutating func plug(_ header: BasicHeaderSegment, _ tag: UInt32) -> Bool {
    let end = SerialNumber(header.word24)
    let count = window.abortHeld(before: end) {
      $0.initiatorTaskTag == tag && $0.opcode == .scsiCommand && $0.isSameUnit(header)
    }
    let number = SerialNumber(header.word32)
    return count > 0 || number.precedes(end) && window.plug(number)
  }

  private mutating func abort(
    _ function: TaskManagementFunction, _ header: BasicHeaderSegment, _ reply: TaskHandle,
    where isMeant: (BasicHeaderSegment) -> Bool
  ) {
    // RFC 7143 §11.5.1: all that has a lower number, so what waits for its turn, too.
    _ = window.abortHeld(before: SerialNumber(header.word24)) {
      $0.opcode == .scsiCommand && isMeant($0)
    }
    // RFC 7143 §4.2.3.3: what was asked for is awaited, for as long as an initiator may need to end
    // it; those that stop at once instead (FastAbort in all but name) aren't held up for longer.
    let awaited = abandonTasks(where: isMeant)
    let aborted = forgetTasks(where: isMeant).owned
    let management = TaskManagement(
      handle: reply, function: function, lun: header.lun, aborted: aborted)
    guard !awaited.isEmpty else { return events.append(.taskManagement(management)) }
    tasks.hold(management, for: awaited)
  }

  /// Those tasks, of these, whose data has been asked for and has not ended, aborted before or now.
  private mutating func abandonTasks(
    where isMeant: (BasicHeaderSegment) -> Bool
  ) -> Set<TaskHandle> {
    var awaited: Set<TaskHandle> = []
    for handle in tasks.handles {
      guard let task = tasks[handle], isMeant(task.header) else { continue }
      if task.isAborted || tasks.abandon(handle) { awaited.insert(handle) }
    }
    return awaited
  }

  /// The last data of an aborted task is here, or doesn't come.
  mutating func endAborted(_ handle: TaskHandle) {
    guard let task = tasks[handle] else { return }
    forget(task)
    for management in tasks.release(handle) { events.append(.taskManagement(management)) }
  }

  /// Ends tasks without an answer: how many they were, and those that the owner has.
  private mutating func forgetTasks(
    where isMeant: (BasicHeaderSegment) -> Bool
  ) -> (count: Int, owned: [TaskHandle]) {
    let meant = tasks.handles.compactMap { tasks[$0] }
      .filter { !$0.isAborted && isMeant($0.header) }
    for task in meant { forget(task) }
    return (meant.count, meant.filter(\.isDelivered).map(\.handle))
  }

  private mutating func forget(_ task: TargetTask) {
    _ = tasks.remove(task.handle)
    if !task.header.isImmediate { window.release() }
    resumeWaiting()
  }

  /// Ends tasks for another session's sake (a reset, a cleared task set): no answer is sent. Those
  /// at a LUN, or all; how many they were, and those that the owner has.
  package mutating func abortTasks(lun: UInt64?) -> (count: Int, owned: [TaskHandle]) {
    var unit = BasicHeaderSegment()
    unit.lun = lun ?? 0
    let isMeant = { (header: BasicHeaderSegment) in lun == nil || header.isSameUnit(unit) }
    // RFC 7143 §4.2.3.3: the other session need not wait for this initiator, but what this one was
    // asked for is still on its way: it is taken and dropped, no Reject says that it was wrong.
    let before = tasks.abortedCount
    _ = abandonTasks(where: isMeant)
    let abandoned = tasks.abortedCount - before
    let (count, owned) = forgetTasks(where: isMeant)
    return (abandoned + count, owned)
  }
}

extension BasicHeaderSegment {
  /// Whether both are about one logical unit, in whatever form they name it.
  // SAM-5 §4.7.7: below 256 a number has two forms, peripheral device and flat space addressing.
  fileprivate func isSameUnit(_ other: BasicHeaderSegment) -> Bool {
    BasicHeaderSegment.plain(lun) == BasicHeaderSegment.plain(other.lun)
  }

  private static func plain(_ lun: UInt64) -> UInt64 {
    let isFlat = lun >> 56 == 0x40 && lun & 0x0000_ffff_ffff_ffff == 0
    return isFlat ? lun & 0x00ff_ffff_ffff_ffff : lun
  }
}

// Task management, RFC 7143 §11.5. Tasks whose data is still being collected end here; what the
// owner executes is listed in the event, and the owner answers when none of it can touch the
// medium.
import Bytes

extension TargetSession {
  mutating func manageTasks(_ pdu: PDU) -> RejectReason? {
    let header = pdu.header
    guard header.initiatorTaskTag != reservedTag else { return .invalidPDUField }
    let reply = tasks.nextHandle(header.initiatorTaskTag)
    switch TaskManagementFunction(rawValue: header.flags & 0x7f) {
    case .abortTask:
      abortTask(header, reply)
    case .abortTaskSet:
      abort(reply, .abortTaskSet, header.lun) { $0.header.lun == header.lun }
    case .logicalUnitReset:
      abort(reply, .logicalUnitReset, header.lun) { $0.header.lun == header.lun }
    case .targetWarmReset:
      abort(reply, .targetWarmReset, header.lun) { _ in true }
    case .targetColdReset:
      abort(reply, .targetColdReset, header.lun) { _ in true }
    case .taskReassign:
      completeTaskManagement(reply, .reassignmentNotSupported)
    case .clearACA, .clearTaskSet, nil:
      completeTaskManagement(reply, .notSupported)
    }
    return nil
  }

  /// Answers a task management request.
  package mutating func completeTaskManagement(
    _ reply: TaskHandle, _ response: TaskManagementResponse
  ) {
    guard phase == .fullFeature else { return }
    var header = BasicHeaderSegment(opcode: .taskManagementResponse)
    header.byte2 = response.rawValue
    header.initiatorTaskTag = reply.taskTag
    send(PDU(header: header), advances: true)
  }

  private mutating func abortTask(_ header: BasicHeaderSegment, _ reply: TaskHandle) {
    let tag = header.word20
    if tag.isMirroredTag {
      events.append(.abortMirrored(taskTag: tag, reply: reply))
      return
    }
    guard let task = tasks[tag], task.header.lun == header.lun else {
      // RFC 7143 §11.6.1: a command that never came counts as received and aborted.
      let number = SerialNumber(header.word32)
      let isDue = number.precedes(SerialNumber(header.word24)) && window.plug(number)
      completeTaskManagement(reply, isDue ? .complete : .taskDoesNotExist)
      return deliverHeld()
    }
    forget(task)
    guard task.isDelivered else { return completeTaskManagement(reply, .complete) }
    events.append(
      .taskManagement(
        TaskManagement(
          handle: reply, function: .abortTask, lun: header.lun, aborted: [task.handle])))
  }

  private mutating func abort(
    _ reply: TaskHandle, _ function: TaskManagementFunction, _ lun: UInt64,
    where isMeant: (TargetTask) -> Bool
  ) {
    var aborted: [TaskHandle] = []
    for handle in tasks.handles {
      guard let task = tasks[handle], isMeant(task) else { continue }
      forget(task)
      if task.isDelivered { aborted.append(handle) }
    }
    events.append(
      .taskManagement(
        TaskManagement(handle: reply, function: function, lun: lun, aborted: aborted)))
  }

  private mutating func forget(_ task: TargetTask) {
    _ = tasks.remove(task.handle)
    if !task.header.isImmediate { window.release() }
    resumeWaiting()
  }

  /// Ends tasks for another session's sake (a reset, a cleared task set): no answer is sent.
  package mutating func abortTasks(lun: UInt64?) -> [TaskHandle] {
    var aborted: [TaskHandle] = []
    for handle in tasks.handles {
      guard let task = tasks[handle], lun == nil || task.header.lun == lun else { continue }
      forget(task)
      if task.isDelivered { aborted.append(handle) }
    }
    return aborted
  }
}

// SCSI Command and Data-Out: from a header to a command with all its data, RFC 7143 §11.3, §11.7.

extension TargetSession {
  /// Makes a task of a command; why not, where it isn't one.
  mutating func startTask(_ pdu: PDU) -> RejectReason? {
    let header = pdu.header
    if let reason = objection(to: pdu) { return reason }
    // RFC 7143 §7.8: with recovery a damaged command is discarded, and sent again as it was.
    let recovers = recovery != nil
    guard pdu.fault == nil || !recovers else { return .dataDigestError }
    var task = TargetTask(
      handle: tasks.nextHandle(header.initiatorTaskTag), header: header)
    var collection: DataCollection?
    if task.isWrite, task.expectedLength > configuration.writeLengthMax {
      task.isTooLong = true
    } else if task.isWrite, task.expectedLength > 0 {
      let end = min(task.expectedLength, parameters.unsolicitedLengthMax)
      collection = DataCollection(
        expectedLength: task.expectedLength, immediate: pdu.data,
        unsolicitedEnd: header.isFinal ? nil : end,
        failure: pdu.fault == nil ? nil : .lostData,
        recoveries: recovers ? configuration.recoveriesMax : nil)
      let unasked = header.isFinal ? pdu.data.count : end
      if unasked == task.expectedLength { task.promised = unasked }
    }
    tasks.insert(task, collection)
    guard pdu.fault == nil else {
      // RFC 7143 §7.8: rejected, and failed once all that comes unasked is here. Its number counts
      // as received: who can't retry commands would otherwise wait for a sense until it gives up.
      reject(pdu, .dataDigestError)
      if header.isFinal { fail(task.handle, .lostData) }
      return nil
    }
    advance(task.handle)
    return nil
  }

  // What is wrong with a command before it is a task.
  private func objection(to pdu: PDU) -> RejectReason? {
    let header = pdu.header
    let isRead = header.flags & 0x40 != 0
    let isWrite = header.flags & 0x20 != 0
    // RFC 7143 §11.3: long CDBs and bidirectional lengths, what header segments are for, aren't
    // supported; a tag and a known attribute are needed; a last PDU unless data follows unasked.
    guard pdu.additional.isEmpty, header.initiatorTaskTag != reservedTag,
      !header.initiatorTaskTag.isMirroredTag, !(isRead && isWrite), header.flags & 7 <= 4,
      header.isFinal || isWrite && !parameters.initialR2T,
      pdu.data.isEmpty || isWrite, pdu.data.count <= Int(header.word20)
    else { return .invalidPDUField }
    guard description.type == .normal else { return .commandNotSupported }
    guard pdu.data.isEmpty || parameters.immediateData,
      pdu.data.count <= parameters.unsolicitedLengthMax
    else { return .protocolError }
    guard tasks[header.initiatorTaskTag] == nil, !tasks.isFunction(header.initiatorTaskTag) else {
      return .taskInProgress
    }
    if header.isImmediate, tasks.immediateCount >= configuration.immediateCommandsMax {
      return .immediateCommandReject
    }
    return nil
  }

  mutating func receiveData(_ pdu: PDU) {
    guard pdu.additional.isEmpty else { return reject(pdu, .invalidPDUField) }
    guard let task = tasks[pdu.header.initiatorTaskTag] else {
      let isHeld = window.hold(data: pdu, lengthMax: parameters.unsolicitedLengthMax)
      if !isHeld { reject(pdu, pdu.fault?.rejectReason ?? .invalidPDUField) }
      return
    }
    if task.isTooLong {
      // What was sent unasked before the refusal could be known.
      droppedCount += 1
      return
    }
    // RFC 7143 §11.7.4: with a transfer tag, the logical unit of the R2T.
    let isElsewhere = pdu.header.word20 != reservedTag && pdu.header.lun != task.header.lun
    guard !isElsewhere, let verdict = tasks.receive(pdu) else {
      return reject(pdu, .invalidPDUField)
    }
    if verdict.isLate || task.isAborted { droppedCount += 1 }
    if !verdict.isLate, !verdict.isRejected { dataOutByteCount &+= UInt64(pdu.data.count) }
    if verdict.isRejected { reject(pdu, pdu.fault?.rejectReason ?? .invalidPDUField) }
    act(on: verdict, task.handle)
  }

  private mutating func act(on verdict: DataCollection.Verdict, _ handle: TaskHandle) {
    if let failure = verdict.failure { return fail(handle, failure) }
    if verdict.isOver { advance(handle) }
  }

  /// Judges sequences of which nothing has come for too long; sends what that leads to.
  package mutating func handleTimeout(now: UInt64) {
    guard phase == .fullFeature else { return }
    let late = tasks.silent(
      now: now, after: configuration.dataOutNanoseconds,
      aborted: configuration.abortedDataNanoseconds)
    for handle in late {
      if let verdict = tasks.handleSilence(of: handle) { act(on: verdict, handle) }
    }
  }

  /// When `handleTimeout` is due, in nanoseconds of the owner's clock; nil while no data is.
  // The sequences are looked at now and then, so that no PDU costs a look at the clock: what is
  // silent is noticed between one and one and a quarter times the limit.
  package func nextDeadline(now: UInt64) -> UInt64? {
    guard phase == .fullFeature, tasks.awaitsData else { return nil }
    let limit =
      tasks.abortedCount > 0
      ? min(configuration.abortedDataNanoseconds, configuration.dataOutNanoseconds)
      : configuration.dataOutNanoseconds
    return now + limit / 4
  }

  private mutating func fail(_ handle: TaskHandle, _ failure: TransferFailure) {
    if tasks[handle]?.isAborted == true { return endAborted(handle) }
    finish(handle, CommandCompletion(status: 2, sense: failure.sense, transferLength: 0))
  }

  /// Hands a task on when its data is here, else asks for the next burst.
  private mutating func advance(_ handle: TaskHandle) {
    guard let task = tasks[handle], !task.isDelivered else { return }
    switch tasks.phase(of: handle) {
    case .none, .complete: deliver(task)
    case .waiting: if tasks.promise(handle) { sendReadyToTransfer(handle) }
    case .unsolicited, .solicited: break
    }
  }

  private mutating func deliver(_ task: TargetTask) {
    let bytes = tasks.deliver(task.handle)
    events.append(
      .command(
        CommandTask(
          handle: task.handle, lun: task.header.lun,
          commandDescriptorBlock: task.header.commandDescriptorBlock, dataOut: bytes,
          expectedLength: task.expectedLength, isRead: task.isRead, isWrite: task.isWrite,
          isTooLong: task.isTooLong, attribute: task.header.flags & 7)))
  }

  /// Bytes of data that WRITEs hold or were promised memory for.
  package var promisedByteCount: Int { tasks.promised }
  /// Up to what `allowPromises` would have to go for the WRITE that waits first for memory; nil
  /// where none does, or where it waits for others of the session.
  package var wantedPromises: Int? { tasks.wantedAllowance }

  /// Whether data is still to come for which there is memory.
  package var awaitsPromisedData: Bool {
    tasks.byTag.values.contains { $0.promised > 0 && !$0.isDelivered }
  }

  /// Lets promises grow up to `byteCount`, until told otherwise.
  package mutating func allowPromises(upTo byteCount: Int) {
    tasks.allowance = byteCount
    resumeWaiting()
  }

  /// Sends R2Ts to tasks for whose data there is room again.
  mutating func resumeWaiting() {
    while let handle = tasks.nextPromised() { sendReadyToTransfer(handle) }
  }

  private mutating func sendReadyToTransfer(_ handle: TaskHandle) {
    guard let task = tasks[handle],
      let request = tasks.request(handle, burstMax: parameters.maxBurstLength)
    else { return }
    send(readyToTransfer(task, request), advances: false)
  }

  func readyToTransfer(_ task: TargetTask, _ request: DataCollection.Request) -> PDU {
    var header = BasicHeaderSegment(opcode: .readyToTransfer)
    header.lun = task.header.lun
    header.initiatorTaskTag = task.handle.taskTag
    header.word20 = request.tag
    header.word36 = request.number
    header.word40 = UInt32(request.range.lowerBound)
    header.word44 = UInt32(request.range.count)
    return PDU(header: header)
  }
}

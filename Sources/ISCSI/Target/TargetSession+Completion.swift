// How a command is answered: Data-In, residuals, SCSI Response; RFC 7143 §11.4 and §11.7.
import Bytes

/// Residual count and its direction, RFC 7143 §11.4.5.
package struct Residual: Equatable, Sendable {
  package var isOverflow: Bool
  package var count: UInt32

  /// What lies between what was expected and what the command asked for; nil when nothing.
  package init?(expected: Int, transfer: Int) {
    guard expected != transfer else { return nil }
    isOverflow = transfer > expected
    count = UInt32(clamping: abs(transfer - expected))
  }

  package init?(flags: UInt8, count: UInt32) {
    switch flags & 0x06 {
    case 0x04: isOverflow = true
    case 0x02: isOverflow = false
    default: return nil
    }
    self.count = count
  }

  /// The O or U bit.
  package var flags: UInt8 { isOverflow ? 0x04 : 0x02 }
}

extension TargetSession {
  /// Answers a command; of a task that was aborted meanwhile nothing is sent.
  package mutating func completeCommand(_ handle: TaskHandle, _ completion: CommandCompletion) {
    guard phase == .fullFeature, let task = tasks[handle] else { return }
    precondition(task.isDelivered, "a task is answered that was not handed on")
    finish(handle, completion)
  }

  mutating func finish(_ handle: TaskHandle, _ completion: CommandCompletion) {
    guard let task = tasks.remove(handle) else { return }
    if !task.header.isImmediate { window.release() }
    let moved = task.isRead ? completion.dataIn.count : task.expectedLength
    let transfer = completion.transferLength ?? (task.isRead ? moved : task.expectedLength)
    let residual = Residual(expected: task.expectedLength, transfer: transfer)
    let data = task.isRead ? completion.dataIn[...].copiedPrefix(task.expectedLength) : []
    // RFC 7143 §11.7.3: status in the last Data-In when there is no sense to tell; with recovery by
    // itself, to be had again without the data.
    let isGood = completion.status == 0 && completion.sense.isEmpty
    let endsInData = isGood && recovery == nil && !data.isEmpty
    // RFC 7143 §11.4.8: how many Data-In PDUs there were.
    let count = sendDataIn(task, data, residual, withStatus: endsInData)
    if !endsInData {
      sendResponse(
        tag: handle.taskTag, completion.status, completion.sense, residual, dataCount: count,
        snackTag: task.snackTag)
    }
    resumeWaiting()
  }

  /// Sends `data` in PDUs that the initiator takes; how many they were.
  private mutating func sendDataIn(
    _ task: TargetTask, _ data: ArraySlice<UInt8>, _ residual: Residual?, withStatus: Bool
  ) -> UInt32 {
    guard !data.isEmpty else { return 0 }
    let transferTag = recovery == nil ? reservedTag : tasks.nextTransferTag()
    let segments = DataInSegments(count: data.count, parameters)
    var count: UInt32 = 0
    for segment in segments {
      var header = dataInHeader(
        lun: task.header.lun, tag: task.handle.taskTag, segment, transferTag: transferTag)
      let hasStatus = segment.isLast && withStatus
      if hasStatus {
        header.flags |= 0x01 | (residual?.flags ?? 0)
        header.word44 = residual?.count ?? 0
      }
      let start = data.startIndex + segment.offset
      send(
        PDU(header: header, data: data[start..<start + segment.count]), advances: hasStatus)
      count += 1
    }
    recovery?.keep(
      SentRead(
        tag: task.handle.taskTag, lun: task.header.lun, transferTag: transferTag,
        status: statusNumber, data: data, segments: (segments, count)))
    return count
  }

  /// `transferTag`: that of an acknowledgement, with recovery.
  func dataInHeader(
    lun: UInt64, tag: UInt32, _ segment: DataInSegment, transferTag: UInt32
  ) -> BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: .dataIn, flags: segment.isFinal ? 0x80 : 0)
    // RFC 7143 §11.7.2: once every MaxBurstLength; what comes last the status acknowledges.
    let wantsAnswer = transferTag != reservedTag && segment.isFinal && !segment.isLast
    if wantsAnswer { header.flags |= 0x40 }
    header.lun = lun
    header.initiatorTaskTag = tag
    header.word20 = wantsAnswer ? transferTag : reservedTag
    header.word36 = segment.number
    header.word40 = UInt32(segment.offset)
    return header
  }

  /// Sends a SCSI Response for `tag`.
  mutating func sendResponse(
    tag: UInt32, _ status: UInt8, _ sense: [UInt8], _ residual: Residual?, dataCount: UInt32,
    snackTag: UInt32 = 0
  ) {
    var header = BasicHeaderSegment(opcode: .scsiResponse)
    header.flags |= residual?.flags ?? 0
    header.byte3 = status
    header.initiatorTaskTag = tag
    header.word20 = snackTag
    header.word36 = dataCount
    header.word44 = residual?.count ?? 0
    var data: [UInt8] = []
    if !sense.isEmpty {
      // RFC 7143 §11.4.7: sense behind its length.
      data.appendBigEndian(UInt16(clamping: sense.count))
      data += sense
    }
    send(PDU(header: header, data: data), advances: true)
  }
}

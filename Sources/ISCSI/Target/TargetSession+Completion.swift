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
    var count = tasks.requestCount(of: handle)
    guard let task = tasks.remove(handle) else { return }
    if !task.header.isImmediate { window.release() }
    let moved = task.isRead ? completion.dataIn.count : task.expectedLength
    let transfer = completion.transferLength ?? (task.isRead ? moved : task.expectedLength)
    let residual = Residual(expected: task.expectedLength, transfer: transfer)
    // RFC 7143 §11.7.3: status in the last Data-In when there is no sense to tell.
    let data = task.isRead ? completion.dataIn.prefix(task.expectedLength) : []
    let isGood = completion.status == 0 && completion.sense.isEmpty
    if !data.isEmpty {
      count += sendDataIn(task, data, residual, withStatus: isGood)
    }
    if data.isEmpty || !isGood {
      sendResponse(
        tag: handle.taskTag, completion.status, completion.sense, residual, dataCount: count)
    }
    resumeWaiting()
  }

  /// Sends `data` in PDUs that the initiator takes; how many they were.
  private mutating func sendDataIn(
    _ task: TargetTask, _ data: ArraySlice<UInt8>, _ residual: Residual?, withStatus: Bool
  ) -> UInt32 {
    var rest = data
    var number: UInt32 = 0
    var offset = 0
    while !rest.isEmpty {
      // RFC 7143 §13.13: a sequence ends, with its F bit, at MaxBurstLength.
      let burstRest = parameters.maxBurstLength - offset % parameters.maxBurstLength
      let piece = rest.prefix(min(burstRest, parameters.sendDataSegmentLengthMax))
      rest = rest.dropFirst(piece.count)
      let isLast = rest.isEmpty
      var header = BasicHeaderSegment(opcode: .dataIn, flags: 0)
      if isLast || piece.count == burstRest { header.flags = 0x80 }
      header.lun = task.header.lun
      header.initiatorTaskTag = task.handle.taskTag
      header.word20 = reservedTag
      header.word36 = number
      header.word40 = UInt32(offset)
      let hasStatus = isLast && withStatus
      if hasStatus {
        header.flags |= 0x01 | (residual?.flags ?? 0)
        header.word44 = residual?.count ?? 0
      }
      send(PDU(header: header, data: piece), advances: hasStatus)
      offset += piece.count
      number += 1
    }
    return number
  }

  /// Sends a SCSI Response for `tag`.
  mutating func sendResponse(
    tag: UInt32, _ status: UInt8, _ sense: [UInt8], _ residual: Residual?, dataCount: UInt32
  ) {
    var header = BasicHeaderSegment(opcode: .scsiResponse)
    header.flags |= residual?.flags ?? 0
    header.byte3 = status
    header.initiatorTaskTag = tag
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

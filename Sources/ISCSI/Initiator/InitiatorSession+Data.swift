// Data of commands: sent unasked, sent on R2T, gathered from Data-In; RFC 7143 §11.7 and §11.8.

extension InitiatorSession {
  /// Sends what goes unasked after a command without F.
  mutating func sendUnsolicitedData(_ command: PDU) {
    let tag = command.header.initiatorTaskTag
    guard let task = tasks[tag] else { return }
    tasks[tag]?.sentCount = command.data.count
    guard !command.header.isFinal else { return }
    let end = min(task.dataOut.count, parameters.unsolicitedLengthMax)
    sendSequence(
      tag: tag, transferTag: reservedTag, lun: command.header.lun,
      range: command.data.count..<end)
    tasks[tag]?.sentCount = end
  }

  /// Sends one sequence of Data-Out PDUs.
  private mutating func sendSequence(
    tag: UInt32, transferTag: UInt32, lun: UInt64, range: Range<Int>
  ) {
    guard let bytes = tasks[tag]?.dataOut else { return }
    var offset = range.lowerBound
    var number: UInt32 = 0
    while offset < range.upperBound {
      let count = min(range.upperBound - offset, parameters.sendDataSegmentLengthMax)
      let start = bytes.startIndex + offset
      // RFC 7143 §11.7: F on the last of the sequence, DataSN from 0 in each.
      let isLast = offset + count == range.upperBound
      var header = BasicHeaderSegment(opcode: .dataOut, flags: isLast ? 0x80 : 0)
      header.lun = lun
      header.initiatorTaskTag = tag
      header.word20 = transferTag
      header.word36 = number
      header.word40 = UInt32(offset)
      sendData(PDU(header: header, data: bytes[start..<start + count]))
      offset += count
      number &+= 1
    }
  }

  mutating func handleReadyToTransfer(_ pdu: PDU) {
    let header = pdu.header
    let tag = header.initiatorTaskTag
    guard tasks[tag]?.isCommand == true else { return violateUnknown(header) }
    let burstMax = parameters.maxBurstLength
    guard let range = tasks[tag]?.grant(header, burstMax: burstMax) else {
      return violate(.badReadyToTransfer(taskTag: tag))
    }
    sendSequence(tag: tag, transferTag: header.word20, lun: header.lun, range: range)
  }

  mutating func handleDataIn(_ pdu: PDU) {
    let header = pdu.header
    let tag = header.initiatorTaskTag
    guard tasks[tag]?.isCommand == true else { return violateUnknown(header) }
    guard tasks[tag]?.gather(pdu) == true else { return violate(.dataOutOfPlace(taskTag: tag)) }
    // RFC 7143 §11.7.3: the S bit comes with the last PDU only.
    guard header.flags & 0x01 != 0 else { return }
    guard header.isFinal else { return violate(.malformed(opcode: header.storage[0])) }
    complete(header, response: 0, sense: [])
  }

  mutating func handleResponse(_ pdu: PDU) {
    let header = pdu.header
    guard let task = tasks[header.initiatorTaskTag], task.isCommand else {
      return violateUnknown(header)
    }
    var sense: ArraySlice<UInt8> = []
    if pdu.data.count >= 2 {
      let length = Int(pdu.data[pdu.data.startIndex]) << 8 | Int(pdu.data[pdu.data.startIndex + 1])
      sense = pdu.data.dropFirst(2).prefix(length)
    }
    complete(header, response: header.byte2, sense: Array(sense))
  }

  private mutating func complete(
    _ header: BasicHeaderSegment, response: UInt8, sense: [UInt8]
  ) {
    guard let task = tasks.removeValue(forKey: header.initiatorTaskTag) else { return }
    events.append(
      .completed(
        CommandResult(
          taskTag: header.initiatorTaskTag, response: response, status: header.byte3,
          sense: sense, dataIn: task.dataIn,
          residual: Residual(flags: header.flags, count: header.word44))))
  }
}

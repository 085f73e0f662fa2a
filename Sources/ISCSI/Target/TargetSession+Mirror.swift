// The mirror's traffic on the connection: the session lends its numbers, the owner knows the rest.

extension TargetSession {
  mutating func handleMirrorRequest(_ pdu: PDU) -> RejectReason? {
    guard parameters.mirrorVersion != nil else { return .commandNotSupported }
    guard pdu.header.isImmediate, pdu.header.initiatorTaskTag == reservedTag else {
      return .invalidPDUField
    }
    events.append(.mirrorRequest(pdu))
    return nil
  }

  /// Asks for all data of a mirrored write; the transfer tag equals the task tag, so that one
  /// multicast Data-Out is right for every leg.
  package mutating func sendReadyToTransfer(lun: UInt64, taskTag: UInt32, length: UInt32) {
    guard phase == .fullFeature else { return }
    precondition(taskTag.isMirroredTag, "not a mirrored write's tag")
    var header = BasicHeaderSegment(opcode: .readyToTransfer)
    header.lun = lun
    header.initiatorTaskTag = taskTag
    header.word20 = taskTag
    header.word44 = length
    send(PDU(header: header), advances: false)
  }

  /// Answers a mirrored write.
  package mutating func sendMirroredResponse(taskTag: UInt32, status: UInt8, sense: [UInt8] = []) {
    guard phase == .fullFeature else { return }
    precondition(taskTag.isMirroredTag, "not a mirrored write's tag")
    sendResponse(tag: taskTag, status, sense, nil, dataCount: 0)
  }

  /// Sends a mirror answer, opcode 0x3c: the caller has set kind and fields from byte 36 on.
  package mutating func sendMirrorAnswer(_ header: BasicHeaderSegment, data: [UInt8] = []) {
    guard phase == .fullFeature else { return }
    precondition(header.opcode == .mirrorAnswer, "not a mirror answer")
    var answer = header
    answer.initiatorTaskTag = reservedTag
    send(PDU(header: answer, data: data), advances: false)
  }

  /// Sends mirror statuses, opcode 0x3d, just before the response that they explain.
  package mutating func sendMirrorStatuses(_ header: BasicHeaderSegment, data: [UInt8]) {
    guard phase == .fullFeature else { return }
    precondition(header.opcode == .mirrorStatuses, "not mirror statuses")
    send(PDU(header: header, data: data), advances: false)
  }
}

// Full feature phase: which machine takes which PDU.
import Bytes

extension TargetSession {
  mutating func handleFullFeature(_ pdu: PDU) {
    recovery?.acknowledge(SerialNumber(pdu.header.word28))
    switch pdu.header.opcode {
    case .dataOut:
      receiveData(pdu)
    case .snackRequest:
      handleSNACK(pdu)
    case .loginRequest:
      reject(pdu, .protocolError)
    case .nopOut, .scsiCommand, .taskManagementRequest, .textRequest, .logoutRequest,
      .mirrorRequest:
      admit(pdu)
    default:
      reject(pdu, .commandNotSupported)
    }
  }

  private mutating func admit(_ pdu: PDU) {
    guard !pdu.header.isImmediate else { return execute(pdu) }
    switch window.admit(pdu) {
    case .ignore:
      // RFC 7143 §4.2.2.1: outside the window it is silently ignored.
      droppedCount += 1
    case .hold:
      break
    case .deliver:
      execute(pdu)
      deliverHeld()
    }
  }

  /// Executes what waited for its turn, as far as nothing is missing.
  mutating func deliverHeld() {
    while phase == .fullFeature, let held = window.nextHeld() {
      for pdu in held {
        if pdu.header.opcode == .dataOut { receiveData(pdu) } else { execute(pdu) }
      }
    }
  }

  private mutating func execute(_ pdu: PDU) {
    let isTask = pdu.header.opcode == .scsiCommand
    // A task keeps its place in the window until it is answered, all others give it back.
    if !isTask, !pdu.header.isImmediate { window.release() }
    let reason = isTask ? startTask(pdu) : carryOut(pdu)
    guard let reason else { return }
    // RFC 7143 §7.3: an initiator that goes on sends another request under the same number.
    if !pdu.header.isImmediate { window.retract(isReleased: !isTask) }
    reject(pdu, reason)
  }

  /// Why it was not; whoever rejects has sent nothing before.
  private mutating func carryOut(_ pdu: PDU) -> RejectReason? {
    guard pdu.additional.isEmpty else { return .invalidPDUField }
    guard pdu.fault == nil else { return .dataDigestError }
    switch pdu.header.opcode {
    case .nopOut: answerPing(pdu)
    case .taskManagementRequest: return manageTasks(pdu)
    case .textRequest: return handleText(pdu)
    case .logoutRequest: return logout(pdu)
    case .mirrorRequest: return handleMirrorRequest(pdu)
    default: preconditionFailure("not a request that is executed")
    }
    return nil
  }

  // MARK: NOP

  private mutating func answerPing(_ pdu: PDU) {
    guard pdu.header.initiatorTaskTag != reservedTag else {
      // RFC 7143 §11.18: no tag means no answer; it may itself answer a ping of ours.
      if pdu.header.word20 != reservedTag {
        events.append(.pingAnswered(tag: pdu.header.word20))
      }
      return
    }
    var header = BasicHeaderSegment(opcode: .nopIn)
    header.lun = pdu.header.lun
    header.initiatorTaskTag = pdu.header.initiatorTaskTag
    header.word20 = reservedTag
    let echo = pdu.data.copiedPrefix(parameters.sendDataSegmentLengthMax)
    send(PDU(header: header, data: echo), advances: true)
  }

  /// Asks whether the initiator is there; answered by `.pingAnswered` with the same tag, and by any
  /// other sign of life.
  package mutating func sendPing(tag: UInt32 = 1) {
    precondition(tag != reservedTag, "a ping needs a tag")
    guard phase == .fullFeature else { return }
    var header = BasicHeaderSegment(opcode: .nopIn)
    header.initiatorTaskTag = reservedTag
    header.word20 = tag
    send(PDU(header: header), advances: false)
  }

  // MARK: Logout

  // RFC 7143 §11.14: reasons 0 and 1 mean the same where a session is one connection.
  private mutating func logout(_ pdu: PDU) -> RejectReason? {
    let reason = pdu.header.flags & 0x7f
    var header = BasicHeaderSegment(opcode: .logoutResponse)
    header.initiatorTaskTag = pdu.header.initiatorTaskTag
    switch reason {
    case 0: header.byte2 = 0
    case 1: header.byte2 = pdu.header.connectionID == description.connectionID ? 0 : 1
    case 2: header.byte2 = 2
    default: return .invalidPDUField
    }
    send(PDU(header: header), advances: true)
    if header.byte2 == 0 {
      events.append(.loggedOut)
      end(.loggedOut)
    }
    return nil
  }

  /// Tells the initiator something unasked: that it should log out, or that all will be dropped.
  package mutating func sendAsyncMessage(
    _ event: AsyncEvent, parameters: (UInt16, UInt16, UInt16) = (0, 0, 0), lun: UInt64 = 0,
    sense: [UInt8] = []
  ) {
    guard phase == .fullFeature else { return }
    var header = BasicHeaderSegment(opcode: .asyncMessage)
    header.lun = lun
    header.initiatorTaskTag = reservedTag
    header.word36 = UInt32(event.rawValue) << 24 | UInt32(parameters.0)
    header.word40 = UInt32(parameters.1) << 16 | UInt32(parameters.2)
    var data: [UInt8] = []
    if !sense.isEmpty {
      data.appendBigEndian(UInt16(sense.count))
      data += sense
    }
    send(PDU(header: header, data: data), advances: true)
  }
}

// What an initiator asks for: commands, text, task management, pings, logout, mirror requests. A
// session may have ended by an event that its owner hasn't polled yet: what is asked of it then is
// dropped, and the owner ends it with the rest of that session.
import Bytes

extension InitiatorSession {
  /// Sends a command; its result comes as `.completed` with the returned tag.
  package mutating func submit(_ command: InitiatorCommand) -> UInt32 {
    precondition(phase != .login, "a command without a session")
    let tag = nextTag()
    guard phase == .fullFeature else { return tag }
    let task = InitiatorTask(.command(command))
    tasks[tag] = task
    var header = BasicHeaderSegment(opcode: .scsiCommand, isImmediate: command.isImmediate)
    header.flags |= command.attribute & 7
    header.lun = command.lun
    header.initiatorTaskTag = tag
    header.commandDescriptorBlock = command.commandDescriptorBlock
    var data: ArraySlice<UInt8> = []
    switch command.transfer {
    case .none: break
    case .read(let lengthMax):
      header.flags |= 0x40
      header.word20 = UInt32(clamping: lengthMax)
    case .write(let bytes):
      header.flags |= 0x20
      header.word20 = UInt32(clamping: bytes.count)
      data = immediateData(bytes)
      // RFC 7143 §11.3.1: without F more data follows unasked.
      let unsolicited = min(bytes.count, parameters.unsolicitedLengthMax)
      if !parameters.initialR2T, data.count < unsolicited { header.flags &= 0x7f }
    }
    let pdu = PDU(header: header, data: data)
    if command.isImmediate {
      sendImmediate(pdu)
      sendUnsolicitedData(pdu)
    } else {
      sendNumbered(pdu)
    }
    return tag
  }

  private func immediateData(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    guard parameters.immediateData else { return [] }
    return bytes.prefix(
      min(parameters.unsolicitedLengthMax, parameters.sendDataSegmentLengthMax))
  }

  /// Sends keys in full feature phase; the answer comes as `.text` with the returned tag.
  package mutating func sendText(_ keys: TextKeys) -> UInt32 {
    precondition(phase != .login, "text without a session")
    let tag = nextTag()
    guard phase == .fullFeature else { return tag }
    tasks[tag] = InitiatorTask(.text)
    text.waiting.append((tag, keys))
    sendNextText()
    return tag
  }

  mutating func sendNextText() {
    guard text.openTag == nil, let next = text.waiting.popFirst() else { return }
    text.openTag = next.tag
    text.pieces = TextPieces(next.keys.encoded)
    text.assembly = TextAssembly()
    sendTextPiece(transferTag: reservedTag, lun: 0)
  }

  mutating func sendTextPiece(transferTag: UInt32, lun: UInt64) {
    guard let tag = text.openTag else { return }
    let piece = text.pieces.next(lengthMax: parameters.sendDataSegmentLengthMax)
    var header = BasicHeaderSegment(
      opcode: .textRequest, flags: text.pieces.isEmpty ? 0x80 : 0x40)
    header.lun = lun
    header.initiatorTaskTag = tag
    header.word20 = transferTag
    sendNumbered(PDU(header: header, data: piece))
  }

  /// Asks for a task management function; the answer comes with the returned tag.
  package mutating func manageTasks(
    _ function: TaskManagementFunction, lun: UInt64, referencedTag: UInt32 = reservedTag
  ) -> UInt32 {
    precondition(phase != .login, "task management without a session")
    let tag = nextTag()
    guard phase == .fullFeature else { return tag }
    tasks[tag] = InitiatorTask(.taskManagement(function, lun: lun, referencedTag: referencedTag))
    tasks[tag]?.commandNumber = commandNumber.rawValue
    var header = BasicHeaderSegment(opcode: .taskManagementRequest)
    header.flags |= function.rawValue
    header.lun = lun
    header.initiatorTaskTag = tag
    header.word20 = referencedTag
    // RFC 7143 §11.5.5: the number of the task to abort; of one unknown a number long received.
    let unsent = commandNumber.advanced(by: -1).rawValue
    header.word32 = tasks[referencedTag]?.commandNumber ?? unsent
    sendImmediate(PDU(header: header))
    return tag
  }

  /// Asks whether the target is there; answered by `.pingAnswered` with the returned tag.
  package mutating func ping() -> UInt32 {
    precondition(phase != .login, "a ping without a session")
    let tag = nextTag()
    guard phase == .fullFeature else { return tag }
    tasks[tag] = InitiatorTask(.ping)
    var header = BasicHeaderSegment(opcode: .nopOut)
    header.initiatorTaskTag = tag
    header.word20 = reservedTag
    sendImmediate(PDU(header: header))
    return tag
  }

  /// Ends the session; answered by `.loggedOut`.
  package mutating func logout() {
    guard phase == .fullFeature else { return }
    phase = .loggingOut
    let tag = nextTag()
    tasks[tag] = InitiatorTask(.logout)
    var header = BasicHeaderSegment(opcode: .logoutRequest)
    header.initiatorTaskTag = tag
    sendImmediate(PDU(header: header))
  }

  /// Sends a mirror request, opcode 0x1c: the caller has set kind, registration and fields.
  package mutating func sendMirrorRequest(_ header: BasicHeaderSegment, data: ArraySlice<UInt8>) {
    precondition(phase != .login, "a mirror request without a session")
    guard phase == .fullFeature else { return }
    precondition(parameters.mirrorVersion != nil, "a private request to a target of another make")
    precondition(header.opcode == .mirrorRequest, "not a mirror request")
    var request = header
    request.initiatorTaskTag = reservedTag
    sendImmediate(PDU(header: request, data: data))
  }
}

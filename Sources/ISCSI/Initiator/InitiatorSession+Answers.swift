// Full feature phase: which answer belongs to what, and what is nobody's.
import Bytes

extension InitiatorSession {
  mutating func handleFullFeature(_ pdu: PDU) {
    let header = pdu.header
    guard pdu.fault == nil else { return violate(.damaged) }
    guard pdu.additional.isEmpty, let opcode = header.opcode, header.storage[0] & 0x20 != 0 else {
      return violate(.unexpectedOpcode(header.storage[0]))
    }
    takeNumbers(header, hasStatus: hasStatus(opcode, header))
    dispatch(pdu, opcode)
    sendWaiting()
  }

  // RFC 7143 §11.8, §11.19: R2T, unasked NOP-In and Data-In without S don't use up a StatSN.
  private func hasStatus(_ opcode: Opcode, _ header: BasicHeaderSegment) -> Bool {
    switch opcode {
    case .readyToTransfer, .mirrorAnswer, .mirrorStatuses: false
    case .dataIn: header.flags & 0x01 != 0
    case .nopIn: header.initiatorTaskTag != reservedTag
    default: true
    }
  }

  private mutating func dispatch(_ pdu: PDU, _ opcode: Opcode) {
    let isMirrored = pdu.header.initiatorTaskTag.isMirroredTag && parameters.mirrorVersion != nil
    switch opcode {
    case .scsiResponse where isMirrored, .readyToTransfer where isMirrored:
      events.append(.mirrored(pdu))
    case .mirrorAnswer where parameters.mirrorVersion != nil,
      .mirrorStatuses where parameters.mirrorVersion != nil:
      events.append(.mirrored(pdu))
    case .scsiResponse: handleResponse(pdu)
    case .readyToTransfer: handleReadyToTransfer(pdu)
    case .dataIn: handleDataIn(pdu)
    case .nopIn: handlePing(pdu)
    case .textResponse: handleText(pdu)
    case .taskManagementResponse: handleTaskManagement(pdu.header)
    case .logoutResponse: handleLogout(pdu.header)
    case .asyncMessage: handleAsyncMessage(pdu)
    case .reject: handleReject(pdu)
    default: violate(.unexpectedOpcode(pdu.header.storage[0]))
    }
  }

  mutating func violateUnknown(_ header: BasicHeaderSegment) {
    violate(
      .unknownTask(opcode: header.storage[0] & 0x3f, taskTag: header.initiatorTaskTag))
  }

  private mutating func handlePing(_ pdu: PDU) {
    let header = pdu.header
    guard header.initiatorTaskTag == reservedTag else {
      switch tasks[header.initiatorTaskTag]?.kind {
      case .ping: events.append(.pingAnswered(taskTag: header.initiatorTaskTag))
      case .plug: break
      default: return violateUnknown(header)
      }
      tasks[header.initiatorTaskTag] = nil
      return
    }
    // RFC 7143 §11.18: a ping of the target's is answered with its tag and logical unit.
    guard header.word20 != reservedTag else { return }
    var answer = BasicHeaderSegment(opcode: .nopOut)
    answer.lun = header.lun
    answer.initiatorTaskTag = reservedTag
    answer.word20 = header.word20
    sendImmediate(PDU(header: answer))
  }

  private mutating func handleText(_ pdu: PDU) {
    let header = pdu.header
    let tag = header.initiatorTaskTag
    guard tag == text.openTag, tasks[tag] != nil else { return violateUnknown(header) }
    let opcode = Opcode.textResponse.rawValue
    do {
      try text.assembly.append(pdu.data)
    } catch {
      return violate(.malformed(opcode: opcode))
    }
    let goesOn = header.isContinued || !header.isFinal
    guard !goesOn else {
      guard header.word20 != reservedTag, !(header.isContinued && header.isFinal) else {
        return violate(.malformed(opcode: opcode))
      }
      return sendTextPiece(transferTag: header.word20, lun: header.lun)
    }
    guard let keys = try? TextKeys(strict: text.assembly.take()) else {
      return violate(.malformed(opcode: opcode))
    }
    tasks[tag] = nil
    text.openTag = nil
    events.append(.text(keys, taskTag: tag))
    if phase == .fullFeature { sendNextText() }
  }

  private mutating func handleTaskManagement(_ header: BasicHeaderSegment) {
    let tag = header.initiatorTaskTag
    guard case .taskManagement(let function, let lun, let referenced)? = tasks[tag]?.kind else {
      return violateUnknown(header)
    }
    let next = SerialNumber(tasks[tag]?.commandNumber ?? 0)
    tasks[tag] = nil
    let response = TaskManagementResponse(rawValue: header.byte2) ?? .rejected
    let ended = response == .complete ? tagsEnded(by: function, lun, referenced, before: next) : []
    for tag in ended { tasks[tag] = nil }
    events.append(.taskManagementDone(taskTag: tag, response, ended: ended))
  }

  /// RFC 7143 §11.5.1: none that was sent after the function, though before its answer came.
  private func tagsEnded(
    by function: TaskManagementFunction, _ lun: UInt64, _ referenced: UInt32,
    before next: SerialNumber
  ) -> [UInt32] {
    if function == .abortTask { return tasks[referenced]?.isCommand == true ? [referenced] : [] }
    let commands = tasks.filter {
      guard $0.value.isCommand, let number = $0.value.commandNumber else { return false }
      return SerialNumber(number).precedes(next)
    }
    switch function {
    case .abortTaskSet, .clearTaskSet, .logicalUnitReset:
      return commands.filter { $0.value.command?.lun == lun }.keys.sorted()
    case .targetWarmReset, .targetColdReset: return commands.keys.sorted()
    case .abortTask, .clearACA, .taskReassign: return []
    }
  }

  private mutating func handleLogout(_ header: BasicHeaderSegment) {
    guard case .logout = tasks[header.initiatorTaskTag]?.kind else {
      return violateUnknown(header)
    }
    phase = .ended
    events.append(.loggedOut(response: header.byte2))
  }

  private mutating func handleAsyncMessage(_ pdu: PDU) {
    let header = pdu.header
    guard let event = AsyncEvent(rawValue: UInt8(header.word36 >> 24)) else { return }
    let parameters = (
      header.uint16(at: 38), header.uint16(at: 40), header.uint16(at: 42)
    )
    events.append(
      .asyncMessage(event, parameters: parameters, lun: header.lun, data: Array(pdu.data)))
  }

  private mutating func handleReject(_ pdu: PDU) {
    let bytes = Array(pdu.data)
    // Safe: the span over our own array ends with the expression.
    let header = unsafe BasicHeaderSegment(bytes.span.bytes)
    var dead: UInt32?
    // RFC 7143 §11.17: data that is rejected doesn't end its task, a rejected request does.
    if let header, header.opcode != .dataOut, tasks[header.initiatorTaskTag] != nil {
      dead = header.initiatorTaskTag
      let number = tasks.removeValue(forKey: header.initiatorTaskTag)?.commandNumber
      // RFC 7143 §7.3: a number that is still expected is to come again, under something else;
      // rejected again it would for ever.
      if number == pdu.header.word28, header.opcode != .nopOut { plug(pdu.header.word28) }
      if text.openTag == dead {
        text.openTag = nil
        sendNextText()
      }
    }
    events.append(.rejected(reason: pdu.header.byte2, header: header, taskTag: dead))
  }

  /// Has a ping take the place of a request that the target let go.
  private mutating func plug(_ number: UInt32) {
    let tag = nextTag()
    tasks[tag] = InitiatorTask(.plug)
    var header = BasicHeaderSegment(opcode: .nopOut)
    header.initiatorTaskTag = tag
    header.word20 = reservedTag
    header.word24 = number
    sendData(PDU(header: header))
  }
}

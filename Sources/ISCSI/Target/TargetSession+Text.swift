// Text requests in full feature phase: SendTargets is answered here, the mirror's keys, ours and
// the patent's literal ones, go to the owner, all others are NotUnderstood.

extension TargetSession {
  mutating func handleText(_ pdu: PDU) -> RejectReason? {
    let header = pdu.header
    guard header.initiatorTaskTag != reservedTag,
      !(header.isFinal && header.isContinued)
    else { return .invalidPDUField }
    if case .owned = text.phase { return .taskInProgress }
    if header.word20 == reservedTag {
      // RFC 7143 §11.10.4: a new negotiation ends one that was open.
      text.reset()
    } else {
      guard text.phase == .open(tag: header.word20),
        header.initiatorTaskTag == text.request.initiatorTaskTag
      else { return .invalidPDUField }
    }
    text.request = header
    guard text.pieces.isEmpty else {
      sendTextPiece()
      return nil
    }
    do {
      try text.assembly.append(pdu.data)
    } catch {
      text.reset()
      return .invalidPDUField
    }
    guard !header.isContinued else {
      sendTextPiece()
      return nil
    }
    guard let keys = readKeys(text.assembly.take()) else {
      text.reset()
      return .invalidPDUField
    }
    return answer(keys)
  }

  /// Answers keys of a `.text` event.
  package mutating func respondText(_ reply: TaskHandle, _ keys: TextKeys) {
    guard phase == .fullFeature, text.phase == .owned(reply) else { return }
    text.phase = .idle
    text.pieces.append(keys.encoded)
    sendTextPiece()
  }

  private func readKeys(_ bytes: ArraySlice<UInt8>) -> TextKeys? {
    if let keys = try? TextKeys(strict: bytes) { return keys }
    // Only the patent's text may be read tolerantly.
    guard let keys = try? TextKeys(tolerant: bytes), keys.value(ignoringCase: "command") != nil
    else { return nil }
    return keys
  }

  private mutating func answer(_ keys: TextKeys) -> RejectReason? {
    let isPrivate = keys.pairs.contains { $0.key.hasPrefix(KeyName.mirrorPrefix) }
    let isLiteral = keys.value(ignoringCase: "command") != nil
    // RFC 7143 §13.22: a private key must not be used where it wasn't understood.
    let isMirrors = isLiteral || isPrivate && parameters.mirrorVersion != nil
    if isMirrors, description.type == .normal {
      let reply = tasks.nextHandle(text.request.initiatorTaskTag)
      text.phase = .owned(reply)
      events.append(.text(keys, reply: reply))
      return nil
    }
    // RFC 7143 §6.4: once each; a list that is asked for a thousand times would be a long one.
    guard Set(keys.pairs.map(\.key)).count == keys.pairs.count else {
      text.reset()
      return .invalidPDUField
    }
    var answers = TextKeys()
    for pair in keys.pairs { answer(pair, &answers) }
    text.pieces.append(answers.encoded)
    sendTextPiece()
    return nil
  }

  private mutating func answer(_ pair: TextKeys.Pair, _ answers: inout TextKeys) {
    switch pair.key {
    case KeyName.sendTargets:
      listTargets(pair.value, &answers)
    case KeyName.receiveLength:
      // RFC 7143 §13.12: may be declared anew in full feature phase.
      guard let length = pair.value.number, (512...16_777_215).contains(length) else {
        return answers.append(pair.key, KeyNegotiation.reject)
      }
      description.parameters.sendDataSegmentLengthMax = length
    case KeyName.initiatorName, "InitiatorAlias":
      break
    default:
      let isKnown = KeyNegotiation.isKnown(pair.key)
      answers.append(
        pair.key, isKnown ? KeyNegotiation.reject : KeyNegotiation.notUnderstood)
    }
  }

  // RFC 7143 appendix C: All in discovery, a name, or nothing for the session's own target.
  private func listTargets(_ value: String, _ answers: inout TextKeys) {
    let wanted = value.isEmpty ? description.targetName ?? "" : value
    let isAll = wanted == "All"
    guard !isAll || description.type == .discovery else {
      return answers.append(KeyName.sendTargets, KeyNegotiation.reject)
    }
    let visible = configuration.targets.filter {
      $0.isVisible(to: description.initiatorName)
    }
    for target in visible where isAll || target.name == wanted {
      answers.append(KeyName.targetName, target.name)
      for portal in target.portals { answers.append(KeyName.targetAddress, portal) }
    }
  }

  private mutating func sendTextPiece() {
    let request = text.request
    let piece = text.pieces.next(lengthMax: parameters.sendDataSegmentLengthMax)
    let isContinued = !text.pieces.isEmpty
    let isEnd = request.isFinal && !isContinued
    // RFC 7143 §11.11: F only in answer to F, a transfer tag while something is to follow.
    let tag = isEnd ? reservedTag : text.nextTransferTag()
    var header = BasicHeaderSegment(
      opcode: .textResponse, flags: (isEnd ? 0x80 : 0) | (isContinued ? 0x40 : 0))
    header.lun = request.lun
    header.initiatorTaskTag = request.initiatorTaskTag
    header.word20 = tag
    text.phase = isEnd ? .idle : .open(tag: tag)
    send(PDU(header: header, data: piece), advances: true)
  }
}

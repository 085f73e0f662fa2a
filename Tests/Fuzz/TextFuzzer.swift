// Text: keys and values, their pieces, and what a login makes of them on both sides.
//
//     kind │ text…                 read, written and read again
//     kind │ cuts │ text…          in pieces
//     kind │ flags text 255 …      segments: requests to a target, answers to an initiator
import Bytes
import ISCSI
import Replication

func fuzzText(_ bytes: [UInt8]) {
  guard bytes.count <= 1 << 17 else { return }
  var input = Input(bytes)
  switch input.byte() % 6 {
  case 0: fuzzKeys(input.rest())
  case 1: fuzzPieces(&input)
  case 2: fuzzTargetLogin(input.segments())
  case 3: fuzzInitiatorLogin(input.segments())
  case 4: fuzzTextRequests(input.segments())
  default: fuzzNegotiation(input.rest())
  }
}

private func fuzzKeys(_ bytes: [UInt8]) {
  let strict = try? TextKeys(strict: bytes[...])
  let tolerant = try? TextKeys(tolerant: bytes[...])
  require(strict == nil || tolerant != nil, "right by the standard, wrong to the tolerant")
  for keys in [strict, tolerant].compactMap({ $0 }) {
    for pair in keys.pairs {
      require(!pair.key.isEmpty && pair.key.utf8.count <= TextKeys.keyLengthMax, "a key's length")
      let isPlain = pair.value.unicodeScalars.allSatisfy {
        $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value)
          && !$0.properties.isBidiControl
      }
      require(isPlain, "a control character gets through")
      if NodeName.isValid(pair.value) {
        require(pair.value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }, "an odd node name")
      }
    }
  }
  guard let strict else { return }
  // What is read as a request about a LUN's record, or as an answer, is said in the same words.
  if case .keep(let text)? = try? MirrorText(strict) {
    require((try? MirrorText(text.keys)) == .keep(text), "a request doesn't read back")
    if case .order(let words) = text.request, let order = try? OperatorOrder(words: words) {
      require(order.words == words, "an order reads as another")
    }
  }
  if let answer = try? KeepingAnswer(strict), (try? KeepingAnswer(answer.keys)) != answer {
    guard case .refused = answer else { fatalError("an answer doesn't read back") }
  }
  // So are the words between a shared mirror's initiators.
  if let message = try? SharingMessage(strict) {
    require((try? SharingMessage(message.keys)) == message, "a message doesn't read back")
  }
  if case .answered(let words)? = try? KeepingAnswer(strict),
    let told = try? OperatorAnswer(words: words)
  {
    require((try? OperatorAnswer(words: told.words)) != nil, "what was told can't be told")
  }
  require((try? TextKeys(strict: strict.encoded[...])) == strict, "keys don't read back")
}

private func fuzzPieces(_ input: inout Input) {
  var cuts = Cuts(input.byte())
  let most = 1 + Int(input.byte()) * 16
  let bytes = input.rest()
  var pieces = TextPieces(bytes)
  var assembly = TextAssembly()
  while !pieces.isEmpty {
    let piece = pieces.next(lengthMax: cuts.next(upTo: most))
    require(!piece.isEmpty && piece.count <= most, "a piece's length")
    do throws(TextError) {
      try assembly.append(piece)
    } catch {
      return require(bytes.count > TextKeys.byteCountMax, "a text that isn't too long is refused")
    }
  }
  require(bytes.count <= TextKeys.byteCountMax, "a text that is too long is taken")
  require(Array(assembly.take()) == bytes, "a text of pieces is another")
}

// MARK: Login

/// The first byte of a segment is byte 1 of its header, the rest is its text.
private func login(_ opcode: Opcode, _ segment: [UInt8], number: UInt32) -> PDU {
  var header = BasicHeaderSegment(opcode: opcode, flags: segment.first ?? 0)
  header.isImmediate = opcode == .loginRequest
  header.isid = 0x8000_0000_0001
  header.word24 = number
  if opcode == .loginResponse { header.tsih = 7 }
  return PDU(header: header, data: segment.dropFirst())
}

func checkSettled(_ parameters: OperationalParameters) {
  require((512...16_777_215).contains(parameters.maxBurstLength), "MaxBurstLength")
  require((512...16_777_215).contains(parameters.firstBurstLength), "FirstBurstLength")
  require((512...16_777_215).contains(parameters.sendDataSegmentLengthMax), "length to send")
  require(parameters.receiveDataSegmentLengthMax <= 8192, "length to receive")
  require(
    parameters.unsolicitedLengthMax <= parameters.maxBurstLength, "unsolicited data over a burst")
  require(parameters.maxConnections == 1, "more connections than we want")
  require(parameters.errorRecoveryLevel <= 2, "ErrorRecoveryLevel")
  require((parameters.mirrorVersion ?? 1) == 1, "a mirror of a version that isn't ours")
}

private func fuzzTargetLogin(_ segments: [[UInt8]]) {
  var login = TargetLogin(configuration: fuzzedTargetConfiguration([]))
  for (number, segment) in segments.enumerated() where segment.count <= 1 << 16 {
    switch login.handle(Fuzz.login(.loginRequest, segment, number: UInt32(number))) {
    case .answer(let pdu): checkLoginResponse(pdu)
    case .loggedIn(let pdu):
      checkLoginResponse(pdu)
      checkSettled(login.session.parameters)
      require(NodeName.isValid(login.session.initiatorName), "an initiator without a name")
      return
    case .refused(let pdu, let status):
      require(pdu.data.isEmpty && status != .success, "a refusal that is none")
      return
    case .terminated: fatalError("a login request is no login request")
    }
  }
}

private func checkLoginResponse(_ pdu: PDU) {
  require(pdu.data.count <= 8192, "a login response is too long")
  // Of a text in several pieces no piece need be whole.
  guard !pdu.header.isContinued, pdu.data.count < 8000 else { return }
  guard let keys = try? TextKeys(strict: pdu.data) else { return }
  require(Set(keys.pairs.map(\.key)).count == keys.pairs.count, "a key is answered twice")
}

private func fuzzInitiatorLogin(_ segments: [[UInt8]]) {
  var login = InitiatorLogin(configuration: fuzzedInitiatorConfiguration([.dataDigest]))
  _ = login.begin()
  for segment in segments where segment.count <= 1 << 16 {
    guard let outcome = try? login.handle(Fuzz.login(.loginResponse, segment, number: 0)) else {
      return
    }
    switch outcome {
    case .send(let pdu):
      require((try? TextKeys(strict: pdu.data)) != nil, "an initiator's text can't be read")
    case .loggedIn:
      checkSettled(login.session.parameters)
      require(!login.session.parameters.digests.contains(.header), "a digest nobody offered")
      return
    }
  }
}

private func fuzzTextRequests(_ segments: [[UInt8]]) {
  let stream = TargetStream([], Cuts(1))
  var records: [UInt8] = []
  for segment in segments where segment.count <= 1 << 13 {
    var header = BasicHeaderSegment(opcode: .textRequest, flags: segment.first ?? 0)
    header.initiatorTaskTag = 9
    records += [6 << 5] + header.array + counted(Array(segment.dropFirst()))
  }
  var input = Input(records)
  stream.run(&input)
}

/// Two sides of ours, one of which wishes as the input says, agree.
private func fuzzNegotiation(_ bytes: [UInt8]) {
  guard let keys = try? TextKeys(strict: bytes[...]) else { return }
  let isDiscovery = bytes.count % 2 == 1
  let wanted = fuzzedTargetConfiguration([]).wanted
  var target = KeyNegotiation(wanted: wanted, type: isDiscovery ? .discovery : .normal)
  for pair in keys.pairs {
    guard let answer = target.answer(pair) else { continue }
    require(!answer.isEmpty && answer.utf8.count <= 255, "an answer's length")
    var other = KeyNegotiation(wanted: wanted, type: isDiscovery ? .discovery : .normal)
    _ = other.conclude(.init(pair.key, answer))
  }
  checkSettled(target.settled)
}

// CHAP on both ends. What no mutation finds stands in a text as a control character, which no text
// has, and is filled in: so the fuzzer may prove itself rightly, or send a challenge back.
//
//     kind │ flags text 255 …
//     in a text: 1 the right response, 2 the peer's own challenge, 3 the right name
//
// Law: nobody is let in who hasn't sent the right response to the challenge of this login.
import Bytes
import ISCSI

/// A hash that is none, and bytes that are always the same: what is fuzzed is what is made of them.
private let functions = CHAPFunctions(
  hash: { algorithm, bytes in
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    return (0..<algorithm.responseByteCount).map { index in
      state = state &* 6_364_136_223_846_793_005 &+ UInt64(index)
      return UInt8(truncatingIfNeeded: state >> 33)
    }
  },
  random: { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + count) } })

private let host = CHAPCredential(name: "host", secret: Array("a secret of the host".utf8))
private let disk = CHAPCredential(name: "disk", secret: Array("a secret of the disk".utf8))

/// What the fuzzer fills into a text, from what the peer said last.
private struct Placeholders {
  let credential: CHAPCredential
  var algorithm = CHAPAlgorithm.md5
  var identifier: UInt8 = 0
  var challenge: [UInt8]?
  /// The right response was sent.
  var isProved = false

  /// Takes a peer's text.
  mutating func note(_ data: ArraySlice<UInt8>) {
    guard let keys = try? TextKeys(strict: data), let text = keys["CHAP_C"],
      let bytes = BinaryValue.bytes(text, countMax: 1024)
    else { return }
    challenge = bytes
    identifier = keys["CHAP_I"].flatMap { UInt8($0) } ?? 0
    // A challenge is as long as the hash that was agreed on.
    let agreed = CHAPAlgorithm.allCases.first { $0.responseByteCount == bytes.count }
    require(agreed != nil, "a challenge's length")
    algorithm = agreed ?? algorithm
  }

  mutating func fill(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var filled: [UInt8] = []
    for byte in text {
      switch byte {
      case 1:
        guard let challenge else { continue }
        isProved = true
        let response = functions.hash(algorithm, [identifier] + credential.secret + challenge)
        filled += BinaryValue.text(response).utf8
      case 2: filled += BinaryValue.text(challenge ?? [0]).utf8
      case 3: filled += credential.name.utf8
      default: filled.append(byte)
      }
    }
    return filled
  }
}

func fuzzCHAP(_ bytes: [UInt8]) {
  guard bytes.count <= 1 << 14 else { return }
  var input = Input(bytes)
  switch input.byte() % 4 {
  case 0: fuzzBinaryValues(&input)
  case 1: fuzzProvingInitiator(input.segments())
  case 2: fuzzProvingTarget(input.segments(), isMutual: true)
  default: fuzzProvingTarget(input.segments(), isMutual: false)
  }
}

private func fuzzBinaryValues(_ input: inout Input) {
  let most = Int(input.uint16() % 1100)
  let text = String(decoding: input.rest(), as: UTF8.self)
  guard let bytes = BinaryValue.bytes(text, countMax: most) else { return }
  require(bytes.count <= most, "a binary value over its limit")
  let again = BinaryValue.bytes(BinaryValue.text(bytes), countMax: bytes.count)
  require(bytes.isEmpty || again == bytes, "a binary value doesn't read back")
}

/// A target that has an initiator prove itself.
private func fuzzProvingInitiator(_ segments: [[UInt8]]) {
  var configuration = fuzzedTargetConfiguration([])
  configuration.targets[0].authentication = CHAPRequirement(
    accounts: [CHAPAccount(host)], own: disk, functions: functions)
  configuration.discoveryAuthentication = configuration.targets[0].authentication
  var login = TargetLogin(configuration: configuration)
  var placeholders = Placeholders(credential: host)
  for segment in segments {
    var header = BasicHeaderSegment(
      opcode: .loginRequest, flags: segment.first ?? 0, isImmediate: true)
    header.isid = 0x8000_0000_0001
    switch login.handle(PDU(header: header, data: placeholders.fill(segment.dropFirst()))) {
    case .answer(let pdu): placeholders.note(pdu.data)
    case .loggedIn:
      return require(
        placeholders.isProved
          || login.session.targetName == configuration.targets[1].name
            && login.session.type == .normal,
        "an initiator that proved nothing is let in")
    case .refused, .terminated: return
    }
  }
}

/// An initiator that proves itself, and wants the same of the target.
private func fuzzProvingTarget(_ segments: [[UInt8]], isMutual: Bool) {
  var configuration = fuzzedInitiatorConfiguration([])
  configuration.proof = CHAPProof(own: host, target: isMutual ? disk : nil, functions: functions)
  var login = InitiatorLogin(configuration: configuration)
  _ = login.begin()
  var placeholders = Placeholders(credential: disk)
  for segment in segments {
    var header = BasicHeaderSegment(opcode: .loginResponse, flags: segment.first ?? 0)
    header.tsih = 7
    let pdu = PDU(header: header, data: placeholders.fill(segment.dropFirst()))
    guard let outcome = try? login.handle(pdu) else { return }
    switch outcome {
    case .send(let pdu): placeholders.note(pdu.data)
    case .loggedIn:
      return require(!isMutual || placeholders.isProved, "a target that proved nothing is believed")
    }
  }
}

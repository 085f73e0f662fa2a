// Reading the mirror's text: strictly by our keys, tolerantly the patent's example.
import Bytes
package import ISCSI

extension MirrorText {
  /// Reads a text request; throws the refusal that it deserves.
  package init(_ keys: TextKeys) throws(RegistrationFault) {
    if let operation = keys[RegistrationKey.operation] {
      switch operation {
      case "register": self = .register(try RegistrationRequest(ours: keys))
      case "terminate":
        self = .terminate(try TerminationRequest(keys, prefix: RegistrationKey.prefix))
      case EpochKeyText.operation: self = .key(try EpochKeyText(keys))
      case DigestRequest.operation: self = .digest(try DigestRequest(keys))
      case LeaderPlace.operation: self = .leader(lun: try lunNumber(keys))
      default:
        guard let text = try KeepingText(operation: operation, keys) else {
          throw RegistrationFault(.badRequest, "there is no such op")
        }
        self = .keep(text)
      }
      return
    }
    switch keys.value(ignoringCase: "command")?.lowercased() {
    case "register": self = .register(try RegistrationRequest(literal: keys))
    case "terminate": self = .terminate(try TerminationRequest(keys, prefix: ""))
    default: throw RegistrationFault(.badRequest, "neither register nor terminate")
    }
  }
}

extension RegistrationRequest {
  /// The port that the patent's text leaves open.
  package static let defaultPort: UInt16 = 5000
  /// Registrations of the patent's text: this and the vLUN.
  package static let literalBase: UInt32 = 0x504c_0000

  init(ours keys: TextKeys) throws(RegistrationFault) {
    let map = try lunMap(keys, RegistrationKey.lunMap)
    let group = try required(keys, RegistrationKey.group)
    self.init(
      registration: try number(keys, RegistrationKey.registration, 1...UInt64(UInt32.max)),
      group: unbracketed(group), port: try number(keys, RegistrationKey.port, 1...65535),
      luns: map.luns, virtualLUN: map.virtualLUN)
    epoch = try number(keys, RegistrationKey.epoch, 1...65535)
    firstWrite.rawValue = try number(keys, RegistrationKey.firstWrite, 0...UInt64(UInt32.max))
    blockLength = try number(
      keys, RegistrationKey.blockLength,
      UInt64(Limits.blockLengthMin)...UInt64(Limits.blockLengthMax))
    writeLengthMax = try number(
      keys, RegistrationKey.writeLengthMax, 512...UInt64(Limits.writeLengthMax))
    guard blockLength % 4 == 0, writeLengthMax % 512 == 0 else {
      throw RegistrationFault(.badRequest, "lengths are multiples of 4 and of 512")
    }
    sender = try required(keys, RegistrationKey.sender)
    switch TransportText(rawValue: keys[RegistrationKey.transport] ?? "udp") {
    case .udp?: break
    case .rdma?: queuePair = try QueuePairText(keys)
    case nil: throw RegistrationFault(.noSuchTransport, "no such transport here: udp and rdma are")
    }
    stripe = try Stripe(keys)
    security = try SecurityOffer(keys)
    if keys.value(ignoringCase: RegistrationKey.holder) != nil {
      holder = try number(keys, RegistrationKey.holder, 1...UInt64.max)
    }
  }

  init(literal keys: TextKeys) throws(RegistrationFault) {
    let map = try lunMap(keys, "lun_map")
    let group = try required(keys, "multicast_group_ip")
    self.init(
      registration: Self.literalBase + UInt32(map.virtualLUN), group: unbracketed(group),
      port: Self.defaultPort, luns: map.luns, virtualLUN: map.virtualLUN)
    isLiteral = true
  }
}

extension Stripe {
  /// `I/L`, and the mirror it is of; nil where a text knows nothing of parts.
  fileprivate init?(_ keys: TextKeys) throws(RegistrationFault) {
    guard let text = keys.value(ignoringCase: RegistrationKey.stripe) else {
      guard keys.value(ignoringCase: RegistrationKey.mirror) == nil else {
        throw RegistrationFault(.badRequest, "\(RegistrationKey.stripe) is missing")
      }
      return nil
    }
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { digits in
      digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(digits) : nil
    }
    guard numbers.count == 2, let index = numbers[0], let count = numbers[1],
      (1...Limits.stripesMax).contains(count), index < count
    else {
      throw RegistrationFault(
        .badRequest, "stripe is I/L, one of at most \(Limits.stripesMax) parts from 0 on")
    }
    self.init(
      mirror: try number(keys, RegistrationKey.mirror, 1...UInt64.max), index: index,
      count: count)
  }
}

extension TerminationRequest {
  fileprivate init(_ keys: TextKeys, prefix: String) throws(RegistrationFault) {
    let isLiteral = prefix.isEmpty
    let lun = keys.value(ignoringCase: prefix + "virtual_lun")
    guard lun != nil || !isLiteral else {
      throw RegistrationFault(.badRequest, "virtual_lun is missing")
    }
    self.init(
      registration: isLiteral
        ? nil : try number(keys, RegistrationKey.registration, 1...UInt64(UInt32.max)),
      group: keys.value(ignoringCase: prefix + "multicast_group_ip").map(unbracketed),
      virtualLUN: try lun.map { text throws(RegistrationFault) in try lunNumber(text) })
  }
}

extension RegistrationGrant {
  /// The grant, when it is one for this request and grants no more than was asked.
  package func checked(
    against request: RegistrationRequest
  ) throws(RegistrationFault) -> RegistrationGrant {
    guard registration == request.registration, epoch == request.epoch,
      blockLength <= request.blockLength, writeLengthMax <= request.writeLengthMax,
      lunSizes.allSatisfy({ $0 == lunSizes[0] }),
      queuePair?.key == request.queuePair?.key,
      blockLength + request.datagramOverhead <= queuePair?.mtu ?? .max
    else {
      throw RegistrationFault(.badRequest, "what it grants is not what was asked")
    }
    // Who knows nothing of keys passes the wish over.
    guard (keyShare == nil) == (request.security == nil) else {
      throw RegistrationFault(.notSecure, "it can't take secured datagrams")
    }
    return self
  }

  /// Reads a target's answer; throws its refusal.
  package init(_ keys: TextKeys) throws(RegistrationFault) {
    let result = try required(keys, RegistrationKey.result)
    guard result == "registered" else {
      throw RegistrationFault(result: result, keys)
    }
    registration = try number(keys, RegistrationKey.registration, 1...UInt64(UInt32.max))
    epoch = try number(keys, RegistrationKey.epoch, 1...65535)
    datagramMax = try number(keys, RegistrationKey.datagramMax, 1...65535)
    blockLength = try number(
      keys, RegistrationKey.blockLength,
      UInt64(Limits.blockLengthMin)...UInt64(Limits.blockLengthMax))
    guard blockLength % 4 == 0 else {
      throw RegistrationFault(.badRequest, "block_length is a multiple of 4")
    }
    writeLengthMax = try number(
      keys, RegistrationKey.writeLengthMax, 512...UInt64(Limits.writeLengthMax))
    credit = try number(keys, RegistrationKey.credit, 1...UInt64(UInt32.max))
    openWritesMax = try number(keys, RegistrationKey.openWritesMax, 1...65535)
    repair = try required(keys, RegistrationKey.repair)
    lunSizes = []
    for size in try required(keys, RegistrationKey.lunSizes).split(
      separator: ",", omittingEmptySubsequences: false)
    {
      guard size.first != "+", let bytes = UInt64(size) else {
        throw RegistrationFault(.badRequest, "lun_sizes are numbers")
      }
      lunSizes.append(bytes)
    }
    takesUnsolicited = keys.value(ignoringCase: RegistrationKey.initialR2T) == "No"
    if let endpoint = keys.value(ignoringCase: RegistrationKey.answers) {
      answers = AnswerStream(
        endpoint: endpoint,
        token: try number(keys, RegistrationKey.answersToken, 1...UInt64.max))
    }
    if keys.value(ignoringCase: RegistrationKey.gid) != nil { queuePair = try QueuePairText(keys) }
    if keys.value(ignoringCase: RegistrationKey.keyShare) != nil {
      let count = SecurityOffer.shareByteCount
      keyShare = try binary(keys, RegistrationKey.keyShare, count...count)
    }
  }
}

extension RegistrationFault {
  /// What a target said instead of what was hoped for.
  init(result: String, _ keys: TextKeys) {
    let words = keys[RegistrationKey.reason].map { String($0.map { $0 == "_" ? " " : $0 }) }
    self.init(RegistrationRefusal(rawValue: result) ?? .badRequest, words ?? "result \(result)")
  }
}

// MARK: Single values

func required(_ keys: TextKeys, _ key: String) throws(RegistrationFault) -> String {
  guard let value = keys.value(ignoringCase: key), !value.isEmpty else {
    throw RegistrationFault(.badRequest, "\(key) is missing")
  }
  return value
}

func number<N: FixedWidthInteger>(
  _ keys: TextKeys, _ key: String, _ range: ClosedRange<UInt64>
) throws(RegistrationFault) -> N {
  let text = try required(keys, key)
  let isHexadecimal = text.hasPrefix("0x")
  let digits = text.dropFirst(isHexadecimal ? 2 : 0)
  let value = digits.first == "+" ? nil : UInt64(digits, radix: isHexadecimal ? 16 : 10)
  guard let value, range.contains(value), let fitting = N(exactly: value) else {
    throw RegistrationFault(
      .badRequest, "\(key) is a number of \(range.lowerBound) to \(range.upperBound)")
  }
  return fitting
}

private func unbracketed(_ group: String) -> String {
  group.hasPrefix("[") && group.hasSuffix("]") ? String(group.dropFirst().dropLast()) : group
}

private func lunNumber(_ text: some StringProtocol) throws(RegistrationFault) -> Int {
  let blanks = text.split(separator: " ")
  guard blanks.count == 1, blanks[0].first != "+", let lun = Int(blanks[0]),
    (0...16383).contains(lun)
  else {
    throw RegistrationFault(.badRequest, "a LUN is a number of 0 to 16383")
  }
  return lun
}

/// `0,1,5`, `(0,1,5)` and the patent's unbalanced `(0,1,2),5)`: LUNs, then the vLUN.
private func lunMap(
  _ keys: TextKeys, _ key: String
) throws(RegistrationFault) -> (luns: [Int], virtualLUN: Int) {
  let text = try required(keys, key).filter { $0 != "(" && $0 != ")" }
  var numbers: [Int] = []
  for part in text.split(separator: ",", omittingEmptySubsequences: false) {
    guard numbers.count <= Limits.unitsMax else {
      throw RegistrationFault(.badRequest, "more than \(Limits.unitsMax) LUNs in a map")
    }
    numbers.append(try lunNumber(part))
  }
  guard numbers.count >= 2, let virtualLUN = numbers.popLast() else {
    throw RegistrationFault(.badRequest, "lun_map is LUNs and then the virtual LUN")
  }
  guard Set(numbers).count == numbers.count else {
    throw RegistrationFault(.badRequest, "lun_map names a LUN twice")
  }
  guard !numbers.contains(virtualLUN) else {
    throw RegistrationFault(.lunTaken, "the virtual LUN is one of the mapped LUNs")
  }
  return (numbers, virtualLUN)
}

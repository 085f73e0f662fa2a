// The words of a shared mirror's initiators as text keys, as they stand on the connection between
// them and on a leg's session. Strict on both sides: whoever can connect may send anything.
package import ISCSI

extension RegistrationKey {
  package static let guest = prefix + "guest"
  package static let secret = prefix + "secret"
  package static let regions = prefix + "regions"
  package static let member = prefix + "member"
  package static let label = prefix + "label"
  package static let turn = prefix + "turn"
  package static let state = prefix + "state"
  package static let generation = prefix + "generation"
  package static let count = prefix + "count"
  package static let here = prefix + "here"
  package static let suspended = prefix + "suspended"
  package static let address = prefix + "address"
  package static let key = prefix + "key"
}

/// The words that stand for messages.
private enum SharingOperation: String {
  case hello, ready, ask, released, suspect, joined, leaving
  case notJoined = "not-joined"
  case welcome, granted, call, confirmed, join, state, suspend, resume, mended, stop
  case lost, key, alive
}

extension SharingMessage {
  private var operation: SharingOperation {
    switch self {
    case .hello: .hello
    case .ready: .ready
    case .ask: .ask
    case .released: .released
    case .suspect: .suspect
    case .joined: .joined
    case .notJoined: .notJoined
    case .leaving: .leaving
    case .welcome: .welcome
    case .granted: .granted
    case .call: .call
    case .confirmed: .confirmed
    case .join: .join
    case .state: .state
    case .suspend: .suspend
    case .resume: .resume
    case .mended: .mended
    case .stop: .stop
    case .lost: .lost
    case .key: .key
    case .alive: .alive
    }
  }

  package var keys: TextKeys {
    var keys = TextKeys([.init(RegistrationKey.operation, operation.rawValue)])
    switch self {
    case .ready, .leaving, .suspend, .resume, .alive: break
    case .hello(let guest, let secret):
      keys.append(RegistrationKey.guest, hexadecimal(guest))
      keys.append(RegistrationKey.secret, hexadecimal(secret))
    case .ask(let regions), .released(let regions), .granted(let regions), .call(let regions):
      keys.append(RegistrationKey.regions, "\(regions.lowerBound)-\(regions.upperBound - 1)")
    case .suspect(let bytes):
      keys.append(RegistrationKey.offset, "\(bytes.lowerBound)")
      keys.append(RegistrationKey.length, "\(bytes.count)")
    case .confirmed(let member): keys.append(RegistrationKey.member, hexadecimal(member))
    case .joined(let member, let turn):
      keys.append(RegistrationKey.member, hexadecimal(member))
      keys.append(RegistrationKey.turn, "\(turn)")
    case .notJoined(let member, let turn, let words), .lost(let member, let turn, let words):
      keys.append(RegistrationKey.member, hexadecimal(member))
      keys.append(RegistrationKey.turn, "\(turn)")
      keys.append(RegistrationKey.reason, spoken(words))
    case .join(let member, let turn, let label):
      keys.append(RegistrationKey.member, hexadecimal(member))
      keys.append(RegistrationKey.turn, "\(turn)")
      keys.append(RegistrationKey.label, label)
    case .state(let member, let state, let generation, let words):
      keys.append(RegistrationKey.member, hexadecimal(member))
      keys.append(RegistrationKey.state, "\(state.rawValue)")
      keys.append(RegistrationKey.generation, "\(generation)")
      keys.append(RegistrationKey.reason, spoken(words))
    case .mended(let count): keys.append(RegistrationKey.count, "\(count)")
    case .stop(let words): keys.append(RegistrationKey.reason, spoken(words))
    case .key(let key): keys.append(RegistrationKey.key, hexadecimal(key))
    case .welcome(let mirror): keys.pairs += mirror.keys.pairs
    }
    return keys
  }

  package init(_ keys: TextKeys) throws(RegistrationFault) {
    let text = try required(keys, RegistrationKey.operation)
    switch SharingOperation(rawValue: text) {
    case .hello:
      self = .hello(
        guest: try number(keys, RegistrationKey.guest, 1...UInt64.max),
        secret: try number(keys, RegistrationKey.secret, 1...UInt64.max))
    case .ready: self = .ready
    case .ask: self = .ask(try regions(keys))
    case .released: self = .released(try regions(keys))
    case .granted: self = .granted(try regions(keys))
    case .call: self = .call(try regions(keys))
    case .suspect:
      let start: UInt64 = try number(keys, RegistrationKey.offset, 0...UInt64(Int64.max) - bytesMax)
      self = .suspect(start..<start + (try number(keys, RegistrationKey.length, 1...bytesMax)))
    case .joined: self = .joined(member: try member(keys), turn: try turn(keys))
    case .notJoined:
      self = .notJoined(member: try member(keys), turn: try turn(keys), words: heard(keys))
    case .leaving: self = .leaving
    case .welcome: self = .welcome(try SharedMirror(keys))
    case .confirmed: self = .confirmed(member: try member(keys))
    case .join:
      self = .join(
        member: try member(keys), turn: try turn(keys),
        label: try required(keys, RegistrationKey.label))
    case .state:
      let code: UInt8 = try number(keys, RegistrationKey.state, 0...255)
      guard let state = MemberState(rawValue: code) else {
        throw RegistrationFault(.badRequest, "no such state")
      }
      self = .state(
        member: try member(keys), state,
        generation: try number(keys, RegistrationKey.generation, 0...UInt64.max),
        reason: heard(keys))
    case .suspend: self = .suspend
    case .resume: self = .resume
    case .mended: self = .mended(try number(keys, RegistrationKey.count, 1...UInt64(UInt32.max)))
    case .stop: self = .stop(heard(keys))
    case .lost: self = .lost(member: try member(keys), turn: try turn(keys), words: heard(keys))
    case .key: self = .key(try number(keys, RegistrationKey.key, 0...UInt64.max))
    case .alive: self = .alive
    case nil: throw RegistrationFault(.badRequest, "there is no such message")
    }
  }
}

extension SharedMirror {
  fileprivate var keys: TextKeys {
    var keys = TextKeys([
      .init(RegistrationKey.record, BinaryValue.base64(record.bytes)),
      .init(RegistrationKey.byteCount, "\(layout.byteCount)"),
      .init(RegistrationKey.regionLength, "\(layout.regionLength)"),
      .init(RegistrationKey.group, group), .init(RegistrationKey.port, "\(port)"),
      .init(RegistrationKey.lun, "\(virtualLUN)"),
      .init(RegistrationKey.here, here.map(hexadecimal).joined(separator: ",")),
      .init(RegistrationKey.suspended, isSuspended ? "Yes" : "No"),
    ])
    if let cipher { keys.append(RegistrationKey.secure, cipher.rawValue) }
    return keys
  }

  fileprivate init(_ keys: TextKeys) throws(RegistrationFault) {
    guard let record = try MirrorRecord(keys) else {
      throw RegistrationFault(.badRequest, "\(RegistrationKey.record) is missing")
    }
    let here = try required(keys, RegistrationKey.here).split(separator: ",").map { digits in
      digits.hasPrefix("0x") ? UInt64(digits.dropFirst(2), radix: 16) : nil
    }
    let members = here.compactMap { $0 }
    guard !members.isEmpty, members.count == here.count, Set(members).count == members.count,
      members.allSatisfy({ record.generation.member($0) != nil })
    else { throw RegistrationFault(.badRequest, "who is here are members, each once") }
    self.init(
      record: record, layout: try RegionLayout(keys),
      group: try required(keys, RegistrationKey.group),
      port: try number(keys, RegistrationKey.port, 1...65535), virtualLUN: try lunNumber(keys),
      here: members, isSuspended: try isYes(keys, RegistrationKey.suspended))
    guard let name = keys.value(ignoringCase: RegistrationKey.secure) else { return }
    cipher = DatagramCipher(rawValue: name)
    guard cipher != nil else {
      throw RegistrationFault(.badRequest, "\(RegistrationKey.secure)=\(name) is none")
    }
  }
}

extension LeaderPlace {
  package var keys: TextKeys {
    TextKeys([
      .init(RegistrationKey.result, Self.operation),
      .init(RegistrationKey.address, address),
      .init(RegistrationKey.secret, hexadecimal(secret)),
    ])
  }

  /// What a leg answers; nil where nobody leads a shared mirror there.
  package init?(_ keys: TextKeys) throws(RegistrationFault) {
    let result = try required(keys, RegistrationKey.result)
    guard result == Self.operation else {
      // A leg of a mirror that isn't shared, or isn't open.
      _ = try KeepingRefusal(result: result)
      return nil
    }
    try self.init(asked: keys)
  }

  /// The same in a leader's own request.
  init(asked keys: TextKeys) throws(RegistrationFault) {
    self.init(
      address: try required(keys, RegistrationKey.address),
      secret: try number(keys, RegistrationKey.secret, 1...UInt64.max))
    guard address.utf8.count <= 64 else {
      throw RegistrationFault(.badRequest, "an address is HOST:PORT, numeric")
    }
  }
}

// MARK: Single values

/// Bytes of one suspect range: a write's.
private let bytesMax = UInt64(Limits.writeLengthMax)

private func member(_ keys: TextKeys) throws(RegistrationFault) -> UInt64 {
  try number(keys, RegistrationKey.member, 1...UInt64.max)
}

private func turn(_ keys: TextKeys) throws(RegistrationFault) -> UInt32 {
  try number(keys, RegistrationKey.turn, 0...UInt64(UInt32.max))
}

/// `3-7`: the first region and the last.
private func regions(_ keys: TextKeys) throws(RegistrationFault) -> Range<Int> {
  let ranges = try ranges(keys, RegistrationKey.regions)
  guard ranges.count == 1 else { throw RegistrationFault(.badRequest, "one range of regions") }
  return ranges[0]
}

private func heard(_ keys: TextKeys) -> String { heardWords(keys, "") }

// Reading the text of kept mirrors: strictly, on both sides. Whoever sends it may be anyone.
package import ISCSI

extension KeepingText {
  /// Nil where the operation is none of these.
  init?(operation: String, _ keys: TextKeys) throws(RegistrationFault) {
    guard let operation = KeepingOperation(rawValue: operation) else { return nil }
    let request: KeepingRequest
    switch operation {
    case .claim:
      request = .claim(holder: try number(keys, RegistrationKey.holder, 1...UInt64.max))
    case .marks:
      request = .marks(from: try number(keys, RegistrationKey.from, 0...regionMax))
    case .mark: request = .mark(try ranges(keys))
    case .synced: request = .synced(try ranges(keys))
    case .adopt:
      guard let record = try MirrorRecord(keys) else {
        throw RegistrationFault(.badRequest, "\(RegistrationKey.record) is missing")
      }
      request = .adopt(record, replaces: try isYes(keys, RegistrationKey.replaces))
    case .flush: request = .flush
    case .close: request = .close
    case .release: request = .release
    case .lead: request = .lead(try LeaderPlace(asked: keys))
    case .admit:
      request = .admit(guest: try number(keys, RegistrationKey.guest, 1...UInt64.max))
    case .expel:
      request = .expel(guest: try number(keys, RegistrationKey.guest, 1...UInt64.max))
    case .order:
      request = .order(try words(keys, RegistrationKey.order, WaitingOrder.lengthMax))
    case .orders: request = .orders
    case .answered:
      request = .answered(
        token: try number(keys, RegistrationKey.token, 1...UInt64.max),
        try words(keys, RegistrationKey.answer, WaitingOrder.answerLengthMax))
    }
    self.init(lun: try lunNumber(keys), request)
  }
}

extension KeepingAnswer {
  /// Reads a leg's answer.
  package init(_ keys: TextKeys) throws(RegistrationFault) {
    let result = try required(keys, RegistrationKey.result)
    switch KeepingResult(rawValue: result) {
    case .description: self = .description(try LegDescriptor(keys))
    case .marks:
      let isEmpty = keys.value(ignoringCase: RegistrationKey.ranges) == nil
      let hasMore = keys.value(ignoringCase: RegistrationKey.next) != nil
      self = .marks(
        isEmpty ? [] : try ranges(keys),
        next: hasMore ? try number(keys, RegistrationKey.next, 0...regionMax) : nil)
    case .waiting: self = .waiting(try WaitingOrder(keys))
    case .answered:
      self = .answered(try words(keys, RegistrationKey.answer, WaitingOrder.answerLengthMax))
    case .done: self = .done
    case .digests, nil:
      let refusal = try KeepingRefusal(result: result)
      self = .refused(refusal, heardWords(keys, result))
    }
  }
}

extension KeepingRefusal {
  /// What a leg says may also be what it says to registrations: then no such thing can be asked.
  init(result: String) throws(RegistrationFault) {
    if let refusal = KeepingRefusal(rawValue: result) {
      self = refusal
    } else if RegistrationRefusal(rawValue: result) != nil {
      self = .badRequest
    } else {
      throw RegistrationFault(.badRequest, "result \(result) is none")
    }
  }
}

extension RegionLayout {
  init(_ keys: TextKeys) throws(RegistrationFault) {
    let byteCount: UInt64 = try number(keys, RegistrationKey.byteCount, 1...UInt64(Int64.max))
    let regionLength: UInt64 = try number(
      keys, RegistrationKey.regionLength, 512...UInt64(Int64.max))
    guard (byteCount - 1) / regionLength < UInt64(Self.regionsMax) else {
      throw RegistrationFault(.badRequest, "a disk of too many regions")
    }
    self.init(byteCount: byteCount, regionLength: regionLength)
  }
}

extension LegDescriptor {
  fileprivate init(_ keys: TextKeys) throws(RegistrationFault) {
    let layout = try RegionLayout(keys)
    self.init(
      record: try MirrorRecord(keys), layout: layout,
      markedCount: try number(
        keys, RegistrationKey.markedCount, 0...UInt64(layout.regionCount)),
      isIntact: try isYes(keys, RegistrationKey.intact))
  }
}

extension MirrorRecord {
  /// Nil where the text has none.
  init?(_ keys: TextKeys) throws(RegistrationFault) {
    guard let text = keys.value(ignoringCase: RegistrationKey.record) else { return nil }
    guard let bytes = BinaryValue.bytes(text, countMax: Self.byteCountMax) else {
      throw RegistrationFault(
        .badRequest, "record is at most \(Self.byteCountMax) bytes in Base64 or hexadecimal")
    }
    do throws(RecordFault) {
      try self.init(bytes: bytes)
    } catch {
      throw RegistrationFault(.badRequest, "the record can't be read: \(error.rawValue)")
    }
  }
}

extension WaitingOrder {
  /// Nil where none waits.
  fileprivate init?(_ keys: TextKeys) throws(RegistrationFault) {
    let isNone =
      keys.value(ignoringCase: RegistrationKey.token) == nil
      && keys.value(ignoringCase: RegistrationKey.order) == nil
    guard !isNone else { return nil }
    self.init(
      token: try number(keys, RegistrationKey.token, 1...UInt64.max),
      words: try Replication.words(keys, RegistrationKey.order, Self.lengthMax))
  }
}

// MARK: Single values

private let regionMax = UInt64(RegionLayout.regionsMax) - 1

/// The words of a refusal.
func heardWords(_ keys: TextKeys, _ result: String) -> String {
  keys.value(ignoringCase: RegistrationKey.reason).map { words in
    String(words.map { $0 == "_" ? " " : $0 })
  } ?? "result \(result)"
}

/// Words of 1 to so many bytes.
private func words(
  _ keys: TextKeys, _ key: String, _ lengthMax: Int
) throws(RegistrationFault) -> String {
  let text = try required(keys, key)
  guard let bytes = BinaryValue.bytes(text, countMax: lengthMax), !bytes.isEmpty,
    let words = String(validating: bytes, as: UTF8.self)
  else {
    throw RegistrationFault(
      .badRequest, "\(key) is text of 1 to \(lengthMax) bytes in Base64 or hexadecimal")
  }
  return words
}

func lunNumber(_ keys: TextKeys) throws(RegistrationFault) -> Int {
  try number(keys, RegistrationKey.lun, 0...16383)
}

func isYes(_ keys: TextKeys, _ key: String) throws(RegistrationFault) -> Bool {
  switch try required(keys, key) {
  case "Yes": return true
  case "No": return false
  default: throw RegistrationFault(.badRequest, "\(key) is Yes or No")
  }
}

/// `0-3,7-7`, in order, each region once.
func ranges(
  _ keys: TextKeys, _ key: String = RegistrationKey.ranges
) throws(RegistrationFault) -> [Range<Int>] {
  let text = try required(keys, key)
  var ranges: [Range<Int>] = []
  for part in text.split(separator: ",", omittingEmptySubsequences: false) {
    guard ranges.count < KeepingText.rangesMax else {
      throw RegistrationFault(.badRequest, "more than \(KeepingText.rangesMax) ranges")
    }
    let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map(region)
    guard bounds.count == 2, let first = bounds[0], let last = bounds[1], first <= last,
      first >= ranges.last?.upperBound ?? 0
    else {
      throw RegistrationFault(.badRequest, "ranges are FIRST-LAST, in order, each region once")
    }
    ranges.append(first..<last + 1)
  }
  return ranges
}

private func region(_ digits: Substring) -> Int? {
  guard !digits.isEmpty, digits.utf8.count <= 7,
    digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let region = Int(digits),
    region < RegionLayout.regionsMax
  else { return nil }
  return region
}

// What an initiator asks of a leg about its record and its marks, as text keys, and what the leg
// answers. One text, one request: a text on a session comes after all that was asked there before.
//
// How long a text may be: 65,536 bytes on both sides, unless a target was told less. A record is at
// most 32,000 bytes, 42,668 digits of Base64; 256 ranges are at most 4,095 characters; the digests
// of 1,024 chunks are 43,692 digits. So each fits with room for the other keys, and a target that
// was told less rejects what is longer.
package import ISCSI

extension RegistrationKey {
  package static let lun = prefix + "lun"
  package static let holder = prefix + "holder"
  package static let from = prefix + "from"
  package static let ranges = prefix + "ranges"
  package static let record = prefix + "record"
  package static let replaces = prefix + "replaces"
  package static let regionLength = prefix + "region_length"
  package static let byteCount = prefix + "byte_count"
  package static let markedCount = prefix + "marked_count"
  package static let intact = prefix + "intact"
  package static let next = prefix + "next"
  package static let order = prefix + "order"
  package static let token = prefix + "token"
  package static let answer = prefix + "answer"
}

/// A request about one LUN's record or marks, as it stands in a text.
package struct KeepingText: Sendable, Equatable {
  /// Ranges in one text, asked or answered.
  package static let rangesMax = KeptUnit.rangesMax

  package var lun: Int
  package var request: KeepingRequest

  package init(lun: Int, _ request: KeepingRequest) {
    self.lun = lun
    self.request = request
  }

  package var keys: TextKeys {
    var keys = TextKeys([
      .init(RegistrationKey.operation, request.operation.rawValue),
      .init(RegistrationKey.lun, "\(lun)"),
    ])
    switch request {
    case .claim(let holder): keys.append(RegistrationKey.holder, hexadecimal(holder))
    case .marks(let from): keys.append(RegistrationKey.from, "\(from)")
    case .mark(let ranges), .synced(let ranges):
      keys.append(RegistrationKey.ranges, rangesText(ranges))
    case .adopt(let record, let replaces):
      keys.append(RegistrationKey.record, BinaryValue.base64(record.bytes))
      keys.append(RegistrationKey.replaces, replaces ? "Yes" : "No")
    case .lead(let place):
      keys.append(RegistrationKey.address, place.address)
      keys.append(RegistrationKey.secret, hexadecimal(place.secret))
    case .admit(let guest), .expel(let guest):
      keys.append(RegistrationKey.guest, hexadecimal(guest))
    case .order(let words): keys.append(RegistrationKey.order, binary(words))
    case .answered(let token, let words):
      keys.append(RegistrationKey.token, "\(token)")
      keys.append(RegistrationKey.answer, binary(words))
    case .flush, .close, .release, .orders: break
    }
    return keys
  }
}

/// The words that stand for requests.
enum KeepingOperation: String, CaseIterable {
  case claim, marks, mark, adopt, synced, flush, close, release, order, orders, answered
  case lead, admit, expel
}

extension KeepingRequest {
  var operation: KeepingOperation {
    switch self {
    case .claim: .claim
    case .marks: .marks
    case .mark: .mark
    case .adopt: .adopt
    case .synced: .synced
    case .flush: .flush
    case .close: .close
    case .release: .release
    case .lead: .lead
    case .admit: .admit
    case .expel: .expel
    case .order: .order
    case .orders: .orders
    case .answered: .answered
    }
  }
}

extension KeepingAnswer {
  package var keys: TextKeys {
    switch self {
    case .description(let descriptor): return descriptor.keys
    case .marks(let ranges, let next):
      var keys = TextKeys([.init(RegistrationKey.result, KeepingResult.marks.rawValue)])
      if !ranges.isEmpty { keys.append(RegistrationKey.ranges, rangesText(ranges)) }
      if let next { keys.append(RegistrationKey.next, "\(next)") }
      return keys
    case .waiting(let order):
      var keys = TextKeys([.init(RegistrationKey.result, KeepingResult.waiting.rawValue)])
      if let order {
        keys.append(RegistrationKey.token, "\(order.token)")
        keys.append(RegistrationKey.order, binary(order.words))
      }
      return keys
    case .answered(let words):
      return TextKeys([
        .init(RegistrationKey.result, KeepingResult.answered.rawValue),
        .init(RegistrationKey.answer, binary(words)),
      ])
    case .done: return TextKeys([.init(RegistrationKey.result, KeepingResult.done.rawValue)])
    case .refused(let refusal, let words):
      return TextKeys([
        .init(RegistrationKey.result, refusal.rawValue),
        .init(RegistrationKey.reason, spoken(words)),
      ])
    }
  }
}

/// What stands in the key `result` where a request was not refused.
enum KeepingResult: String {
  case description, marks, done, digests, waiting, answered
}

extension LegDescriptor {
  fileprivate var keys: TextKeys {
    var keys = TextKeys([
      .init(RegistrationKey.result, KeepingResult.description.rawValue),
      .init(RegistrationKey.byteCount, "\(layout.byteCount)"),
      .init(RegistrationKey.regionLength, "\(layout.regionLength)"),
      .init(RegistrationKey.markedCount, "\(markedCount)"),
      .init(RegistrationKey.intact, isIntact ? "Yes" : "No"),
    ])
    if let record { keys.append(RegistrationKey.record, BinaryValue.base64(record.bytes)) }
    return keys
  }
}

// MARK: Single values

func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

/// Words that may be of any length and have any characters.
private func binary(_ words: String) -> String { BinaryValue.base64(Array(words.utf8)) }

/// `0-3,7-7`: the first region of each range and its last.
private func rangesText(_ ranges: [Range<Int>]) -> String {
  precondition(ranges.count <= KeepingText.rangesMax, "more ranges than a text may have")
  return ranges.map { "\($0.lowerBound)-\($0.upperBound - 1)" }.joined(separator: ",")
}

/// Words as a value of text: no blanks, nothing that a reader of text refuses, and short enough.
func spoken(_ words: String) -> String {
  var text = ""
  for scalar in words.unicodeScalars {
    let isPlain = (0x21...0x7e).contains(scalar.value) || scalar.value >= 0xa0
    text.unicodeScalars.append(isPlain ? scalar : "_")
    guard text.utf8.count <= TextKeys.simpleValueLengthMax else {
      text.unicodeScalars.removeLast()
      break
    }
  }
  return text
}

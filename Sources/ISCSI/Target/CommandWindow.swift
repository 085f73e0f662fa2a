// RFC 7143 §4.2.2.1: the command window.
//
// MaxCmdSN grows by one whenever a numbered command has ended, so that at most `size` are open; it
// never shrinks. What comes early waits for its turn, what lies outside is ignored without a word.
package import Bytes

/// Orders an initiator's numbered requests and tells how many more may come.
package struct CommandWindow: Sendable {
  /// What becomes of a request.
  package enum Admission: Sendable {
    case deliver
    case hold
    case ignore
  }

  package private(set) var expected: SerialNumber
  package private(set) var last: SerialNumber
  private var held: [SerialNumber: [PDU]] = [:]

  package init(first: SerialNumber, size: Int) {
    precondition(size > 0, "an empty command window")
    expected = first
    last = first.advanced(by: size - 1)
  }

  /// Judges a numbered request; the caller executes it when it is to be delivered.
  package mutating func admit(_ pdu: PDU) -> Admission {
    let number = SerialNumber(pdu.header.word24)
    guard !number.precedes(expected), !last.precedes(number) else { return .ignore }
    guard number == expected else {
      guard held[number] == nil else { return .ignore }
      held[number] = [pdu]
      return .hold
    }
    expected = expected.next
    return .deliver
  }

  /// The next request whose turn has come, with the data that followed it; nothing in the place of
  /// one that was aborted.
  package mutating func nextHeld() -> [PDU]? {
    guard let next = held.removeValue(forKey: expected) else { return nil }
    expected = expected.next
    if next.isEmpty { release() }
    return next
  }

  /// Takes the last delivery back, and the place that it gave back where it did.
  // RFC 7143 §7.3: the number of a rejected request isn't received; another has to come under it.
  package mutating func retract(isReleased: Bool) {
    expected = expected.advanced(by: -1)
    if isReleased { last = last.advanced(by: -1) }
  }

  /// Keeps unsolicited data with its command that waits; false where there is none or too much.
  package mutating func hold(data pdu: PDU, lengthMax: Int) -> Bool {
    let tag = pdu.header.initiatorTaskTag
    guard
      let number = held.first(where: { $0.value.first?.header.initiatorTaskTag == tag })?.key,
      let waiting = held[number]
    else { return false }
    let length = waiting.reduce(pdu.data.count) { $0 + $1.data.count }
    guard length <= lengthMax, waiting.count <= 1024 else { return false }
    held[number]?.append(pdu)
    return true
  }

  /// Counts a request as received, and aborted, that is known never to come: RFC 7143 §11.6.1.
  /// False where the number is outside the window; then call `nextHeld` until it has no more.
  package mutating func plug(_ number: SerialNumber) -> Bool {
    guard !number.precedes(expected), !last.precedes(number), held[number] == nil else {
      return false
    }
    held[number] = []
    return true
  }

  /// Does the same with every number below `end` that is missing.
  package mutating func plugGaps(before end: SerialNumber) {
    var number = expected
    while number.precedes(end), !last.precedes(number) {
      if held[number] == nil { held[number] = [] }
      number = number.next
    }
  }

  /// Aborts requests below `end` that wait for their turn; how many they were.
  package mutating func abortHeld(
    before end: SerialNumber, where isMeant: (BasicHeaderSegment) -> Bool
  ) -> Int {
    let aborted = held.filter { number, pdus in
      number.precedes(end) && pdus.first.map { isMeant($0.header) } == true
    }
    for number in aborted.keys { held[number] = [] }
    return aborted.count
  }

  /// A numbered request has ended: one more may come.
  package mutating func release() {
    last = last.next
  }
}

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

  /// The next request whose turn has come, with the data that followed it.
  package mutating func nextHeld() -> [PDU]? {
    guard let next = held.removeValue(forKey: expected) else { return nil }
    expected = expected.next
    return next
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

  /// Counts a request as received that is known never to come, RFC 7143 §11.6.1.
  package mutating func markReceived(_ number: SerialNumber) -> Bool {
    guard number == expected else { return false }
    expected = expected.next
    release()
    return true
  }

  /// A numbered request has ended: one more may come.
  package mutating func release() {
    last = last.next
  }
}

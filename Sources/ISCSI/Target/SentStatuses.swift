// RFC 7143 §7.1.4.2, §11.16: with recovery every PDU that uses up a StatSN is kept until the
// initiator has acknowledged it, for it may have been lost. There is room for so many: the oldest
// goes first, and can then not be had again.
import Bytes

/// The statuses of a session that have not been acknowledged, by their numbers.
struct SentStatuses: Sendable {
  static let countMax = 1024

  private var kept: [PDU] = []
  private(set) var keptBytes = 0
  /// The lowest that was not acknowledged.
  private(set) var acknowledged: SerialNumber
  /// The next that will be sent.
  private var next: SerialNumber

  /// `first`: the number of the first that will be kept.
  init(first: SerialNumber) {
    acknowledged = first
    next = first
  }

  /// The lowest that is kept.
  private var first: SerialNumber { next.advanced(by: -kept.count) }

  var count: Int { kept.count }

  mutating func keep(_ pdu: PDU) {
    precondition(SerialNumber(pdu.header.word24) == next, "a status out of its turn")
    kept.append(pdu)
    keptBytes += pdu.data.count
    next = next.next
    if kept.count > Self.countMax { dropFirst() }
  }

  /// Drops the oldest until no more than so many bytes are kept.
  mutating func drop(downTo bytesMax: Int) {
    // The newest may be larger than all the room there is: then none is kept.
    while keptBytes > bytesMax { dropFirst() }
  }

  /// Takes an ExpStatSN; false where it can't be, or is old news.
  mutating func acknowledge(_ expected: SerialNumber) -> Bool {
    guard acknowledged.precedes(expected), !next.precedes(expected) else { return false }
    acknowledged = expected
    while !kept.isEmpty, first.precedes(expected) { dropFirst() }
    return true
  }

  /// What a SNACK asks for.
  func run(_ request: SNACKRequest) throws(SNACKRefusal) -> ArraySlice<PDU> {
    guard !request.isUnacknowledged else {
      guard first == acknowledged else { throw .notKept }
      return kept[...]
    }
    let begin = SerialNumber(request.first)
    // RFC 7143 §11.16.7: without a length, all from there on.
    let count = request.count == 0 ? begin.distance(to: next) : Int(request.count)
    guard !begin.precedes(acknowledged), count > 0, count <= begin.distance(to: next) else {
      throw .outOfRange()
    }
    let index = first.distance(to: begin)
    guard index >= 0 else { throw .notKept }
    return kept[index..<index + count]
  }

  /// Notes a SNACK tag in a response that was sent, RFC 7143 §11.16.3; nil where it isn't kept.
  mutating func tag(_ number: SerialNumber, _ snackTag: UInt32) -> PDU? {
    let index = first.distance(to: number)
    guard kept.indices.contains(index) else { return nil }
    kept[index].header.word20 = snackTag
    return kept[index]
  }

  private mutating func dropFirst() {
    keptBytes -= kept.removeFirst().data.count
  }
}

// What the owner of a kept mirror's sender asks of the writes that are open.
package import Bytes

extension Sender {
  /// The legs that owe the end of a write.
  package var owingLegs: LegSet {
    var owing: LegSet = []
    guard openCount > 0 else { return owing }
    for index in writes.indices where writes[index].phase != .idle {
      owing.formUnion(writes[index].open)
    }
    return owing
  }

  /// Whether a write with a lower number is open still: one of an earlier epoch, where `number` is
  /// the first of a later one.
  package func hasOpen(before number: SerialNumber) -> Bool {
    openCount > 0
      && writes.contains { $0.phase != .idle && $0.number.precedes(number) }
  }
}

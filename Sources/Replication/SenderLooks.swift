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

  /// Whether a write is open still that had a lower number at first: one of an earlier epoch, where
  /// `number` is the first of a later one. Legs that came with that one don't get it, whatever
  /// number it has when it is tried again.
  package func hasOpen(before number: SerialNumber) -> Bool {
    guard openCount > 0 || !restarted.isEmpty else { return false }
    return writes.contains {
      $0.phase != .idle && ($0.submission.firstNumber ?? $0.number).precedes(number)
    } || restarted.contains { $0.firstNumber?.precedes(number) == true }
  }
}

package import Bytes

/// Which epoch each write number belongs to: a write belongs to the members of its epoch, and a
/// datagram that says otherwise is stale or forged.
package struct EpochTable: Sendable {
  private var entries: [(epoch: UInt16, firstWrite: SerialNumber)]

  package init(first epoch: UInt16, firstWrite: SerialNumber) {
    entries = [(epoch, firstWrite)]
  }

  package var count: Int { entries.count }
  package var current: UInt16 { entries[entries.count - 1].epoch }

  /// Adds an epoch that is newer than all known. False when it isn't, or when writes of too many
  /// older ones may still be open.
  package mutating func install(_ epoch: UInt16, firstWrite: SerialNumber) -> Bool {
    let last = entries[entries.count - 1]
    guard Int16(bitPattern: epoch &- last.epoch) > 0, !firstWrite.precedes(last.firstWrite) else {
      return false
    }
    // No write was ever given out in an epoch that begins where the next one does.
    if firstWrite == last.firstWrite { entries.removeLast() }
    guard entries.count < Limits.epochsMax else { return false }
    entries.append((epoch, firstWrite))
    return true
  }

  /// The epoch that a number belongs to.
  package func epoch(of number: SerialNumber) -> UInt16 {
    var found = entries[0].epoch
    for entry in entries where !number.precedes(entry.firstWrite) { found = entry.epoch }
    return found
  }

  package func covers(_ number: SerialNumber, _ epoch: UInt16) -> Bool {
    entries.count == 1 ? entries[0].epoch == epoch : self.epoch(of: number) == epoch
  }

  package func knows(_ epoch: UInt16) -> Bool { entries.contains { $0.epoch == epoch } }

  /// Forgets the epochs that no number from `lowest` on belongs to.
  package mutating func forget(below lowest: SerialNumber) {
    while entries.count > 1, !lowest.precedes(entries[1].firstWrite) { entries.removeFirst() }
    // Numbers wrap: a first write left 2^31 numbers behind would seem to lie ahead.
    if entries[0].firstWrite.precedes(lowest) { entries[0].firstWrite = lowest }
  }
}

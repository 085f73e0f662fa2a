/// What runs did, for people.
package struct RunCounters: Sendable {
  package var events = 0
  package var writes = 0
  package var goodWrites = 0
  package var datagrams = 0
  package var faults = 0
  package var openings = 0
  package var rots = 0
  package var verifications = 0
  package var differences = 0
  package var guests = 0
  /// Ordinary writes, and those of them that were refused.
  package var plainWrites = 0
  package var refusedWrites = 0
  package var virtualMilliseconds = 0

  package init() {}

  package mutating func add(_ other: RunCounters) {
    events += other.events
    writes += other.writes
    goodWrites += other.goodWrites
    datagrams += other.datagrams
    faults += other.faults
    openings += other.openings
    rots += other.rots
    verifications += other.verifications
    differences += other.differences
    guests += other.guests
    plainWrites += other.plainWrites
    refusedWrites += other.refusedWrites
    virtualMilliseconds += other.virtualMilliseconds
  }

  /// As `name=number`, for Scripts/simulate.
  package var words: String {
    "events=\(events) writes=\(writes) good=\(goodWrites) datagrams=\(datagrams)"
      + " faults=\(faults) openings=\(openings) guests=\(guests) rots=\(rots)"
      + " verifications=\(verifications) differences=\(differences)"
      + " plain=\(plainWrites) refused=\(refusedWrites)"
      + " milliseconds=\(virtualMilliseconds)"
  }
}

// The parts of a journal's machine: its round, the record on its way, the slots in turn.

/// One round: what it brings to the medium.
struct JournalRound: Sendable {
  /// How far it is.
  enum Phase: Equatable {
    case idle
    case writing(left: Int)
    case flushing
  }

  var phase = Phase.idle
  /// Which round runs, or ran last.
  var number: UInt64 = 0
  var tokens: Range<UInt64> = 0..<0
  /// The sectors (not regions) that are written.
  var sectors = RegionMap(regionCount: 1)
  /// As they are written.
  var marks = RegionMap(regionCount: 1)
  /// It writes the slot that is then the newest.
  var advancesSlot = false
  var hasFailed = false

  var next: UInt64 { number + 1 }

  mutating func begin(_ marks: RegionMap, sectors: RegionMap) {
    number += 1
    self.sectors = sectors
    self.marks = marks
    advancesSlot = false
    hasFailed = false
  }

  /// Whether it is running and makes that region's mark durable.
  func brings(_ region: Int) -> Bool {
    phase != .idle && marks.contains(region)
      && sectors.contains(region / JournalBytes.regionsPerSector)
  }
}

/// A record on its way to its slot.
struct RecordChange: Sendable {
  var record: MirrorRecord?
  /// The round that writes it.
  var round: UInt64
}

/// Which slot the newest record is in, and which is the next one's.
struct RecordSlots: Sendable {
  var newest: Int?
  var sequence: UInt64

  var next: Int { newest == 1 ? 0 : 1 }

  mutating func advance() {
    newest = next
    sequence += 1
  }
}

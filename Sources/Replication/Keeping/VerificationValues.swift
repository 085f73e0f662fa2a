// What a verification of a kept mirror is asked for, and what it has found.

/// Whether and from whom what differs is repaired.
package enum VerificationRepair: Sendable, Equatable {
  case none
  /// What most legs have is right; where as many have something else, what the first leg has.
  case fromMost
  /// What that leg has is right.
  case from(leg: Int)
}

/// What is to be verified.
package struct VerificationWish: Sendable, Equatable {
  /// Rounded out to whole regions; not empty, and on the disk.
  package var bytes: Range<UInt64>
  package var repair: VerificationRepair

  package init(bytes: Range<UInt64>, repair: VerificationRepair = .none) {
    self.bytes = bytes
    self.repair = repair
  }
}

/// A range in which legs that are in sync have different bytes, though no write is open there.
package struct LegDifference: Sendable, Equatable {
  package var bytes: Range<UInt64>
  /// Legs that have the same bytes; those that are taken for right first.
  package var groups: [LegSet]
  package var isRepaired = false

  /// The legs that are not taken for right.
  package var odd: LegSet { groups.dropFirst().reduce([]) { $0.union($1) } }
}

/// A range that can't be read at a leg.
package struct UnreadableRange: Sendable, Equatable {
  package var leg: Int
  package var bytes: Range<UInt64>
  package var words: String
}

/// What a verification has found.
package struct VerificationReport: Sendable, Equatable {
  /// Differences, and ranges that can't be read, that are listed; more are counted.
  package static let listedMax = 1024

  /// What was to be compared.
  package var bytes: Range<UInt64>
  /// By leg: how much of it was compared with another leg.
  package var comparedBytes: [UInt64] = []
  /// Legs that belong to the mirror no more.
  package var forgotten: LegSet = []
  package var differences: [LegDifference] = []
  package var differenceCount = 0
  package var differingRegions = 0
  /// Of these, the ones in which all legs are equal again.
  package var repairedRegions = 0
  package var unreadable: [UnreadableRange] = []
  package var unreadableCount = 0
  /// Why it ended before all was compared; nil where all was.
  package var endWords: String?

  package init(bytes: Range<UInt64>) { self.bytes = bytes }
}

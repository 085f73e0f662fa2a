package import Bytes

/// Which commands a LUN takes for ordinary ones, by what its leg has to remember.
package enum UnitService: Sendable, Equatable {
  /// It belongs to no mirror: the ordinary rules hold.
  case free
  /// Reads are served, ordinary changes of the medium are refused.
  case readable
  /// The mirror has to be opened first: neither reads nor changes.
  case mustBeOpened
  /// It lacks something: no reads, and no changes but the mirror's.
  case beingCopied
}

/// Whether a mirrored write, or a piece of it, may touch the medium.
package enum StoreAdmission: Sendable, Equatable {
  case now
  /// Its regions are being marked: ask again when a round has been completed.
  case later
  /// Nothing can be marked: the write is answered with an error.
  case never
}

/// An answer to a request that was handed in with a token.
package struct KeepingReply: Sendable, Equatable {
  package var session: UInt64
  package var token: UInt64
  package var answer: KeepingAnswer
}

/// What a kept unit did and refused.
package struct KeptUnitCounters: Sendable, Equatable {
  /// Stores that were admitted.
  package var stores: UInt64 = 0
  /// Times that a store had to wait for its mark.
  package var waits: UInt64 = 0
  /// Stores that were not admitted.
  package var storesRefused: UInt64 = 0
  package var requestsRefused: UInt64 = 0
  /// Regions that a `synced` named and that kept their marks, since they were written meanwhile.
  package var keptMarks: UInt64 = 0
  /// Stores whose end can't be told, since their part or number has no place.
  package var untracked: UInt64 = 0

  package init() {}
}

/// What a leg remembers about one LUN that belongs to a kept mirror.
package struct KeptUnit: Sendable {
  package let layout: RegionLayout
  /// Nanoseconds between two looks for marks that may be taken away.
  package var clearNanoseconds: UInt64 = 5_000_000_000
  /// What the owner has to do; it empties the array.
  package var requests: [JournalRequest] = []
  /// What goes back to sessions; the owner empties the array.
  package var answers: [KeepingReply] = []
  package private(set) var counters = KeptUnitCounters()
  /// Rounds that ended, well or not: when it changes, stores that wait are asked for again.
  package var roundsEnded: UInt64 { 0 }
  package var journalCounters: JournalCounters { JournalCounters() }

  /// - Parameter contents: the journal's bytes, nil where there is none.
  package init(layout: RegionLayout, contents: [UInt8]?) throws(JournalDamage) {
    self.layout = layout
  }

  /// The record that is stored durably.
  package var record: MirrorRecord? { nil }
  package var marks: RegionMap { RegionMap(regionCount: layout.regionCount) }
  package var isIntact: Bool { true }
  /// Whether an initiator's session that lives has adopted it.
  package var isOpen: Bool { false }
  package var service: UnitService { .free }
  package var nextDeadline: UInt64? { nil }

  package mutating func handle(
    _ request: KeepingRequest, session: UInt64, token: UInt64, now: UInt64
  ) {}

  package mutating func handleSessionClosed(_ session: UInt64, now: UInt64) {}

  /// Something of `requests` was done, or failed.
  package mutating func handleCompleted(token: UInt64, succeeded: Bool, now: UInt64) {}

  /// Whether a store may begin now; if so it counts as begun.
  package mutating func mayStore(
    _ bytes: Range<UInt64>, part: UInt32, number: SerialNumber, now: UInt64
  ) -> StoreAdmission { .now }

  /// All writes of the part with a lower number have ended at every member.
  package mutating func handleEnded(part: UInt32, below: SerialNumber, now: UInt64) {}

  /// The part's registration is gone: what has not ended of it never will.
  package mutating func handlePartEnded(part: UInt32) {}

  package mutating func handleTimeout(now: UInt64) {}
}

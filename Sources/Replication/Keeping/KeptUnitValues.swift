// What a kept unit says.

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

  /// Whether ordinary commands may not change the medium: whoever has the unit claimed, or nobody,
  /// as long as it has a record.
  package var refusesChanges: Bool { self != .free }
}

/// Whether a mirrored write, or a piece of it, may touch the medium.
package enum StoreAdmission: Sendable, Equatable {
  case now
  /// Its regions are being marked: ask again when a round has ended.
  case later
  /// Nothing can be marked, or the unit isn't open: the write is answered with an error.
  case never
}

/// An answer to a request that was handed in with a token.
package struct KeepingReply: Sendable, Equatable {
  package var session: UInt64
  package var token: UInt64
  package var answer: KeepingAnswer

  package init(session: UInt64, token: UInt64, answer: KeepingAnswer) {
    self.session = session
    self.token = token
    self.answer = answer
  }
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

  package init() {}
}

/// Which initiator's session has the unit.
struct KeepingClaim: Sendable, Equatable {
  var holder: UInt64
  var session: UInt64
  /// It has adopted it.
  var isOpen = false
}

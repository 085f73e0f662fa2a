// What an initiator asks of a leg about the record and the marks that it keeps, and what the leg
// answers: by text on the leg's session, so in order with everything else that it is asked there.

/// What an initiator asks.
package enum KeepingRequest: Sendable, Equatable {
  /// Who are you, and may I have you: an initiator whose session lives keeps others out.
  /// - Parameter holder: a random number of the initiator's.
  case claim(holder: UInt64)
  /// Which regions are marked, from that one on.
  case marks(from: Int)
  /// Mark these regions, durably.
  case mark([Range<Int>])
  /// Store this record, durably; the leg is open from then on. `replaces` takes another mirror's
  /// or another half's record away, too.
  case adopt(MirrorRecord, replaces: Bool)
  /// These regions are equal at all members: take the marks away once they are on the medium.
  case synced([Range<Int>])
  /// Everything to the medium.
  case flush
  /// The mirror ends in order: everything to the medium, and say so in the record.
  case close
  /// The leg belongs to no mirror any more.
  case release
  /// Words for whoever has the mirror open, by a session that hasn't; answered when that has.
  case order(String)
  /// Whether anybody has left such words.
  case orders
  /// What becomes of them.
  case answered(token: UInt64, String)

  // Nothing of these outlasts the claim.

  /// Others may write with the claim's holder: they find it there.
  case lead(LeaderPlace)
  /// Lets another initiator's registrations in, known by that number.
  case admit(guest: UInt64)
  /// Ends them: nothing of them can touch the medium once this is answered.
  case expel(guest: UInt64)
}

extension KeepingRequest {
  /// Whether it is told as done only when no ordinary command changes the medium any more. Also a
  /// leg that has had its record before: the initiator that gave it may have died before the last
  /// such command had come to its end.
  package var awaitsQuiet: Bool { if case .adopt = self { true } else { false } }
}

/// What a leg answers.
package enum KeepingAnswer: Sendable, Equatable {
  /// To `claim`.
  case description(LegDescriptor)
  /// To `marks`: ranges in order, and where to ask on; nil: there are no more.
  case marks([Range<Int>], next: Int?)
  /// To `orders`: the next one, if any waits.
  case waiting(WaitingOrder?)
  /// To `order`: what the holder says.
  case answered(String)
  /// To all else.
  case done
  case refused(KeepingRefusal, String)
}

/// Why a leg doesn't do what it was asked.
package enum KeepingRefusal: String, Sendable, CaseIterable {
  /// Another initiator's session has claimed it.
  case held
  /// It was not claimed by the session that asks.
  case notClaimed = "not-claimed"
  /// What it has stored is newer, or another's.
  case conflict
  /// No initiator has its mirror open.
  case notOpen = "not-open"
  /// Its record or its marks can't be stored or read.
  case storage
  case noSuchLUN = "no-such-lun"
  case badRequest = "bad-request"
}

/// What a leg says of itself.
package struct LegDescriptor: Sendable, Equatable {
  /// Nil where it belongs to no mirror.
  package var record: MirrorRecord?
  package var layout: RegionLayout
  /// Regions that are marked.
  package var markedCount: Int
  /// It was never without its power since these marks were made, or there are none: nothing that
  /// it has acknowledged is lost.
  package var isIntact: Bool

  package init(record: MirrorRecord?, layout: RegionLayout, markedCount: Int, isIntact: Bool) {
    self.record = record
    self.layout = layout
    self.markedCount = markedCount
    self.isIntact = isIntact
  }
}

// Which legs say nothing at all, though they owe something: a host that died, or hangs whole.
//
// The deadline of a write is long, since a disk may be slow; a host that lives answers a ping at
// once, however slow its disk is. So a leg that owes the end of a write and has said nothing for
// half of the limit is pinged, and given up when nothing has come of that for the other half. A
// caller's writes are held up that long when a leg's host dies, and no longer.
//
// The lane's own sleep is no leg's silence: where two looks are far apart nothing is held against
// anybody.

/// The silence of each leg of a kept mirror, as its lane hears it.
package struct LegSilence: Sendable {
  /// One leg's last word.
  private struct Watch: Sendable {
    /// When it was heard last, or began to owe; nil while it owes nothing.
    var since: UInt64?
    var askedAt: UInt64?
  }

  /// What is to be done about legs.
  package struct Verdict: Sendable, Equatable {
    /// Ping these.
    package var asked: LegSet = []
    /// Give these up.
    package var silent: LegSet = []
  }

  /// Looks for each limit.
  private static let looks: UInt64 = 8

  private let limit: UInt64
  private var watches = [Watch](repeating: Watch(), count: Limits.legsMax)
  private var lookedAt: UInt64?

  /// - Parameter limit: nanoseconds.
  package init(limit: UInt64) {
    precondition(limit >= Self.looks, "some time has to pass")
    self.limit = limit
  }

  /// When to look again, while any leg owes something.
  package var nextLook: UInt64 { lookedAt.map { $0 + limit / Self.looks } ?? 0 }

  /// Something came from a leg.
  package mutating func handleHeard(leg: Int, now: UInt64) {
    watches[leg] = Watch(since: now)
  }

  /// Time has passed.
  /// - Parameter owing: the legs that owe the end of a write.
  package mutating func look(owing: LegSet, now: UInt64) -> Verdict {
    let wasHeldUp = lookedAt.map { now > $0 + limit / 2 } ?? true
    lookedAt = now
    var verdict = Verdict()
    for leg in watches.indices {
      guard owing.contains(LegSet(leg)) else {
        watches[leg] = Watch()
        continue
      }
      guard let since = watches[leg].since, !wasHeldUp else {
        watches[leg] = Watch(since: now)
        continue
      }
      if let asked = watches[leg].askedAt {
        guard now >= asked + limit / 2 else { continue }
        verdict.silent.insert(LegSet(leg))
        watches[leg] = Watch(since: now)
      } else if now >= since + limit / 2 {
        watches[leg].askedAt = now
        verdict.asked.insert(LegSet(leg))
      }
    }
    return verdict
  }
}

// What the machines hold that grows, and how large each of it may become.
//
// Law: nothing grows without an end, whatever legs, callers and the network do. Each list here has
// a limit, and something happens at it: what comes is refused, or waits, or what is known in detail
// is known in general. So a machine's memory is bounded by its configuration. It is looked after
// from outside: a simulation asks after each step whether something has outgrown its limit, which
// would be a mistake of ours.
//
// What the owner is to take (`events`, `stores`, `answers`, `orders`, …) it takes at each turn: it
// is as long as what one turn can bring, and `isUntold` when it was left.

import ISCSI

extension Sender {
  /// What has outgrown its limit; nil: nothing.
  package var overgrown: StaticString? {
    // Each that waits was taken while there was room for it, and moves on to the next of these.
    let taken =
      queue.count + turns.heads.count + holds.asideCount + withheld.count + restarted.count
      + openCount
    if taken > configuration.queueMax + Limits.openWritesMax + Limits.holdsMax {
      return "writes that wait"
    }
    if holds.count > Limits.holdsMax { return "holds" }
    if holds.copies.count > Limits.copiesMax { return "copies that wait" }
    if restarted.count > Limits.openWritesMax { return "writes that start anew" }
    if announcements.count + sendings.count > 2 * Limits.openWritesMax { return "sendings" }
    if repairs.count > Limits.repairsMax + Limits.openWritesMax * (legs.count + 1) {
      return "repairs"
    }
    if legs.count > Limits.legsMax { return "legs" }
    return nil
  }

  /// Events were left by the owner.
  package var isUntold: Bool { !events.isEmpty }

  /// What was to be sent of writes that have ended is dropped when there is too much of it.
  mutating func dropStaleRepairs() {
    guard repairs.count > Limits.repairsMax else { return }
    repairs.removeAll {
      writes[$0.slot].phase == .idle || writes[$0.slot].number != $0.number
    }
  }
}

extension Receiver {
  package var overgrown: StaticString? {
    if openCount > configuration.openWritesMax { return "open writes" }
    if endedBadly.count > Limits.writeWindowMax { return "writes that ended badly" }
    if epochs.count > Limits.epochsMax { return "epochs" }
    return nil
  }

  package var isUntold: Bool { !stores.isEmpty || !answers.isEmpty }
}

extension KeptUnit {
  package var overgrown: StaticString? {
    // Claims wait, too: one for each session that comes as the one before is taken over.
    if asks.asks.count > KeepingAsks.countMax + 1 { return "requests that wait" }
    if desk.count > OrderDesk.ordersMax { return "orders that wait" }
    if stores.partCount > OpenStores.partsMax { return "parts" }
    return nil
  }

  package var isUntold: Bool { !requests.isEmpty || !answers.isEmpty }
}

extension Coordinator {
  package var overgrown: StaticString? {
    if legs.count > Limits.legsMax { return "legs" }
    // To each leg: its claim or its record, for each leg its marks, what it is to forget, and what
    // is asked once.
    if asked.count > legs.count * (legs.count + Self.forgetsMax + 6) { return "questions" }
    if copies.jobs.count > configuration.copiesMax { return "regions that are copied" }
    if copies.doubts.count > CopyWork.doubtsMax { return "doubts" }
    if copies.badCount > CopyWork.badMax { return "regions that nobody can read" }
    if round.told.count > legs.count || round.added.count > legs.count { return "legs to tell of" }
    if let layout {
      for leg in legs where leg.copy.unsynced.count > layout.regionCount {
        return "ranges that are equal"
      }
      if copies.postponedCount > layout.regionCount { return "regions that wait" }
    }
    return verification?.overgrown(configuration.copiesMax)
  }

  package var isUntold: Bool { !orders.isEmpty }
}

extension VerificationWork {
  func overgrown(_ jobsMax: Int) -> StaticString? {
    if jobs.count > jobsMax { return "regions that are verified" }
    if repairCount > Self.repairsMax { return "regions to repair" }
    if report.differences.count > VerificationReport.listedMax { return "differences" }
    if report.unreadable.count > VerificationReport.listedMax { return "unreadable ranges" }
    return nil
  }
}

extension Follower {
  package var overgrown: StaticString? {
    if earlyCount > Self.earlyMax { return "what the leader has said early" }
    return legCount > Self.legsKnownMax ? "legs" : nil
  }

  package var isUntold: Bool { !orders.isEmpty || !messages.isEmpty }
}

extension KeepingMachine {
  package var overgrown: StaticString? {
    switch self {
    case .leader(let machine): machine.overgrown
    case .follower(let machine): machine.overgrown
    case .busy: nil
    }
  }

  package var isUntold: Bool {
    switch self {
    case .leader(let machine): machine.isUntold
    case .follower(let machine): machine.isUntold
    case .busy: false
    }
  }
}

extension GuestHall {
  package var overgrown: StaticString? {
    if guests.count > Self.guestsMax { return "guests" }
    return tokens.overgrown
  }
}

extension RegionTokens {
  package var overgrown: StaticString? {
    requestCount > Self.requestsMax * Self.participantsMax ? "requests for tokens" : nil
  }
}

extension RegionGate {
  package var overgrown: StaticString? {
    waitingCount > Self.waitingMax + Limits.holdsMax ? "writes at the gate" : nil
  }
}

// A kept mirror's sender: what it holds back while the legs may differ and have not stored it yet.
//
// Law: a write is told as GOOD only when every leg that lacks it is known by the others, durably,
// to lack it; and the lowest open number, by which the legs take their marks away, does not pass a
// write in which they may differ. So when a leg leaves, completions wait and the number stands
// still until the owner says that all survivors have stored that it is gone (`confirmDetached`).
//
// A write that some did and one refused makes them differ just so: the one that refused leaves.
// Where none did it nobody can tell what each has stored of it: its range is suspect until the
// owner has made the legs equal there (`confirmMended`). So it is where some refused it for a
// reservation that others have not, or no more: reservations change leg by leg, and no leg is to
// be lost for a write that was on its way meanwhile. And so it is where a write was aborted.
//
// The number stands still, too, while a write is done again: what its first attempt left at some
// legs must stay marked until the last one has ended at all of them.
import Bytes
import ISCSI
import SCSI

extension LegFailure {
  /// The leg refused the write before any of it was stored, as the standards have it.
  var hasStoredNothing: Bool {
    guard case .status(let status, let sense, let units) = self else { return false }
    return units.isEmpty
      ? Self.hasStoredNothing(status, sense)
      : units.allSatisfy { Self.hasStoredNothing($0.status, $0.sense) }
  }

  /// The leg refused the write for a reservation, at whichever of its LUNs.
  var isConflict: Bool {
    guard case .status(let status, _, let units) = self else { return false }
    let conflict = Status.reservationConflict.rawValue
    return units.isEmpty ? status == conflict : units.contains { $0.status == conflict }
  }

  /// The leg is none the worse for it, though it may differ from others.
  var isNoFault: Bool { self == .aborted || isConflict }

  private static func hasStoredNothing(_ status: UInt8, _ sense: [UInt8]) -> Bool {
    switch Status(rawValue: status) {
    case .reservationConflict: return true
    case .checkCondition:
      // Safe: the span lives no longer than the expression.
      guard let sense = unsafe SenseData(sense.span.bytes), !sense.isDeferred else { return false }
      // SPC-4 table 52: 27h is WRITE PROTECTED in all its kinds.
      return sense.key == .illegalRequest
        || sense.key == .dataProtect && sense.additional.code == 0x27
    default: return false
    }
  }
}

extension Sender {
  // MARK: Look

  /// Legs that left and whose leaving is not confirmed: completions wait for that.
  package var unconfirmedLegs: LegSet { withheld.unconfirmed }
  /// Whether the lowest open number stands still.
  package var isFrozen: Bool { withheld.isFrozen }
  package var isStopped: Bool { withheld.isStopped }

  // MARK: Handle

  /// All that stay in the mirror have stored that these legs left it: what waited is told, without
  /// them, once all that left are confirmed; later writes don't name them.
  package mutating func confirmDetached(_ legs: LegSet, now: UInt64) {
    let confirmed = legs.intersection(withheld.unconfirmed)
    guard !confirmed.isEmpty, !withheld.isStopped else { return }
    confirmed.forEach { self.legs[$0].isDropped = true }
    for slot in writes.indices where writes[slot].phase != .idle {
      writes[slot].members.subtract(confirmed)
      writes[slot].submission.stored.subtract(confirmed)
      guard !writes[slot].submission.isCopy else { continue }
      writes[slot].failures.removeAll { confirmed.contains(LegSet($0.leg)) }
    }
    for index in restarted.indices { restarted[index].stored.subtract(confirmed) }
    withheld.confirm(confirmed)
    tellWithheld(now: now)
  }

  /// Too few legs are left, though all that left may be confirmed: what ends waits to be told.
  package mutating func suspend() { withheld.isSuspended = true }

  /// Enough are here again, and have everything.
  package mutating func endSuspension(now: UInt64) {
    withheld.isSuspended = false
    tellWithheld(now: now)
  }

  private mutating func tellWithheld(now: UInt64) {
    guard !withheld.isHolding, !withheld.isStopped else { return }
    withheld.release(into: &events)
    raiseLowest()
    admit(now: now)
  }

  /// The legs are equal again where writes had failed at all of them.
  /// - Parameter count: of how many `suspect` ranges; nil: of all that were told.
  package mutating func confirmMended(_ count: Int? = nil, now: UInt64) {
    withheld.suspects -= min(count ?? .max, withheld.suspects)
    raiseLowest()
    admit(now: now)
  }

  /// The mirror can't go on, for ever: what waits is told as it failed, what is open or comes later
  /// is lost at all legs.
  package mutating func stop(now: UInt64) {
    guard !withheld.isStopped else { return }
    withheld.stop(away: LegSet(legs.indices).subtracting(activeLegs))
    withheld.release(into: &events)
    repairs.removeAll()
    announcements.removeAll()
    sendings.removeAll()
    for slot in writes.indices where writes[slot].phase != .idle {
      let failed = LegSet(writes[slot].failures.lazy.map(\.leg))
      for outcome in lostEverywhere(writes[slot].submission)
      where !failed.contains(LegSet(outcome.leg)) {
        writes[slot].failures.append(outcome)
      }
      tell(slot)
    }
    for submission in restarted { giveUp(submission) }
    restarted.removeAll()
    while let submission = turns.heads.popFirst() { giveUp(submission) }
    for submission in holds.removeAll() { giveUp(submission) }
    while let submission = queue.popFirst() { giveUp(submission) }
    turns = TaskTurns()
  }

  /// A leg that left, and was confirmed to have, is here again: it takes writes from the epoch on
  /// that it joins, under its old index.
  package mutating func readmit(_ leg: Int, as description: LegDescription) {
    precondition(
      !legs[leg].isActive && !withheld.unconfirmed.contains(LegSet(leg)),
      "a leg returns that never left")
    let counters = legs[leg].counters
    legs[leg] = SenderLeg(description: description)
    legs[leg].counters = counters
    legs[leg].isActive = false
    legs[leg].isDropped = true
  }

  // MARK: Steps

  /// The legs that have ended a write well so far, or may yet, and are here.
  func storing(_ slot: Int) -> LegSet {
    guard configuration.isKept else { return [] }
    let stored = writes[slot].submission.stored
    var legs = writes[slot].members.union(stored).intersection(activeLegs)
    for outcome in writes[slot].failures { legs.remove(LegSet(outcome.leg)) }
    return legs
  }

  /// Tells how a write ended, or keeps it to be told; its slot may be free already.
  mutating func sayCompleted(_ slot: Int, storing: LegSet) {
    say(slot, storing: storing, isCount: false)
  }

  mutating func sayCounted(_ slot: Int, storing: LegSet) {
    say(slot, storing: storing, isCount: true)
  }

  private mutating func say(_ slot: Int, storing: LegSet, isCount: Bool) {
    say(
      Withheld.Ending(
        token: writes[slot].submission.token, failures: writes[slot].failures, storing: storing,
        isCount: isCount))
  }

  mutating func say(_ ending: Withheld.Ending) {
    guard withheld.isHolding else { return events.append(ending.event) }
    withheld.append(ending)
    if !ending.isCount { events.append(.withheld(token: ending.token)) }
  }

  /// The legs that could not do a write that others did leave; where nobody did it, its range is
  /// suspect. Before its number is let go.
  mutating func judge(_ slot: Int, now: UInt64) {
    guard !writes[slot].failures.isEmpty else { return }
    let (submission, members, failures) = (
      writes[slot].submission, writes[slot].members, writes[slot].failures
    )
    if !submission.isCopy, storing(slot).isEmpty {
      let failed = LegSet(failures.lazy.map(\.leg))
      guard !members.isEmpty,
        !members.isSubset(of: failed)
          || failures.contains(where: {
            members.contains(LegSet($0.leg)) && !$0.failure.hasStoredNothing
          })
      else { return }
      return suspect(submission)
    }
    let refused = failures.filter { members.contains(LegSet($0.leg)) }
    let isDoubtful = refused.contains { legs[$0.leg].isActive && $0.failure.isNoFault }
    if isDoubtful, !submission.isCopy { suspect(submission) }
    for outcome in refused {
      // What the owner changed itself is no fault of a leg that a copy was for.
      guard outcome.failure != .bufferChanged || !submission.isCopy else { continue }
      guard submission.isCopy || !outcome.failure.isNoFault else { continue }
      fail(outcome.leg, .refused(outcome.failure), now: now)
    }
  }

  private mutating func suspect(_ submission: Submission) {
    withheld.suspects += 1
    events.append(.suspect(byteOffset: submission.byteOffset, length: submission.length))
  }

  /// The lowest open number follows the writes that have ended.
  mutating func raiseLowest() {
    guard !withheld.isFrozen else { return }
    while lowestOpen != nextNumber,
      slotOfNumber[Int(lowestOpen.rawValue) % Limits.writeWindowMax] == 0
    {
      lowestOpen = lowestOpen.next
    }
  }

  /// How far numbers may run ahead of the lowest. Where that stands still some are left for writes
  /// that are done again, which would wait for themselves without.
  func windowMax(for next: Submission) -> Int {
    let most = Limits.writeWindowMax - 1
    return configuration.isKept && !next.isAgain ? most - Limits.openWritesMax : most
  }

  /// Whether a number is left for one more write to be done again.
  var mayRepeat: Bool {
    !configuration.isKept
      || lowestOpen.distance(to: nextNumber) + restarted.count < Limits.writeWindowMax - 1
  }

  /// Ends what has no number, or no more, in a mirror that has stopped.
  mutating func giveUp(_ submission: Submission) {
    let failures = lostEverywhere(submission)
    switch submission.kind {
    case .hold: break
    case .mark: events.append(.marked(token: submission.token))
    case .copy: events.append(.copied(token: submission.token, failures: failures))
    case .write:
      if !submission.isTold {
        events.append(.completed(token: submission.token, failures: failures))
      }
      if !configuration.waitsForStatus {
        events.append(.counted(token: submission.token, failures: failures))
      }
    }
  }

  /// A write's outcome where no leg does it.
  func lostEverywhere(_ submission: Submission) -> [LegOutcome] {
    var meant = legs.indices.filter { isMeant($0, submission) }
    // It can't be GOOD, even where all legs were dropped on purpose.
    if meant.isEmpty { meant = Array(legs.indices) }
    return meant.map { LegOutcome(leg: $0, failure: .lost) }
  }
}

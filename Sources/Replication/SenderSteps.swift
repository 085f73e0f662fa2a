// The single steps of the sender: admission, readiness, data that goes out.
import Bytes
import ISCSI

extension Sender {
  func slot(of number: SerialNumber) -> Int? {
    let slot = Int(slotOfNumber[Int(number.rawValue) % Limits.writeWindowMax]) - 1
    guard slot >= 0, writes[slot].number == number else { return nil }
    return slot
  }

  /// A leg owes an answer from now on.
  mutating func setAsked(_ slot: Int, _ leg: Int, now: UInt64) {
    writes[slot].progress[leg].askedAt = now
    let due = max(now + legs[leg].timer.timeout, legs[leg].askAgainAt)
    if due < timerDue { timerDue = due }
  }

  /// The open write that a leg's R2T or Response is about; counts a late one, fails a forger.
  mutating func openSlot(leg: Int, tag: UInt32, now: UInt64) -> Int? {
    guard legs[leg].isActive else { return nil }
    let back = (Datagram.taskTag(of: nextNumber) &- tag) % Datagram.taskTagCount
    let issued = min(counters.writes + counters.copies, UInt64(Limits.writeWindowMax) * 2)
    guard tag & 0xc000_0000 == 0x8000_0000, back >= 1, UInt64(back) <= issued else {
      fail(leg, .violation("answer for a write that was never sent"), now: now)
      return nil
    }
    // The window divides the tags: a tag has the place of its number.
    let slot = Int(slotOfNumber[Int(tag) % Limits.writeWindowMax]) - 1
    guard slot >= 0, Datagram.taskTag(of: writes[slot].number) == tag,
      writes[slot].open.contains(LegSet(leg))
    else {
      legs[leg].counters.lateAnswers += 1
      return nil
    }
    return slot
  }

  mutating func answered(_ slot: Int, _ leg: Int, now: UInt64) {
    guard let asked = writes[slot].progress[leg].askedAt else {
      legs[leg].timer.heard()
      return
    }
    writes[slot].progress[leg].askedAt = nil
    legs[leg].timer.answered(after: now - min(asked, now))
  }

  // MARK: Beginning

  mutating func admit(now: UInt64) {
    guard holds.isIdle, turns.isIdle else { return admitInTurn(now: now) }
    while !isPaused, let next = restarted.first ?? queue.first, hasRoom(for: next) {
      if restarted.isEmpty { _ = queue.popFirst() } else { restarted.removeFirst() }
      begin(next, now: now)
    }
  }

  /// Whether the grants of all legs and the writes already open allow this one.
  func hasRoom(for next: Submission) -> Bool {
    var openMax = Limits.openWritesMax
    var creditMin = Int.max
    for leg in legs.indices where legs[leg].isActive {
      openMax = min(openMax, legs[leg].description.openWritesMax)
      creditMin = min(creditMin, legs[leg].description.credit)
    }
    guard openCount < openMax, openCount == 0 || openBytes + next.length <= creditMin,
      lowestOpen.distance(to: nextNumber) < windowMax(for: next)
    else { return false }
    guard openCount > 0 else { return true }
    for index in writes.indices
    where writes[index].phase != .idle && writes[index].submission.overlaps(next) {
      return false
    }
    return true
  }

  mutating func begin(_ submission: Submission, now: UInt64) {
    dropStaleRepairs()
    // What was due belonged to writes that have ended.
    if openCount == 0 { timerDue = .max }
    guard let slot = freeSlots.popLast() else { preconditionFailure("room was looked for") }
    let number = nextNumber
    nextNumber = number.next
    writes[slot].begin(
      submission, number: number, epoch: epoch, blockLength: configuration.blockLength,
      legs: legs.count)
    slotOfNumber[Int(number.rawValue) % Limits.writeWindowMax] = UInt8(slot + 1)
    writes[slot].lowestOpen = lowestOpen
    writes[slot].deadline = now + configuration.deadlineNanoseconds
    writes[slot].readyDeadline = now + configuration.deadlineNanoseconds / 2
    timerDue = min(timerDue, writes[slot].nextDeadline)
    openBytes += submission.length
    count(submission)
    writes[slot].isUnsolicited = isUnsolicited
    var isMulticast = false
    for leg in legs.indices where isMeant(leg, submission) {
      guard legs[leg].isActive else {
        writes[slot].failures.append(LegOutcome(leg: leg, failure: .lost))
        continue
      }
      writes[slot].members.insert(LegSet(leg))
      switch path(leg, submission) {
      case .datagrams: isMulticast = true
      case .connection:
        let isWhole = writes[slot].isUnsolicited
        repairs.append(
          RepairJob(
            slot: slot, number: number, destination: .connection(leg), flags: [],
            sendsCommand: true, blocks: isWhole ? wholeWrite(slot) : nil))
      case .foreign:
        writes[slot].ready.insert(LegSet(leg))
        events.append(.unicast(leg: leg, number: number, submission))
      }
    }
    guard writes[slot].members.isEmpty else {
      guard !submission.isAborted else { return abort(slot, now: now) }
      if writes[slot].isUnsolicited {
        beginUnsolicited(slot, isMulticast: isMulticast, now: now)
      } else {
        if isMulticast { announcements.append(slot) }
        beginDataIfReady(slot, now: now)
      }
      return
    }
    // Nobody stores it, so it can't be GOOD, even where all legs were dropped on purpose.
    guard !submission.isRetry else { return conclude(slot, now: now) }
    writes[slot].failures =
      submission.isCopy
      ? lostEverywhere(submission) : legs.indices.map { LegOutcome(leg: $0, failure: .lost) }
    tell(slot)
  }

  private mutating func count(_ submission: Submission) {
    if submission.isCopy {
      counters.copies += 1
      counters.copiedBytes += UInt64(submission.length)
    } else {
      counters.writes += 1
      counters.bytes += UInt64(submission.length)
    }
  }

  /// Whether a leg has to do with a write: one that left has failed it, unless it left on purpose.
  func isMeant(_ leg: Int, _ submission: Submission) -> Bool {
    guard !submission.isCopy else { return submission.targets.contains(LegSet(leg)) }
    return (!submission.isRetry || submission.targets.contains(LegSet(leg)))
      && (!legs[leg].isDropped || legs[leg].isActive)
  }

  /// Whether every leg takes data without being asked whether it is ready.
  private var isUnsolicited: Bool {
    guard !configuration.isSolicited else { return false }
    return legs.indices.allSatisfy {
      !legs[$0].isActive || legs[$0].description.takesUnsolicited
        || legs[$0].description.path == .foreign
    }
  }

  private mutating func beginUnsolicited(_ slot: Int, isMulticast: Bool, now: UInt64) {
    guard isMulticast else { return markSent(slot, now: now) }
    writes[slot].phase = .sending
    sendings.append(slot)
  }

  mutating func markReady(_ slot: Int, _ leg: Int, now: UInt64) {
    guard !writes[slot].ready.contains(LegSet(leg)) else { return }
    writes[slot].ready.insert(LegSet(leg))
    beginDataIfReady(slot, now: now)
  }

  /// Every leg that has not ended the write is ready: its data goes out.
  mutating func beginDataIfReady(_ slot: Int, now: UInt64) {
    guard writes[slot].phase == .announcing, !writes[slot].isImmediate,
      writes[slot].open.isSubset(of: writes[slot].ready)
    else {
      if writes[slot].phase == .announcing, writes[slot].isImmediate { skipGroup(slot, now: now) }
      return
    }
    var isMulticast = false
    writes[slot].open.forEach { leg in
      switch path(leg, writes[slot].submission) {
      case .datagrams: isMulticast = true
      case .foreign: break
      case .connection:
        var all = BlockBitmap(capacity: writes[slot].blockCount)
        all.restart(blockCount: writes[slot].blockCount)
        repairs.append(
          RepairJob(
            slot: slot, number: writes[slot].number, destination: .connection(leg), flags: [],
            sendsCommand: false, blocks: all))
      }
    }
    if isMulticast {
      writes[slot].phase = .sending
      sendings.append(slot)
    } else {
      markSent(slot, now: now)
    }
  }

  /// A write that is whole in its command has nothing more to send where no leg hears the group.
  private mutating func skipGroup(_ slot: Int, now: UInt64) {
    let isMulticast = legs.indices.contains {
      writes[slot].members.contains(LegSet($0))
        && path($0, writes[slot].submission) == .datagrams
    }
    if !isMulticast { markSent(slot, now: now) }
  }

  /// Everything went out once: from now on the legs owe their answers.
  mutating func markSent(_ slot: Int, now: UInt64) {
    writes[slot].phase = .awaiting
    writes[slot].sentAt = now
    writes[slot].open.forEach { leg in
      if legs[leg].description.path != .foreign { setAsked(slot, leg, now: now) }
    }
    guard !configuration.waitsForStatus, !writes[slot].isTold else { return }
    writes[slot].isTold = true
    guard !writes[slot].submission.isCopy else { return }
    sayCompleted(slot, storing: storing(slot))
  }
}

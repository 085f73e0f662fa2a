// The single steps of the sender: admission, readiness, the end of a write, loss of a leg.
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
    let issued = min(counters.writes, UInt64(Limits.writeWindowMax) * 2)
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
    while !isPaused, let next = restarted.first ?? queue.first, hasRoom(for: next) {
      if restarted.isEmpty { _ = queue.popFirst() } else { restarted.removeFirst() }
      begin(next, now: now)
    }
  }

  /// Whether the grants of all legs and the writes already open allow this one.
  private func hasRoom(for next: Submission) -> Bool {
    var openMax = Limits.openWritesMax
    var creditMin = Int.max
    for leg in legs.indices where legs[leg].isActive {
      openMax = min(openMax, legs[leg].description.openWritesMax)
      creditMin = min(creditMin, legs[leg].description.credit)
    }
    guard openCount < openMax, openCount == 0 || openBytes + next.length <= creditMin,
      lowestOpen.distance(to: nextNumber) < Limits.writeWindowMax - 1
    else { return false }
    guard openCount > 0 else { return true }
    for index in writes.indices
    where writes[index].phase != .idle && writes[index].submission.overlaps(next) {
      return false
    }
    return true
  }

  private mutating func begin(_ submission: Submission, now: UInt64) {
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
    counters.writes += 1
    counters.bytes += UInt64(submission.length)
    writes[slot].isUnsolicited = isUnsolicited
    var isMulticast = false
    for leg in legs.indices where !legs[leg].isDropped || legs[leg].isActive {
      guard legs[leg].isActive else {
        writes[slot].failures.append(LegOutcome(leg: leg, failure: .lost))
        continue
      }
      writes[slot].members.insert(LegSet(leg))
      switch legs[leg].description.path {
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
      if writes[slot].isUnsolicited {
        beginUnsolicited(slot, isMulticast: isMulticast, now: now)
      } else {
        if isMulticast { announcements.append(slot) }
        beginDataIfReady(slot, now: now)
      }
      return
    }
    // Nobody stores it, so it can't be GOOD, even where all legs were dropped on purpose.
    writes[slot].failures = legs.indices.map { LegOutcome(leg: $0, failure: .lost) }
    tell(slot)
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
  private mutating func beginDataIfReady(_ slot: Int, now: UInt64) {
    guard writes[slot].phase == .announcing, !writes[slot].isImmediate,
      writes[slot].open.isSubset(of: writes[slot].ready)
    else {
      if writes[slot].phase == .announcing, writes[slot].isImmediate { skipGroup(slot, now: now) }
      return
    }
    var isMulticast = false
    writes[slot].open.forEach { leg in
      switch legs[leg].description.path {
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
      writes[slot].members.contains(LegSet($0)) && legs[$0].description.path == .datagrams
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
    events.append(
      .completed(token: writes[slot].submission.token, failures: writes[slot].failures))
  }

  // MARK: Ending

  mutating func finish(_ slot: Int, _ leg: Int, failure: LegFailure?, now: UInt64) {
    writes[slot].ended.insert(LegSet(leg))
    writes[slot].progress[leg].askedAt = nil
    if let failure, writes[slot].phase != .restarting {
      writes[slot].failures.append(LegOutcome(leg: leg, failure: failure))
      if !failure.isNews { legs[leg].counters.badWrites += 1 }
    }
    if writes[slot].open.isEmpty {
      if writes[slot].phase == .restarting {
        beginAnew(slot, now: now)
      } else {
        complete(slot, now: now)
      }
    } else {
      beginDataIfReady(slot, now: now)
    }
  }

  private mutating func complete(_ slot: Int, now: UInt64) {
    if !repeated(slot) { tell(slot) }
    admit(now: now)
  }

  /// Tells how a write ended and lets its slot go.
  private mutating func tell(_ slot: Int) {
    let token = writes[slot].submission.token
    let failures = writes[slot].failures
    let isTold = writes[slot].isTold
    free(slot)
    if !isTold { events.append(.completed(token: token, failures: failures)) }
    if !configuration.waitsForStatus {
      events.append(.counted(token: token, failures: failures))
    }
  }

  mutating func free(_ slot: Int) {
    writes[slot].phase = .idle
    openBytes -= writes[slot].submission.length
    freeSlots.append(slot)
    slotOfNumber[Int(writes[slot].number.rawValue) % Limits.writeWindowMax] = 0
    while lowestOpen != nextNumber,
      slotOfNumber[Int(lowestOpen.rawValue) % Limits.writeWindowMax] == 0
    {
      lowestOpen = lowestOpen.next
    }
  }

  // MARK: Starting anew

  /// A block's first checksum doesn't match: the write is fenced everywhere, then sent anew.
  mutating func restart(_ slot: Int, now: UInt64) {
    writes[slot].phase = .restarting
    writes[slot].repairDue = nil
    events.append(.bufferChanged(token: writes[slot].submission.token))
    counters.restarts += 1
    let (number, epoch) = (writes[slot].number, writes[slot].epoch)
    writes[slot].open.forEach { leg in
      guard legs[leg].description.path != .foreign else { return }
      writes[slot].progress[leg].askedAt = nil
      events.append(.fence(leg: leg, number: number, epoch: epoch))
    }
    if writes[slot].open.isEmpty { beginAnew(slot, now: now) }
  }

  private mutating func beginAnew(_ slot: Int, now: UInt64) {
    var submission = writes[slot].submission
    submission.restarts += 1
    submission.isTold = writes[slot].isTold
    guard submission.restarts <= Limits.restartsMax else {
      writes[slot].members.forEach { leg in
        guard !writes[slot].failures.contains(where: { $0.leg == leg }) else { return }
        writes[slot].failures.append(LegOutcome(leg: leg, failure: .bufferChanged))
      }
      complete(slot, now: now)
      return
    }
    free(slot)
    restarted.append(submission)
    admit(now: now)
  }

  // MARK: Losing a leg

  mutating func fail(_ leg: Int, _ loss: LegLoss, now: UInt64) {
    guard legs[leg].isActive else { return }
    legs[leg].isActive = false
    flow.pacer.handleLegChanged(leg)
    events.append(.legFailed(leg: leg, loss))
    let failure: LegFailure = loss == .deadline ? .deadline : .lost
    for slot in writes.indices where writes[slot].phase != .idle {
      guard writes[slot].open.contains(LegSet(leg)) else { continue }
      finish(slot, leg, failure: failure, now: now)
    }
    admit(now: now)
  }
}

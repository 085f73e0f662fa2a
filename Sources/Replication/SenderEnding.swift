// The end of a write at its legs, of a write anew, and of a leg.
import Bytes
import ISCSI

extension Sender {
  mutating func finish(_ slot: Int, _ leg: Int, failure: LegFailure?, now: UInt64) {
    writes[slot].ended.insert(LegSet(leg))
    writes[slot].progress[leg].askedAt = nil
    let isAborting = writes[slot].isAborting
    if let failure, isAborting ? !hasFailed(slot, leg) : writes[slot].phase != .restarting {
      let failure = isAborting && failure.isNews ? .aborted : failure
      writes[slot].failures.append(LegOutcome(leg: leg, failure: failure))
      if !failure.isNews { legs[leg].counters.badWrites += 1 }
    }
    if writes[slot].open.isEmpty {
      if writes[slot].phase == .restarting, !isAborting {
        beginAnew(slot, now: now)
      } else {
        complete(slot, now: now)
      }
    } else {
      beginDataIfReady(slot, now: now)
    }
  }

  private mutating func complete(_ slot: Int, now: UInt64) {
    if hasChanged(slot) {
      events.append(.bufferChanged(token: writes[slot].submission.token))
      counters.restarts += 1
      beginAnew(slot, now: now)
    } else if settleDoubts(slot, now: now) {
      beginAnew(slot, now: now)
    } else if writes[slot].isAborting || !repeated(slot) && !postpone(slot, now: now) {
      conclude(slot, now: now)
    }
    admit(now: now)
  }

  mutating func conclude(_ slot: Int, now: UInt64) {
    if configuration.isKept { judge(slot, now: now) }
    tell(slot)
  }

  /// Tells how a write ended and lets its slot go.
  mutating func tell(_ slot: Int) {
    let submission = writes[slot].submission
    if configuration.isKept, submission.isAgain { withheld.repeats -= 1 }
    if submission.isBarrier { turns.barriers -= 1 }
    guard !submission.isCopy else {
      let failures = writes[slot].failures
      free(slot)
      events.append(.copied(token: submission.token, failures: failures))
      return
    }
    let (storing, isTold) = (storing(slot), writes[slot].isTold)
    free(slot)
    if !isTold { sayCompleted(slot, storing: storing) }
    if !configuration.waitsForStatus { sayCounted(slot, storing: storing) }
  }

  mutating func free(_ slot: Int) {
    writes[slot].phase = .idle
    openBytes -= writes[slot].submission.length
    freeSlots.append(slot)
    slotOfNumber[Int(writes[slot].number.rawValue) % Limits.writeWindowMax] = 0
    raiseLowest()
  }

  // MARK: Starting anew

  /// What was sent of a write, or came of it, is not what it is of: it is fenced everywhere, then
  /// sent anew.
  mutating func restart(_ slot: Int, now: UInt64) {
    counters.restarts += 1
    fence(slot)
    if writes[slot].open.isEmpty { beginAnew(slot, now: now) }
  }

  /// Asks every leg that owes a write's end to let it touch the medium no more.
  mutating func fence(_ slot: Int) {
    writes[slot].phase = .restarting
    writes[slot].repairDue = nil
    let (number, epoch) = (writes[slot].number, writes[slot].epoch)
    writes[slot].open.forEach { leg in
      guard legs[leg].description.path != .foreign else { return }
      writes[slot].progress[leg].askedAt = nil
      events.append(.fence(leg: leg, number: number, epoch: epoch))
    }
  }

  private mutating func beginAnew(_ slot: Int, now: UInt64) {
    var submission = writes[slot].submission
    submission.restarts += 1
    submission.forgetRetries()
    submission.isTold = writes[slot].isTold
    guard submission.restarts <= Limits.restartsMax, mayRepeat else {
      writes[slot].members.forEach { leg in
        guard !writes[slot].failures.contains(where: { $0.leg == leg }) else { return }
        writes[slot].failures.append(LegOutcome(leg: leg, failure: .bufferChanged))
      }
      complete(slot, now: now)
      return
    }
    putFirst(submission, from: slot)
    admit(now: now)
  }

  /// A write that had a number already goes before those that wait. What it may have left of itself
  /// at a leg stays marked there, so the legs are not told of its number's end before its own.
  mutating func putFirst(_ submission: Submission, from slot: Int) {
    if configuration.isKept, !writes[slot].submission.isAgain { withheld.repeats += 1 }
    free(slot)
    restarted.append(submission)
  }

  // MARK: Losing a leg

  mutating func fail(_ leg: Int, _ loss: LegLoss, now: UInt64) {
    guard legs[leg].isActive else { return }
    if configuration.isKept { withheld.leave(leg) }
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

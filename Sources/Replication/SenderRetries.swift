// A write that some legs did and one failed, in a kept mirror: before that leg leaves it gets the
// write again, alone, over its connection. A disk that is busy, or fails once, need not cost a
// resync; one that fails for good leaves a little later. Meanwhile the write is open: nothing that
// overlaps it begins, no mark of its region is taken away, and its caller waits.
//
// A leg that does not answer at all needs no such retry: what it lacks is sent to it again and
// again until the deadline (`SenderRepair`).
import SCSI

extension LegFailure {
  /// Whether the same write may be GOOD when it is sent to the leg again.
  var isPassing: Bool {
    guard case .status = self else { return false }
    return !isNews && !isConflict && !hasStoredNothing
  }
}

extension Submission {
  /// It goes to single legs again, which the others don't hear of.
  var isRetry: Bool { retries > 0 }
}

extension Sender {
  /// How mirrored bytes of a write go to a leg.
  func path(_ leg: Int, _ submission: Submission) -> LegDescription.Path {
    let path = legs[leg].description.path
    return submission.isRetry && path == .datagrams ? .connection : path
  }

  /// The legs that have failed a write and may get it again.
  private func retried(_ slot: Int) -> LegSet {
    var failed: LegSet = []
    for outcome in writes[slot].failures where legs[outcome.leg].isActive {
      guard outcome.failure.isPassing else { return [] }
      failed.insert(LegSet(outcome.leg))
    }
    return failed
  }

  /// Keeps a write open that has ended everywhere, until it is sent again to those that failed it.
  mutating func postpone(_ slot: Int, now: UInt64) -> Bool {
    let submission = writes[slot].submission
    let failed = retried(slot)
    guard configuration.isKept, !submission.isCopy, !withheld.isStopped,
      submission.retries < configuration.retriesMax, !failed.isEmpty, !storing(slot).isEmpty
    else { return false }
    for outcome in writes[slot].failures where failed.contains(LegSet(outcome.leg)) {
      events.append(.retried(leg: outcome.leg, outcome.failure))
    }
    let pause = Limits.retryPauseNanoseconds << UInt64(submission.retries)
    writes[slot].phase = .pausing
    writes[slot].deadline = now + min(pause, Limits.retryPauseMaxNanoseconds)
    timerDue = min(timerDue, writes[slot].deadline)
    return true
  }

  /// The pause is over.
  mutating func retry(_ slot: Int, now: UInt64) {
    let failed = retried(slot)
    // Who failed it may have left meanwhile.
    guard !failed.isEmpty, mayRepeat else { return conclude(slot, now: now) }
    var submission = writes[slot].submission
    submission.stored = storing(slot)
    submission.targets = failed
    submission.retries += 1
    submission.isTold = writes[slot].isTold
    putFirst(submission, from: slot)
  }
}

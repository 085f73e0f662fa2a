// ABORT TASK for a caller's write (SAM-5 §7.2): at all legs, or it names those that have it.
//
// What waits is taken out; no leg has heard of it. What is open is fenced at every leg: each
// answers that the write touches the medium no more, or that it was done. So it ends GOOD where all
// have done it, else as aborted at those that haven't; some of it may be there all the same, so in
// a kept mirror the range is suspect until it was made equal. What is about to be done again begins
// first, since nobody knows what it has left, and is fenced then.
//
// A leg of another make has no fence: it does the write, and its status counts. The road not taken
// was its own ABORT TASK: after that, too, nobody knows what is stored.
import Bytes
import ISCSI

extension Sender {
  /// A caller's write is to end as soon as it can: `completed` comes as for any other. False where
  /// there is no such write.
  package mutating func abort(token: UInt64, now: UInt64) -> Bool {
    if let waiting = takeWaiting(token) {
      if waiting.isBarrier { turns.barriers -= 1 }
      endAborted(waiting)
      admit(now: now)
      return true
    }
    if let index = restarted.firstIndex(where: { $0.isWrite(token) }) {
      restarted[index].isAborted = true
      return true
    }
    let open = writes.indices.first {
      writes[$0].phase != .idle && writes[$0].submission.isWrite(token)
    }
    guard let open else { return false }
    abort(open, now: now)
    return true
  }

  /// Fences a write that is open.
  mutating func abort(_ slot: Int, now: UInt64) {
    guard !writes[slot].isAborting else { return }
    writes[slot].isAborting = true
    guard writes[slot].phase != .pausing else {
      // It has ended at all legs, and isn't sent again to those that failed it.
      for index in writes[slot].failures.indices
      where writes[slot].failures[index].failure.isPassing {
        writes[slot].failures[index].failure = .aborted
      }
      conclude(slot, now: now)
      return admit(now: now)
    }
    guard writes[slot].phase == .restarting else {
      for index in writes[slot].failures.indices where writes[slot].failures[index].failure.isNews {
        writes[slot].failures[index].failure = .aborted
      }
      return fence(slot)
    }
    // Its buffer has changed: not even a leg that calls it GOOD has what the caller means.
    writes[slot].members.forEach { leg in
      guard !hasFailed(slot, leg) else { return }
      writes[slot].failures.append(LegOutcome(leg: leg, failure: .aborted))
    }
  }

  func hasFailed(_ slot: Int, _ leg: Int) -> Bool {
    writes[slot].failures.contains { $0.leg == leg }
  }

  private mutating func takeWaiting(_ token: UInt64) -> Submission? {
    if let aside = holds.takeWrite(token) { return aside }
    return queue.take { $0.isWrite(token) } ?? turns.heads.take { $0.isWrite(token) }
  }

  private mutating func endAborted(_ submission: Submission) {
    let failures = lostEverywhere(submission).map { LegOutcome(leg: $0.leg, failure: .aborted) }
    let token = submission.token
    say(Withheld.Ending(token: token, failures: failures, storing: [], isCount: false))
    guard !configuration.waitsForStatus else { return }
    say(Withheld.Ending(token: token, failures: failures, storing: [], isCount: true))
  }
}

extension Submission {
  /// Whether it is that write of a caller's.
  fileprivate func isWrite(_ token: UInt64) -> Bool { kind == .write && self.token == token }
}

extension Fifo {
  /// Takes the first that is wanted out, wherever it is.
  fileprivate mutating func take(where isWanted: (Element) -> Bool) -> Element? {
    guard contains(where: isWanted) else { return nil }
    var taken: Element?
    removeAll {
      guard taken == nil, isWanted($0) else { return false }
      taken = $0
      return true
    }
    return taken
  }
}

extension RangeHolds {
  /// Takes a write out that has stepped aside; those that waited for it wait no more.
  fileprivate mutating func takeWrite(_ token: UInt64) -> Submission? {
    if let freed = freed.take(where: { $0.isWrite(token) }) { return freed }
    return takeParked(token)
  }
}

// What a leg tells in the place of doing a write: a unit attention, or that somebody's task
// management has ended it. Neither is a failure of the write, which is done again as any initiator
// would: at all legs, under a new number, before those that wait. To repeat it at the one leg alone
// would be less to send, but a second way for writes to end; such news is rare.
import Bytes
import SCSI

extension LegFailure {
  /// Whether the write may be GOOD when it is done again.
  var isNews: Bool {
    guard case .status(let status, let sense, let units) = self else { return false }
    // Where any LUN has failed in earnest, the news of another helps nothing.
    let bad = units.filter { $0.status != Status.good.rawValue }
    return bad.isEmpty
      ? Self.isNews(status, sense) : bad.allSatisfy { Self.isNews($0.status, $0.sense) }
  }

  private static func isNews(_ status: UInt8, _ sense: [UInt8]) -> Bool {
    switch Status(rawValue: status) {
    // SAM-5 §5.3.1: whoever aborted it need not mean this initiator ill.
    case .taskAborted: return true
    case .checkCondition:
      // Safe: the span lives no longer than the expression.
      return unsafe SenseData(sense.span.bytes)?.key == .unitAttention
    default: return false
    }
  }
}

extension Sender {
  /// Does a write again that has ended everywhere, where a leg has it not only since it had news.
  mutating func repeated(_ slot: Int) -> Bool {
    let failures = writes[slot].failures
    guard failures.contains(where: { $0.failure.isNews && legs[$0.leg].isActive }),
      writes[slot].submission.repetitions < Limits.repetitionsMax, mayRepeat
    else { return false }
    for outcome in failures where legs[outcome.leg].isActive {
      if outcome.failure.isNews { legs[outcome.leg].counters.news += 1 }
      events.append(.news(leg: outcome.leg, outcome.failure))
    }
    var submission = writes[slot].submission
    submission.repetitions += 1
    submission.isTold = writes[slot].isTold
    putFirst(submission, from: slot)
    return true
  }
}

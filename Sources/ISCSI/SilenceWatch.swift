// Whether the other side of a connection is still there. TCP alone doesn't tell: a host that
// vanished without a word, or a process that hangs, looks like one that has nothing to say.
//
//     quiet ──no input for a while──▶ pinged ──no input for a while──▶ lost
//       ▲──────────any input───────────┘
//
// Any byte counts as life, not only the answer to the ping: who sends much and answers late lives.

/// Says when a connection is to be pinged, and when it is dead. Call `heard` with each input, and
/// `handleTimeout` at `nextDeadline`; times are nanoseconds of one clock.
package struct SilenceWatch: Sendable {
  /// What is due.
  package enum Step: Equatable, Sendable {
    case nothing
    case ping
    case lost
  }

  private let quietNanoseconds: UInt64
  private let answerNanoseconds: UInt64
  private var heardAt: UInt64
  private var pingedAt: UInt64?

  /// Pings after `quietMilliseconds` without input, gives up `answerMilliseconds` later.
  package init(quietMilliseconds: Int64, answerMilliseconds: Int64, now: UInt64) {
    precondition(quietMilliseconds > 0 && answerMilliseconds > 0, "a watch without patience")
    quietNanoseconds = UInt64(quietMilliseconds) * 1_000_000
    answerNanoseconds = UInt64(answerMilliseconds) * 1_000_000
    heardAt = now
  }

  package var nextDeadline: UInt64 {
    pingedAt.map { $0 + answerNanoseconds } ?? heardAt + quietNanoseconds
  }

  /// Something has come, or silence is our own doing. Returns whether a ping was out: what is next
  /// is due sooner than its answer was then, so `nextDeadline` is to be asked again.
  @discardableResult package mutating func heard(now: UInt64) -> Bool {
    heardAt = max(heardAt, now)
    defer { pingedAt = nil }
    return pingedAt != nil
  }

  package mutating func handleTimeout(now: UInt64) -> Step {
    guard now >= nextDeadline else { return .nothing }
    guard pingedAt == nil else { return .lost }
    pingedAt = now
    return .ping
  }
}

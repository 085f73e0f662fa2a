import ISCSI

/// Whether a session's peer is there and takes what is sent to it; a value, times in nanoseconds.
/// Call `handleTimeout` at `nextDeadline`.
struct PeerWatch: Sendable {
  /// What is due.
  enum Step: Equatable, Sendable {
    case nothing
    case ping
    /// It has not even answered a ping.
    case silent
    /// It has taken nothing for long.
    case stuck
  }

  private let outputNanoseconds: UInt64
  private var silence: SilenceWatch
  /// When output began to wait, or when some of it was taken last; nil where none waits.
  private var outputSince: UInt64?

  init(limits: TargetLimits, now: UInt64) {
    silence = SilenceWatch(
      quietMilliseconds: limits.idleMilliseconds, answerMilliseconds: limits.pingMilliseconds,
      now: now)
    outputNanoseconds = UInt64(limits.outputMilliseconds) * 1_000_000
  }

  /// When to look again; output that begins to wait meanwhile is looked at soon enough.
  func nextDeadline(now: UInt64) -> UInt64 {
    min(silence.nextDeadline, (outputSince ?? now) + outputNanoseconds)
  }

  /// As `SilenceWatch`'s.
  mutating func heard(now: UInt64) -> Bool { silence.heard(now: now) }

  /// Output was given to the socket, or taken by it.
  mutating func outputMoved(isEmpty: Bool, now: UInt64) {
    outputSince = isEmpty ? nil : now
  }

  /// Output was given to the socket: what waits already waits no shorter.
  mutating func outputAdded(now: UInt64) {
    outputSince = outputSince ?? now
  }

  /// `isReading`: whether the peer's bytes are read at all; else its silence is our doing.
  mutating func handleTimeout(now: UInt64, isReading: Bool) -> Step {
    if let outputSince, now >= outputSince + outputNanoseconds { return .stuck }
    guard isReading else {
      silence.heard(now: now)
      return .nothing
    }
    switch silence.handleTimeout(now: now) {
    case .nothing: return .nothing
    case .ping: return .ping
    case .lost: return .silent
    }
  }
}

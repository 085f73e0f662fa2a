/// How long a leg takes to answer, smoothed (after RFC 6298), and when to ask it again.
///
/// A leg that heard nothing can't report; so silence for about twice the smoothed answer time makes
/// the sender ask on the connection, less and less often until the leg says anything.
struct AnswerTimer: Sendable {
  static let timeoutMinNanoseconds: UInt64 = 2_000_000
  static let timeoutMaxNanoseconds: UInt64 = 1_000_000_000

  private(set) var smoothed: UInt64 = 20_000_000
  private var variation: UInt64 = 10_000_000
  private var hasSample = false
  private var backoff: UInt64 = 0

  /// The leg answered what was asked `elapsed` nanoseconds ago.
  mutating func answered(after elapsed: UInt64) {
    backoff = 0
    guard hasSample else {
      hasSample = true
      smoothed = elapsed
      variation = elapsed / 2
      return
    }
    let difference = elapsed > smoothed ? elapsed - smoothed : smoothed - elapsed
    variation = variation - variation / 4 + difference / 4
    smoothed = smoothed - smoothed / 8 + elapsed / 8
  }

  /// The leg said something that is no measure of time.
  mutating func heard() { backoff = 0 }

  /// The leg was asked again.
  mutating func asked() { backoff = min(backoff + 1, 6) }

  /// Silence after which to ask.
  var timeout: UInt64 {
    let base = max(2 * smoothed + 2 * variation, Self.timeoutMinNanoseconds)
    return min(base << backoff, Self.timeoutMaxNanoseconds)
  }

  /// Silence after which what would have come by now was lost: the leg, its host and the way to it
  /// rest for no longer.
  var patience: UInt64 { hasSample ? smoothed : Self.timeoutMinNanoseconds }

  /// Silence after which nothing more comes of what was sent, where nothing else tells.
  var holdoff: UInt64 {
    let base = max(2 * smoothed, smoothed + 4 * variation, Self.timeoutMinNanoseconds)
    return min(base, Self.timeoutMaxNanoseconds)
  }
}

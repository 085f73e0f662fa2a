/// The speed at which the sender really sends, its pauses left out.
struct SendPulse: Sendable {
  var isLimited = false
  private var bytes = 0
  private var active: UInt64 = 0
  private var lastAt: UInt64 = 0
  private var known = 0.0

  mutating func note(bytes count: Int, now: UInt64) {
    active += min(now - min(lastAt, now), Law.gapMax)
    lastAt = max(lastAt, now)
    bytes += count
  }

  mutating func beginPhase(now: UInt64) {
    known = rate
    isLimited = false
    bytes = 0
    active = 0
  }

  /// Bytes per second of this phase, or of the last one that sent for long enough.
  var rate: Double {
    active >= 1_000_000 || known == 0 && bytes > 0
      ? Double(bytes) * 1e9 / Double(max(active, 100_000)) : known
  }
}

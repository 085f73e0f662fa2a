// What a lane does when it finds nothing to do. To block and be woken costs microseconds, which
// small writes feel at both ends; to spin costs a core. So a lane spins for a while only when an
// operator says so, and then only as long as this process has a core left for everybody else: with
// as many lanes as cores a spinning lane takes the time of the one it waits for. The count is of
// this process; who gives two processes the same cores must leave spinning off.

internal import CDatagram
internal import Synchronization

/// How long a lane looks for work before it sleeps.
package struct LaneIdle: Equatable, Sendable {
  /// Sleeps at once.
  package static let blocks = LaneIdle(spinNanoseconds: 0)

  package let spinNanoseconds: UInt64
  /// How many cores the lanes share; nil: as many as the lane's thread finds.
  package let coreCount: Int?

  package init(spinNanoseconds: UInt64, coreCount: Int? = nil) {
    self.spinNanoseconds = spinNanoseconds
    self.coreCount = coreCount
  }
}

/// Decides from cycle to cycle whether a lane that found nothing looks again at once.
struct LaneSpin {
  /// Cycles with work after which a lane looks at its descriptors though it need not wait: a look
  /// costs a microsecond, such a cycle tens of them.
  static let busyCyclesMax = 64
  /// Lanes of this process whose threads run.
  static let runningLanes = Atomic<Int>(0)

  private let nanoseconds: UInt64
  private let coreCount: Int
  private var idleSince: UInt64?

  init(_ idle: LaneIdle, coreCount: Int) {
    nanoseconds = idle.spinNanoseconds
    self.coreCount = idle.coreCount ?? coreCount
  }

  /// There was work: the next idle time starts anew.
  mutating func noteWork() {
    idleSince = nil
  }

  /// Whether to look again at once, nothing having been found at `now`.
  mutating func continues(
    now: UInt64, lanes: Int = runningLanes.load(ordering: .relaxed)
  ) -> Bool {
    guard nanoseconds > 0, lanes < coreCount else { return false }
    guard let since = idleSince else {
      idleSince = now
      return true
    }
    return now &- since < nanoseconds
  }

  /// Waits for a moment, as a thread that spins should.
  func pause() {
    mirrorcast_pause()
  }
}

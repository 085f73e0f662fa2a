import Lanes
import Synchronization

/// Callers' writes on their way to the lane, bounded: who submits never waits, not even the lane's
/// own thread, on which completions run and may submit again.
final class WriteCalls: Sendable {
  /// Writes that were handed in and have not ended.
  static let underWayMax = 4096

  private let ring = Ring<WriteCall>(capacity: underWayMax)
  private let underWay = Atomic<Int>(0)
  private let signal: Signal

  init(signal: Signal) { self.signal = signal }

  /// Hands in a write; false when too many are under way.
  func offer(_ call: WriteCall) -> Bool {
    guard underWay.wrappingAdd(1, ordering: .relaxed).newValue <= Self.underWayMax else {
      ended()
      return false
    }
    let isPushed = ring.push(call)
    precondition(isPushed, "the ring holds as many as may be under way")
    signal.wake()
    return true
  }

  /// Takes the oldest; on the lane's thread only.
  func take() -> WriteCall? { ring.pop() }

  /// A write has ended, or was not taken.
  func ended() { underWay.wrappingSubtract(1, ordering: .relaxed) }
}

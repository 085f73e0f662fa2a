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
    guard reserve(1) else { return false }
    push(call)
    return true
  }

  /// Keeps room for so many; false when too many are under way.
  func reserve(_ count: Int) -> Bool {
    guard underWay.wrappingAdd(count, ordering: .relaxed).newValue <= Self.underWayMax else {
      ended(count)
      return false
    }
    return true
  }

  /// Hands in what room was kept for.
  func push(_ call: WriteCall) {
    let isPushed = ring.push(call)
    precondition(isPushed, "the ring holds as many as may be under way")
    signal.wake()
  }

  /// Takes the oldest; on the lane's thread only.
  func take() -> WriteCall? { ring.pop() }

  /// Writes have ended, or were not taken.
  func ended(_ count: Int = 1) { underWay.wrappingSubtract(count, ordering: .relaxed) }
}

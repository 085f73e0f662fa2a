import Lanes

/// Orders to a lane, from any thread but the lane's own.
final class LaneInbox<Order: Sendable>: Sendable {
  private let ring: Ring<Order>
  let signal: Signal

  init(capacity: Int) throws(SystemError) {
    ring = Ring(capacity: capacity)
    signal = try Signal()
  }

  /// Hands an order in; false when there is no room.
  func offer(_ order: Order) -> Bool {
    guard ring.push(order) else { return false }
    signal.wake()
    return true
  }

  /// Hands an order in that must not be lost; waits for the lane where there is no room.
  func post(_ order: Order) {
    while !ring.push(order) { signal.wake() }
    signal.wake()
  }

  /// Takes the oldest order; on the lane's thread only.
  func take() -> Order? { ring.pop() }
}

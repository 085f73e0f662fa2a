// An ordered write in a mirror of several lanes. Each lane orders what it carries itself; an
// ordered write has to keep its place among what all of them carry. So a mark goes into every
// lane's queue, in one order in all of them. It stands when nothing of before is open in its lane;
// when all stand the write begins. Another one behind the write tells that it is over; then all
// lanes go on.
//
// The lanes tell each other by a count and a wake-up: a lane's thread never waits for another.
import Lanes
import Synchronization

/// Where the lanes of a mirror meet for one ordered write.
final class OrderBarrier: Sendable {
  /// What opens when all have come there.
  enum Gate: Sendable { case before, after }

  /// Who has yet to come.
  private struct Awaited {
    var before: Int
    var after: Int
  }

  private let awaited: Mutex<Awaited>
  private let signals: [Signal]

  /// - Parameters:
  ///   - signals: of all lanes.
  ///   - writing: how many of them the write concerns.
  init(_ signals: [Signal], writing: Int) {
    awaited = Mutex(Awaited(before: signals.count, after: writing))
    self.signals = signals
  }

  /// A lane has come so far.
  func arrive(at gate: Gate) {
    let isLast = awaited.withLock { awaited in
      switch gate {
      case .before:
        awaited.before -= 1
        return awaited.before == 0
      case .after:
        awaited.after -= 1
        return awaited.after == 0
      }
    }
    if isLast { wake() }
  }

  /// There is no such write after all.
  func giveUp() {
    awaited.withLock { $0 = Awaited(before: 0, after: 0) }
    wake()
  }

  func isOpen(_ gate: Gate) -> Bool {
    awaited.withLock { gate == .before ? $0.before <= 0 : $0.after <= 0 }
  }

  private func wake() { for signal in signals { signal.wake() } }
}

/// One lane's mark.
final class OrderMark: Sendable {
  private let barrier: OrderBarrier
  private let arrival: OrderBarrier.Gate
  private let passage: OrderBarrier.Gate

  /// - Parameters:
  ///   - arrival: where the lane comes when the mark stands.
  ///   - passage: where it goes on.
  init(_ barrier: OrderBarrier, _ arrival: OrderBarrier.Gate, until passage: OrderBarrier.Gate) {
    self.barrier = barrier
    self.arrival = arrival
    self.passage = passage
  }

  func arrive() { barrier.arrive(at: arrival) }

  var isPassed: Bool { barrier.isOpen(passage) }
}

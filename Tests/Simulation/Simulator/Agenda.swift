/// Something that happens at a time, to one node.
struct Event: Sendable {
  /// What happens; what `first` and `second` mean.
  enum Kind: UInt8, Sendable {
    /// A datagram (first: its slot in the pool) comes to a target.
    case datagram
    /// A message (first: its slot) comes to the target's end of a channel (second).
    case toTarget
    /// The same at the initiator's end.
    case toInitiator
    /// An end (first: 0 initiator, 1 target) of a channel (second) sees that it is lost.
    case lost
    /// A channel (second) is connected, as the end in first sees it.
    case connected
    /// A disk's operation (first: its slot) is done.
    case stored
    /// A journal's batch (first: its slot) is done.
    case journaled
    /// A node wants to be called.
    case wake
    /// The next of the plan of an initiator's calls.
    case call
    /// What the plan of faults has next (first: its index) ends.
    case faultEnds
    /// An initiator hears another one's message (first: its slot); second: the way, and whether it
    /// is the leader's end.
    case said
    /// The same of its end (first: why).
    case unsaid
    /// A node that is down comes up.
    case restart
  }

  var time: UInt64
  var kind: Kind
  var node: Int32
  var first: Int32 = 0
  var second: Int32 = 0
  /// The process that it is for: a node that came up again is another one.
  var incarnation: UInt32 = 0
}

/// What is yet to happen, earliest first; of one instant, first entered first.
struct Agenda {
  private var heap: [(event: Event, order: UInt32)] = []
  private var entered: UInt32 = 0

  var count: Int { heap.count }

  mutating func enter(_ event: Event) {
    entered += 1
    var hole = heap.count
    let new = (event, entered)
    heap.append(new)
    while hole > 0 {
      let parent = (hole - 1) / 2
      guard Self.precedes(new, heap[parent]) else { break }
      heap[hole] = heap[parent]
      hole = parent
    }
    heap[hole] = new
  }

  mutating func pop() -> Event? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first.event }
    var hole = 0
    while true {
      var child = 2 * hole + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, Self.precedes(heap[child + 1], heap[child]) { child += 1 }
      guard Self.precedes(heap[child], last) else { break }
      heap[hole] = heap[child]
      hole = child
    }
    heap[hole] = last
    return first.event
  }

  private static func precedes(
    _ one: (event: Event, order: UInt32), _ other: (event: Event, order: UInt32)
  ) -> Bool {
    one.event.time != other.event.time
      ? one.event.time < other.event.time : one.order < other.order
  }
}

/// What is yet to happen, earliest first; of one instant, first entered first.
struct Agenda<Event> {
  private var heap: [(time: UInt64, order: UInt64, event: Event)] = []
  private var entered: UInt64 = 0

  var nextTime: UInt64? { heap.first?.time }
  var count: Int { heap.count }

  mutating func enter(_ event: Event, at time: UInt64) {
    entered += 1
    heap.append((time, entered, event))
    var child = heap.count - 1
    while child > 0, precedes(child, (child - 1) / 2) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func popDue(by now: UInt64) -> Event? {
    guard let first = heap.first, first.time <= now else { return nil }
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && precedes(child, least) { least = child }
      guard least != parent else { return first.event }
      heap.swapAt(parent, least)
      parent = least
    }
  }

  private func precedes(_ one: Int, _ other: Int) -> Bool {
    (heap[one].time, heap[one].order) < (heap[other].time, heap[other].order)
  }
}

// The way messages go from any thread to the one that owns a lane: Dmitry Vyukov's bounded queue.
//
// Each cell carries a sequence number that says whose turn it is: equal to the tail a producer may
// fill it, one ahead of the head the consumer may empty it. Producers meet on the tail only; the
// consumer never waits for them. A full ring is back-pressure: the caller keeps its element.

package import Synchronization

/// A bounded queue of many producers and one consumer, its memory taken at the start.
@safe
package final class Ring<Element: Sendable>: @unchecked Sendable {
  @usableFromInline let mask: Int
  @usableFromInline let turns: UnsafeMutablePointer<Atomic<Int>>
  @usableFromInline let elements: UnsafeMutablePointer<Element>
  @usableFromInline let tail = Atomic<Int>(0)
  // Keeps the producers' end and the consumer's end on different cache lines.
  private let padding = InlineArray<16, Int>(repeating: 0)
  @usableFromInline let head = Atomic<Int>(0)

  /// A ring of at least `capacity` cells: the next power of two.
  package init(capacity: Int) {
    precondition(capacity > 0 && capacity <= 1 << 24, "a ring has 1 to 2^24 cells")
    var cells = 2
    while cells < capacity { cells *= 2 }
    mask = cells - 1
    // Safe: within the allocations made here; each cell is initialized once.
    unsafe turns = .allocate(capacity: cells)
    unsafe elements = .allocate(capacity: cells)
    for index in 0..<cells {
      unsafe (turns + index).initialize(to: Atomic(index))
    }
  }

  deinit {
    while pop() != nil {}
    // Safe: nobody else holds the ring; every element was moved out just above.
    unsafe turns.deinitialize(count: mask + 1)
    unsafe turns.deallocate()
    unsafe elements.deallocate()
  }

  package var capacity: Int { mask + 1 }

  /// Hands in an element, from any thread; false when the ring is full.
  @inlinable package func push(_ element: Element) -> Bool {
    var position = tail.load(ordering: .relaxed)
    while true {
      let index = position & mask
      // Safe: the mask keeps the index inside the allocation.
      let turn = unsafe turns[index].load(ordering: .acquiring)
      if turn == position {
        let (exchanged, original) = tail.weakCompareExchange(
          expected: position, desired: position &+ 1, ordering: .relaxed)
        guard exchanged else {
          position = original
          continue
        }
        // Safe: the cell is ours until its turn is passed on: the consumer waits for that.
        unsafe (elements + index).initialize(to: element)
        unsafe turns[index].store(position &+ 1, ordering: .releasing)
        return true
      }
      if turn &- position < 0 { return false }
      position = tail.load(ordering: .relaxed)
    }
  }

  /// Takes the oldest element, on the consumer's thread only; nil when there is none.
  @inlinable package func pop() -> Element? {
    let position = head.load(ordering: .relaxed)
    let index = position & mask
    // Safe: the mask keeps the index inside the allocation.
    guard unsafe turns[index].load(ordering: .acquiring) == position &+ 1 else { return nil }
    // Safe: its producer has filled the cell and passed it on; nobody else empties cells.
    let element = unsafe (elements + index).move()
    unsafe turns[index].store(position &+ mask &+ 1, ordering: .releasing)
    head.store(position &+ 1, ordering: .relaxed)
    return element
  }
}

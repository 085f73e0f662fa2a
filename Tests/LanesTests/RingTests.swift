import Foundation
import Synchronization
import Testing

@testable import Lanes

/// What the consumer saw.
private final class Counts: Sendable {
  let outOfOrder = Atomic<Int>(0)
  let seen = Mutex<[Int]>([])
}

@Suite struct RingTests {
  @Test func `first in is first out, round and round`() {
    let ring = Ring<Int>(capacity: 4)
    for round in 0..<10 {
      for value in 0..<3 { #expect(ring.push(round * 3 + value)) }
      for value in 0..<3 { #expect(ring.pop() == round * 3 + value) }
      #expect(ring.pop() == nil)
    }
  }

  @Test func `a full ring is back-pressure and loses nothing`() {
    let ring = Ring<Int>(capacity: 5)
    #expect(ring.capacity == 8)
    for value in 0..<8 { #expect(ring.push(value)) }
    #expect(!ring.push(99))
    #expect(ring.pop() == 0)
    #expect(ring.push(8))
    #expect(!ring.push(99))
    for value in 1...8 { #expect(ring.pop() == value) }
    #expect(ring.pop() == nil)
  }

  @Test func `many producers, each in its own order, nothing lost or doubled`() {
    let producers = 4
    let each = 20_000
    let ring = Ring<Int>(capacity: 64)
    let counts = Counts()
    onThreads(producers + 1) { index in
      if index < producers {
        for value in 0..<each {
          while !ring.push(index * each + value) { sched_yield() }
        }
      } else {
        var seen = [Int](repeating: 0, count: producers)
        var left = producers * each
        while left > 0 {
          guard let element = ring.pop() else {
            sched_yield()
            continue
          }
          if element % each != seen[element / each] {
            counts.outOfOrder.add(1, ordering: .relaxed)
          }
          seen[element / each] += 1
          left -= 1
        }
        counts.seen.withLock { $0 = seen }
      }
    }
    #expect(counts.outOfOrder.load(ordering: .relaxed) == 0)
    #expect(counts.seen.withLock { $0 } == [Int](repeating: each, count: producers))
    #expect(ring.pop() == nil)
  }

  @Test func `elements left behind are released with the ring`() {
    final class Witness: Sendable {}
    weak var left: Witness?
    weak var taken: Witness?
    do {
      let ring = Ring<Witness>(capacity: 4)
      let first = Witness()
      let second = Witness()
      taken = first
      left = second
      #expect(ring.push(first))
      #expect(ring.push(second))
      _ = ring.pop()
    }
    #expect(taken == nil)
    #expect(left == nil)
  }
}

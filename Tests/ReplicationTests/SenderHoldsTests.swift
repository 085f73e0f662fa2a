import Bytes
import Testing

@testable import Replication

/// Holds among writes: what stands, what waits for it, and what goes on.
@Suite struct SenderHoldsTests {
  @Test func `a hold stands when what overlaps it has ended`() {
    let desk = HoldsDesk()
    desk.hold(100, 50..<60)
    #expect(desk.held == [100])
    desk.write(1, 0..<4)
    desk.write(2, 4..<8)
    desk.hold(101, 2..<6)
    desk.write(3, 5..<7)
    desk.write(4, 8..<12)
    desk.write(5, 6..<9)
    desk.write(6, 20..<24)
    #expect(desk.held == [100] && desk.began == [1, 2, 4, 6])
    desk.end(1)
    #expect(desk.held == [100])
    desk.end(2)
    #expect(desk.held == [100, 101] && desk.began == [1, 2, 4, 6])
    desk.end(4)
    // 5 keeps its place behind 3, which waits for the hold.
    #expect(desk.began == [1, 2, 4, 6] && !desk.sender.isIdle)
    desk.release(101)
    #expect(desk.began == [1, 2, 4, 6, 3])
    desk.end(3)
    #expect(desk.began == [1, 2, 4, 6, 3, 5])
    desk.end(6)
    desk.end(5)
    #expect(desk.sender.isIdle)
    #expect(desk.sender.counters.writes == 6 && desk.sender.firstUnusedNumber.rawValue == 6)
  }

  @Test func `a hold comes after the writes before it, whatever these wait for`() {
    let desk = HoldsDesk()
    desk.hold(100, 0..<10)
    desk.write(1, 5..<15)
    desk.hold(101, 12..<20)
    desk.write(2, 18..<22)
    #expect(desk.held == [100])
    desk.release(100)
    #expect(desk.began == [1] && desk.held == [100])
    desk.end(1)
    #expect(desk.held == [100, 101] && desk.began == [1])
    // Two on one byte: the second has its turn after the first.
    desk.hold(102, 15..<16)
    desk.hold(103, 30..<31)
    #expect(desk.held == [100, 101, 103])
    desk.release(101)
    #expect(desk.held == [100, 101, 103, 102] && desk.began == [1, 2])
  }

  @Test func `a hold that waits may be let go`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<8)
    desk.hold(100, 4..<12)
    desk.write(2, 10..<14)
    #expect(desk.began == [1])
    desk.release(100)
    #expect(desk.held == [] && desk.began == [1, 2])
    // In the queue, too: behind a write that waits for another.
    desk.write(3, 0..<2)
    desk.hold(101, 20..<24)
    desk.write(4, 20..<24)
    #expect(desk.held == [] && desk.began == [1, 2])
    desk.release(101)
    desk.release(999)
    desk.end(1)
    #expect(desk.began == [1, 2, 3, 4] && desk.held == [])
    for token in 1...4 { desk.end(UInt64(token)) }
    #expect(desk.sender.isIdle && desk.sender.holds.isIdle)
  }

  @Test func `holds have a limit, and what is parked, and the queue`() {
    let desk = HoldsDesk(queueMax: 300)
    for index in 0..<Limits.holdsMax {
      #expect(desk.hold(UInt64(100 + index), index..<index + 1))
    }
    #expect(!desk.hold(200, 50..<51) && desk.held.count == Limits.holdsMax)
    desk.release(100)
    #expect(desk.hold(200, 0..<8) && desk.held.count == Limits.holdsMax)
    var taken: UInt64 = 0
    while desk.write(taken + 1, 5..<6) { taken += 1 }
    #expect(taken == 300 && desk.began.isEmpty)
    for token in desk.held { desk.release(token) }
    desk.release(200)
    for token in 1...taken { desk.end(token) }
    #expect(desk.began == Array(1...taken) && desk.sender.isIdle)
  }

  @Test func `a pause lets nothing begin, and ends no hold`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    desk.hold(100, 8..<12)
    desk.hold(101, 2..<6)
    desk.sender.pause()
    desk.hold(102, 20..<24)
    desk.write(2, 9..<10)
    desk.write(3, 30..<31)
    desk.end(1)
    #expect(desk.held == [100] && desk.began == [1])
    desk.sender.resume(epoch: 2, joining: [], now: desk.now)
    desk.settle()
    #expect(desk.held == [100, 101, 102] && desk.began == [1, 3])
    desk.sender.pause()
    desk.release(100)
    #expect(desk.began == [1, 3])
    desk.sender.resume(now: desk.now)
    desk.settle()
    #expect(desk.began == [1, 3, 2])
  }

  @Test func `a copy whose hold is let go doesn't begin any more`() {
    let desk = HoldsDesk(open: 1)
    desk.hold(100, 0..<64)
    for token in [500, 501] as [UInt64] {
      #expect(
        desk.copy(token, 0..<8))
    }
    desk.settle()
    desk.write(1, 4..<8)
    #expect(desk.began == [500])
    desk.release(100)
    #expect(desk.ended == [501] && desk.began == [500])
    desk.end(500)
    #expect(desk.began == [500, 1])
    desk.hold(101, 100..<200)
    // None of its legs is there.
    #expect(
      desk.copy(502, 100..<108, to: 5))
    #expect(
      desk.sender.events == [.copied(token: 502, failures: [LegOutcome(leg: 0, failure: .lost)])]
    )
    desk.settle()
    var taken = 0
    while desk.copy(600, 100..<101), taken < 100 { taken += 1 }
    #expect(taken == Limits.copiesMax, "one write is open, so none begins")
  }
}

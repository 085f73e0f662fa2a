import Bytes
import Testing

@testable import Replication

/// Task attributes: what goes before what waits, and what waits for all that was before.
@Suite struct SenderTurnsTests {
  @Test func `an ordered write begins alone, and nothing behind it before it has ended`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    desk.write(2, 10..<14)
    desk.write(3, 100..<104, .ordered)
    desk.write(4, 200..<204)
    desk.write(5, 300..<304, .ordered)
    #expect(desk.began == [1, 2])
    desk.end(2)
    #expect(desk.began == [1, 2])
    desk.end(1)
    #expect(desk.began == [1, 2, 3])
    desk.write(6, 400..<404)
    #expect(desk.began == [1, 2, 3])
    desk.end(3)
    #expect(desk.began == [1, 2, 3, 4])
    desk.end(4)
    #expect(desk.began == [1, 2, 3, 4, 5])
    desk.end(5)
    #expect(desk.began == [1, 2, 3, 4, 5, 6] && desk.sender.turns.isIdle)
    desk.write(7, 500..<504)
    #expect(desk.began.last == 7)
    desk.end(6)
    desk.end(7)
    #expect(desk.sender.isIdle && desk.ended == [2, 1, 3, 4, 5, 6, 7])
  }

  @Test func `the head of the queue goes before what waits, ordered or not`() {
    let desk = HoldsDesk(open: 2)
    desk.write(1, 0..<4)
    desk.write(2, 10..<14)
    desk.write(3, 20..<24)
    desk.write(4, 30..<34, .ordered)
    desk.write(5, 40..<44, .headOfQueue)
    desk.write(6, 50..<54, .headOfQueue)
    #expect(desk.began == [1, 2])
    desk.end(1)
    #expect(desk.began == [1, 2, 5])
    desk.end(2)
    #expect(desk.began == [1, 2, 5, 6], "in their own order")
    desk.end(5)
    #expect(desk.began == [1, 2, 5, 6, 3])
    desk.end(3)
    #expect(desk.began == [1, 2, 5, 6, 3])
    desk.end(6)
    #expect(desk.began == [1, 2, 5, 6, 3, 4])
    desk.write(7, 60..<64, .headOfQueue)
    #expect(desk.began == [1, 2, 5, 6, 3, 4, 7], "an open ordered write holds it back as little")
    desk.end(7)
    // What overlaps waits, as ever.
    desk.write(8, 32..<36, .headOfQueue)
    desk.write(9, 70..<74)
    #expect(desk.began == [1, 2, 5, 6, 3, 4, 7])
    desk.end(4)
    #expect(desk.began == [1, 2, 5, 6, 3, 4, 7, 8, 9])
    desk.end(8)
    desk.end(9)
    #expect(desk.sender.isIdle)
  }

  @Test func `the attribute stands in the command`() throws {
    for attribute: Submission.Attribute in [.simple, .ordered, .headOfQueue] {
      for length in [1, 4] {
        let desk = HoldsDesk()
        desk.write(1, 0..<length, attribute)
        let command = try #require(desk.commands.first)
        #expect(command.flags == (length == 1 ? 0xa0 : 0x20) | attribute.rawValue)
      }
    }
  }

  @Test func `holds pass ordered writes in their own order, and copies don't count`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    // Behind a write that has no room: a hold that is in the queue still.
    desk.write(2, 2..<4)
    desk.hold(100, 50..<60)
    #expect(desk.held == [])
    desk.write(3, 52..<54, .ordered)
    desk.hold(101, 55..<65)
    desk.hold(102, 70..<80)
    #expect(desk.held == [100, 102])
    desk.end(1)
    desk.end(2)
    #expect(desk.began == [1, 2], "it waits for the hold")
    #expect(desk.copy(500, 70..<74))
    desk.settle()
    desk.release(100)
    #expect(desk.held == [100, 102, 101])
    #expect(desk.began == [1, 2, 500, 3], "a copy is open")
    desk.hold(103, 90..<91)
    #expect(desk.held == [100, 102, 101, 103])
    // Behind it nothing steps aside, so nothing comes back before its time.
    desk.write(4, 55..<56)
    desk.release(101)
    #expect(desk.began == [1, 2, 500, 3])
    desk.end(3)
    #expect(desk.began == [1, 2, 500, 3, 4])
    desk.end(500)
    desk.end(4)
    desk.release(102)
    desk.release(103)
    #expect(desk.sender.isIdle && desk.sender.holds.isIdle)
  }

  @Test func `what has stepped aside is before an ordered write`() {
    let desk = HoldsDesk()
    desk.hold(100, 0..<10)
    desk.write(1, 5..<6)
    desk.write(2, 20..<22, .ordered)
    desk.write(3, 30..<32)
    // Held, it waits beside the queue, and begins when it may.
    desk.write(4, 7..<8, .headOfQueue)
    desk.write(5, 40..<41, .headOfQueue)
    #expect(desk.began == [5])
    desk.end(5)
    #expect(desk.began == [5])
    desk.release(100)
    #expect(desk.began == [5, 1, 4])
    desk.end(1)
    #expect(desk.began == [5, 1, 4])
    desk.end(4)
    #expect(desk.began == [5, 1, 4, 2])
    desk.end(2)
    #expect(desk.began == [5, 1, 4, 2, 3])
    desk.end(3)
    #expect(desk.sender.isIdle)
  }

  @Test func `a mark stands when nothing is open, and nothing behind it begins`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    desk.mark(100)
    desk.write(2, 10..<14)
    desk.mark(101)
    desk.mark(102)
    desk.write(3, 20..<24, .ordered)
    #expect(desk.marked == [] && desk.began == [1])
    desk.end(1)
    #expect(desk.marked == [100] && desk.began == [1] && !desk.sender.isIdle)
    desk.write(4, 30..<34, .headOfQueue)
    #expect(desk.began == [1, 4])
    desk.pass(101)
    #expect(desk.began == [1, 4], "that one doesn't stand")
    desk.pass(100)
    #expect(desk.began == [1, 4, 2] && desk.marked == [100])
    desk.end(2)
    #expect(desk.marked == [100])
    desk.end(4)
    #expect(desk.marked == [100, 101])
    desk.pass(101)
    #expect(desk.marked == [100, 101, 102] && desk.began == [1, 4, 2])
    desk.pass(102)
    #expect(desk.began == [1, 4, 2, 3])
    desk.end(3)
    #expect(desk.sender.isIdle && desk.sender.turns.isIdle)
  }

  @Test func `a pause lets nothing begin, and no mark stand`() {
    let desk = HoldsDesk()
    desk.sender.pause()
    desk.write(1, 0..<4, .headOfQueue)
    desk.write(2, 4..<8, .ordered)
    desk.mark(100)
    #expect(desk.began == [] && desk.marked == [])
    desk.sender.resume(now: desk.now)
    desk.settle()
    #expect(desk.began == [1])
    desk.end(1)
    desk.end(2)
    #expect(desk.began == [1, 2] && desk.marked == [100])
  }

  @Test func `a mirror that stops gives up what waits, whatever its turn`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    desk.mark(100)
    desk.write(2, 4..<8, .ordered)
    desk.write(3, 1..<2, .headOfQueue)
    desk.sender.stop(now: desk.now)
    desk.mark(101)
    desk.write(4, 4..<8, .ordered)
    #expect(desk.ended == [1, 3, 2, 4] && desk.marked == [100, 101])
    #expect(desk.sender.turns.isIdle && desk.sender.isIdle)
  }

  @Test func `the queue's end counts what goes before it`() {
    let desk = HoldsDesk(open: 1, queueMax: 4)
    #expect(desk.write(1, 0..<1))
    #expect(desk.write(2, 1..<2, .headOfQueue) && desk.write(3, 2..<3, .ordered))
    #expect(desk.write(4, 3..<4, .headOfQueue) && desk.write(5, 4..<5))
    #expect(!desk.write(6, 5..<6, .headOfQueue) && !desk.write(7, 5..<6, .ordered))
    #expect(!desk.mark(100))
    for token: UInt64 in [1, 2, 4, 3, 5] { desk.end(token) }
    #expect(desk.began == [1, 2, 4, 3, 5] && desk.sender.isIdle)
  }

  // MARK: Over a network that loses

  private func run(
    seed: UInt64, isKept: Bool, lose: (at: Int, leg: Int)? = nil
  ) -> VirtualMirror {
    let shape = MirrorShape.mixed(seed, isKept: isKept)
    let mirror = VirtualMirror(shape)
    mirror.writeInTurns(60, blocksMax: 12)
    if let lose {
      mirror.run(until: { mirror.completions.count >= lose.at })
      mirror.lose(lose.leg)
    }
    mirror.run()
    return mirror
  }

  @Test(arguments: 1...12, [true, false]) func `ordered writes are alone at every leg`(
    seed: UInt64, isKept: Bool
  ) {
    let mirror = run(seed: seed, isKept: isKept)
    #expect(mirror.violations == [], "seed \(seed)")
    #expect(mirror.failures.isEmpty && mirror.completions.count == 60, "seed \(seed)")
    let image = mirror.legs[0].disks[0]
    let areAlike = mirror.legs.allSatisfy { $0.disks[0] == image }
    #expect(areAlike && mirror.lost.isEmpty && mirror.sender.isIdle, "seed \(seed)")
  }

  @Test(arguments: 1...12, [true, false]) func `so they are when a leg is lost in the midst`(
    seed: UInt64, isKept: Bool
  ) {
    let mirror = run(seed: seed, isKept: isKept, lose: (Int(seed) * 4, Int(seed) % 3))
    #expect(mirror.violations == [], "seed \(seed)")
    #expect(mirror.completions.count == 60 && mirror.sender.isIdle, "seed \(seed)")
    #expect(!isKept || mirror.failures.isEmpty, "seed \(seed)")
    let left = mirror.legs.filter { mirror.lost[$0.index] == nil }
    let image = left[0].disks[0]
    #expect(left.count == 2 && left[1].disks[0] == image, "seed \(seed)")
  }
}

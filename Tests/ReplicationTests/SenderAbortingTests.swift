import Bytes
import SCSI
import Testing

@testable import Replication

/// Writes that are aborted: what waits is taken out, what is open is fenced.
@Suite struct SenderAbortingTests {
  private static let aborted = [LegOutcome(leg: 0, failure: .aborted)]

  @Test func `what waits is taken out, wherever it waits`() {
    let desk = HoldsDesk(open: 2)
    desk.hold(100, 50..<60)
    desk.write(1, 0..<4)
    desk.write(2, 10..<14)
    desk.write(3, 55..<56)
    desk.write(4, 55..<58)
    desk.write(5, 20..<24)
    desk.write(6, 30..<34, .ordered)
    desk.write(7, 40..<44, .headOfQueue)
    #expect(desk.abort(7) && desk.abort(5) && desk.abort(6))
    #expect(desk.ended == [7, 5, 6] && desk.sender.turns.isIdle)
    // Beside the queue, too; and what waited for it waits no more.
    desk.end(1)
    #expect(desk.abort(3))
    desk.release(100)
    #expect(desk.began == [1, 2, 4] && desk.ended == [7, 5, 6, 1, 3])
    #expect(desk.fenced == [] && desk.commands.count == 3)
    for token: UInt64 in [3, 5, 6, 7] { #expect(desk.failures[token] == Self.aborted) }
    #expect(!desk.abort(3) && !desk.abort(99) && !desk.abort(100))
    desk.end(2)
    desk.end(4)
    #expect(desk.sender.isIdle && desk.suspects == 0)
  }

  @Test func `what is open is fenced, and ends when the leg says so`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    desk.write(2, 2..<6)
    desk.write(3, 100..<104)
    #expect(desk.abort(1) && desk.abort(1) && desk.fenced == [0])
    #expect(desk.began == [1] && desk.ended == [])
    desk.fence(1)
    #expect(desk.failures[1] == Self.aborted && desk.began == [1, 2, 3])
    #expect(desk.suspects == 1 && desk.sender.isFrozen)
    #expect(!desk.abort(1) && desk.sender.activeLegs == LegSet(0))
    desk.end(3)
    desk.end(2)
    desk.sender.confirmMended(now: desk.now)
    #expect(desk.sender.isIdle && desk.sender.lowestOpen == desk.sender.firstUnusedNumber)
  }

  @Test func `who has done it already has done it`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    #expect(desk.abort(1))
    desk.end(1)
    #expect(desk.failures[1] == [] && desk.suspects == 0)
    // The leg's word for an end by others' task management is none for doing it again.
    desk.write(2, 0..<4)
    #expect(desk.abort(2))
    desk.end(2, status: Status.taskAborted.rawValue)
    #expect(desk.failures[2] == Self.aborted && desk.suspects == 1)
    #expect(desk.began == [1, 2] && desk.sender.isIdle)
  }

  @Test func `an ordered write that is aborted holds nothing back`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4, .ordered)
    desk.write(2, 10..<14)
    #expect(desk.abort(1) && desk.began == [1])
    desk.fence(1)
    #expect(desk.began == [1, 2] && desk.sender.turns.isIdle)
  }

  @Test func `what is to be done again is fenced when it has begun`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    desk.sender.pause()
    desk.end(1, status: Status.taskAborted.rawValue)
    #expect(desk.sender.restarted.count == 1 && desk.ended == [])
    #expect(desk.abort(1) && desk.ended == [] && desk.fenced == [])
    desk.sender.resume(now: desk.now)
    desk.settle()
    #expect(desk.fenced == [1] && desk.commands.count == 1)
    desk.fence(1)
    #expect(desk.failures[1] == Self.aborted && desk.suspects == 1 && desk.sender.isIdle)
  }

  @Test func `in a mirror that has stopped there is nothing to abort`() {
    let desk = HoldsDesk()
    desk.write(1, 0..<4)
    #expect(desk.abort(1))
    desk.sender.stop(now: desk.now)
    desk.settle()
    #expect(desk.failures[1] == [LegOutcome(leg: 0, failure: .lost)] && !desk.abort(1))
  }

  // MARK: Over a network that loses

  private func run(
    seed: UInt64, isKept: Bool, waits: Bool = true, losing leg: Int? = nil
  ) -> (mirror: VirtualMirror, aborted: Set<UInt64>) {
    var shape = MirrorShape.mixed(seed, isKept: isKept)
    shape.waitsForStatus = waits
    let mirror = VirtualMirror(shape)
    mirror.writeInTurns(60, blocksMax: 12)
    var aborted: Set<UInt64> = []
    for step in 1...20 {
      let due = 3 * step
      mirror.run(until: { mirror.begun.count >= due || mirror.sender.isIdle })
      // One that is open, most likely, and one that waits.
      let tokens = [mirror.begun.max() ?? 1, 1 + mirror.random.below(60)]
      for token in tokens where mirror.completions[token] == nil {
        if mirror.sender.abort(token: token, now: mirror.now) { aborted.insert(token) }
      }
      // What was told before the leg is lost is told.
      mirror.drainSender()
      if step == 10, let leg { mirror.lose(leg) }
    }
    mirror.run()
    return (mirror, aborted)
  }

  private func expectRight(_ mirror: VirtualMirror, _ aborted: Set<UInt64>, _ label: String) {
    #expect(mirror.violations == [], "\(label)")
    #expect(mirror.completions.count == 60 && mirror.sender.openWrites == 0, "\(label)")
    let results = mirror.shape.waitsForStatus ? mirror.completions : mirror.counted
    for (token, failures) in results {
      let isWanted = failures.allSatisfy {
        mirror.lost[$0.leg] != nil || $0.failure == .aborted && aborted.contains(token)
      }
      #expect(isWanted, "\(label) token \(token): \(failures)")
    }
    let isPartly = results.values.contains { $0.contains { $0.failure == .aborted } }
    #expect(isPartly && !aborted.isEmpty, "\(label): none was aborted")
  }

  @Test(arguments: 1...24, [true, false])
  func `aborted writes end at all legs, and only these`(seed: UInt64, isKept: Bool) {
    let (mirror, aborted) = run(seed: seed, isKept: isKept, waits: seed > 8)
    expectRight(mirror, aborted, "seed \(seed)")
    #expect(mirror.lost.isEmpty, "seed \(seed)")
    guard isKept else { return }
    // Where the legs differ they are known to.
    let disks = mirror.legs.map { $0.disks[0] }
    for block in 0..<mirror.shape.diskBlocks {
      let range = block * 512..<(block + 1) * 512
      guard Set(disks.map { Array($0[range]) }).count > 1 else { continue }
      let isKnown = mirror.suspects.contains {
        Int($0.byteOffset)..<Int($0.byteOffset) + $0.length ~= range.lowerBound
      }
      #expect(isKnown, "seed \(seed): block \(block) differs")
    }
    mirror.sender.confirmMended(now: mirror.now)
    #expect(mirror.sender.isIdle && !mirror.sender.isFrozen)
    #expect(mirror.sender.lowestOpen == mirror.sender.firstUnusedNumber)
  }

  @Test(arguments: 1...12, [true, false]) func `so they do when a leg is lost in the midst`(
    seed: UInt64, isKept: Bool
  ) {
    let leg = Int(seed) % 3
    let (mirror, aborted) = run(seed: seed, isKept: isKept, losing: leg)
    expectRight(mirror, aborted, "seed \(seed)")
    #expect(Set(mirror.lost.keys) == [leg], "seed \(seed)")
  }

  @Test(arguments: 1...6) func `a write that starts anew ends when it is aborted`(seed: UInt64) {
    var shape = MirrorShape(seed: seed)
    shape.paths = [.datagrams, .datagrams, .connection]
    let mirror = VirtualMirror(shape)
    mirror.unitPayloadsChange = true
    mirror.isLostByPlan = { leg, transmission in
      leg == 0 && transmission.content == .block(1) && !transmission.flags.contains(.repair)
    }
    mirror.willSend = { transmission in
      guard transmission.flags.contains(.repair), transmission.content == .block(1) else { return }
      mirror.payloads[1]?[519] &+= 1
    }
    mirror.write(block: 0, blocks: 8)
    mirror.run(until: { mirror.bufferChanges == 1 })
    let isTaken = mirror.sender.abort(token: 1, now: mirror.now)
    #expect(isTaken)
    mirror.run()
    #expect(mirror.violations == [] && mirror.lost.isEmpty && mirror.sender.isIdle)
    #expect(mirror.completions[1]?.contains(LegOutcome(leg: 0, failure: .aborted)) == true)
    #expect(mirror.tokens.count == 1, "it was sent once")
  }
}

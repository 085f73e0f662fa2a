import Bytes
import SCSI
import Testing

@testable import Replication

/// What a kept mirror's sender holds back when legs leave, refuse or fail together.
@Suite struct SenderKeepingTests {
  static let medium = SenseData(.mediumError, .writeError).fixedFormat

  private func shape(_ seed: UInt64, waits: Bool = true) -> MirrorShape {
    var shape = MirrorShape(seed: seed)
    shape.isKept = true
    shape.waitsForStatus = waits
    return shape
  }

  @Test(arguments: 1...6, [true, false]) func `a leg that leaves is missed by no write in the end`(
    seed: UInt64, waits: Bool
  ) {
    var shape = shape(seed, waits: waits)
    shape.recovery = RecoveryMode.allCases[Int(seed) % 4]
    shape.faults = .losing(0.1)
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(60, blocksMax: 12)
    mirror.run(until: { mirror.sender.counters.dataDatagrams > 10 * seed })
    mirror.lose(2, seed % 2 == 0 ? .dropped : .connection("reset"))
    #expect(mirror.sender.isFrozen)
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
    #expect(mirror.completions.count == 60 && mirror.failures.isEmpty, "seed \(seed)")
    #expect(waits || mirror.counted.values.allSatisfy { $0.isEmpty })
    #expect(mirror.sender.isIdle && !mirror.sender.isFrozen)
    #expect(mirror.sender.lowestOpen == mirror.sender.firstUnusedNumber)
  }

  @Test func `completions wait in order for the last leg that is not confirmed`() {
    var shape = shape(1)
    shape.confirmNanoseconds = nil
    shape.paths = [.datagrams, .datagrams, .datagrams, .connection]
    let mirror = VirtualMirror(shape)
    for index in 0..<20 { mirror.write(block: index * 4, blocks: 3) }
    mirror.run(until: { mirror.completions.count == 4 })
    let lowest = mirror.sender.lowestOpen
    mirror.lose(1)
    mirror.run(until: { mirror.sender.openWrites == 0 })
    mirror.lose(3, .dropped)
    for index in 0..<5 { mirror.write(block: index * 4, blocks: 2) }
    mirror.run(until: { mirror.sender.openWrites == 0 })
    #expect(mirror.completions.count == 4 && mirror.sender.lowestOpen == lowest)
    #expect(mirror.sender.unconfirmedLegs == LegSet([1, 3]) && !mirror.sender.isIdle)
    mirror.confirm([3])
    // Who never left is not confirmed to have.
    mirror.confirm([0, 3])
    #expect(mirror.sender.events == [] && mirror.sender.isFrozen)
    #expect(mirror.sender.lowestOpen == lowest)
    mirror.confirm([1])
    let told = mirror.sender.events.compactMap { event -> UInt64? in
      if case .completed(let token, []) = event { token } else { nil }
    }
    #expect(told.count == 21 && Set(told.suffix(5)) == Set(21...25))
    #expect(mirror.sender.lowestOpen == mirror.sender.firstUnusedNumber)
    mirror.write(block: 100, blocks: 1)
    mirror.run()
    #expect(mirror.failures.isEmpty && mirror.completions.count == 26)
    #expect(mirror.violations == [] && mirror.disagreements == [])
  }

  @Test func `numbers run no further ahead than the window while the lowest stands still`() {
    var shape = shape(2)
    shape.confirmNanoseconds = nil
    let mirror = VirtualMirror(shape)
    for index in 0..<1500 { mirror.write(block: index % 1000, blocks: 1) }
    mirror.lose(0)
    // Nothing more can happen: the run says so itself.
    mirror.run()
    #expect(mirror.violations.count == 1 && mirror.completions.isEmpty)
    mirror.violations = []
    let ahead = mirror.sender.lowestOpen.distance(to: mirror.sender.firstUnusedNumber)
    #expect(ahead == Limits.writeWindowMax - 1 - Limits.openWritesMax)
    mirror.confirm([0])
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [])
    #expect(mirror.completions.count == 1500 && mirror.failures.isEmpty)
  }

  // MARK: Legs that refuse

  @Test(arguments: [true, false]) func `who refuses what others did leaves before it is told`(
    waits: Bool
  ) {
    for seed: UInt64 in 1...6 {
      var shape = shape(seed, waits: waits)
      shape.faults = .losing(0.05)
      shape.placesDirectly = false
      let mirror = VirtualMirror(shape)
      mirror.legs[1].storeStatus = { _, number in
        number == SerialNumber(3) ? (2, Self.medium) : nil
      }
      mirror.writeRandomly(20, blocksMax: 8)
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
      let refused: Bool
      if case .refused(.status(2, Self.medium, _)) = mirror.lost[1] {
        refused = true
      } else {
        refused = false
      }
      #expect(refused && mirror.lost.count == 1, "seed \(seed)")
      #expect(mirror.failures.isEmpty && mirror.completions.count == 20 && mirror.suspects.isEmpty)
    }
  }

  @Test func `news without end is a refusal, too`() {
    let mirror = VirtualMirror(shape(3))
    mirror.willSend = { [unowned mirror] _ in
      mirror.legs[0].receiver.attentions = [NewsTests.attention]
    }
    mirror.write(block: 0, blocks: 2)
    mirror.run()
    #expect(mirror.lost.count == 1 && mirror.completions == [1: []])
    #expect(mirror.violations == [] && mirror.disagreements == [])
  }

  // MARK: Writes that are done again

  @Test(arguments: 1...8) func `a write that is done again keeps its first number open`(
    seed: UInt64
  ) {
    var shape = shape(seed)
    shape.faults = .losing(0.05)
    let mirror = VirtualMirror(shape)
    var sent = 0
    var first: [UInt64: SerialNumber] = [:]
    mirror.willSend = { [unowned mirror] transmission in
      sent += 1
      if sent % 40 == 7 { mirror.legs[sent % 3].receiver.attentions = [NewsTests.attention] }
      let write = mirror.sender.writes[transmission.slot]
      first[write.submission.token] = first[write.submission.token] ?? write.number
      for (token, number) in first where mirror.completions[token] == nil {
        if number.precedes(write.lowestOpen) {
          mirror.violations.append("token \(token) is taken for ended")
        }
      }
    }
    mirror.writeRandomly(60, blocksMax: 8)
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
    #expect(!mirror.news.isEmpty && mirror.failures.isEmpty && mirror.lost.isEmpty)
    #expect(!mirror.sender.isFrozen)
  }

  @Test func `a full window leaves room for what is done again`() {
    var shape = shape(7)
    shape.confirmNanoseconds = nil
    let mirror = VirtualMirror(shape)
    for index in 0..<1500 { mirror.write(block: index % 1000, blocks: 1) }
    mirror.run(until: { mirror.completions.count > 20 })
    mirror.lose(0)
    var sent = 0
    mirror.willSend = { [unowned mirror] _ in
      sent += 1
      if sent % 30 == 1 { mirror.legs[1].receiver.attentions = [NewsTests.attention] }
    }
    mirror.run()
    #expect(mirror.violations.count == 1 && !mirror.news.isEmpty && mirror.sender.restarted.isEmpty)
    mirror.violations = []
    while !mirror.sender.isIdle, mirror.violations.count < 2 {
      mirror.confirm(Array(mirror.lost.keys))
      mirror.run()
    }
    #expect(mirror.disagreements == [] && mirror.completions.count == 1500)
    #expect(mirror.failures.isEmpty)
  }

  // MARK: The end

  @Test(arguments: 1...4, [true, false]) func `a mirror that stops tells what failed`(
    seed: UInt64, waits: Bool
  ) {
    var shape = shape(seed, waits: waits)
    shape.confirmNanoseconds = nil
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(60, blocksMax: 8)
    mirror.run(until: { mirror.completions.count == 10 })
    mirror.drainSender()
    let before = mirror.completions.count
    mirror.lose(1, seed % 2 == 0 ? .dropped : .deadline)
    let lowest = mirror.sender.lowestOpen
    let limit = mirror.sender.counters.dataDatagrams + 40
    mirror.run(until: { mirror.sender.counters.dataDatagrams > limit })
    #expect(mirror.hold(1, 0..<8))
    mirror.sender.stop(now: mirror.now)
    mirror.sender.stop(now: mirror.now)
    mirror.drainSender()
    #expect(mirror.sender.isIdle && mirror.completions.count == 60)
    #expect(mirror.failures.count >= 60 - before - 16)
    mirror.write(block: 0, blocks: 1)
    #expect(!mirror.hold(2, 0..<8))
    mirror.confirm([1])
    mirror.sender.resume(now: mirror.now)
    mirror.run()
    #expect(mirror.completions[61]?.contains(LegOutcome(leg: 0, failure: .lost)) == true)
    #expect(waits || mirror.counted.count == 61)
    #expect(mirror.violations == [] && mirror.sender.lowestOpen == lowest)
    #expect(mirror.held.isEmpty && mirror.sender.isFrozen)
  }

  @Test func `a leg returns under its old index`() {
    var shape = shape(8)
    shape.paths = [.datagrams, .datagrams]
    let mirror = VirtualMirror(shape)
    mirror.write(block: 0, blocks: 4)
    mirror.run()
    mirror.lose(1)
    mirror.run()
    mirror.write(block: 0, blocks: 4)
    mirror.run()
    let epoch = mirror.sender.currentEpoch + 1
    mirror.sender.readmit(
      1, as: LegDescription(path: .datagrams, openWritesMax: 8, credit: 1 << 20))
    #expect(mirror.sender.activeLegs == LegSet(0))
    let again = mirror.newLeg(
      .datagrams, epoch: epoch, firstWrite: mirror.sender.firstUnusedNumber, index: 1)
    again.disks = mirror.legs[0].disks
    mirror.legs[1] = again
    mirror.lost = [:]
    _ = mirror.legs[0].receiver.handleEpoch(epoch, firstWrite: mirror.sender.firstUnusedNumber)
    mirror.sender.resume(epoch: epoch, joining: LegSet(1), now: mirror.now)
    mirror.writeRandomly(20, blocksMax: 8)
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [] && mirror.failures.isEmpty)
    #expect(mirror.sender.activeLegs == LegSet([0, 1]))
  }
}

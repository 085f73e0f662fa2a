import Bytes
import ISCSI
import Testing

@testable import Replication

/// Legs that die, leave, join and misbehave while writes are open.
@Suite struct LegTests {
  @Test(arguments: RecoveryMode.allCases) func `a leg that never answers is named by the deadline`(
    mode: RecoveryMode
  ) {
    var shape = MirrorShape(seed: 21)
    shape.recovery = mode
    shape.deadlineNanoseconds = 2_000_000_000
    shape.faults = .losing(0.05)
    let mirror = VirtualMirror(shape)
    mirror.legs[1].isSilent = true
    let start = mirror.now
    mirror.writeRandomly(30, blocksMax: 8)
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [])
    #expect(mirror.lost == [1: .deadline])
    #expect(mirror.completions.count == 30)
    for (token, failures) in mirror.completions {
      if failures.map(\.leg) != [1] { Issue.record("token \(token): \(failures)") }
      let isKnown = failures.allSatisfy { $0.failure == .deadline || $0.failure == .lost }
      #expect(isKnown, "token \(token)")
    }
    #expect(mirror.completions.values.contains { $0.first?.failure == .deadline })
    #expect(mirror.now - start < 3_000_000_000)
    // Asked less and less often, never at a fixed short beat.
    #expect(mirror.sender.counters.syncs < 200)
  }

  @Test(arguments: 1...6) func `a leg lost in mid-write doesn't hold the others`(seed: UInt64) {
    var shape = MirrorShape(seed: seed)
    shape.recovery = RecoveryMode.allCases[Int(seed) % 3]
    shape.faults = .losing(0.1)
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(40, blocksMax: 16)
    mirror.run(until: { mirror.sender.counters.dataDatagrams > 20 * seed })
    mirror.lose(2)
    mirror.run()
    #expect(mirror.violations == [], "seed \(seed)")
    #expect(mirror.disagreements == [], "seed \(seed)")
    #expect(mirror.completions.count == 40, "seed \(seed)")
    let named = mirror.failures.values.allSatisfy { $0 == [LegOutcome(leg: 2, failure: .lost)] }
    #expect(named, "seed \(seed)")
    #expect(!mirror.failures.isEmpty, "seed \(seed)")
  }

  @Test func `with all legs lost, a long queue ends and nothing is GOOD`() {
    let mirror = VirtualMirror(MirrorShape(seed: 22))
    for index in 0..<4000 { mirror.write(block: index % 1000, blocks: 1) }
    for leg in 0..<3 { mirror.lose(leg) }
    mirror.run()
    #expect(mirror.violations == [])
    #expect(mirror.completions.count == 4000)
    #expect(mirror.completions.values.allSatisfy { Set($0.map(\.leg)) == [0, 1, 2] })
  }

  @Test func `with all legs dropped on purpose nothing is GOOD either`() {
    let mirror = VirtualMirror(MirrorShape(seed: 23))
    for leg in 0..<3 { mirror.lose(leg, .dropped) }
    mirror.write(block: 0, blocks: 1)
    mirror.run()
    #expect(mirror.completions[1]?.isEmpty == false)
  }

  @Test func `a full queue says so`() {
    let mirror = VirtualMirror(MirrorShape(seed: 24))
    var accepted = 0
    for _ in 0..<5000 where mirror.write(block: 0, blocks: 1) { accepted += 1 }
    // One is open, the rest wait behind it.
    #expect(accepted == 4097)
  }

  @Test func `the status of every LUN of a leg reaches the caller`() {
    var shape = MirrorShape(seed: 25)
    shape.units = 3
    let mirror = VirtualMirror(shape)
    let sense: [UInt8] = [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0]
    mirror.legs[1].storeStatus = { unit, number in
      unit == 2 && number == SerialNumber(1) ? (2, sense) : nil
    }
    for index in 0..<3 { mirror.write(block: index * 8, blocks: 8) }
    mirror.run()
    #expect(mirror.violations == [] && mirror.lost.isEmpty)
    let units = [
      UnitStatus(lun: 0, status: 0), UnitStatus(lun: 1 << 48, status: 0),
      UnitStatus(lun: 2 << 48, status: 2, sense: sense),
    ]
    #expect(
      mirror.failures == [
        2: [LegOutcome(leg: 1, failure: .status(2, sense: sense, units: units))]
      ])
  }

  @Test func `a foreign leg's failure stands beside the others' GOOD`() {
    var shape = MirrorShape(seed: 26)
    shape.paths = [.datagrams, .foreign]
    let mirror = VirtualMirror(shape)
    mirror.legs[1].storeStatus = { _, number in number == SerialNumber(0) ? (8, []) : nil }
    mirror.writeRandomly(5, blocksMax: 4)
    mirror.run()
    #expect(
      mirror.failures == [
        1: [LegOutcome(leg: 1, failure: .status(8, sense: [], units: []))]
      ])
  }

  @Test(arguments: 1...4) func `legs join and leave while writes are open`(seed: UInt64) {
    var shape = MirrorShape(seed: seed)
    shape.recovery = RecoveryMode.allCases[Int(seed) % 3]
    shape.faults = LinkFaults(groupLoss: 0.1, unicastLoss: 0.1, duplicate: 0.1, reorder: 0.2)
    let mirror = VirtualMirror(shape)
    let label = "seed \(seed)"
    mirror.writeRandomly(30, blocksMax: 8)
    mirror.run(until: { mirror.completions.count >= 5 })
    let openBefore = mirror.sender.openWrites
    #expect(openBefore > 0, "\(label)")
    mirror.reregister(dropping: 0)
    mirror.run(until: { mirror.joining == nil })
    mirror.run(until: { mirror.completions.count >= 15 })
    // A joining leg is given the others' bytes once nothing is open: a resync is a later matter.
    mirror.run()
    mirror.reregister(adding: .datagrams)
    mirror.run(until: { mirror.joining == nil })
    mirror.writeRandomly(30, blocksMax: 8)
    mirror.run()
    #expect(mirror.violations == [], "\(label)")
    #expect(mirror.disagreements == [], "\(label)")
    #expect(mirror.lost == [0: .dropped], "\(label)")
    #expect(mirror.completions.count == 60, "\(label)")
    #expect(mirror.sender.currentEpoch == 3, "\(label)")
    // Only writes that were open when the leg left may name it.
    #expect(mirror.failures.count <= openBefore, "\(label)")
    #expect(mirror.failures.values.allSatisfy { $0.map(\.leg) == [0] }, "\(label)")
    #expect(mirror.legs[3].receiver.counters.writes == 30, "\(label)")
  }

  @Test func `an epoch begins while writes of the old one are open everywhere`() {
    for seed: UInt64 in 1...3 {
      var shape = MirrorShape(seed: seed)
      shape.faults = LinkFaults(groupLoss: 0.3, unicastLoss: 0.3, reorder: 0.3)
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(80, blocksMax: 8)
      for round in 1...4 {
        mirror.run(until: { mirror.completions.count >= round * 10 })
        #expect(!mirror.sender.isIdle, "seed \(seed)")
        mirror.reregister()
        mirror.run(until: { mirror.joining == nil })
      }
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
      #expect(mirror.failures.isEmpty && mirror.lost.isEmpty, "seed \(seed)")
      #expect(mirror.sender.currentEpoch == 5)
      #expect(mirror.legs.allSatisfy { $0.receiver.currentEpoch == 5 })
    }
  }

  @Test func `a leg that hears no group any more is served by its connection`() {
    for mode in RecoveryMode.allCases {
      var shape = MirrorShape(seed: 27)
      shape.recovery = mode
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(20, blocksMax: 8)
      mirror.run(until: { mirror.completions.count >= 3 })
      mirror.legs[0].faults = .losing(1)
      mirror.sender.serveByConnection(0)
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [], "mode \(mode)")
      #expect(mirror.failures.isEmpty && mirror.lost.isEmpty, "mode \(mode)")
    }
  }

  @Test func `repairs that never arrive cost a moment, then they are carried`() {
    for blocks in [1, 16] {
      var shape = MirrorShape(seed: 5)
      shape.deadlineNanoseconds = 2_000_000_000
      let mirror = VirtualMirror(shape)
      mirror.legs[1].faults = LinkFaults(groupLoss: 0.05, unicastLoss: 1)
      let start = mirror.now
      for round in 1...20 {
        for index in 0..<8 { mirror.write(block: index * 16, blocks: blocks) }
        mirror.run(until: { mirror.completions.count == round * 8 })
      }
      #expect(mirror.lost.isEmpty && mirror.failures.isEmpty && mirror.disagreements.isEmpty)
      #expect(mirror.sender.counters.carried > 0)
      // The first write pays eight rounds, and again each second.
      #expect(mirror.now - start < 3_000_000_000, "\(mirror.now - start) ns")
    }
  }

  @Test func `small writes under heavy loss, one at a time, take no seconds`() {
    let mirror = VirtualMirror(MirrorShape(seed: 11))
    for leg in mirror.legs { leg.faults = .losing(0.2) }
    let start = mirror.now
    for index in 1...300 {
      mirror.write(block: index % 100 * 8, blocks: 8)
      let began = mirror.now
      mirror.run(until: { mirror.completions.count == index })
      #expect(mirror.now - began < 500_000_000, "write \(index): \(mirror.now - began) ns")
    }
    #expect(mirror.lost.isEmpty && mirror.disagreements.isEmpty)
    #expect(mirror.now - start < 6_000_000_000, "\(mirror.now - start) ns")
  }

  @Test func `a leg that hears the group no more is served by its connection, at the others' pace`()
  {
    var shape = MirrorShape(seed: 3)
    shape.diskBlocks = 8192
    shape.writeLengthMax = 64 * 512
    let mirror = VirtualMirror(shape)
    mirror.legs[1].faults = LinkFaults(groupLoss: 1, unicastLoss: 0)
    for index in 0..<200 { mirror.write(block: index % 100 * 64, blocks: 64) }
    mirror.run()
    #expect(mirror.lost.isEmpty && mirror.failures.isEmpty && mirror.disagreements.isEmpty)
    #expect(mirror.deaf == [1] && mirror.sender.carriedLegs == LegSet(1))
    #expect(mirror.sender.pace == nil && mirror.sender.pacing.cuts == 0)
  }

  @Test(arguments: [RecoveryMode.adaptive, .blocks, .target, .group])
  func `a leg whose port is lost says so, and no write waits for rounds`(recovery: RecoveryMode) {
    var shape = MirrorShape(seed: 5)
    shape.recovery = recovery
    shape.deadlineNanoseconds = 1_000_000_000
    let mirror = VirtualMirror(shape)
    for index in 0..<8 { mirror.write(block: index * 8, blocks: 8) }
    mirror.run(until: { mirror.completions.count == 4 })
    // In the middle of the others: nothing comes there any more, by either way.
    mirror.legs[1].faults = LinkFaults(groupLoss: 1, unicastLoss: 1)
    mirror.legs[1].receiver.handlePortLost()
    mirror.drain(mirror.legs[1])
    for index in 8..<40 { mirror.write(block: index * 8, blocks: 8) }
    let began = mirror.now
    mirror.run()
    #expect(mirror.lost.isEmpty && mirror.failures.isEmpty && mirror.disagreements.isEmpty)
    #expect(mirror.deaf == [1] && mirror.sender.carriedLegs == LegSet(1))
    #expect(mirror.now - began < 500_000_000, "\(mirror.now - began) ns")
  }

  @Test func `what a leg lacks that can't be reached alone goes by its connection at once`() {
    let mirror = VirtualMirror(MirrorShape(seed: 6))
    mirror.sender.serveAlone(byConnection: 1)
    mirror.legs[1].faults = LinkFaults(groupLoss: 0.3, unicastLoss: 1)
    for index in 0..<50 { mirror.write(block: index * 8, blocks: 8) }
    let began = mirror.now
    mirror.run()
    #expect(mirror.lost.isEmpty && mirror.failures.isEmpty && mirror.disagreements.isEmpty)
    #expect(mirror.sender.counters.carried > 0 && mirror.deaf.isEmpty)
    #expect(mirror.now - began < 500_000_000, "\(mirror.now - began) ns")
  }

  @Test func `a sender that was stopped blames no leg`() {
    var shape = MirrorShape(seed: 9)
    shape.deadlineNanoseconds = 2_000_000_000
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(30, blocksMax: 16)
    mirror.run(until: { mirror.completions.count == 5 })
    // Nothing of it moves for an hour, then all at once.
    mirror.now += 3_600_000_000_000
    mirror.run()
    #expect(mirror.lost.isEmpty && mirror.failures.isEmpty && mirror.disagreements.isEmpty)
    // Idle for as long, it has nothing to put off: who is silent then is named in time.
    mirror.now += 3_600_000_000_000
    mirror.legs[2].isSilent = true
    mirror.write(block: 0, blocks: 4)
    let began = mirror.now
    mirror.run()
    #expect(mirror.lost == [2: .deadline] && mirror.now - began < 3_000_000_000)
  }
}

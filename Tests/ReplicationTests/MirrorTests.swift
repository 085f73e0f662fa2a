import Bytes
import ISCSI
import Testing

@testable import Replication

/// Whole mirrors in virtual time, in all weathers.
@Suite struct MirrorTests {
  private func expectWhole(
    _ mirror: VirtualMirror, _ label: String, location: SourceLocation = #_sourceLocation
  ) {
    #expect(mirror.violations == [], "\(label)", sourceLocation: location)
    #expect(mirror.disagreements == [], "\(label)", sourceLocation: location)
    #expect(mirror.failures == [:], "\(label)", sourceLocation: location)
    #expect(mirror.lost.isEmpty, "\(label)", sourceLocation: location)
    #expect(
      mirror.completions.count == mirror.order.count, "\(label)", sourceLocation: location)
  }

  @Test(arguments: RecoveryMode.allCases) func `everything at once`(mode: RecoveryMode) {
    for seed: UInt64 in 1...2 {
      var shape = MirrorShape(seed: seed)
      shape.recovery = mode
      shape.units = 2
      shape.faults = LinkFaults(
        groupLoss: 0.08, unicastLoss: 0.1, duplicate: 0.1, reorder: 0.2, corrupt: 0.02)
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(25, blocksMax: 16)
      mirror.run()
      expectWhole(mirror, "mode \(mode) seed \(seed)")
      #expect(mirror.legs.contains { $0.damaged > 0 })
    }
  }

  @Test func `reordering alone costs few repairs`() {
    var shape = MirrorShape(seed: 4)
    shape.faults = LinkFaults(reorder: 0.3, reorderNanoseconds: 200_000)
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(40, blocksMax: 16)
    mirror.run()
    expectWhole(mirror, "reorder")
    #expect(mirror.sender.counters.repairDatagrams == 0)
  }

  @Test func `without losses nothing is repaired, reported or asked`() {
    let mirror = VirtualMirror(MirrorShape(seed: 5))
    mirror.writeRandomly(100, blocksMax: 16)
    mirror.run()
    expectWhole(mirror, "calm")
    #expect(mirror.sender.counters.repairDatagrams == 0 && mirror.reports == 0)
    #expect(mirror.sender.counters.syncs == 0)
    #expect(mirror.sender.counters.carried == 0)
    let blocks = mirror.payloads.values.reduce(0) { $0 + $1.count / 512 }
    #expect(mirror.sender.counters.dataDatagrams == UInt64(blocks))
  }

  @Test func `missing blocks are repaired about once, with few reports`() {
    var repairs: UInt64 = 0
    var lost = 0
    var reports: UInt64 = 0
    for seed: UInt64 in 1...3 {
      var shape = MirrorShape(seed: seed)
      shape.faults = .losing(0.05)
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(60, blocksMax: 16)
      mirror.run()
      expectWhole(mirror, "seed \(seed)")
      repairs += mirror.sender.counters.repairDatagrams
      lost += mirror.lostFirstSendings
      reports += mirror.reports
    }
    #expect(Double(repairs) / Double(lost) <= 1.3, "\(repairs) repairs of \(lost)")
    // Three legs, 180 writes.
    #expect(Double(reports) / (3 * 180) <= 1, "\(reports) reports")
  }

  @Test func `slow sending doesn't turn what is under way into repairs`() {
    var shape = MirrorShape(seed: 6)
    shape.paceNanoseconds = 300_000
    shape.faults = .losing(0.05)
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(40, blocksMax: 16)
    mirror.run()
    expectWhole(mirror, "slow")
    let factor =
      Double(mirror.sender.counters.repairDatagrams) / Double(mirror.lostFirstSendings)
    #expect(factor <= 1.3, "\(factor)")
  }

  @Test(arguments: [UInt32.max - 12, 0x3fff_fff0, 0x7fff_fff8, 0xbfff_fff0])
  func `write numbers wrap`(first: UInt32) {
    for mode in RecoveryMode.allCases {
      var shape = MirrorShape(seed: UInt64(first))
      shape.firstWrite = SerialNumber(first)
      shape.recovery = mode
      shape.faults = LinkFaults(groupLoss: 0.1, unicastLoss: 0.1, duplicate: 0.1, reorder: 0.2)
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(30, blocksMax: 4)
      mirror.run()
      expectWhole(mirror, "first \(first) mode \(mode)")
    }
  }

  @Test func `overlapping writes wait, and the last one wins`() {
    for mode in RecoveryMode.allCases {
      var shape = MirrorShape(seed: 8)
      shape.diskBlocks = 20
      shape.recovery = mode
      shape.faults = LinkFaults(groupLoss: 0.2, unicastLoss: 0.2, duplicate: 0.3, reorder: 0.3)
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(40, blocksMax: 16)
      mirror.run()
      expectWhole(mirror, "mode \(mode)")
    }
  }

  @Test func `grants of credit and open writes are kept, and used`() {
    var shape = MirrorShape(seed: 9)
    shape.openWritesMax = 4
    let narrow = VirtualMirror(shape)
    narrow.writeRandomly(60, blocksMax: 4)
    narrow.run()
    expectWhole(narrow, "open writes")
    #expect(narrow.openWritesSeenMax <= 4 && narrow.openWritesSeenMax >= 3)
    #expect(narrow.legs.allSatisfy { $0.receiver.counters.withoutSlot == 0 })
    shape.openWritesMax = 16
    shape.credit = 10 * 512
    let poor = VirtualMirror(shape)
    poor.writeRandomly(60, blocksMax: 8)
    poor.run()
    expectWhole(poor, "credit")
    #expect(poor.openBytesSeenMax <= 10 * 512 && poor.openBytesSeenMax >= 5 * 512)
  }

  @Test(arguments: RecoveryMode.allCases) func `legs of every path in one mirror`(
    mode: RecoveryMode
  ) {
    for seed: UInt64 in 1...4 {
      var shape = MirrorShape(seed: seed)
      shape.paths = [.connection, .datagrams, .foreign, .datagrams]
      shape.recovery = mode
      shape.faults = .losing(0.1)
      // The connection runs far ahead of a slow group.
      shape.paceNanoseconds = seed % 2 == 0 ? 200_000 : 1_000
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(30, blocksMax: 8)
      mirror.run()
      expectWhole(mirror, "mode \(mode) seed \(seed)")
    }
  }

  @Test(arguments: [[LegDescription.Path.connection], [.foreign], [.connection, .foreign]])
  func `mirrors that no datagram serves`(paths: [LegDescription.Path]) {
    var shape = MirrorShape(seed: 10)
    shape.paths = paths
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(30, blocksMax: 16)
    mirror.run()
    expectWhole(mirror, "\(paths)")
    #expect(mirror.sender.counters.repairDatagrams == 0)
    #expect(mirror.sender.counters.dataDatagrams == 0)
  }

  @Test(arguments: RecoveryMode.allCases) func `a leg that no datagram reaches is served by TCP`(
    mode: RecoveryMode
  ) {
    var shape = MirrorShape(seed: 11)
    shape.recovery = mode
    let mirror = VirtualMirror(shape)
    mirror.legs[1].faults = .losing(1)
    mirror.writeRandomly(10, blocksMax: 8)
    mirror.run()
    expectWhole(mirror, "mode \(mode)")
    #expect(mirror.sender.counters(ofLeg: 1).repairsCarried > 0)
    #expect(mirror.sender.counters(ofLeg: 0).repairsCarried == 0)
  }

  @Test func `a call without status ends when its data is sent, once`() {
    var shape = MirrorShape(seed: 12)
    shape.waitsForStatus = false
    shape.faults = .losing(0.2)
    let mirror = VirtualMirror(shape)
    mirror.writeRandomly(40, blocksMax: 8)
    mirror.run()
    expectWhole(mirror, "no status")
    #expect(mirror.counted.count == 40 && mirror.counted.values.allSatisfy { $0.isEmpty })
  }
}

import Bytes
import SCSI
import Testing

@testable import Replication

/// Copies between legs: who takes them, who leaves them alone, and what loss does to them.
@Suite struct SenderCopiesTests {
  private func shape(_ seed: UInt64) -> MirrorShape {
    var shape = MirrorShape(seed: seed)
    shape.isKept = true
    shape.diskBlocks = 512
    return shape
  }

  @Test(arguments: 1...12) func `a stale leg is copied while writes go on, under loss`(
    seed: UInt64
  ) {
    var shape = shape(seed)
    shape.recovery = RecoveryMode.allCases[Int(seed) % 4]
    shape.faults = LinkFaults(groupLoss: 0.1, unicastLoss: 0.1, duplicate: 0.05, reorder: 0.1)
    shape.isSolicited = seed % 3 == 0
    if seed % 2 == 0 { shape.paths = [.datagrams, .datagrams, .connection] }
    let mirror = VirtualMirror(shape)
    mirror.legs[2].disks[0] = [UInt8](repeating: 0xee, count: shape.diskBlocks * 512)
    mirror.writeRandomly(40, blocksMax: 8)
    mirror.resync(2, blocks: 8)
    for round in 1...30 {
      mirror.agenda.enter(
        .act { mirror.writeRandomly(4, blocksMax: 8) },
        at: mirror.now + UInt64(round) * 1_000_000)
    }
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
    #expect(mirror.copied.count == 64 && mirror.copied.values.allSatisfy { $0.isEmpty })
    #expect(mirror.completions.count == 160 && mirror.failures.isEmpty && mirror.lost.isEmpty)
    let counters = mirror.sender.counters
    #expect(counters.copies == 64 && counters.copiedBytes == 512 * 512)
    #expect(counters.writes == 160)
    // The others heard what went to the group, and stored nothing of it.
    #expect(mirror.legs[0].receiver.counters.writes == 160)
    #expect(seed % 2 == 0 || mirror.legs[1].receiver.counters.copiesIgnored > 0)
    #expect(mirror.legs[2].receiver.counters.writes == 224)
  }

  @Test func `who answers for a copy that is not for it is late, and no forger`() {
    for seed: UInt64 in 1...4 {
      var shape = shape(seed)
      shape.faults = .losing(0.05)
      let mirror = VirtualMirror(shape)
      mirror.legs[1].receiver.takesCopies = true
      mirror.writeRandomly(20, blocksMax: 8)
      mirror.run()
      mirror.resync(2, blocks: 8)
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [] && mirror.lost.isEmpty)
      #expect(mirror.copied.count == 64 && mirror.sender.counters(ofLeg: 1).lateAnswers > 0)
    }
  }

  @Test func `a leg that fails a copy leaves`() {
    let mirror = VirtualMirror(shape(1))
    mirror.legs[2].storeStatus = { _, _ in (2, SenderKeepingTests.medium) }
    mirror.legs[2].receiver.takesCopies = true
    var stood = false
    mirror.didHold = { _ in stood = true }
    #expect(mirror.hold(1, 0..<128))
    mirror.run(until: { stood })
    mirror.payloads[900] = mirror.random.bytes(4096)
    mirror.offsets[900] = 0

    #expect(
      mirror.copy(900, 0..<8, to: 2))
    mirror.write(block: 2, blocks: 8)
    mirror.write(block: 200, blocks: 8)
    // Not held back, though the leg's leaving is not confirmed.
    mirror.run(until: { mirror.copied[900] != nil })
    #expect(mirror.copied[900]?.map(\.leg) == [2] && mirror.sender.isFrozen)
    #expect(mirror.lost.keys.sorted() == [2] && mirror.suspects.isEmpty)
    mirror.sender.releaseHold(token: 1, now: mirror.now)
    mirror.run()
    #expect(mirror.violations == [] && mirror.failures.isEmpty && mirror.completions.count == 2)
    #expect(mirror.sender.isIdle && !mirror.sender.isFrozen)
  }

  @Test func `a leg lost under a copy ends it, and so does the end of the mirror`() {
    for isLost in [true, false] {
      var shape = shape(2)
      shape.paths = [.datagrams, .datagrams, .connection]
      let mirror = VirtualMirror(shape)
      var stood = false
      mirror.didHold = { _ in stood = true }
      #expect(mirror.hold(1, 0..<128))
      mirror.run(until: { stood })
      for token in [900, 901] as [UInt64] {
        mirror.payloads[token] = mirror.random.bytes(4096)
        mirror.offsets[token] = 0
        #expect(
          mirror.copy(token, 0..<8, to: 2))
      }
      mirror.run(until: { mirror.sender.counters.carried > 3 })
      if isLost { mirror.lose(2) } else { mirror.sender.stop(now: mirror.now) }
      mirror.run()
      let gone = [LegOutcome(leg: 2, failure: .lost)]
      #expect(mirror.copied == [900: gone, 901: gone] && mirror.violations == [])
      #expect(mirror.sender.isIdle && mirror.sender.isFrozen == !isLost)
    }
  }

  // MARK: At a leg

  @Test func `a leg in sync leaves copies alone, but for the window`() throws {
    let bench = DatagramWorkbench()
    let block = [UInt8](repeating: 1, count: 512)
    var receiver = bench.receiver()
    let command = bench.command(5, blocks: 2, lowest: 3, flags: .copy)
    let data = bench.data(
      6, block: 1, of: 2, lowest: 4, flags: [.copy, .repair], edit: { $0.word20 = 0xffff_ffff })
    #expect(!receiver.mayBegin(try Datagram(command.span.bytes)))
    receiver.attentions = [NewsTests.attention]
    let first = try receiver.take(command)
    #expect(receiver.lowestNumber == SerialNumber(3) && first == .nowhere)
    let second = try receiver.take(data)
    #expect(receiver.lowestNumber == SerialNumber(4) && second == .nowhere)
    try receiver.take(
      bench.command(7, blocks: 1, lowest: 4, immediate: block, flags: .copy), isCarried: true)
    #expect(receiver.counters.copiesIgnored == 3 && receiver.isQuiescent)
    #expect(receiver.answers == [] && receiver.stores.isEmpty && receiver.attentions.count == 1)
    #expect(receiver.counters.commands == 0 && receiver.counters.early == 0)
    receiver.attentions = []
    receiver.takesCopies = true
    #expect(receiver.mayBegin(try Datagram(command.span.bytes)))
    try receiver.take(command)
    let answers = receiver.takeAnswers()
    #expect(answers == [.readyToTransfer(SerialNumber(5), length: 1024)])
    // A probe is none, whatever its flags say.
    receiver.takesCopies = false
    try receiver.take(
      bench.data(0, block: 0, of: 1, flags: [.copy, .probe]) { $0.storage[0] = 0x40 })
    #expect(receiver.counters.copiesIgnored == 3)
  }
}

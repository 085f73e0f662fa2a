import Bytes
import ISCSI
import Testing

@testable import Replication

/// A caller that changes its buffer while the write is open.
@Suite struct RestartTests {
  /// Changes the first write's payload when its first repair is about to go out.
  private func run(
    seed: UInt64, changes: Int, paths: [LegDescription.Path] = [.datagrams, .datagrams],
    waitsForStatus: Bool = true
  ) -> VirtualMirror {
    var shape = MirrorShape(seed: seed)
    shape.paths = paths
    shape.recovery = RecoveryMode.allCases[Int(seed) % RecoveryMode.allCases.count]
    shape.waitsForStatus = waitsForStatus
    shape.faults = .losing(0.1)
    let mirror = VirtualMirror(shape)
    mirror.unitPayloadsChange = true
    // Block 1 of the first write never comes the first time.
    mirror.isLostByPlan = { leg, transmission in
      mirror.sender.submission(inSlot: transmission.slot).token == 1 && leg == 0
        && transmission.content == .block(1) && !transmission.flags.contains(.repair)
    }
    var left = changes
    mirror.willSend = { transmission in
      guard left > 0, transmission.flags.contains(.repair), transmission.content == .block(1),
        mirror.sender.submission(inSlot: transmission.slot).token == 1
      else { return }
      left -= 1
      mirror.payloads[1]?[519] &+= 1
    }
    mirror.write(block: 0, blocks: 8)
    mirror.writeRandomly(10, blocksMax: 8)
    mirror.run()
    return mirror
  }

  @Test(arguments: 1...6) func `a changed buffer is noticed, fenced everywhere and sent anew`(
    seed: UInt64
  ) {
    let mirror = run(seed: seed, changes: 1)
    #expect(mirror.violations == [], "seed \(seed)")
    #expect(mirror.disagreements == [], "seed \(seed)")
    #expect(mirror.bufferChanges == 1 && mirror.failures.isEmpty, "seed \(seed)")
    #expect(mirror.completions.count == 11 && mirror.lost.isEmpty, "seed \(seed)")
    // Both numbers of the write were given out to the same token.
    #expect(mirror.tokens.values.filter { $0 == 1 }.count == 2, "seed \(seed)")
  }

  @Test(arguments: 1...3) func `a buffer that changes for ever fails the write, bounded`(
    seed: UInt64
  ) {
    let mirror = run(seed: seed, changes: .max)
    #expect(mirror.violations == [], "seed \(seed)")
    #expect(mirror.bufferChanges == Limits.restartsMax + 1, "seed \(seed)")
    #expect(
      mirror.failures == [
        1: (0..<2).map { LegOutcome(leg: $0, failure: .bufferChanged) }
      ], "seed \(seed)")
    #expect(mirror.completions.count == 11 && mirror.lost.isEmpty, "seed \(seed)")
  }

  @Test(arguments: 1...3) func `legs of other paths take part in the new start`(seed: UInt64) {
    let mirror = run(seed: seed, changes: 2, paths: [.datagrams, .connection, .foreign])
    #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
    #expect(mirror.failures.isEmpty && mirror.lost.isEmpty, "seed \(seed)")
    #expect(mirror.bufferChanges >= 1, "seed \(seed)")
  }

  @Test(arguments: 1...3) func `a call without status is told once, though sent twice`(
    seed: UInt64
  ) {
    let mirror = run(seed: seed, changes: 1, waitsForStatus: false)
    #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
    #expect(mirror.bufferChanges == 1 && mirror.counted.count == 11, "seed \(seed)")
    #expect(mirror.completions.count == 11, "seed \(seed)")
  }

  @Test func `a leg lost while its fence is awaited doesn't stop the new start`() {
    let shape = MirrorShape(seed: 31)
    let mirror = VirtualMirror(shape)
    mirror.unitPayloadsChange = true
    mirror.isLostByPlan = { leg, transmission in
      leg == 0 && transmission.content == .block(1) && !transmission.flags.contains(.repair)
        && mirror.bufferChanges == 0
    }
    mirror.willSend = { transmission in
      if transmission.flags.contains(.repair) { mirror.payloads[1]?[519] &+= 1 }
    }
    mirror.write(block: 0, blocks: 4)
    mirror.run(until: { mirror.bufferChanges == 1 })
    mirror.willSend = { _ in }
    mirror.lose(1)
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [])
    #expect(mirror.completions == [1: [LegOutcome(leg: 1, failure: .lost)]])
  }
}

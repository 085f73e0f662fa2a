import Testing

@testable import Replication

/// What is lost comes back: every loss of a small write, then losses by chance.
@Suite struct LossTests {
  /// Every subset of a write's datagrams lost on first sending, at each leg on its own.
  @Test(arguments: RecoveryMode.allCases, [1, 2, 4])
  func `every loss of a small write is repaired`(mode: RecoveryMode, blocks: Int) {
    // Datagram 0 is the command; a write of one block has no other.
    let datagrams = blocks == 1 ? 1 : blocks + 1
    for legs in 1...3 {
      // All subsets at one leg, the others lose a part of them turned by the leg's number.
      for subset in 0..<(1 << datagrams) {
        var shape = MirrorShape(seed: UInt64(subset))
        shape.paths = Array(repeating: .datagrams, count: legs)
        shape.recovery = mode
        shape.diskBlocks = 16
        shape.openWritesMax = 2
        let mirror = VirtualMirror(shape)
        mirror.isLostByPlan = { leg, transmission in
          guard !transmission.flags.contains(.repair) else { return false }
          let bit: Int =
            switch transmission.content {
            case .command: 0
            case .block(let block): block + 1
            }
          return subset >> ((bit + leg) % datagrams) & 1 == 1
        }
        mirror.write(block: 3, blocks: blocks)
        mirror.run()
        let label = "mode \(mode) blocks \(blocks) legs \(legs) subset \(subset)"
        #expect(mirror.violations == [], "\(label)")
        #expect(mirror.disagreements == [], "\(label)")
        #expect(mirror.completions[1] == [], "\(label)")
        #expect(mirror.lost.isEmpty, "\(label)")
        #expect(mirror.sender.counters.repairDatagrams <= UInt64(legs * datagrams * 3), "\(label)")
        #expect(mirror.reports <= UInt64(6 * legs), "\(label)")
      }
    }
  }

  @Test(arguments: RecoveryMode.allCases, [0.01, 0.05, 0.2, 0.5])
  func `many writes in flight survive losses`(mode: RecoveryMode, rate: Double) {
    let writes = rate < 0.5 ? 25 : 8
    for seed: UInt64 in 1...2 {
      var shape = MirrorShape(seed: seed)
      shape.recovery = mode
      shape.faults = .losing(rate)
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(writes, blocksMax: 16)
      mirror.run()
      let label = "mode \(mode) rate \(rate) seed \(seed)"
      #expect(mirror.violations == [], "\(label)")
      #expect(mirror.disagreements == [], "\(label)")
      #expect(mirror.failures.isEmpty && mirror.completions.count == writes, "\(label)")
    }
  }
}

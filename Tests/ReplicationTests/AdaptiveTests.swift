import Bytes
import Testing

@testable import Replication

/// Each lost block the way that costs least, and not more often than it must.
@Suite struct AdaptiveTests {
  private func mirror(_ edit: (inout MirrorShape) -> Void) -> VirtualMirror {
    var shape = MirrorShape(seed: 5)
    shape.writeLengthMax = 64 * 512
    edit(&shape)
    return VirtualMirror(shape)
  }

  /// The repairs of one write of which `lost` says who lost what.
  private func repairs(
    legs: Int = 3, blocks: Int = 32, _ lost: @escaping (_ leg: Int, _ block: Int) -> Bool
  ) -> [Transmission] {
    let mirror = mirror { $0.paths = Array(repeating: .datagrams, count: legs) }
    mirror.isLostByPlan = { leg, transmission in
      guard !transmission.flags.contains(.repair) else { return false }
      return switch transmission.content {
      case .command: lost(leg, 0)
      case .block(let block): lost(leg, block)
      }
    }
    var sent: [Transmission] = []
    mirror.willSend = { if $0.flags.contains(.repair) { sent.append($0) } }
    mirror.write(block: 0, blocks: blocks)
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [] && mirror.failures.isEmpty)
    return sent
  }

  @Test func `a block that one leg lacks goes to that leg`() {
    let sent = repairs { $0 == 1 && $1 == 7 }
    #expect(sent.map(\.destination) == [.leg(1)] && sent.map(\.content) == [.block(7)])
  }

  @Test func `a block that two of three lack goes to the group, once`() {
    let sent = repairs { $0 != 1 && $1 == 7 }
    #expect(sent.map(\.destination) == [.group])
    #expect(sent.map(\.content) == [.block(7)])
  }

  @Test func `each block of one write goes its own way`() {
    let sent = repairs { leg, block in block == 3 || leg == 2 && block == 9 }
    #expect(sent.count == 2)
    #expect(sent.contains { $0.destination == .group && $0.content == .block(3) })
    #expect(sent.contains { $0.destination == .leg(2) && $0.content == .block(9) })
  }

  @Test func `a lost command costs one datagram, not the write`() {
    let sent = repairs { $0 == 0 && $1 == 0 }
    #expect(sent.map(\.destination) == [.leg(0)] && sent.map(\.content) == [.command])
  }

  @Test func `a leg that lost nearly all is sent all, in order`() {
    let sent = repairs { $0 == 0 && $1 < 31 }
    #expect(sent.allSatisfy { $0.destination == .leg(0) } && sent.count == 32)
    #expect(sent.first?.content == .command)
  }

  @Test func `with many legs it takes more than two to trouble them all`() {
    let two = repairs(legs: 32) { leg, block in leg < 2 && block == 5 }
    #expect(Set(two.map { "\($0.destination)" }) == ["leg(0)", "leg(1)"])
    let many = repairs(legs: 32) { leg, block in leg < 5 && block == 5 }
    #expect(many.map(\.destination) == [.group])
  }

  @Test(arguments: [0.01, 0.05, 0.1, 0.2]) func `repairs stay near what the losses cost at least`(
    rate: Double
  ) {
    let mirror = mirror {
      $0.faults = .losing(rate)
      $0.diskBlocks = 8192
    }
    for index in 0..<100 { mirror.write(block: index * 64, blocks: 64) }
    mirror.run()
    #expect(mirror.violations == [] && mirror.disagreements == [] && mirror.failures.isEmpty)
    let counters = mirror.sender.counters
    let sent = Double(counters.dataDatagrams + counters.repairDatagrams)
    // Each block to the group until all three have it: the mean of the largest of three geometric
    // counts.
    var least = 0.0
    for tries in 0..<200 {
      var lostTogether = 1.0
      for _ in 0..<tries { lostTogether *= rate }
      least += 1 - (1 - lostTogether) * (1 - lostTogether) * (1 - lostTogether)
    }
    #expect(sent / 6400 < least * 1.08, "\(sent / 6400) for \(least)")
    let reports = mirror.legs.reduce(0) { $0 + $1.receiver.counters.reports }
    #expect(Double(reports) < 300 * (1 + 11 * rate), "\(reports) reports of 300 writes")
  }

  @Test func `one leg that loses costs about what it lost`() {
    let mirror = mirror { $0.diskBlocks = 8192 }
    mirror.legs[1].faults = .losing(0.05)
    for index in 0..<100 { mirror.write(block: index * 64, blocks: 64) }
    mirror.run()
    let lost = Double(mirror.legs[1].lostFirstSendings)
    #expect(Double(mirror.sender.counters.repairDatagrams) <= lost * 1.1)
    #expect(lost > 200 && mirror.failures.isEmpty)
  }

  @Test func `a last datagram that is lost costs a few milliseconds, no long timer`() {
    for block in [0, 6, 7] {
      let mirror = mirror { _ in }
      mirror.isLostByPlan = { leg, transmission in
        let lost: Transmission.Content = block == 0 ? .command : .block(block)
        return leg == 1 && transmission.content == lost && !transmission.flags.contains(.repair)
      }
      mirror.write(block: 0, blocks: 8)
      let began = mirror.now
      mirror.run(until: { mirror.completions.count == 1 })
      #expect(mirror.now - began < 10_000_000, "block \(block): \(mirror.now - began) ns")
    }
  }
}

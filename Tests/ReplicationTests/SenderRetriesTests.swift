import Bytes
import SCSI
import Testing

@testable import Replication

/// Writes that a leg of a kept mirror failed and others did: it gets them again before it leaves.
@Suite struct SenderRetriesTests {
  private static let medium = SenseData(.mediumError, .writeError).fixedFormat
  private static let busy: UInt8 = 0x08

  private func shape(_ seed: UInt64, retries: Int = 2, isSolicited: Bool = false) -> MirrorShape {
    var shape = MirrorShape(seed: seed)
    shape.isKept = true
    shape.retriesMax = retries
    shape.isSolicited = isSolicited
    shape.recovery = RecoveryMode.allCases[Int(seed) % 4]
    shape.faults = .losing(0.08)
    shape.placesDirectly = false
    return shape
  }

  /// Fails some first tries at a leg, by their numbers.
  private func fail(
    _ mirror: VirtualMirror, leg: Int, _ numbers: Set<UInt32>, _ status: UInt8 = 2,
    _ sense: [UInt8] = medium
  ) {
    mirror.legs[leg].storeStatus = { _, number in
      numbers.contains(number.rawValue) ? (status, sense) : nil
    }
  }

  @Test(arguments: [false, true]) func `that pass the second time cost no leg`(isSolicited: Bool) {
    for seed: UInt64 in 1...8 {
      let mirror = VirtualMirror(shape(seed, isSolicited: isSolicited))
      fail(mirror, leg: 1, [3, 9])
      fail(mirror, leg: 2, [5, 9], Self.busy, [])
      // They overlap, so that order counts.
      mirror.writeRandomly(40, blocksMax: 16)
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
      #expect(mirror.retried.count == 4 && mirror.lost.isEmpty && mirror.suspects.isEmpty)
      #expect(mirror.failures.isEmpty && mirror.completions.count == 40, "seed \(seed)")
      #expect(mirror.sender.isIdle && !mirror.sender.isFrozen)
      #expect(mirror.sender.lowestOpen == mirror.sender.firstUnusedNumber)
    }
  }

  @Test func `go to those that failed them alone, and by unicast`() {
    var shape = shape(1)
    shape.faults = LinkFaults()
    shape.paths = [.datagrams, .datagrams, .connection, .foreign]
    let mirror = VirtualMirror(shape)
    fail(mirror, leg: 1, [0])
    mirror.write(block: 7, blocks: 12)
    var destinations: Set<String> = []
    mirror.willSend = { [unowned mirror] transmission in
      guard !mirror.retried.isEmpty else { return }
      destinations.insert("\(transmission.destination)")
    }
    mirror.run()
    #expect(destinations == ["connection(1)"])
    #expect(mirror.failures.isEmpty && mirror.disagreements == [] && mirror.lost.isEmpty)
    // Twice to the one, once to the others.
    #expect(mirror.sender.counters.writes == 2)
  }

  @Test func `are writes of the epoch in which they began`() {
    var shape = shape(1)
    shape.faults = LinkFaults()
    let mirror = VirtualMirror(shape)
    // Twice: so that a retry of a retry is seen, too.
    fail(mirror, leg: 1, [0, 1])
    var seen: [UInt32: Bool] = [:]
    mirror.willSend = { [unowned mirror] transmission in
      let number = mirror.sender.writes[transmission.slot].number.rawValue
      seen[number] = mirror.sender.hasOpen(before: SerialNumber(1))
    }
    mirror.write(block: 7, blocks: 12)
    mirror.run()
    // A leg that came with the epoch from 1 on is no member of any of them.
    #expect(seen == [0: true, 1: true, 2: true])
    #expect(mirror.retried.count == 2 && mirror.failures.isEmpty && mirror.lost.isEmpty)
    #expect(!mirror.sender.hasOpen(before: mirror.sender.firstUnusedNumber))
  }

  @Test(arguments: 0...4) func `that never pass make the leg leave`(retries: Int) {
    for seed: UInt64 in 1...4 {
      let mirror = VirtualMirror(shape(seed, retries: retries))
      mirror.legs[1].storeStatus = { _, number in
        number.rawValue >= 3 ? (2, Self.medium) : nil
      }
      mirror.write(block: 0, blocks: 4)
      mirror.run()
      for index in 0..<3 { mirror.write(block: index * 20, blocks: 4) }
      let began = mirror.now
      mirror.run()
      guard case .refused = mirror.lost[1] else {
        Issue.record("seed \(seed): \(mirror.lost)")
        continue
      }
      #expect(mirror.retried.count == retries && mirror.lost.count == 1, "seed \(seed)")
      #expect(mirror.violations == [] && mirror.disagreements == [])
      #expect(mirror.failures.isEmpty && mirror.completions.count == 4)
      // It was 20 ms, then 40 …
      let pauses = Limits.retryPauseNanoseconds * ((1 << UInt64(retries)) - 1)
      #expect(mirror.now - began >= pauses && mirror.now - began < pauses + 1_000_000_000)
    }
  }

  @Test func `that only one reservation stands against are not tried again`() {
    let mirror = VirtualMirror(shape(2))
    fail(mirror, leg: 1, [2], Status.reservationConflict.rawValue, [])
    fail(mirror, leg: 2, [4], 2, SenseData(.dataProtect, .writeProtected).fixedFormat)
    mirror.writeRandomly(12, blocksMax: 8)
    mirror.run()
    #expect(mirror.retried.isEmpty && Array(mirror.lost.keys) == [2])
  }

  @Test func `that all legs failed are not tried again`() {
    let mirror = VirtualMirror(shape(3))
    for leg in 0..<3 { fail(mirror, leg: leg, [0]) }
    mirror.write(block: 0, blocks: 4)
    mirror.run()
    #expect(mirror.retried.isEmpty && mirror.suspects.count == 1 && mirror.lost.isEmpty)
    #expect(mirror.completions[0]?.count == 3 || mirror.completions[1]?.count == 3)
  }

  /// What has it, what is to get it again, and both.
  @Test(arguments: [[0], [1], [0, 2], [0, 1], [0, 1, 2]], 1...3)
  func `end, also where legs leave meanwhile`(leaving: [Int], seed: UInt64) {
    for moment in ["pause", "retry"] {
      let mirror = VirtualMirror(shape(seed))
      fail(mirror, leg: 1, [0])
      mirror.write(block: 0, blocks: 10)
      mirror.write(block: 4, blocks: 10)
      mirror.run(until: {
        moment == "pause" ? !mirror.retried.isEmpty : mirror.sender.counters.writes == 2
      })
      for leg in leaving { mirror.lose(leg) }
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [], "\(moment), seed \(seed)")
      #expect(mirror.completions.count == 2 && mirror.sender.isIdle)
      #expect(mirror.failures.isEmpty == (leaving.count < 3), "\(moment), seed \(seed)")
    }
  }

  @Test func `end with a mirror that stops`() {
    for moment in ["pause", "retry"] {
      let mirror = VirtualMirror(shape(4))
      fail(mirror, leg: 1, [0])
      mirror.write(block: 0, blocks: 10)
      mirror.write(block: 4, blocks: 10)
      mirror.run(until: {
        moment == "pause" ? !mirror.retried.isEmpty : mirror.sender.counters.writes == 2
      })
      mirror.sender.stop(now: mirror.now)
      mirror.run()
      #expect(mirror.completions.count == 2 && mirror.failures.count == 2, "\(moment)")
      #expect(mirror.sender.isIdle)
    }
  }

  /// The caller changes its buffer between the tries: all legs get what is there by then.
  @Test(arguments: [1, 3, 16], [false, true])
  func `of a buffer that changes begin anew at all legs`(blocks: Int, isSolicited: Bool) {
    for seed: UInt64 in 1...4 {
      let mirror = VirtualMirror(shape(seed, isSolicited: isSolicited))
      fail(mirror, leg: 1, [0], Self.busy, [])
      mirror.write(block: 3, blocks: blocks)
      mirror.run(until: { !mirror.retried.isEmpty })
      for token in mirror.payloads.keys {
        mirror.payloads[token]?[blocks * 512 - 7] ^= 0x20
      }
      mirror.run()
      #expect(mirror.bufferChanges == 1 && mirror.disagreements == [], "seed \(seed)")
      #expect(mirror.failures.isEmpty && mirror.completions.count == 1 && mirror.lost.isEmpty)
      // Once to all, again to the one, and anew to all.
      #expect(mirror.sender.counters.writes == 3 && mirror.sender.isIdle)
    }
  }

  /// Whatever is lost, nobody else hears of a retry.
  @Test func `are repaired by unicast, too`() {
    for seed: UInt64 in 1...12 {
      var shape = shape(seed)
      shape.faults = .losing(0.3)
      let mirror = VirtualMirror(shape)
      fail(mirror, leg: 1, [0], Self.busy, [])
      fail(mirror, leg: 2, [0], Self.busy, [])
      mirror.write(block: 7, blocks: 16)
      var isToGroup = false
      mirror.willSend = { [unowned mirror] transmission in
        guard mirror.sender.submission(inSlot: transmission.slot).isRetry else { return }
        if case .connection = transmission.destination { return }
        isToGroup = true
      }
      mirror.run()
      #expect(!isToGroup && mirror.retried.count == 2, "seed \(seed)")
      #expect(mirror.failures.isEmpty && mirror.disagreements == [] && mirror.lost.isEmpty)
    }
  }
}

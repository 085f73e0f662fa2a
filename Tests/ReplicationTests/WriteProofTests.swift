import Bytes
import Testing

@testable import Replication

/// Legs that prove what they have of a write before its GOOD counts.
@Suite struct WriteProofTests {
  private func shape(_ seed: UInt64, isKept: Bool) -> MirrorShape {
    var shape = MirrorShape(seed: seed)
    shape.wantsProof = true
    shape.isKept = isKept
    shape.recovery = RecoveryMode.allCases[Int(seed) % 4]
    shape.faults = .losing(0.1)
    shape.faults.duplicate = 0.05
    shape.faults.reorder = 0.1
    shape.paths = [.datagrams, .datagrams, .connection]
    return shape
  }

  /// What is no forgery: that is stored, and noticed.
  private func strange(_ mirror: VirtualMirror) -> [String] {
    mirror.violations.filter { !$0.contains("stores wrong bytes") }
  }

  @Test(arguments: [false, true], [false, true])
  func `of what was written are right, whatever is lost`(isKept: Bool, isSolicited: Bool) {
    for seed: UInt64 in 1...12 {
      var shape = shape(seed, isKept: isKept)
      shape.isSolicited = isSolicited
      let mirror = VirtualMirror(shape)
      mirror.writeRandomly(60, blocksMax: 16)
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
      #expect(mirror.failures.isEmpty && mirror.completions.count == 60 && mirror.lost.isEmpty)
      #expect(mirror.sender.counters.unproven == 0 && mirror.sender.isIdle)
    }
  }

  @Test(arguments: [false, true], 1...6 as ClosedRange<UInt64>)
  func `of something else have the write done anew`(isKept: Bool, seed: UInt64) {
    let mirror = VirtualMirror(shape(seed, isKept: isKept))
    var forged: Set<UInt32> = []
    for (leg, numbers) in [(0, [2, 9]), (1, [2, 17]), (2, [30])] as [(Int, Set<UInt32>)] {
      mirror.legs[leg].forge = { number, bytes in
        guard numbers.contains(number.rawValue) else { return }
        bytes[bytes.startIndex] ^= 1
        forged.insert(number.rawValue)
      }
    }
    mirror.writeRandomly(60, blocksMax: 16)
    mirror.run()
    #expect(forged == [2, 9, 17, 30])
    // Each leg that has a write forged tells so.
    #expect(mirror.sender.counters.unproven == 5)
    // Each is told, and counted for the leg that was deceived; no buffer is said to have changed.
    #expect(mirror.unproven.count == Int(mirror.sender.counters.unproven))
    #expect(mirror.bufferChanges == 0 && Set(mirror.unproven).count >= 2)
    for leg in 0..<3 {
      #expect(
        mirror.unproven.count { $0 == leg } == Int(mirror.sender.counters(ofLeg: leg).unproven))
    }
    #expect(strange(mirror) == [] && mirror.disagreements == [])
    #expect(mirror.failures.isEmpty && mirror.completions.count == 60 && mirror.lost.isEmpty)
  }

  @Test(arguments: [false, true]) func `of something else again and again cost the leg`(
    isKept: Bool
  ) {
    let mirror = VirtualMirror(shape(3, isKept: isKept))
    mirror.legs[1].forge = { _, bytes in bytes[bytes.startIndex] ^= 1 }
    mirror.writeRandomly(10, blocksMax: 8)
    mirror.run()
    #expect(mirror.lost.keys.sorted() == [1])
    #expect(strange(mirror) == [] && mirror.disagreements == [])
    #expect(mirror.completions.count == 10 && mirror.sender.isIdle)
  }

  @Test func `of something else from all legs are no leg's fault`() {
    let mirror = VirtualMirror(shape(3, isKept: true))
    for leg in 0..<3 { mirror.legs[leg].forge = { _, bytes in bytes[bytes.startIndex] ^= 1 } }
    mirror.writeRandomly(10, blocksMax: 8)
    mirror.run()
    #expect(mirror.lost.isEmpty)
    #expect(mirror.completions.count == 10 && mirror.sender.isIdle)
    #expect(mirror.failures.count == 10)
  }

  @Test func `that never came make GOOD a lie`() {
    var configuration = SenderConfiguration(
      registration: 1, virtualLUN: 0, blockLength: 512, unitBlockSize: 512, writeLengthMax: 8192)
    configuration.wantsProof = true
    let leg = LegDescription(path: .datagrams, openWritesMax: 4, credit: 1 << 20)
    var sender = Sender(configuration, legs: [leg, leg])
    _ = sender.submit(Submission(token: 7, byteOffset: 0, length: 512), now: 0)
    let data = [UInt8](repeating: 5, count: 512)
    var bytes = [UInt8](repeating: 0, count: 600)
    while let transmission = sender.pollTransmission(now: 0) {
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      _ = sender.assemble(transmission, data: data.span.bytes, into: &raw, now: 0)
    }
    let number = SerialNumber(0)
    #expect(sender.proved(leg: 0, number: number)?.token == 7)
    #expect(sender.proved(leg: 0, number: SerialNumber(1)) == nil)
    sender.handleProof(leg: 0, number: number, isRight: true, now: 1)
    sender.handleResponse(leg: 0, tag: Datagram.taskTag(of: number), status: 0, now: 1)
    #expect(sender.activeLegs == LegSet([0, 1]))
    sender.handleResponse(leg: 1, tag: Datagram.taskTag(of: number), status: 0, now: 1)
    #expect(sender.activeLegs == LegSet(0))
    #expect(sender.proved(leg: 0, number: number) == nil)
  }
}

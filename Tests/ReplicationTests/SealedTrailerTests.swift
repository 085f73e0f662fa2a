import Bytes
import ISCSI
import Testing

@testable import Replication

@Suite struct ReplayWindowTests {
  private static let size = UInt32(ReplayWindow.byteCount * 8)

  @Test func `lets each number in once, in any order, and none that is long past`() {
    for seed: UInt64 in 1...20 {
      var random = SeededRandom(seed)
      var window = ReplayWindow()
      var seen: Set<UInt32> = []
      var highest: UInt32 = 0
      var base: UInt32 = seed % 2 == 0 ? 1 : UInt32.max - 4_000_000
      for _ in 0..<4000 {
        // Mostly forward, at times far; some behind, some again.
        let step = UInt32(random.below(random.chance(0.01) ? 300_000 : 8))
        base = base > .max - step ? .max : base + step
        let back = UInt32(random.below(random.chance(0.05) ? 260_000 : 40))
        let number = max(base - min(back, base - 1), 1)
        let isKnown = number > highest || (!seen.contains(number) && highest - number < Self.size)
        #expect(window.admits(number) == isKnown, "seed \(seed), \(number)")
        guard isKnown, random.chance(0.9) else { continue }
        window.note(number)
        seen.insert(number)
        highest = max(highest, number)
      }
    }
  }

  @Test(arguments: [1, 2, 63, 64, 65, 127, size - 1, size, size + 1, 3 * size])
  func `forgets what a step leaves behind, and nothing else`(step: UInt32) {
    var window = ReplayWindow()
    let last = Self.size + 904
    for number in 1...last { window.note(number) }
    #expect(!window.admits(last) && !window.admits(1000) && !window.admits(904))
    let highest = last + step
    window.note(highest)
    let wrong = (last - 1000...highest).first { number in
      let isOld = number <= last || highest - number >= Self.size || number == highest
      return window.admits(number) == isOld
    }
    #expect(wrong == nil)
  }

  @Test func `is not moved by what was only asked`() {
    var window = ReplayWindow()
    #expect(window.admits(1) && window.admits(.max) && !window.admits(0))
    #expect(window.admits(1))
    window.note(.max)
    #expect(!window.admits(.max) && !window.admits(1) && window.admits(.max - 1))
  }
}

@Suite struct SealCounterTests {
  @Test func `never gives a number twice, and ends`() {
    var counter = SealCounter()
    #expect(counter.next() == 1 && counter.next() == 2 && !counter.isRenewalDue)
    counter = SealCounter(last: SealCounter.renewalDue - 1)
    #expect(!counter.isRenewalDue)
    #expect(counter.next() == SealCounter.renewalDue && counter.isRenewalDue)
    counter = SealCounter(last: .max - 1)
    #expect(counter.next() == .max && counter.next() == nil && counter.next() == nil)
  }
}

@Suite struct SealedTrailerTests {
  /// A clear datagram, with room for a tag.
  private func clear(flags: Datagram.Flags = []) -> (bytes: [UInt8], count: Int) {
    var header = BasicHeaderSegment(opcode: .dataOut)
    header.initiatorTaskTag = Datagram.taskTag(of: SerialNumber(7))
    header.word28 = 7
    header.dataSegmentLength = 101
    let data = (0..<101).map { UInt8($0) }
    var bytes = [UInt8](repeating: 0, count: 104 + SealedTrailer.overheadByteCount)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    let trailer = DatagramTrailer(
      registration: 0x0102_0304, epoch: 0x0506, flags: flags, sequence: 0x0708_090a)
    let count = trailer.assemble(header: header, data: data.span.bytes, into: &raw).byteCount
    return (bytes, count)
  }

  @Test func `stands where the checksum did`() throws {
    var (bytes, count) = clear(flags: .own)
    #expect(count == bytes.count - SealedTrailer.tagByteCount)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    let made = SealedTrailer(preparing: &raw, byteCount: count, counter: 0x0b0c_0d0e)
    #expect(made.nonceUpper == 0x0506_0028_0708_090a && made.counter == 0x0b0c_0d0e)
    #expect(
      bytes[count - 16..<count] == [
        1, 2, 3, 4, 5, 6, 0, 0x28, 7, 8, 9, 10, 11, 12, 13, 14,
      ])
    #expect(try SealedTrailer(bytes.span.bytes) == made)
    #expect(SealedTrailer.registration(in: bytes.span.bytes) == 0x0102_0304)
    // What stands before the tag is a datagram, of which the tag has spoken already.
    let datagram = try Datagram(bytes.span.bytes.extracting(0..<count), isOpened: true)
    #expect(datagram.dataLength == 101 && datagram.epoch == 0x0506)
    #expect(datagram.flags == [.own, .sealed] && datagram.writeNumber.rawValue == 7)
  }

  @Test func `is asked for where there are keys, and refused where there are none`() {
    var (bytes, count) = clear()
    #expect(throws: DatagramFault.sealing) { try SealedTrailer(bytes.span.bytes) }
    #expect(throws: DatagramFault.sealing) {
      try Datagram(bytes.span.bytes.extracting(0..<count), isOpened: true)
    }
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    _ = SealedTrailer(preparing: &raw, byteCount: count, counter: 1)
    #expect(throws: DatagramFault.sealing) {
      try Datagram(bytes.span.bytes.extracting(0..<count))
    }
  }

  @Test func `of any bytes is a trailer or a fault`() {
    var random = SeededRandom(3)
    for _ in 0..<2000 {
      let bytes = (0..<Int(random.below(200))).map { _ in UInt8(random.below(256)) }
      guard let trailer = try? SealedTrailer(bytes.span.bytes) else { continue }
      #expect(bytes.count >= SealedTrailer.overheadByteCount && trailer.flags.contains(.sealed))
      _ = try? Datagram(
        bytes.span.bytes.extracting(0..<bytes.count - SealedTrailer.tagByteCount), isOpened: true)
    }
  }
}

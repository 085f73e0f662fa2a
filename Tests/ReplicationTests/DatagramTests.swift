import Bytes
import ISCSI
import Testing

@testable import Replication

/// The datagram: what was made is read, anything else is refused with its reason.
@Suite struct DatagramTests {
  let bench = DatagramWorkbench()

  private func fault(_ bytes: [UInt8]) -> DatagramFault? {
    do throws(DatagramFault) {
      _ = try Datagram(bytes.span.bytes)
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: [0, 1, 2, 3, 4, 5, 511, 512]) func `what was put together is read`(
    length: Int
  ) throws {
    var bench = bench
    bench.epoch = 0xabcd
    bench.sequence = 0x9c9d_9e9f
    let flags: Datagram.Flags = [.repair, .own]
    var random = SeededRandom(UInt64(length))
    let data = random.bytes(length)
    let bytes = bench.data(
      0xfedc_ba98, block: 3, of: 5, bytes: data, lowest: 0xfedc_b9aa, flags: flags)
    #expect(bytes.count == 64 + (length + 3) & ~3 && bytes.count % 4 == 0)
    let datagram = try Datagram(bytes.span.bytes)
    #expect(datagram.kind == .data && datagram.dataLength == length)
    #expect(datagram.registration == 0x1234_5678 && datagram.epoch == 0xabcd)
    #expect(datagram.writeNumber == SerialNumber(0xfedc_ba98))
    #expect(datagram.lowestOpen == SerialNumber(0xfedc_b9aa))
    #expect(datagram.flags == flags && datagram.sequence == 0x9c9d_9e9f)
    #expect(Array(bytes[48..<48 + length]) == data)
    // RFC 7143 §11.1: padding is zeros, whatever stood in the buffer.
    #expect(bytes[(48 + length)..<(bytes.count - 16)].allSatisfy { $0 == 0 })
    #expect(datagram.header.array == Array(bytes[..<48]))
  }

  @Test func `the trailer stands on the wire as it is documented`() {
    var bench = bench
    bench.registration = 0x0102_0304
    bench.epoch = 0x0506
    bench.sequence = 0x0708_090a
    let bytes = bench.data(3, block: 0, of: 2, flags: .init(rawValue: 0x0009))
    let trailer = bytes.suffix(16)
    #expect(Array(trailer.prefix(12)) == [1, 2, 3, 4, 5, 6, 0x00, 0x09, 7, 8, 9, 0x0a])
    #expect(Array(trailer.suffix(4)) == bitwiseCRC32C(bytes.dropLast(4)))
  }

  /// CRC32C bit by bit, another way than the one under test.
  private func bitwiseCRC32C(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var state: UInt32 = 0xffff_ffff
    for byte in bytes {
      state ^= UInt32(byte)
      for _ in 0..<8 { state = state & 1 == 1 ? state >> 1 ^ 0x82f6_3b78 : state >> 1 }
    }
    var out: [UInt8] = []
    out.appendBigEndian(~state)
    return out
  }

  @Test func `every truncation and every lengthening is refused`() {
    let bytes = bench.data(7, block: 0, of: 1, bytes: [UInt8](repeating: 9, count: 37))
    for length in bytes.indices {
      let fault = fault(Array(bytes[..<length]))
      #expect(fault == (length < 64 ? .short : .lengthMismatch), "\(length)")
    }
    for extra in [1, 3, 4, 16] {
      #expect(fault(bytes + [UInt8](repeating: 0, count: extra)) == .lengthMismatch)
    }
  }

  @Test func `every single bit turned is refused`() {
    let whole = [
      bench.data(7, block: 0, of: 1, bytes: [1, 2, 3, 4, 5]),
      bench.command(7, blocks: 2),
      bench.command(7, blocks: 1, immediate: [UInt8](repeating: 0, count: 16)),
    ]
    for bytes in whole {
      #expect(fault(bytes) == nil)
      for bit in 0..<bytes.count * 8 {
        var turned = bytes
        turned[bit / 8] ^= 1 << UInt8(bit % 8)
        if fault(turned) == nil { Issue.record("bit \(bit) turned and taken") }
      }
    }
  }

  @Test func `a wrong thing well sealed is refused by its name`() {
    func made(_ flags: Datagram.Flags = [], _ edit: (inout BasicHeaderSegment) -> Void) -> [UInt8] {
      bench.data(1, block: 0, of: 2, flags: flags, edit: edit)
    }
    #expect(fault(made { $0.totalAHSLength = 1 }) == .additionalHeader)
    #expect(fault(made { $0.dataSegmentLength = 0xff_ffff }) == .lengthMismatch)
    #expect(fault(made { $0.dataSegmentLength = 0 }) == .lengthMismatch)
    for bit: UInt16 in [0x40, 0x80, 0x100, 0x8000] {
      #expect(fault(made(.init(rawValue: bit)) { _ in }) == .flags)
    }
    #expect(fault(made(.sealed) { _ in }) == .sealing)
    // Only a WRITE command with I, Data-Out without it, and the probe with its flag are kinds.
    for first in UInt8.min...UInt8.max where first != 0x41 && first != 0x05 {
      #expect(fault(made { $0.storage[0] = first }) == .kind, "\(first)")
    }
    #expect(fault(made(.probe) { _ in }) == .kind)
    #expect(fault(made(.probe) { $0.storage[0] = 0x40 }) == nil)
    #expect(fault(made(.dataNotDigested) { $0.storage[0] = 0x41 }) == .kind)
    #expect(fault(made(.probe) { $0.storage[0] = 0x41 }) == .kind)
  }

  @Test func `data outside the digest may differ, header and trailer may not`() {
    var bytes = bench.data(1, block: 0, of: 2, flags: .dataNotDigested)
    bytes[100] ^= 1
    #expect(fault(bytes) == nil)
    bytes[40] ^= 1
    #expect(fault(bytes) == .digest)
    bytes[40] ^= 1
    bytes[bytes.count - 9] ^= 2
    #expect(fault(bytes) == .digest)
  }

  @Test func `a block's digest is the same at every sending, and of its bytes only`() throws {
    let first = try Datagram(bench.data(1, block: 0, of: 2).span.bytes)
    var later = bench
    later.sequence = 7
    let again = try Datagram(later.data(1, block: 0, of: 2, flags: [.repair, .own]).span.bytes)
    #expect(first.contentDigest == again.contentDigest)
    let changed = [UInt8](repeating: 0, count: 511) + [1]
    let other = try Datagram(bench.data(1, block: 0, of: 2, bytes: changed).span.bytes)
    #expect(first.contentDigest != other.contentDigest)
  }

  @Test func `the number is what the tag and the lowest open number say together`() {
    func number(_ number: UInt32, lowest: UInt32) -> SerialNumber? {
      let bytes = bench.data(number, block: 0, of: 2, lowest: lowest)
      return try? Datagram(bytes.span.bytes).writeNumber
    }
    for lowest: UInt32 in [0, 5, 0x3fff_ff00, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff] {
      for above: UInt32 in [0, 1, 17, 1023] {
        #expect(number(lowest &+ above, lowest: lowest) == SerialNumber(lowest &+ above))
      }
      // Further above than a window, or below, no write of its sender's can be.
      for above: UInt32 in [1024, 0x3fff_ffff, 0x1000_0000, UInt32.max] {
        #expect(number(lowest &+ above, lowest: lowest) == nil, "\(lowest) and \(above)")
      }
    }
    for tag: UInt32 in [0, 7, 0x4000_0007, 0xc000_0007, 0xffff_ffff] {
      let bytes = bench.data(7, block: 0, of: 2) { $0.initiatorTaskTag = tag }
      #expect(fault(bytes) == .number)
    }
  }

  @Test func `noise is never taken`() {
    var random = SeededRandom(77)
    for _ in 0..<2000 {
      let bytes = random.bytes(Int(random.below(200)))
      #expect(fault(bytes) != nil)
    }
  }
}

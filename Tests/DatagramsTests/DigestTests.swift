import CDigest
import Glibc
import Testing

/// The implementations that this processor has.
let digestKinds = (0..<UInt32(mirrorcast_digest_kinds))
  .filter { mirrorcast_crc32c_has(mirrorcast_digest_kind(rawValue: $0)) == 1 }

@Suite struct DigestTests {
  // RFC 3720 §B.4 and RFC 7143 §A.4: the examples, in host order; the last is a SCSI Command PDU.
  @Test(arguments: digestKinds) func `the examples of the standard`(kind: UInt32) {
    #expect(checksum([UInt8](repeating: 0, count: 32), kind) == 0x8a91_36aa)
    #expect(checksum([UInt8](repeating: 0xff, count: 32), kind) == 0x62a8_ab43)
    #expect(checksum((0..<32).map { $0 }, kind) == 0x46dd_794e)
    #expect(checksum((0..<32).reversed().map { $0 }, kind) == 0x113f_db5c)
    #expect(checksum([UInt8]("123456789".utf8), kind) == 0xe306_9283)
    var command = [UInt8](repeating: 0, count: 48)
    for (at, byte) in [
      (0, 0x01), (1, 0xc0), (16, 0x14), (22, 0x04), (27, 0x14), (31, 0x18), (32, 0x28), (40, 0x02),
    ] {
      command[at] = UInt8(byte)
    }
    #expect(checksum(command, kind) == 0xd996_3a56)
  }

  @Test func `the table is the polynomial`() {
    for byte in UInt8.min...UInt8.max {
      var state = UInt32(byte)
      for _ in 0..<8 {
        state = state & 1 == 0 ? state >> 1 : state >> 1 ^ 0x82f6_3b78
      }
      withUnsafeBytes(of: byte) {
        #expect(mirrorcast_crc32c_by_table(0, $0.baseAddress, 1) == state)
      }
    }
  }

  @Test(arguments: digestKinds) func `nothing leaves the state as it is`(kind: UInt32) {
    let kind = mirrorcast_digest_kind(rawValue: kind)
    #expect(mirrorcast_crc32c_by(kind, 0x1234_5678, nil, 0) == 0x1234_5678)
    #expect(mirrorcast_crc32c_copy_by(kind, 0x1234_5678, nil, nil, 0) == 0x1234_5678)
    #expect(mirrorcast_crc32c(0x1234_5678, nil, 0) == 0x1234_5678)
    #expect(mirrorcast_crc32c_copy(0x1234_5678, nil, nil, 0) == 0x1234_5678)
    #expect(mirrorcast_crc32c_by_table(0x1234_5678, nil, 0) == 0x1234_5678)
  }

  @Test(arguments: digestKinds) func `every length agrees with the table`(kind: UInt32) {
    let bytes = noise(30_000)
    for length in Array(0...5000) + [8639, 8640, 8641, 8900, 17_281, 29_000] {
      expectAgreement(kind, bytes, from: .random(in: 0..<64), length, to: .random(in: 0..<64))
    }
  }

  @Test(arguments: digestKinds) func `every alignment agrees with the table`(kind: UInt32) {
    let bytes = noise(2000)
    for from in 0..<64 {
      for to in 0..<64 {
        let length = [48, 64, 65, 127, 128, 255, 256, 511, 1408].randomElement() ?? 0
        expectAgreement(kind, bytes, from: from, length, to: to)
      }
    }
  }

  @Test(arguments: digestKinds) func `nothing outside is touched`(kind: UInt32) {
    let kind = mirrorcast_digest_kind(rawValue: kind)
    withFencedPieces { source, target, length in
      let expected = mirrorcast_crc32c_by_table(7, source, length)
      #expect(mirrorcast_crc32c_by(kind, 7, source, length) == expected)
      #expect(mirrorcast_crc32c_copy_by(kind, 7, target, source, length) == expected)
      #expect(memcmp(source, target, length) == 0)
    }
  }

  // A source that changes under way, by a copy onto itself: each byte written changes one to come.
  @Test(.enabled(if: mirrorcast_crc32c_has(mirrorcast_digest_folding) == 1))
  func `the digest is of what was written`() {
    for length in 0...1500 {
      let shift = Int.random(in: 1...200)
      var bytes = noise(length + shift)
      bytes.withUnsafeMutableBytes { all in
        guard let source = all.baseAddress else { return }
        let state = mirrorcast_crc32c_copy_by(
          mirrorcast_digest_folding, 7, source + shift, source, length)
        #expect(state == mirrorcast_crc32c_by_table(7, source + shift, length), "\(length) bytes")
      }
    }
  }

  @Test(arguments: digestKinds) func `pieces add up to the whole`(kind: UInt32) {
    let bytes = noise(9000)
    let whole = checksum(bytes, kind)
    for _ in 0..<200 {
      var state = UInt32.max
      bytes.withUnsafeBytes { all in
        var at = 0
        while at < all.count {
          let length = Int.random(in: 0...min(3000, all.count - at))
          state = mirrorcast_crc32c_by(
            mirrorcast_digest_kind(rawValue: kind), state, all.baseAddress.map { $0 + at }, length)
          at += length
        }
      }
      #expect(~state == whole)
    }
  }

  @Test(arguments: digestKinds) func `one flipped bit anywhere shows`(kind: UInt32) {
    var bytes = [UInt8](repeating: 0x5a, count: 1468)
    let whole = checksum(bytes, kind)
    for bit in stride(from: 0, to: bytes.count * 8, by: 7) {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(checksum(bytes, kind) != whole)
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }

  @Test func `the quickest that the processor has serves`() {
    #expect(digestKinds.first == mirrorcast_digest_table.rawValue)
    #expect(mirrorcast_crc32c_kind().rawValue == digestKinds.last)
    #expect(String(cString: mirrorcast_crc32c_kind_name(mirrorcast_digest_table)) == "table")
    let bytes = noise(1408)
    bytes.withUnsafeBytes {
      #expect(
        mirrorcast_crc32c(3, $0.baseAddress, 1408)
          == mirrorcast_crc32c_by_table(3, $0.baseAddress, 1408))
    }
  }

  @Test func `a kind that is not there is the table`() {
    let none = mirrorcast_digest_kind(rawValue: 17)
    #expect(mirrorcast_crc32c_has(none) == 0)
    #expect(String(cString: mirrorcast_crc32c_kind_name(none)) == "not on this processor")
    #expect(
      "123456789".utf8.withContiguousStorageIfAvailable {
        ~mirrorcast_crc32c_by(none, .max, $0.baseAddress, $0.count)
      } == 0xe306_9283)
  }

  // Both functions from any state; the copy is exact, and its neighbours stay as they are.
  private func expectAgreement(
    _ kind: UInt32, _ bytes: [UInt8], from: Int, _ length: Int, to: Int
  ) {
    let state = UInt32.random(in: 0...UInt32.max)
    let kind = mirrorcast_digest_kind(rawValue: kind)
    var copy = [UInt8](repeating: 0xa5, count: to + length + 64)
    bytes.withUnsafeBytes { all in
      let piece = all.baseAddress.map { $0 + from }
      let expected = mirrorcast_crc32c_by_table(state, piece, length)
      let plain = mirrorcast_crc32c_by(kind, state, piece, length)
      #expect(plain == expected, "\(length) bytes at \(from) from \(state)")
      copy.withUnsafeMutableBytes { target in
        let copied = mirrorcast_crc32c_copy_by(
          kind, state, target.baseAddress.map { $0 + to }, piece, length)
        #expect(copied == expected, "\(length) bytes at \(from) to \(to) from \(state)")
      }
    }
    expectCopied(copy, to: to, Array(bytes[from..<from + length]))
  }

  private func checksum(_ bytes: [UInt8], _ kind: UInt32) -> UInt32 {
    bytes.withUnsafeBytes {
      ~mirrorcast_crc32c_by(
        mirrorcast_digest_kind(rawValue: kind), UInt32.max, $0.baseAddress, $0.count)
    }
  }
}

import CDigest
import Testing

@Suite struct DigestTests {
  // RFC 3720 §B.4: the examples, in host order.
  @Test func `the examples of RFC 3720`() {
    #expect(checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
    #expect(checksum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
    #expect(checksum((0..<32).map { $0 }) == 0x46dd_794e)
    #expect(checksum((0..<32).reversed().map { $0 }) == 0x113f_db5c)
    #expect(checksum([UInt8]("123456789".utf8)) == 0xe306_9283)
  }

  @Test func `nothing leaves the state as it is`() {
    #expect(mirrorcast_crc32c(0x1234_5678, nil, 0) == 0x1234_5678)
    #expect(mirrorcast_crc32c_copy(0x1234_5678, nil, nil, 0) == 0x1234_5678)
    #expect(mirrorcast_crc32c_by_table(0x1234_5678, nil, 0) == 0x1234_5678)
  }

  @Test func `any length at any alignment agrees with the table`() {
    var random = SystemRandomNumberGenerator()
    let bytes = (0..<30_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    var copy = [UInt8](repeating: 0, count: 30_000)
    let lengths = Array(0...200) + [1439, 1440, 1441, 1468, 2879, 8639, 8640, 8641, 17_281, 29_000]
    for length in lengths {
      let offset = Int.random(in: 0..<64)
      let state = UInt32.random(in: 0...UInt32.max)
      bytes.withUnsafeBytes { all in
        let piece = UnsafeRawBufferPointer(rebasing: all[offset..<offset + length])
        let expected = mirrorcast_crc32c_by_table(state, piece.baseAddress, length)
        #expect(
          mirrorcast_crc32c(state, piece.baseAddress, length) == expected,
          "length \(length) at \(offset) from \(state)")
        copy.withUnsafeMutableBytes { target in
          let start = target.baseAddress.map { $0 + 7 }
          #expect(mirrorcast_crc32c_copy(state, start, piece.baseAddress, length) == expected)
          #expect(target[7..<7 + length].elementsEqual(piece))
        }
      }
    }
  }

  @Test func `pieces add up to the whole`() {
    let bytes = (0..<9000).map { _ in UInt8.random(in: 0...255) }
    let whole = checksum(bytes)
    for _ in 0..<200 {
      var state = UInt32.max
      bytes.withUnsafeBytes { all in
        var at = 0
        while at < all.count {
          let length = Int.random(in: 0...min(3000, all.count - at))
          state = mirrorcast_crc32c(state, all.baseAddress.map { $0 + at }, length)
          at += length
        }
      }
      #expect(~state == whole)
    }
  }

  @Test func `one flipped bit anywhere shows`() {
    var bytes = [UInt8](repeating: 0x5a, count: 1468)
    let whole = checksum(bytes)
    for bit in stride(from: 0, to: bytes.count * 8, by: 7) {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(checksum(bytes) != whole)
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }

  private func checksum(_ bytes: [UInt8]) -> UInt32 {
    bytes.withUnsafeBytes { ~mirrorcast_crc32c(UInt32.max, $0.baseAddress, $0.count) }
  }
}

import CDigest
import Glibc
import Testing

@Suite struct CopyTests {
  @Test func `past the cache every length arrives`() {
    let bytes = noise(20_000)
    for length in Array(0...2000) + [8900, 16_384, 19_000] {
      expectCopy(bytes, from: .random(in: 0..<64), length, to: .random(in: 0..<64))
    }
  }

  @Test func `past the cache every alignment arrives`() {
    let bytes = noise(2000)
    for from in 0..<64 {
      for to in 0..<64 {
        expectCopy(bytes, from: from, [255, 256, 319, 320, 1408].randomElement() ?? 0, to: to)
      }
    }
  }

  @Test func `past the cache nothing outside is touched`() {
    withFencedPieces { source, target, length in
      mirrorcast_copy_past_cache(target, source, length)
      mirrorcast_copy_fence()
      #expect(memcmp(source, target, length) == 0)
    }
  }

  @Test func `past the cache nothing outside is touched, digested or not`() {
    withFencedPieces { source, target, length in
      memset(target, 0, length)
      let state = mirrorcast_crc32c_copy_past_cache(0x1234_5678, target, source, length)
      mirrorcast_copy_fence()
      #expect(memcmp(source, target, length) == 0)
      #expect(state == mirrorcast_crc32c_by_table(0x1234_5678, source, length), "\(length)")
    }
  }

  @Test func `nothing is copied from and to nowhere`() {
    mirrorcast_copy_past_cache(nil, nil, 0)
    #expect(mirrorcast_crc32c_copy_past_cache(7, nil, nil, 0) == 7)
    mirrorcast_copy_fence()
  }

  private func expectCopy(_ bytes: [UInt8], from: Int, _ length: Int, to: Int) {
    var copy = [UInt8](repeating: 0xa5, count: to + length + 64)
    bytes.withUnsafeBytes { all in
      copy.withUnsafeMutableBytes { target in
        mirrorcast_copy_past_cache(
          target.baseAddress.map { $0 + to }, all.baseAddress.map { $0 + from }, length)
        mirrorcast_copy_fence()
      }
    }
    expectCopied(copy, to: to, Array(bytes[from..<from + length]))
    copy = [UInt8](repeating: 0xa5, count: copy.count)
    let (digest, expected) = bytes.withUnsafeBytes { all in
      copy.withUnsafeMutableBytes { target in
        let source = all.baseAddress.map { $0 + from }
        let digest = mirrorcast_crc32c_copy_past_cache(
          .max, target.baseAddress.map { $0 + to }, source, length)
        mirrorcast_copy_fence()
        return (digest, mirrorcast_crc32c_by_table(.max, source, length))
      }
    }
    #expect(digest == expected, "\(length) bytes from \(from) to \(to)")
    expectCopied(copy, to: to, Array(bytes[from..<from + length]))
  }
}

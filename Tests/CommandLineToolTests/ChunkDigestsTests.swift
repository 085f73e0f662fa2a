import Testing

@testable import mirrorcast

struct ChunkDigestsTests {
  /// A MiB, and one and a half KiB of the next.
  private static let stream: [UInt8] = {
    var random = SplitMix64(seed: 1)
    let words = (0..<((1 << 20) + 1536) / 8).map { _ in random.next() }
    return words.withUnsafeBytes { Array($0) }
  }()

  @Test func `the hash is XXH64`() {
    // As xxhsum -H1 prints it for 32 and 64 bytes 00, 01, 02 …
    for (count, expected) in [(32, 0xcbf5_9c51_16ff_32b4), (64, 0xf7c6_7301_db67_13f0)]
      as [(Int, UInt64)]
    {
      var hash = XXH64()
      let input = (0..<UInt8(count)).map { $0 }
      hash.absorb(input.span.bytes)
      #expect(hash.digest == expected)
    }
  }

  @Test(arguments: [512, 65536, (1 << 20) + 512, 3 << 20])
  func `pieces of any size give the same hashes`(pieceLength: Int) {
    let stream = Self.stream
    var digests = ChunkDigests()
    for start in stride(from: 0, to: stream.count, by: pieceLength) {
      digests.take(stream[start..<min(start + pieceLength, stream.count)])
    }
    for start in stride(from: 0, to: stream.count, by: 1 << 20) {
      let chunk = stream[start..<min(start + (1 << 20), stream.count)]
      #expect(digests.holds(chunk, at: UInt64(start)))
    }
  }

  @Test func `one bit, another length and another place are noticed`() {
    var stream = Self.stream
    var digests = ChunkDigests()
    digests.take(stream[...])
    #expect(digests.holds(stream[(1 << 20)...], at: 1 << 20))
    #expect(!digests.holds(stream[..<(1 << 20)], at: 1 << 20))
    #expect(!digests.holds(stream[..<512], at: 0))
    #expect(!digests.holds(stream[..<512], at: 5 << 20))
    stream[77] ^= 1
    #expect(!digests.holds(stream[..<(1 << 20)], at: 0))
  }
}

extension ChunkDigests {
  fileprivate mutating func take(_ piece: ArraySlice<UInt8>) {
    let bytes = Array(piece)
    absorb(bytes.span.bytes)
  }

  fileprivate func holds(_ chunk: ArraySlice<UInt8>, at offset: UInt64) -> Bool {
    let bytes = Array(chunk)
    return match(bytes.span.bytes, at: offset)
  }
}

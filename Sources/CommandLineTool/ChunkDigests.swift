// Standard input can't be read a second time, so what went by is remembered as one 64-bit hash for
// each MiB: 8 bytes a MiB, 32 KiB for 4 GiB. The hash is XXH64 (Collet) with seed 0: four
// independent lanes, so it costs a small part of a copy. It finds accidents, not forgers.

/// One hash for each MiB of a stream that is handed in by pieces, in order.
struct ChunkDigests: Sendable {
  static let chunkLength = 1 << 20

  private var finished: [UInt64] = []
  private var open = XXH64()

  /// Takes the next bytes of the stream; every piece is whole blocks, so a multiple of 32 bytes.
  mutating func absorb(_ piece: RawSpan) {
    var rest = piece
    while rest.byteCount > 0 {
      let room = Self.chunkLength - open.byteCount
      open.absorb(rest.extracting(first: min(room, rest.byteCount)))
      rest = rest.extracting(droppingFirst: min(room, rest.byteCount))
      if open.byteCount == Self.chunkLength {
        finished.append(open.digest)
        open = XXH64()
      }
    }
  }

  /// Whether `chunk` has the hash of the MiB that began at `offset` of the stream.
  func match(_ chunk: RawSpan, at offset: UInt64) -> Bool {
    let index = Int(offset) / Self.chunkLength
    var hash = XXH64()
    hash.absorb(chunk)
    if index < finished.count { return finished[index] == hash.digest }
    return index == finished.count && open.byteCount == hash.byteCount
      && open.digest == hash.digest
  }
}

/// XXH64 with seed 0 over bytes that come in multiples of 32.
struct XXH64: Sendable {
  private static let prime1: UInt64 = 0x9e37_79b1_85eb_ca87
  private static let prime2: UInt64 = 0xc2b2_ae3d_27d4_eb4f
  private static let prime3: UInt64 = 0x1656_67b1_9e37_79f9
  private static let prime4: UInt64 = 0x85eb_ca77_c2b2_ae63
  private static let prime5: UInt64 = 0x27d4_eb2f_1656_67c5

  private(set) var byteCount = 0
  private var lanes: (UInt64, UInt64, UInt64, UInt64) = (
    prime1 &+ prime2, prime2, 0, 0 &- prime1
  )

  mutating func absorb(_ bytes: RawSpan) {
    precondition(bytes.byteCount % 32 == 0, "a hash of bytes that are not whole stripes")
    var (a, b, c, d) = lanes
    var offset = 0
    while offset < bytes.byteCount {
      a = Self.round(a, bytes.word(at: offset))
      b = Self.round(b, bytes.word(at: offset + 8))
      c = Self.round(c, bytes.word(at: offset + 16))
      d = Self.round(d, bytes.word(at: offset + 24))
      offset += 32
    }
    lanes = (a, b, c, d)
    byteCount += bytes.byteCount
  }

  var digest: UInt64 {
    let (a, b, c, d) = lanes
    var hash = Self.prime5
    if byteCount > 0 {
      hash = Self.rotate(a, 1) &+ Self.rotate(b, 7) &+ Self.rotate(c, 12) &+ Self.rotate(d, 18)
      for lane in [a, b, c, d] {
        hash = (hash ^ Self.round(0, lane)) &* Self.prime1 &+ Self.prime4
      }
    }
    hash &+= UInt64(byteCount)
    hash = (hash ^ (hash >> 33)) &* Self.prime2
    hash = (hash ^ (hash >> 29)) &* Self.prime3
    return hash ^ (hash >> 32)
  }

  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotate(lane &+ word &* prime2, 31) &* prime1
  }

  private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
    value << count | value >> (64 - count)
  }
}

extension RawSpan {
  fileprivate func word(at offset: Int) -> UInt64 {
    // Safe: the caller's loop ends 32 bytes before the end, and unaligned loads are allowed.
    UInt64(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}

// Sectors that say what they are: where they belong, which write they are of, and bytes that follow
// from both. So whoever reads one knows which write it is of, or that it is torn or another's.

/// The content of the sectors that an exercise writes.
enum StampedSector {
  /// `MIRRTEST`.
  private static let magic: UInt64 = 0x4d49_5252_5445_5354

  /// What a sector turns out to be.
  enum Finding: Equatable {
    /// Never written by an exercise.
    case foreign
    /// Of that write.
    case write(UInt64)
    /// It says that it is of a write, and isn't.
    case damaged
  }

  /// Fills whole sectors from one on.
  // Safe: the caller lends the buffer, which has whole sectors of a multiple of 8 bytes.
  @unsafe
  static func fill(
    _ bytes: UnsafeMutableRawBufferPointer, sectorSize: Int, first: UInt64, write: UInt64
  ) {
    var offset = 0
    var sector = first
    while offset < bytes.count {
      var random = random(sector, write)
      // Safe: inside the buffer, at multiples of 8.
      unsafe bytes.storeBytes(of: magic.bigEndian, toByteOffset: offset, as: UInt64.self)
      unsafe bytes.storeBytes(of: sector.bigEndian, toByteOffset: offset + 8, as: UInt64.self)
      unsafe bytes.storeBytes(of: write.bigEndian, toByteOffset: offset + 16, as: UInt64.self)
      for place in stride(from: offset + 24, to: offset + sectorSize, by: 8) {
        unsafe bytes.storeBytes(of: random.next(), toByteOffset: place, as: UInt64.self)
      }
      offset += sectorSize
      sector += 1
    }
  }

  /// What stands in one sector.
  static func judge(_ bytes: ArraySlice<UInt8>, sector: UInt64) -> Finding {
    let start = bytes.startIndex
    guard word(bytes, start).byteSwapped == magic else { return .foreign }
    let write = word(bytes, start + 16).byteSwapped
    guard word(bytes, start + 8).byteSwapped == sector else { return .damaged }
    var random = random(sector, write)
    for place in stride(from: start + 24, to: bytes.endIndex, by: 8)
    where word(bytes, place) != random.next() { return .damaged }
    return .write(write)
  }

  private static func random(_ sector: UInt64, _ write: UInt64) -> SplitMix64 {
    SplitMix64(seed: sector &* 0x2545_f491_4f6c_dd1d ^ write)
  }

  private static func word(_ bytes: ArraySlice<UInt8>, _ start: Int) -> UInt64 {
    // Safe: an unaligned load of eight bytes inside the slice, which is checked.
    unsafe bytes[start..<start + 8].withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
  }
}

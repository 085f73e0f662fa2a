// A sector's bytes tell which write they are of: address and stamp in every word. So a disk need
// keep no bytes, only stamps, and the bytes that come to it are checked and let go.

/// Which write a sector is of: its place in the history of the run; 0 is a sector never written.
typealias Stamp = UInt32

/// The bytes of a sector of a write.
enum Sector {
  static let byteCount = 512
  private static let wordCount = byteCount / 8

  private static func seed(_ address: Int, _ stamp: Stamp) -> UInt64 {
    UInt64(address) << 32 | UInt64(stamp)
  }

  static func fill(_ bytes: UnsafeMutableRawPointer, address: Int, stamp: Stamp) {
    guard stamp != 0 else {
      bytes.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
      return
    }
    let seed = seed(address, stamp)
    var word = SeededRandom.mix(seed)
    bytes.storeBytes(of: seed, as: UInt64.self)
    for index in 1..<wordCount {
      bytes.storeBytes(of: word, toByteOffset: index * 8, as: UInt64.self)
      word &+= 0x9e37_79b9_7f4a_7c15
    }
  }

  /// The stamp of a sector's bytes; nil where they are none of a sector at that address.
  static func stamp(of bytes: UnsafeRawPointer, address: Int) -> Stamp? {
    let seed = bytes.loadUnaligned(as: UInt64.self)
    let stamp = Stamp(truncatingIfNeeded: seed)
    var difference: UInt64 = 0
    guard stamp != 0 else {
      for index in 0..<wordCount {
        difference |= bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
      }
      return difference == 0 ? 0 : nil
    }
    guard seed >> 32 == UInt64(address) else { return nil }
    var word = SeededRandom.mix(seed)
    for index in 1..<wordCount {
      difference |= bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) ^ word
      word &+= 0x9e37_79b9_7f4a_7c15
    }
    return difference == 0 ? stamp : nil
  }
}

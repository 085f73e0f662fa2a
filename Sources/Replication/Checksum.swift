import CDigest

/// A running CRC32C, as a value: the digest of every datagram, computed in pieces.
package struct Checksum: Equatable, Sendable, BitwiseCopyable {
  package private(set) var state: UInt32 = 0xffff_ffff

  package init() {}

  /// Adds bytes to what was digested.
  package mutating func update(_ bytes: RawSpan) {
    let before = state
    // Safe: the closure reads the bytes while they are borrowed and keeps no pointer.
    state = unsafe bytes.withUnsafeBytes {
      unsafe mirrorcast_crc32c(before, $0.baseAddress, $0.count)
    }
  }

  /// The finished value, as it stands on the wire.
  package var value: UInt32 { ~state }
}

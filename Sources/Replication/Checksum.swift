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

  /// Copies bytes to `offset` of `target`, and adds them on the way; past the cache where the
  /// memory is not read again soon.
  package mutating func update(
    copying bytes: RawSpan, into target: inout MutableRawSpan, at offset: Int,
    isPastCache: Bool = false
  ) {
    precondition(
      offset >= 0 && bytes.byteCount <= target.byteCount - offset, "copy outside the span")
    guard bytes.byteCount > 0 else { return }
    let before = state
    // Safe: both lengths were compared just above; neither pointer leaves the closures.
    state = unsafe target.withUnsafeMutableBytes { to in
      unsafe bytes.withUnsafeBytes { from in
        let place = unsafe to.baseAddress.map { unsafe $0 + offset }
        return isPastCache
          ? unsafe mirrorcast_crc32c_copy_past_cache(before, place, from.baseAddress, from.count)
          : unsafe mirrorcast_crc32c_copy(before, place, from.baseAddress, from.count)
      }
    }
  }

  /// The finished value, as it stands on the wire.
  package var value: UInt32 { ~state }
}

extension MutableRawSpan {
  /// Copies all of `source` to `offset`, past the cache: for memory that is not read again soon.
  mutating func copyPastCache(_ source: RawSpan, at offset: Int) {
    precondition(
      offset >= 0 && source.byteCount <= byteCount - offset, "copy outside the span")
    // Safe: both lengths were compared just above; neither pointer leaves the closures.
    unsafe withUnsafeMutableBytes { to in
      unsafe source.withUnsafeBytes { from in
        unsafe mirrorcast_copy_past_cache(
          to.baseAddress.map { unsafe $0 + offset }, from.baseAddress, from.count)
      }
    }
  }
}

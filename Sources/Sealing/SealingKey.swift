// AES-GCM on whole datagrams, in place. Who holds a key, and which numbers were used with it, is
// the caller's matter: here are bytes alone.
import CSeal

/// Twelve bytes that are never used twice with one key.
package struct SealingNonce: Sendable, Equatable {
  /// The bytes in order, as the wire has them.
  package var upper: UInt64
  package var lower: UInt32

  package init(upper: UInt64, lower: UInt32) {
    self.upper = upper
    self.lower = lower
  }
}

/// One expanded key. Its own bytes are not kept.
@safe
package final class SealingKey: Sendable {
  package static let tagByteCount = Int(mirrorcast_seal_tag_bytes)
  /// Whether the processor has instructions for it; without, it is an order of magnitude slower.
  package static var isInHardware: Bool { mirrorcast_seal_has_hardware() == 1 }

  // Safe: the library reads an expanded key and never changes it, from any thread.
  private nonisolated(unsafe) let key: OpaquePointer

  /// A key of 16 bytes or of 32: anything else is our own bug.
  package init(_ bytes: [UInt8]) {
    precondition(bytes.count == 16 || bytes.count == 32, "AES keys have 16 or 32 bytes")
    // Safe: the bytes are read before the call returns.
    let made = unsafe bytes.withUnsafeBytes {
      unsafe mirrorcast_seal_key_make($0.baseAddress, $0.count)
    }
    guard let made = unsafe made else { preconditionFailure("no memory for a key") }
    unsafe key = made
  }

  deinit {
    // Safe: nobody has the key any more.
    unsafe mirrorcast_seal_key_free(key)
  }

  /// Encrypts `hidden` in place, signs that and all before it, and puts the tag at `tagOffset`.
  ///
  /// - Parameter hidden: empty where nothing is encrypted: then all before it is only signed.
  /// - Returns: false where the library refuses; nothing may be sent then.
  package func seal(
    _ bytes: inout MutableRawSpan, hidden: Range<Int>, tagOffset: Int, nonce: SealingNonce
  ) -> Bool {
    precondition(Self.fits(bytes.byteCount, hidden, tagOffset), "no room for the tag")
    // Safe: the ranges and the tag lie within the span, and none overlaps another.
    return unsafe bytes.withUnsafeMutableBytes { bytes in
      guard let start = bytes.baseAddress else { return false }
      return unsafe nonce.withBytes { nonce in
        unsafe mirrorcast_seal(
          key, nonce, start, hidden.lowerBound, start + hidden.lowerBound, hidden.count,
          start + tagOffset) == 1
      }
    }
  }

  /// Verifies the tag, and decrypts in place what `seal` has encrypted.
  ///
  /// - Returns: false where anything is not as it was sealed; what was hidden is of no use then.
  package func open(
    _ bytes: inout MutableRawSpan, hidden: Range<Int>, tagOffset: Int, nonce: SealingNonce
  ) -> Bool {
    guard Self.fits(bytes.byteCount, hidden, tagOffset) else { return false }
    // Safe: the ranges and the tag lie within the span, and none overlaps another.
    return unsafe bytes.withUnsafeMutableBytes { bytes in
      guard let start = bytes.baseAddress else { return false }
      return unsafe nonce.withBytes { nonce in
        unsafe mirrorcast_unseal(
          key, nonce, start, hidden.lowerBound, start + hidden.lowerBound, hidden.count,
          start + tagOffset) == 1
      }
    }
  }

  /// A tag over bytes that go their own way, and over a number beside them: the first half of it.
  /// The number is encrypted, which is what GCM signs besides, and goes nowhere.
  package func tag(
    of bytes: UnsafeRawBufferPointer, and number: UInt64, nonce: SealingNonce
  ) -> UInt64 {
    var room = (number: number.bigEndian, tag: (UInt64(0), UInt64(0)))
    let numberCount = MemoryLayout<UInt64>.size
    // Safe: the library reads the bytes, encrypts the number in place, and writes the 16 bytes of
    // the tag behind it; the room has that many.
    let isMade = unsafe withUnsafeMutableBytes(of: &room) { room in
      guard let place = room.baseAddress else { return false }
      return unsafe nonce.withBytes { nonce in
        unsafe mirrorcast_seal(
          key, nonce, bytes.baseAddress, bytes.count, place, numberCount, place + numberCount) == 1
      }
    }
    precondition(isMade, "AES-GCM signs whatever fits a write")
    return UInt64(bigEndian: room.tag.0)
  }

  private static func fits(_ byteCount: Int, _ hidden: Range<Int>, _ tagOffset: Int) -> Bool {
    hidden.lowerBound >= 0 && hidden.upperBound <= tagOffset
      && tagOffset <= byteCount - tagByteCount
  }
}

extension SealingNonce {
  /// Its bytes, as long as the call.
  @unsafe fileprivate func withBytes<Result>(
    _ body: (UnsafeRawPointer) -> Result
  ) -> Result {
    var bytes: InlineArray<12, UInt8> = .init(repeating: 0)
    for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: upper >> (56 - 8 * index)) }
    for index in 0..<4 { bytes[8 + index] = UInt8(truncatingIfNeeded: lower >> (24 - 8 * index)) }
    // Safe: the pointer is used before the bytes end.
    return unsafe withUnsafeBytes(of: &bytes) { bytes in
      guard let start = bytes.baseAddress else { preconditionFailure("a nonce has bytes") }
      return unsafe body(start)
    }
  }
}

// The only raw loads and stores of the project.
//
// A caller checks a length once, then reads fixed fields at fixed offsets. Every access is
// bounds-checked all the same: an offset outside the span is our own bug and traps with words;
// bytes from the network never choose an offset that was not compared with the span's count first.

extension RawSpan {
  /// The byte at `offset`.
  @inlinable package func byte(at offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount, "byte outside the span")
    // Safe: the offset was compared with the span's length just above.
    return unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  /// The big-endian 16-bit field at `offset`.
  @inlinable package func bigEndian16(at offset: Int) -> UInt16 {
    UInt16(bigEndian: loadInteger(at: offset))
  }

  /// The big-endian 32-bit field at `offset`.
  @inlinable package func bigEndian32(at offset: Int) -> UInt32 {
    UInt32(bigEndian: loadInteger(at: offset))
  }

  /// The big-endian 64-bit field at `offset`.
  @inlinable package func bigEndian64(at offset: Int) -> UInt64 {
    UInt64(bigEndian: loadInteger(at: offset))
  }

  @inlinable package func loadInteger<I: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> I {
    precondition(
      offset >= 0 && offset <= byteCount - MemoryLayout<I>.size, "field outside the span")
    // Safe: the whole field was compared with the span's length just above; unaligned is allowed.
    return unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: I.self)
  }

  /// Six 64-bit fields, big-endian, from the first byte on: a header by one call, since calls from
  /// other modules are not inlined.
  package func sixWords() -> SixWords {
    precondition(byteCount >= 48, "field outside the span")
    // Safe: all 48 bytes were compared with the span's length just above; unaligned is allowed.
    return unsafe withUnsafeBytes { bytes in
      unsafe SixWords(
        first: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
        second: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
        third: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
        fourth: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)),
        fifth: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 32, as: UInt64.self)),
        sixth: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 40, as: UInt64.self)))
    }
  }

  /// The bytes as an array, for the control path.
  package func array() -> [UInt8] {
    // Safe: the closure copies and keeps no pointer.
    unsafe withUnsafeBytes { unsafe [UInt8]($0) }
  }
}

/// Forty-eight bytes as six fields in the host's order.
package struct SixWords: Sendable, BitwiseCopyable {
  package var first: UInt64
  package var second: UInt64
  package var third: UInt64
  package var fourth: UInt64
  package var fifth: UInt64
  package var sixth: UInt64

  package init(
    first: UInt64, second: UInt64, third: UInt64, fourth: UInt64, fifth: UInt64, sixth: UInt64
  ) {
    self.first = first
    self.second = second
    self.third = third
    self.fourth = fourth
    self.fifth = fifth
    self.sixth = sixth
  }
}

extension MutableRawSpan {
  /// Stores six 64-bit fields, big-endian, from the first byte on.
  package mutating func store(_ words: SixWords) {
    precondition(byteCount >= 48, "field outside the span")
    // Safe: all 48 bytes were compared with the span's length just above; unaligned is allowed.
    unsafe withUnsafeMutableBytes { bytes in
      unsafe bytes.storeBytes(of: words.first.bigEndian, as: UInt64.self)
      unsafe bytes.storeBytes(of: words.second.bigEndian, toByteOffset: 8, as: UInt64.self)
      unsafe bytes.storeBytes(of: words.third.bigEndian, toByteOffset: 16, as: UInt64.self)
      unsafe bytes.storeBytes(of: words.fourth.bigEndian, toByteOffset: 24, as: UInt64.self)
      unsafe bytes.storeBytes(of: words.fifth.bigEndian, toByteOffset: 32, as: UInt64.self)
      unsafe bytes.storeBytes(of: words.sixth.bigEndian, toByteOffset: 40, as: UInt64.self)
    }
  }

  /// Stores one byte at `offset`.
  @inlinable package mutating func store(_ value: UInt8, at offset: Int) {
    storeInteger(value, at: offset)
  }

  /// Stores a 16-bit field, big-endian, at `offset`.
  @inlinable package mutating func storeBigEndian(_ value: UInt16, at offset: Int) {
    storeInteger(value.bigEndian, at: offset)
  }

  /// Stores a 32-bit field, big-endian, at `offset`.
  @inlinable package mutating func storeBigEndian(_ value: UInt32, at offset: Int) {
    storeInteger(value.bigEndian, at: offset)
  }

  /// Stores a 64-bit field, big-endian, at `offset`.
  @inlinable package mutating func storeBigEndian(_ value: UInt64, at offset: Int) {
    storeInteger(value.bigEndian, at: offset)
  }

  @inlinable package mutating func storeInteger<I: FixedWidthInteger & BitwiseCopyable>(
    _ value: I, at offset: Int
  ) {
    precondition(
      offset >= 0 && offset <= byteCount - MemoryLayout<I>.size, "field outside the span")
    storeBytes(of: value, toByteOffset: offset, as: I.self)
  }
}

extension [UInt8] {
  /// Appends a 16-bit field, big-endian.
  package mutating func appendBigEndian(_ value: UInt16) {
    append(UInt8(truncatingIfNeeded: value >> 8))
    append(UInt8(truncatingIfNeeded: value))
  }

  /// Appends a 32-bit field, big-endian.
  package mutating func appendBigEndian(_ value: UInt32) {
    appendBigEndian(UInt16(truncatingIfNeeded: value >> 16))
    appendBigEndian(UInt16(truncatingIfNeeded: value))
  }

  /// Appends a 64-bit field, big-endian.
  package mutating func appendBigEndian(_ value: UInt64) {
    appendBigEndian(UInt32(truncatingIfNeeded: value >> 32))
    appendBigEndian(UInt32(truncatingIfNeeded: value))
  }
}

extension MutableRawSpan {
  /// Copies all of `source` to `offset`.
  @inlinable package mutating func copy(_ source: RawSpan, at offset: Int) {
    precondition(
      offset >= 0 && source.byteCount <= byteCount - offset, "copy outside the span")
    guard source.byteCount > 0 else { return }
    // Safe: both lengths were compared just above; neither pointer leaves the closures.
    unsafe withUnsafeMutableBytes { to in
      unsafe source.withUnsafeBytes { from in
        unsafe UnsafeMutableRawBufferPointer(rebasing: to[offset...]).copyMemory(from: from)
      }
    }
  }
}

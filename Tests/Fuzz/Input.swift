/// Takes values from the front of an input; zeros when it is used up.
struct Input {
  private let bytes: [UInt8]
  private var offset = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  var isEmpty: Bool { offset >= bytes.count }

  mutating func byte() -> UInt8 {
    guard offset < bytes.count else { return 0 }
    offset += 1
    return bytes[offset - 1]
  }

  mutating func uint16() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }
  mutating func uint32() -> UInt32 { UInt32(uint16()) << 16 | UInt32(uint16()) }
  mutating func uint64() -> UInt64 { UInt64(uint32()) << 32 | UInt64(uint32()) }

  /// So many bytes; fewer at the end.
  mutating func bytes(_ count: Int) -> [UInt8] {
    let end = min(offset + count, bytes.count)
    defer { offset = end }
    return Array(bytes[offset..<end])
  }

  /// A length in one byte, longer ones in two more, and as many bytes.
  mutating func counted() -> [UInt8] {
    let short = byte()
    return bytes(short == 255 ? Int(uint16()) : Int(short))
  }

  mutating func rest() -> [UInt8] { bytes(bytes.count) }

  /// What stands before each byte 255, which no text has.
  mutating func segments() -> [[UInt8]] {
    rest().split(separator: 255, omittingEmptySubsequences: false).map(Array.init)
  }
}

/// A length as `Input.counted` reads it, with the bytes.
func counted(_ bytes: [UInt8]) -> [UInt8] {
  bytes.count < 255
    ? [UInt8(bytes.count)] + bytes
    : [255, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)] + bytes
}

/// Where a stream is cut: small numbers that look like chance and are the same each time.
struct Cuts {
  private var state: UInt32

  init(_ seed: UInt8) { state = UInt32(seed) &* 0x9e37_79b9 | 1 }

  mutating func next(upTo most: Int) -> Int {
    state = state &* 1_664_525 &+ 1_013_904_223
    return 1 + Int(state >> 16) % most
  }
}

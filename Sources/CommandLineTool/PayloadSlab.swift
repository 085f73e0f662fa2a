/// Pseudo random bytes to write, made before a clock starts and never changed; several writes may
/// take the same ones at once.
final class PayloadSlab: Sendable {
  private static let byteCountMax = 4 << 20

  let writeLength: Int
  private let count: Int
  private let slab: Slab

  init(writeLength: Int, byteCountWanted: UInt64) {
    self.writeLength = writeLength
    let byteCount = Int(min(UInt64(Self.byteCountMax), byteCountWanted))
    count = max(1, byteCount / writeLength)
    slab = Slab(sliceLength: writeLength, count: count)
    var random = SplitMix64(seed: 1)
    for index in 0..<count {
      // Safe: nobody else knows the slab yet; slices are multiples of 512 bytes and aligned so.
      for offset in stride(from: 0, to: writeLength, by: 8) {
        unsafe slab[index].storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
      }
    }
  }

  /// The bytes for the write with this number.
  // Safe: to read; the caller keeps the slab alive while the bytes are in use.
  @unsafe
  subscript(number: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(slab[number % count])
  }
}

/// Page-aligned buffers of one length, taken at start and used again and again.
@safe
final class Slab: @unchecked Sendable {
  let sliceLength: Int
  private let count: Int
  private let memory: UnsafeMutableRawBufferPointer

  init(sliceLength: Int, count: Int) {
    self.sliceLength = sliceLength
    self.count = count
    // Safe: freed in deinit only.
    unsafe memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: sliceLength * count, alignment: 4096)
  }

  deinit {
    // Safe: the caller keeps the slab alive while a slice is in use.
    unsafe memory.deallocate()
  }

  /// The buffer at `index`; whoever holds the index is alone with it, and the slab must outlive it.
  @unsafe
  subscript(index: Int) -> UnsafeMutableRawBufferPointer {
    precondition(index >= 0 && index < count, "no such slice")
    let start = index * sliceLength
    // Safe: the index was compared with the count just above.
    return unsafe UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + sliceLength])
  }
}

/// Room for one datagram, taken once.
// Safe: the memory is the object's own, freed with it; the owner is one lane.
@safe final class DatagramScratch {
  let bytes: UnsafeMutableRawBufferPointer

  init(byteCount: Int) {
    // Safe: allocated and set to zeros before anybody reads it.
    unsafe bytes = .allocate(byteCount: byteCount, alignment: 64)
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit {
    // Safe: allocated by init, and nobody else has it.
    unsafe bytes.deallocate()
  }

  /// Lends the room for one datagram to be assembled in.
  func fill<Result>(_ body: (inout MutableRawSpan) -> Result) -> Result {
    // Safe: the span can't escape, and the object outlives the call.
    var span = unsafe bytes.mutableBytes
    return body(&span)
  }

  /// The first bytes, until the next `fill`.
  @unsafe func filled(_ count: Int) -> UnsafeRawBufferPointer {
    // Safe: the slice is checked against the room.
    unsafe UnsafeRawBufferPointer(rebasing: bytes[0..<count])
  }

  /// The first bytes as an array, for the control path.
  func prefix(_ count: Int) -> ArraySlice<UInt8> {
    // Safe: the slice of the buffer is checked, and copied.
    unsafe [UInt8](filled(count))[...]
  }
}

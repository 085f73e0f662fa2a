/// Room for one datagram, taken once.
// Safe: the memory is the object's own, freed with it; the owner is one lane.
@safe final class DatagramScratch {
  let bytes: UnsafeMutableRawBufferPointer

  init(byteCount: Int) {
    unsafe bytes = .allocate(byteCount: byteCount, alignment: 64)
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit {
    // Safe: allocated by init, and nobody else has it.
    unsafe bytes.deallocate()
  }

  /// The first bytes as an array, for the control path.
  func prefix(_ count: Int) -> ArraySlice<UInt8> {
    // Safe: the slice of the buffer is checked, and copied.
    unsafe [UInt8](UnsafeRawBufferPointer(rebasing: bytes[0..<count]))[...]
  }
}

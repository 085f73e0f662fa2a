internal import CDatagram

/// A set of processor cores, as the scheduler takes it.
struct CoreSet {
  static let coreMax = 1024

  private var words = InlineArray<16, UInt64>(repeating: 0)
  private(set) var count = 0

  func contains(_ core: Int) -> Bool {
    core >= 0 && core < Self.coreMax && words[core / 64] >> UInt64(core % 64) & 1 == 1
  }

  mutating func insert(_ core: Int) {
    precondition(core >= 0 && core < Self.coreMax, "no such core")
    guard !contains(core) else { return }
    words[core / 64] |= 1 << UInt64(core % 64)
    count += 1
  }

  func intersection(_ other: CoreSet) -> CoreSet {
    var both = CoreSet()
    for core in 0..<Self.coreMax where contains(core) && other.contains(core) {
      both.insert(core)
    }
    return both
  }

  /// The cores that the calling thread may run on now.
  static func allowed() throws(PlacementError) -> CoreSet {
    var words = InlineArray<16, UInt64>(repeating: 0)
    var span = words.mutableSpan
    // Safe: the call fills the 16 words that it is told of.
    let result = unsafe span.withUnsafeMutableBufferPointer { buffer in
      unsafe mirrorcast_current_cores(buffer.baseAddress, 16)
    }
    guard result >= 0 else {
      throw .system(SystemError(doing: "read the cores of this thread", number: -result))
    }
    var cores = CoreSet()
    for core in 0..<coreMax where words[core / 64] >> UInt64(core % 64) & 1 == 1 {
      cores.insert(core)
    }
    return cores
  }

  func pinCurrentThread() throws(PlacementError) {
    // Safe: the call reads the 16 words that it is told of.
    let result = unsafe words.span.withUnsafeBufferPointer { buffer in
      unsafe mirrorcast_pin_to_cores(buffer.baseAddress, 16)
    }
    guard result >= 0 else {
      throw .system(SystemError(doing: "pin this thread to its cores", number: -result))
    }
  }
}

internal import CDatagram

/// The descriptors that a lane waits for. It has room for all that a duty may have by its own
/// limits, so that none is ever left out, and a list is no allocation.
package struct WaitList {
  package static let countMax = Int(mirrorcast_waited_max)

  private var entries: InlineArray<256, mirrorcast_waited>
  package private(set) var count = 0

  package init() {
    entries = InlineArray(repeating: mirrorcast_waited())
  }

  package mutating func removeAll() {
    count = 0
  }

  /// Waits for `descriptor` to become readable, and writable too if asked.
  package mutating func append(_ descriptor: Int32, wantsWrite: Bool = false) {
    precondition(count < Self.countMax, "too many descriptors for one lane")
    entries[count] = mirrorcast_waited(
      descriptor: descriptor, wants_write: wantsWrite ? 1 : 0, ready: 0)
    count += 1
  }

  /// Sleeps until a descriptor is ready or the time is over (nil: no limit); how many are ready.
  @discardableResult
  package mutating func wait(nanoseconds: UInt64?) throws(SystemError) -> Int {
    let timeout = nanoseconds.map { Int64(clamping: $0) } ?? -1
    var span = entries.mutableSpan
    let used = UInt32(count)
    // Safe: the call reads and writes `count` entries, of those that there are.
    let result = unsafe span.withUnsafeMutableBufferPointer { buffer in
      unsafe mirrorcast_wait(buffer.baseAddress, used, timeout)
    }
    return Int(try SystemError.check(result, "wait for descriptors"))
  }

  /// Whether a descriptor was found ready, or in error, by the last wait, and not cleared since.
  package func isReady(descriptor: Int32) -> Bool {
    for index in 0..<count where entries[index].descriptor == descriptor {
      return entries[index].ready != 0
    }
    return false
  }

  /// There is nothing more to be had from a descriptor for now.
  package mutating func clear(descriptor: Int32) {
    for index in 0..<count where entries[index].descriptor == descriptor {
      entries[index].ready = 0
    }
  }

  /// Whether entry `index` was found ready, or in error, by the last wait.
  package func isReady(_ index: Int) -> Bool {
    precondition(index < count, "no such entry")
    return entries[index].ready != 0
  }
}

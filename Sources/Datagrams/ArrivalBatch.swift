internal import CDatagram

/// Room for the datagrams of one receive: equal slots, taken once and filled again and again.
@safe
package struct ArrivalBatch: ~Copyable {
  package static let capacityMax = Int(mirrorcast_batch_max)

  package let capacity: Int
  /// The longest datagram that arrives whole.
  package let datagramMax: Int
  /// How many datagrams the last receive brought.
  package private(set) var count = 0
  private let arena: UnsafeMutableRawBufferPointer
  private let arrivals: UnsafeMutablePointer<mirrorcast_arrival>

  package init(capacity: Int, datagramMax: Int) {
    precondition(capacity > 0 && capacity <= Self.capacityMax, "1 to 64 datagrams a batch")
    precondition(datagramMax > 0 && datagramMax <= 65536, "a datagram has 1 to 65536 bytes")
    let stride = (datagramMax + 63) / 64 * 64
    self.capacity = capacity
    self.datagramMax = datagramMax
    // Safe: taken here, given back by deinit; each slot is a part of the arena.
    unsafe arena = .allocate(byteCount: capacity * stride, alignment: 64)
    unsafe arrivals = .allocate(capacity: capacity)
    for index in 0..<capacity {
      var arrival = unsafe mirrorcast_arrival()
      // Safe: each arrival is one of `capacity`.
      unsafe arrival.bytes = arena.baseAddress.map { unsafe $0 + index * stride }
      unsafe arrival.capacity = UInt32(datagramMax)
      unsafe (arrivals + index).initialize(to: arrival)
    }
  }

  deinit {
    // Safe: allocated by init, and nobody else has them.
    unsafe arrivals.deallocate()
    unsafe arena.deallocate()
  }

  /// Fills the batch; the socket's drop counter too, where the kernel told it.
  mutating func receive(_ descriptor: Int32, dropped: inout UInt32) -> Int32 {
    // Safe: `capacity` arrivals, each naming its own slot.
    let result = unsafe mirrorcast_receive(descriptor, arrivals, UInt32(capacity))
    count = max(0, Int(result))
    if count > 0, unsafe arrivals[count - 1].has_dropped != 0 {
      dropped = unsafe arrivals[count - 1].dropped
    }
    return result
  }

  private func arrival(_ index: Int) -> UnsafeMutablePointer<mirrorcast_arrival> {
    precondition(index >= 0 && index < count, "no such arrival")
    // Safe: count is at most the number of arrivals.
    return unsafe arrivals + index
  }

  /// The bytes of a datagram; meaningful until the next receive into this batch.
  @unsafe package func bytes(_ index: Int) -> UnsafeRawBufferPointer {
    // Safe: the kernel wrote that many bytes into the arrival's own slot.
    let arrival = unsafe arrival(index)
    return unsafe UnsafeRawBufferPointer(
      start: arrival.pointee.bytes, count: Int(arrival.pointee.length))
  }

  /// Lends the bytes of a datagram.
  @inlinable package func withBytes<Result, Failure: Error>(
    _ index: Int, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Safe: the span can't escape, and the batch outlives the call.
    try body(unsafe bytes(index).bytes)
  }

  /// Who sent it; nil when the kernel didn't say, which it always does for UDP.
  package func source(_ index: Int) -> Endpoint? {
    // Safe: `arrival` checks the index.
    unsafe Endpoint(arrival(index).pointee.source)
  }

  /// Whether it was longer than a slot, so that its end is lost.
  package func isTruncated(_ index: Int) -> Bool {
    // Safe: `arrival` checks the index.
    unsafe arrival(index).pointee.is_truncated != 0
  }

  /// The length of each datagram in a coalesced arrival; 0 when it is a single one.
  package func segmentByteCount(_ index: Int) -> Int {
    // Safe: `arrival` checks the index.
    unsafe Int(arrival(index).pointee.segment_size)
  }
}

// Datagrams on their way out, sent by as few system calls as will take them. Two ways in: assemble
// in the batch's own slots, which stay in the cache, or lend memory that stays put until then.

internal import CDatagram

/// Datagrams to be sent, each with its destination, in the order in which they were put in.
@safe
package struct DepartureBatch: ~Copyable {
  package static let capacityMax = Int(mirrorcast_batch_max)

  package let capacity: Int
  package let datagramMax: Int
  private let stride: Int
  // Entries up to `sent` are gone, those up to `end` wait.
  private var sent = 0
  private var end = 0
  private let arena: UnsafeMutableRawBufferPointer
  private let departures: UnsafeMutablePointer<mirrorcast_departure>

  package init(capacity: Int, datagramMax: Int) {
    precondition(capacity > 0 && capacity <= Self.capacityMax, "1 to 64 datagrams a batch")
    precondition(datagramMax > 0 && datagramMax <= 65536, "a datagram has 1 to 65536 bytes")
    self.capacity = capacity
    self.datagramMax = datagramMax
    stride = (datagramMax + 63) / 64 * 64
    // Safe: taken here, given back by deinit; `capacity` entries, all set before they are read.
    unsafe arena = .allocate(byteCount: capacity * stride, alignment: 64)
    unsafe departures = .allocate(capacity: capacity)
    unsafe departures.initialize(repeating: mirrorcast_departure(), count: capacity)
  }

  deinit {
    // Safe: allocated by init, and nobody else has them.
    unsafe departures.deallocate()
    unsafe arena.deallocate()
  }

  /// How many wait to be sent.
  package var count: Int { end - sent }
  package var isEmpty: Bool { sent == end }
  /// Whether all places are taken: send before putting in more.
  package var isFull: Bool { end == capacity }

  /// The slot in which the next datagram may be assembled; `append(byteCount:to:)` puts it in.
  @unsafe package var nextSlot: UnsafeMutableRawBufferPointer {
    precondition(!isFull, "a full batch takes no datagram")
    // Safe: `end` is below the number of slots.
    return unsafe UnsafeMutableRawBufferPointer(
      rebasing: arena[end * stride..<end * stride + datagramMax])
  }

  /// Puts in what stands in the next slot.
  package mutating func append(byteCount: Int, to destination: Endpoint) {
    precondition(byteCount <= datagramMax, "a datagram longer than its slot")
    // Safe: the slot is the batch's own.
    unsafe append(
      lending: UnsafeRawBufferPointer(rebasing: nextSlot[..<byteCount]), to: destination)
  }

  /// Puts in a copy of these bytes.
  package mutating func append(copying bytes: RawSpan, to destination: Endpoint) {
    precondition(bytes.byteCount <= datagramMax, "a datagram longer than its slot")
    // Safe: the length was compared with the slot's; the slot is the batch's own.
    unsafe bytes.withUnsafeBytes { unsafe nextSlot.copyMemory(from: $0) }
    append(byteCount: bytes.byteCount, to: destination)
  }

  /// Puts in memory of the caller's, which must stay as it is until it has been sent.
  @unsafe package mutating func append(
    lending bytes: UnsafeRawBufferPointer, to destination: Endpoint
  ) {
    precondition(!isFull, "a full batch takes no datagram")
    // Safe: `end` is below the number of entries.
    unsafe departures[end] = mirrorcast_departure(
      bytes: bytes.baseAddress, length: UInt32(bytes.count), segment_size: 0,
      destination: destination.raw)
    end += 1
  }

  /// Sends what waits; how many went, 0 when it would block, or a negative errno of the first.
  mutating func send(_ descriptor: Int32) -> Int32 {
    guard !isEmpty else { return 0 }
    // Safe: `count` entries from `sent` on, all of them set.
    let result = unsafe mirrorcast_send(descriptor, departures + sent, UInt32(count))
    drop(max(0, Int(result)))
    return result
  }

  /// Takes out the first that waits, unsent: the way past one that can't be sent.
  package mutating func discardFirst() {
    precondition(!isEmpty, "nothing waits")
    drop(1)
  }

  /// Takes out all that wait, unsent.
  package mutating func removeAll() {
    drop(count)
  }

  private mutating func drop(_ gone: Int) {
    sent += gone
    if sent == end {
      sent = 0
      end = 0
    }
  }
}

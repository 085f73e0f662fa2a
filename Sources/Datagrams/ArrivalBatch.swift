// Datagrams on their way in. The kernel couples what came together (UDP_GRO): one message is then
// a train of datagrams of one length, the last as long or shorter. What it says about the length
// of each is checked here once a message, so that taking a datagram is one comparison.

internal import CDatagram
package import Lanes

/// Room for the messages of one receive: equal slots, taken once and filled again and again.
@safe
package struct ArrivalBatch: ~Copyable {
  package static let capacityMax = Int(mirrorcast_batch_max)
  /// What a coupled message may have.
  package static let slotByteCountMax = 65_536

  package let capacity: Int
  /// The longest message that arrives whole.
  package let slotByteCount: Int
  /// How many messages the last receive brought.
  package private(set) var count = 0
  /// Whether the last receive left something where it came from, as far as can be told.
  package private(set) var mayHaveMore = false
  private let pages: Pages
  private let arrivals: UnsafeMutablePointer<mirrorcast_arrival>
  /// Messages that lie elsewhere, in the memory of the port that lent them.
  private let lent: UnsafeMutablePointer<LentMessage>
  private var isLent = false

  /// Slots shorter than the longest message suit sockets that don't couple datagrams.
  package init(
    capacity: Int = 4, slotByteCount: Int = Self.slotByteCountMax, node: Int? = nil,
    pages policy: PagePolicy = .automatic
  ) {
    precondition(capacity > 0 && capacity <= Self.capacityMax, "1 to 64 messages a batch")
    precondition(
      slotByteCount > 0 && slotByteCount <= Self.slotByteCountMax, "a slot has 1 to 65536 bytes")
    let stride = (slotByteCount + 63) / 64 * 64
    self.capacity = capacity
    self.slotByteCount = slotByteCount
    pages = Pages.taken(byteCount: capacity * stride, node: node, policy: policy)
    // Safe: taken here, given back by deinit; each slot is a part of the pages.
    unsafe arrivals = .allocate(capacity: capacity)
    unsafe lent = .allocate(capacity: Self.lentMax)
    for index in 0..<capacity {
      var arrival = unsafe mirrorcast_arrival()
      // Safe: each arrival is one of `capacity`.
      unsafe arrival.bytes = pages.start + index * stride
      unsafe arrival.capacity = UInt32(slotByteCount)
      unsafe (arrivals + index).initialize(to: arrival)
    }
  }

  deinit {
    // Safe: allocated by init, and nobody else has it.
    unsafe arrivals.deallocate()
    unsafe lent.deallocate()
  }

  /// What the slots' memory is made of.
  package var pageKind: PageKind { pages.kind }

  /// Fills the batch; the socket's drop counter too, where the kernel told it.
  mutating func receive(_ descriptor: Int32, dropped: inout UInt32) -> Int32 {
    isLent = false
    // Safe: `capacity` arrivals, each naming its own slot.
    let result = unsafe mirrorcast_receive(descriptor, arrivals, UInt32(capacity))
    count = max(0, Int(result))
    mayHaveMore = count == capacity
    if count > 0, unsafe arrivals[count - 1].has_dropped != 0 {
      dropped = unsafe arrivals[count - 1].dropped
    }
    return result
  }

  private func arrival(_ index: Int) -> UnsafeMutablePointer<mirrorcast_arrival> {
    precondition(index >= 0 && index < count && !isLent, "no such arrival")
    // Safe: count is at most the number of arrivals.
    return unsafe arrivals + index
  }

  /// The datagrams of a message; meaningful until the next receive into this batch.
  @unsafe package func datagrams(_ index: Int) -> ArrivedDatagrams {
    // Safe: the index is checked; what is lent stays until the port's next receive.
    if isLent { return unsafe ArrivedDatagrams(lentMessage(index)) }
    // Safe: `arrival` checks the index; the kernel wrote that many bytes into the slot.
    let arrival = unsafe arrival(index)
    return unsafe ArrivedDatagrams(
      bytes(index), sentByteCount: Int(arrival.pointee.length),
      segmentByteCount: Int(arrival.pointee.segment_size))
  }

  /// How many datagrams came whole in a message.
  package func datagramCount(_ index: Int) -> Int {
    // Safe: only the count is taken.
    unsafe datagrams(index).count
  }

  /// All that came of a message; meaningful until the next receive into this batch.
  @unsafe package func bytes(_ index: Int) -> UnsafeRawBufferPointer {
    // Safe: the kernel wrote at most a slot's bytes into the arrival's own slot.
    let arrival = unsafe arrival(index)
    return unsafe UnsafeRawBufferPointer(
      start: arrival.pointee.bytes, count: min(Int(arrival.pointee.length), slotByteCount))
  }

  /// Who sent it; nil when the kernel didn't say, which it always does for UDP.
  package func source(_ index: Int) -> Endpoint? {
    // Safe: either checks the index.
    unsafe isLent ? lentMessage(index).source : Endpoint(arrival(index).pointee.source)
  }

  /// Whether it was longer than a slot, so that its end is lost.
  package func isTruncated(_ index: Int) -> Bool {
    // Safe: `arrival` checks the index.
    unsafe arrival(index).pointee.is_truncated != 0
  }

  /// The length of each datagram in a coupled message; 0 when it is a single one.
  package func segmentByteCount(_ index: Int) -> Int {
    // Safe: `arrival` checks the index.
    unsafe max(0, Int(arrival(index).pointee.segment_size))
  }
}

/// Datagrams in a port's own memory, of one length and source, at equal distances.
@unsafe struct LentMessage: BitwiseCopyable {
  let start: UnsafeRawPointer
  let each: Int
  let stride: Int
  let source: Endpoint
  var count = 1

  func isContinued(by next: LentMessage) -> Bool {
    // Safe: addresses are compared, nothing is read through them.
    unsafe start + count * stride == next.start && each == next.each && source == next.source
  }
}

extension ArrivalBatch {
  /// Messages that can be lent at once.
  static let lentMax = 64

  private func lentMessage(_ index: Int) -> LentMessage {
    precondition(index >= 0 && index < count, "no such message")
    // Safe: count is at most the number of messages, all of them set.
    return unsafe lent[index]
  }

  /// Empties the batch, for messages that a port lends.
  mutating func beginLending() {
    isLent = true
    count = 0
    mayHaveMore = false
  }

  /// Whether one more datagram might find no room.
  var isFullOfLent: Bool { count == Self.lentMax }

  /// Puts in a datagram: one more of the last message where it continues that.
  mutating func lend(_ message: LentMessage) {
    precondition(isLent && count < Self.lentMax, "no room for what is lent")
    // Safe: count is below the number of messages; those below it are set.
    if count > 0, var last = unsafe Optional(lent[count - 1]), unsafe last.isContinued(by: message)
    {
      // Not changed in place: Swift 6.3.1 can't compile that for the thread sanitizer.
      unsafe last.count += 1
      unsafe lent[count - 1] = last
    } else {
      unsafe (lent + count).initialize(to: message)
      count += 1
    }
  }

  /// Says that the port was not emptied.
  mutating func noteMore() { mayHaveMore = true }
}

/// The datagrams of one message, in order; whatever lengths the kernel told, none reaches beyond
/// the bytes that came.
@unsafe
package struct ArrivedDatagrams {
  /// How many came whole.
  package let count: Int
  /// How many were cut off, or lost altogether, by the end of the slot.
  package let cutCount: Int
  @usableFromInline let bytes: UnsafeRawBufferPointer
  // Each one's length but the last's, and from one's start to the next one's; not negative.
  @usableFromInline let each: Int
  @usableFromInline let stride: Int

  init(_ bytes: UnsafeRawBufferPointer, sentByteCount: Int, segmentByteCount: Int) {
    let came = bytes.count
    let isCoupled = segmentByteCount > 0 && segmentByteCount < sentByteCount
    let segment = isCoupled ? segmentByteCount : max(0, sentByteCount)
    let sent = isCoupled ? (sentByteCount + segment - 1) / segment : 1
    let whole = isCoupled ? came / segment : 0
    // Safe: the caller's bytes, of which `count` whole pieces came.
    unsafe self.bytes = bytes
    unsafe each = min(segment, came)
    unsafe stride = each
    unsafe count = sentByteCount <= came ? sent : whole
    unsafe cutCount = sent - count
  }

  init(_ lent: LentMessage) {
    // Safe: the port's memory, which stays until its next receive; all pieces came whole.
    unsafe bytes = UnsafeRawBufferPointer(
      start: lent.start, count: (lent.count - 1) * lent.stride + lent.each)
    unsafe each = lent.each
    unsafe stride = lent.stride
    unsafe count = lent.count
    unsafe cutCount = 0
  }

  /// One datagram, which lies elsewhere.
  package init(single bytes: UnsafeRawBufferPointer) {
    // Safe: the caller's bytes, all of which came.
    unsafe self.init(bytes, sentByteCount: bytes.count, segmentByteCount: 0)
  }

  /// The bytes of a datagram that came whole, to be changed.
  @unsafe package func mutable(_ piece: Int) -> UnsafeMutableRawBufferPointer {
    // Safe: the memory is the batch's, or the port's, and nobody else reads it before the next
    // receive.
    unsafe UnsafeMutableRawBufferPointer(mutating: self[piece])
  }

  /// Some of the datagrams without their last bytes.
  package func opened(_ pieces: Range<Int>, tagByteCount: Int) -> ArrivedDatagrams {
    // Safe: a part of these, as long as these.
    unsafe ArrivedDatagrams(self, pieces, without: tagByteCount)
  }

  private init(_ all: ArrivedDatagrams, _ pieces: Range<Int>, without tailByteCount: Int) {
    // Safe: from the first piece to the last one's end, but for what is cut off, all of which is
    // compared with the bytes there are.
    unsafe precondition(
      pieces.lowerBound >= 0 && pieces.upperBound <= all.count && !pieces.isEmpty,
      "no such datagrams")
    let start = unsafe pieces.lowerBound * all.stride
    let end = unsafe (pieces.upperBound - 1) * all.stride + all[pieces.upperBound - 1].count
    unsafe precondition(
      all.each >= tailByteCount && end - start >= tailByteCount, "shorter than what is cut off")
    unsafe bytes = UnsafeRawBufferPointer(
      rebasing: all.bytes[start..<max(start, end - tailByteCount)])
    unsafe each = all.each - tailByteCount
    unsafe stride = all.stride
    unsafe count = pieces.count
    unsafe cutCount = 0
  }

  /// The bytes of a datagram that came whole.
  @inlinable @unsafe package subscript(_ piece: Int) -> UnsafeRawBufferPointer {
    // Safe: `count` pieces of `each` bytes, but for a shorter last one, lie within the bytes.
    unsafe precondition(piece >= 0 && piece < count, "no such datagram")
    let start = unsafe piece &* stride
    return unsafe UnsafeRawBufferPointer(
      rebasing: bytes[start..<min(start &+ each, bytes.count)])
  }
}

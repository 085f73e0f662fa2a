// Datagrams on their way out. They are assembled one behind another in memory that stays in the
// cache, so that those of one length to one destination are a train already: one message, one
// trip through the kernel, cut up by the network card or just before it (UDP_SEGMENT).
//
//   bytes                  [ a a a a a a a. ][ b ][ a a a a ]
//   trains (messages)        1                2    3            a.: shorter, so it ends its train
//
// A datagram costs a comparison and three additions. Destinations are registered beforehand, so
// that no address is converted on the way. The batch is one pointer to what it owns: a larger value
// would be copied to the stack at each look at it. Lending the caller's memory instead was tried:
// gathering pieces is slower than copying them.

internal import CDatagram
package import Lanes

/// Datagrams to be sent, each with its destination, in the order in which they were put in.
@safe
package struct DepartureBatch: ~Copyable {
  /// More segments the kernel does not take in a message.
  package static let trainDatagramsMax = 64
  /// Less than a UDP datagram's 65,507: a train is no longer than that, headers included.
  package static let trainByteCountMax = 65_000
  package static let trainsMax = Int(mirrorcast_batch_max)

  // Valid as long as the batch; who changes what it points to has the batch for itself.
  private let inside: UnsafeMutablePointer<DepartureTrains>

  /// Room for `arenaByteCount` bytes in at most `trainsMax` messages: by default four full trains
  /// of the longest datagrams and no odd datagram behind them, at most 260,000 bytes: that leaves
  /// a core's second-level cache room for other things.
  package init(
    datagramMax: Int, arenaByteCount: Int? = nil, trainsMax: Int = Self.trainsMax,
    trainDatagramsMax: Int = Self.trainDatagramsMax, destinationsMax: Int = 65, node: Int? = nil,
    pages: PagePolicy = .automatic
  ) {
    // Safe: initialized here, given back by deinit.
    unsafe inside = .allocate(capacity: 1)
    unsafe inside.initialize(
      to: DepartureTrains(
        datagramMax: datagramMax, arenaByteCount: arenaByteCount, trainsMax: trainsMax,
        trainDatagramsMax: trainDatagramsMax, destinationsMax: destinationsMax, node: node,
        policy: pages))
  }

  deinit {
    // Safe: taken by init, and nobody else has it.
    unsafe inside.deinitialize(count: 1)
    unsafe inside.deallocate()
  }

  // Safe: the batch's own, for all that follows.
  package var datagramMax: Int { unsafe inside.pointee.datagramMax }
  /// How many destinations can be registered.
  package var destinationsMax: Int { unsafe inside.pointee.destinationsMax }
  /// What the memory is made of.
  package var pageKind: PageKind { unsafe inside.pointee.pages.kind }

  /// How many datagrams wait to be sent.
  package var count: Int { unsafe inside.pointee.count }
  package var isEmpty: Bool { unsafe inside.pointee.count == 0 }
  /// Whether the next datagram might find no room: send before putting in more.
  package var isFull: Bool { unsafe inside.pointee.isFull }

  /// Says where datagrams to `index` go, those that wait too; nil (as at the start): to the peer
  /// that the socket is connected to.
  package mutating func setDestination(_ index: Int, _ endpoint: Endpoint?) {
    // Safe: the batch's own.
    unsafe inside.pointee.setDestination(index, endpoint)
  }

  /// Where the next datagram may be assembled; `append(byteCount:to:)` puts it in.
  @unsafe package var nextSlot: UnsafeMutableRawBufferPointer {
    // Safe: the batch's own.
    unsafe inside.pointee.nextSlot
  }

  /// Puts in what stands in the next slot, for the destination of that index.
  package mutating func append(byteCount: Int, to destination: Int) {
    // Safe: the batch's own.
    unsafe inside.pointee.append(byteCount: byteCount, to: destination)
  }

  /// Puts in a copy of these bytes.
  package mutating func append(copying bytes: RawSpan, to destination: Int) {
    precondition(bytes.byteCount <= datagramMax, "a datagram longer than its slot")
    // Safe: the length was compared with the slot's; the slot is the batch's own.
    unsafe bytes.withUnsafeBytes { unsafe nextSlot.copyMemory(from: $0) }
    append(byteCount: bytes.byteCount, to: destination)
  }

  /// Takes out the first that waits, unsent: the way past one that can't be sent.
  package mutating func discardFirst() {
    // Safe: the batch's own.
    unsafe inside.pointee.discardFirst()
  }

  /// Takes out all that wait, unsent.
  package mutating func removeAll() {
    // Safe: the batch's own.
    unsafe inside.pointee.removeAll()
  }

  /// Lets the socket send.
  mutating func withTrains<Result: ~Copyable, Failure: Error>(
    _ body: (inout DepartureTrains) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Safe: the batch's own, and the socket doesn't keep it.
    try unsafe body(&inside.pointee)
  }
}

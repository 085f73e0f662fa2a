// Datagrams on their way out. They are assembled one behind another in memory that stays in the
// cache, so that those of one length to one destination are a train already: one message, one
// trip through the kernel, cut up by the network card or just before it (UDP_SEGMENT).
//
//   bytes                  [ a a a a a a a. ][ b ][ a a a a ]
//   trains (messages)        1                2    3            a.: shorter, so it ends its train
//
// A datagram costs a comparison and three additions; a train is written down when the next one
// starts. Destinations are registered beforehand, so that no address is converted on the way.
// Lending the caller's memory instead was tried: gathering pieces is slower than copying them.

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

  /// The train that still grows; it ends at the tail.
  @usableFromInline struct OpenTrain {
    @usableFromInline var start = 0
    @usableFromInline var segment = 0
    // Negative: there is none.
    @usableFromInline var destination = -1
    // Where it has to end at the latest.
    @usableFromInline var endMax = 0
  }

  package let datagramMax: Int
  /// How many destinations can be registered.
  package let destinationsMax: Int
  @usableFromInline var waiting = 0
  @usableFromInline var tail = 0
  @usableFromInline var open = OpenTrain()
  // Trains before `first` are gone, those before `end` are closed and wait.
  private var first = 0
  @usableFromInline var end = 0
  // No datagram starts behind this: the next one might not fit.
  @usableFromInline let tailMax: Int
  @usableFromInline let endMax: Int
  private let trainDatagramsMax: Int
  @usableFromInline let pages: Pages
  private let trains: UnsafeMutablePointer<mirrorcast_train>
  private let destinations: UnsafeMutablePointer<mirrorcast_destination>

  /// Room for `arenaByteCount` bytes in at most `trainsMax` messages: by default four full trains
  /// of the longest datagrams and no odd datagram behind them, at most 260,000 bytes: that leaves
  /// a core's second-level cache room for other things.
  package init(
    datagramMax: Int, arenaByteCount: Int? = nil, trainsMax: Int = Self.trainsMax,
    trainDatagramsMax: Int = Self.trainDatagramsMax, destinationsMax: Int = 65, node: Int? = nil
  ) {
    precondition(datagramMax > 0 && datagramMax <= 65536, "a datagram has 1 to 65536 bytes")
    let longest = datagramMax * max(1, min(trainDatagramsMax, Self.trainByteCountMax / datagramMax))
    let arenaByteCount = arenaByteCount ?? 4 * longest
    precondition(
      arenaByteCount >= datagramMax && arenaByteCount <= 1 << 30, "an arena holds a datagram")
    precondition(trainsMax > 1 && trainsMax <= Self.trainsMax, "2 to 64 trains a batch")
    precondition(
      trainDatagramsMax > 0 && trainDatagramsMax <= Self.trainDatagramsMax,
      "1 to 64 datagrams a train")
    precondition(destinationsMax > 0 && destinationsMax <= 65536, "1 to 65536 destinations")
    self.datagramMax = datagramMax
    self.destinationsMax = destinationsMax
    self.trainDatagramsMax = trainDatagramsMax
    tailMax = arenaByteCount - datagramMax
    endMax = trainsMax - 1
    pages = Pages.taken(byteCount: arenaByteCount, node: node)
    // Safe: taken here, given back by deinit; all entries are set before they are read.
    unsafe trains = .allocate(capacity: trainsMax)
    unsafe trains.initialize(repeating: mirrorcast_train(), count: trainsMax)
    unsafe destinations = .allocate(capacity: destinationsMax)
    unsafe destinations.initialize(repeating: mirrorcast_destination(), count: destinationsMax)
  }

  deinit {
    // Safe: allocated by init, and nobody else has them.
    unsafe destinations.deallocate()
    unsafe trains.deallocate()
  }

  /// Says where datagrams to `index` go, those that wait too; nil (as at the start): to the peer
  /// that the socket is connected to.
  package mutating func setDestination(_ index: Int, _ endpoint: Endpoint?) {
    precondition(index >= 0 && index < destinationsMax, "no such destination")
    var raw = endpoint?.raw ?? mirrorcast_endpoint()
    // Safe: the index was checked; one endpoint to read.
    unsafe mirrorcast_prepare_destination(&raw, destinations + index)
  }

  /// What the memory is made of.
  package var pageKind: PageKind { pages.kind }

  /// How many datagrams wait to be sent.
  @inlinable package var count: Int { waiting }
  @inlinable package var isEmpty: Bool { waiting == 0 }
  /// Whether the next datagram might find no room: send before putting in more.
  @inlinable package var isFull: Bool { tail > tailMax || end >= endMax }

  /// Where the next datagram may be assembled; `append(byteCount:to:)` puts it in.
  @inlinable @unsafe package var nextSlot: UnsafeMutableRawBufferPointer {
    precondition(!isFull, "a full batch takes no datagram")
    // Safe: `datagramMax` bytes from the tail on are the arena's, or the batch would be full.
    return unsafe UnsafeMutableRawBufferPointer(start: pages.start + tail, count: datagramMax)
  }

  /// Puts in what stands in the next slot, for the destination of that index.
  @inlinable package mutating func append(byteCount: Int, to destination: Int) {
    precondition(
      byteCount >= 0 && byteCount <= datagramMax && !isFull, "a datagram longer than its slot")
    if destination == open.destination && byteCount == open.segment
      && tail + byteCount <= open.endMax
    {
      tail += byteCount
      waiting += 1
    } else {
      appendOther(byteCount, destination)
    }
  }

  /// Puts in a copy of these bytes.
  @inlinable package mutating func append(copying bytes: RawSpan, to destination: Int) {
    precondition(bytes.byteCount <= datagramMax, "a datagram longer than its slot")
    // Safe: the length was compared with the slot's; the slot is the batch's own.
    unsafe bytes.withUnsafeBytes { unsafe nextSlot.copyMemory(from: $0) }
    append(byteCount: bytes.byteCount, to: destination)
  }

  // A datagram that is not one more of the same.
  @usableFromInline mutating func appendOther(_ byteCount: Int, _ destination: Int) {
    precondition(destination >= 0 && destination < destinationsMax, "no such destination")
    let endsTrain =
      destination == open.destination && byteCount > 0 && byteCount < open.segment
      && tail + byteCount <= open.endMax
    if !endsTrain {
      close()
      open = OpenTrain(
        start: tail, segment: byteCount, destination: destination,
        endMax: tail + min(byteCount * trainDatagramsMax, Self.trainByteCountMax))
    }
    tail += byteCount
    waiting += 1
    if endsTrain || byteCount == 0 { close() }
  }

  /// Ends the train that grows: what is sent or discarded is written down.
  mutating func close() {
    guard open.destination >= 0 else { return }
    // Safe: `end` is below the number of trains, or the batch would be full; the bytes are ours.
    unsafe trains[end] = mirrorcast_train(
      bytes: pages.start + open.start,
      length: UInt32(tail - open.start), segment_size: UInt32(open.segment),
      destination: UInt32(open.destination))
    end += 1
    open = OpenTrain()
  }
}

// MARK: On the way out

extension DepartureBatch {
  /// Whether the message to be sent next is more than one datagram.
  var startsWithTrain: Bool {
    // Safe: an entry that waits was set by `close`.
    unsafe first < end && trains[first].length > trains[first].segment_size
  }

  /// Sends what waits, by at most that many messages; how many datagrams went, 0 when it would
  /// block, or a negative errno of the first message.
  mutating func sendTrains(_ descriptor: Int32, messagesMax: Int) -> Int32 {
    let before = count
    // Safe: the entries from `first` to `end` wait and are set, and so are all destinations.
    let result = unsafe mirrorcast_send_trains(
      descriptor, trains + first, UInt32(min(end - first, messagesMax)), destinations)
    guard result > 0 else { return result }
    for _ in 0..<result { discardFirstTrain() }
    return Int32(before - count)
  }

  /// Sends what waits, one datagram a message; else as `sendTrains`.
  mutating func sendSingly(_ descriptor: Int32, datagramsMax: Int) -> Int32 {
    // Safe: the entries from `first` to `end` wait and are set, and so are all destinations.
    let result = unsafe mirrorcast_send_singly(
      descriptor, trains + first, UInt32(end - first), destinations, UInt32(datagramsMax))
    for _ in 0..<max(0, result) { discardFirst() }
    return result
  }

  /// Takes out the datagrams of the message to be sent next, unsent.
  mutating func discardFirstTrain() {
    precondition(first < end, "nothing waits")
    // Safe: an entry that waits was set by `close`.
    let (length, segment) = unsafe (Int(trains[first].length), Int(trains[first].segment_size))
    waiting -= length > segment ? (length + segment - 1) / segment : 1
    first += 1
    if first == end { rewind() }
  }

  /// Takes out the first that waits, unsent: the way past one that can't be sent.
  package mutating func discardFirst() {
    close()
    guard startsWithTrain else { return discardFirstTrain() }
    // Safe: the entry waits, and has more bytes than its first datagram.
    var train = unsafe trains[first]
    unsafe train.bytes = train.bytes.map { unsafe $0 + Int(train.segment_size) }
    unsafe train.length -= train.segment_size
    unsafe trains[first] = train
    waiting -= 1
  }

  /// Takes out all that wait, unsent.
  package mutating func removeAll() {
    open = OpenTrain()
    waiting = 0
    rewind()
  }

  private mutating func rewind() {
    first = 0
    end = 0
    tail = 0
  }
}

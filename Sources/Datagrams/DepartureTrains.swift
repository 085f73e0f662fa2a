// The inside of a departure batch: an arena that fills from the front, and a list of the trains in
// it. A train is written down when the next one starts; until then it is the open one.

internal import CDatagram
internal import Lanes

/// An arena of datagrams, and the trains that they form.
@safe
struct DepartureTrains: ~Copyable {
  /// The train that still grows; it ends at the tail.
  struct OpenTrain {
    var start = 0
    var segment = 0
    // Negative: there is none.
    var destination = -1
    // Where it has to end at the latest.
    var endMax = 0
  }

  let datagramMax: Int
  /// How many datagrams wait.
  private(set) var count = 0
  /// How many destinations can be registered.
  let destinationsMax: Int
  var tail = 0
  var open = OpenTrain()
  // Trains before `first` are gone, those before `end` are closed and wait.
  private var first = 0
  var end = 0
  // No datagram starts behind this: the next one might not fit.
  let tailMax: Int
  let endMax: Int
  private let trainDatagramsMax: Int
  let pages: Pages
  private let trains: UnsafeMutablePointer<mirrorcast_train>
  private let destinations: UnsafeMutablePointer<mirrorcast_destination>

  init(
    datagramMax: Int, arenaByteCount: Int?, trainsMax: Int, trainDatagramsMax: Int,
    destinationsMax: Int, node: Int?, policy: PagePolicy = .automatic
  ) {
    precondition(datagramMax > 0 && datagramMax <= 65536, "a datagram has 1 to 65536 bytes")
    let fullTrain = min(trainDatagramsMax, DepartureBatch.trainByteCountMax / datagramMax)
    let arenaByteCount = arenaByteCount ?? 4 * max(1, fullTrain) * datagramMax
    precondition(
      arenaByteCount >= datagramMax && arenaByteCount <= 1 << 30, "an arena holds a datagram")
    precondition(trainsMax > 1 && trainsMax <= DepartureBatch.trainsMax, "2 to 64 trains a batch")
    precondition(
      trainDatagramsMax > 0 && trainDatagramsMax <= DepartureBatch.trainDatagramsMax,
      "1 to 64 datagrams a train")
    precondition(destinationsMax > 0 && destinationsMax <= 65536, "1 to 65536 destinations")
    self.datagramMax = datagramMax
    self.destinationsMax = destinationsMax
    self.trainDatagramsMax = trainDatagramsMax
    tailMax = arenaByteCount - datagramMax
    endMax = trainsMax - 1
    pages = Pages.taken(byteCount: arenaByteCount, node: node, policy: policy)
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
  mutating func setDestination(_ index: Int, _ endpoint: Endpoint?) {
    precondition(index >= 0 && index < destinationsMax, "no such destination")
    var raw = endpoint?.raw ?? mirrorcast_endpoint()
    // Safe: the index was checked; one endpoint to read.
    unsafe mirrorcast_prepare_destination(&raw, destinations + index)
  }

  /// Whether the next datagram might find no room: send before putting in more.
  var isFull: Bool { tail > tailMax || end >= endMax }

  /// Where the next datagram may be assembled; `append(byteCount:to:)` puts it in.
  @unsafe var nextSlot: UnsafeMutableRawBufferPointer {
    precondition(!isFull, "a full batch takes no datagram")
    // Safe: `datagramMax` bytes from the tail on are the arena's, or the batch would be full.
    return unsafe UnsafeMutableRawBufferPointer(start: pages.start + tail, count: datagramMax)
  }

  /// Puts in what stands in the next slot, for the destination of that index.
  mutating func append(byteCount: Int, to destination: Int) {
    precondition(
      byteCount >= 0 && byteCount <= datagramMax && !isFull, "a datagram longer than its slot")
    if destination == open.destination && byteCount == open.segment
      && tail + byteCount <= open.endMax
    {
      tail += byteCount
      count += 1
    } else {
      appendOther(byteCount, destination)
    }
  }

  // A datagram that is not one more of the same.
  mutating func appendOther(_ byteCount: Int, _ destination: Int) {
    precondition(destination >= 0 && destination < destinationsMax, "no such destination")
    let endsTrain =
      destination == open.destination && byteCount > 0 && byteCount < open.segment
      && tail + byteCount <= open.endMax
    if !endsTrain {
      close()
      open = OpenTrain(
        start: tail, segment: byteCount, destination: destination,
        endMax: tail + min(byteCount * trainDatagramsMax, DepartureBatch.trainByteCountMax))
    }
    tail += byteCount
    count += 1
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

extension DepartureTrains {
  /// Whether the message to be sent next is more than one datagram.
  var startsWithTrain: Bool {
    // Safe: an entry that waits was set by `close`.
    unsafe first < end && trains[first].length > trains[first].segment_size
  }

  /// The message to be sent next; nil when none waits. The last train must be closed.
  @unsafe var firstTrain: mirrorcast_train? {
    // Safe: the entries from `first` to `end` wait and are set.
    first < end ? unsafe trains[first] : nil
  }

  /// Shows the datagrams that wait with their destinations, from a number on, until `body` has
  /// enough; how many it took.
  @unsafe mutating func visit(
    from start: Int, _ body: (UnsafeRawBufferPointer, Int) -> Bool
  ) -> Int {
    close()
    var (place, taken) = (0, 0)
    for index in first..<end {
      // Safe: an entry that waits was set by `close`; its bytes are the arena's.
      let train = unsafe trains[index]
      let (length, segment) = unsafe (Int(train.length), Int(max(1, train.segment_size)))
      var offset = 0
      repeat {
        let count = min(segment, length - offset)
        if place >= start {
          let bytes = unsafe UnsafeRawBufferPointer(
            start: train.bytes.map { unsafe UnsafeRawPointer($0) + offset }, count: count)
          guard unsafe body(bytes, Int(train.destination)) else { return taken }
          taken += 1
        }
        place += 1
        offset += segment
      } while offset < length
    }
    return taken
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
    count -= length > segment ? (length + segment - 1) / segment : 1
    first += 1
    if first == end { rewind() }
  }

  /// Takes out the first that waits, unsent: the way past one that can't be sent.
  mutating func discardFirst() {
    close()
    guard startsWithTrain else { return discardFirstTrain() }
    // Safe: the entry waits, and has more bytes than its first datagram.
    var train = unsafe trains[first]
    unsafe train.bytes = train.bytes.map { unsafe $0 + Int(train.segment_size) }
    unsafe train.length -= train.segment_size
    unsafe trains[first] = train
    count -= 1
  }

  /// Takes out all that wait, unsent.
  mutating func removeAll() {
    open = OpenTrain()
    count = 0
    rewind()
  }

  private mutating func rewind() {
    first = 0
    end = 0
    tail = 0
  }
}

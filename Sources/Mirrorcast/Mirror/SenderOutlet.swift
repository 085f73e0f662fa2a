// The way out of an initiator's lane: trains are assembled in memory that stays in the cache, and
// sent by as few calls as will take them. Faults that were asked for come in between.
import Bytes
import Datagrams
import Lanes
import Logging
import Replication

/// A lane's port with what waits in front of it.
struct SenderOutlet: ~Copyable {
  static let datagramMax = Limits.blockLengthMax + SealedTrailer.overheadByteCount
  /// The destination that every mirror has; a leg's private one is at its index and one.
  static let group = 0

  let port: any DeparturePort
  private var departures: DepartureBatch
  private var passage: FaultyPassage?
  /// Nil where datagrams go in the clear.
  private var sealing: SealingBench?
  /// Assembled here what doesn't go straight into the batch.
  private let scratch = DatagramScratch(byteCount: Self.datagramMax)
  private var destinations: [Endpoint?]
  private let headerByteCount: Int
  private let logger: Logger
  /// How often a port that takes no more is looked at, though it doesn't say that it does again.
  static let lookNanoseconds: UInt64 = 500_000_000

  /// The port takes no more now.
  private(set) var isBlocked = false
  /// When it is to be looked at again at the latest.
  private(set) var nextLook: UInt64?
  /// Nothing goes out any more.
  private(set) var isLost = false
  /// The port's; negative where it never tells anything.
  private(set) var newsDescriptor: Int32
  /// What went out, headers from IP's on included.
  var wireBytes: UInt64 = 0
  private(set) var sendErrors: UInt64 = 0

  /// - Parameter key: of the first epoch; nil where datagrams go in the clear.
  init(
    _ path: SendingPath, key: (key: EpochKey, epoch: UInt16)?, faults: FaultInjector?, node: Int?,
    pages: PagePolicy, logger: Logger
  ) throws(SystemError) {
    var batch = try path.port.makeBatch(
      datagramMax: Self.datagramMax, destinationsMax: Limits.legsMax + 1, node: node,
      pages: pages)
    if !path.isConnected {
      path.port.setDestination(Self.group, DepartureWay(path.group), in: &batch)
    }
    port = path.port
    newsDescriptor = path.port.newsDescriptor
    departures = batch
    passage = nil
    if let key {
      sealing = SealingBench()
      sealing?.install(key.key, epoch: key.epoch)
    }
    if let faults { passage = FaultyPassage(faults, datagramMax: Self.datagramMax) }
    destinations = [path.group]
    headerByteCount = path.headerByteCount
    self.logger = logger
  }

  var isFull: Bool { departures.isFull }
  var pageKind: PageKind { departures.pageKind }

  /// The way to a leg's private address for repairs; nil for a leg that has none: what is sent
  /// there is lost, and at last goes over TCP.
  mutating func setWay(_ way: DepartureWay?, toLeg leg: Int) {
    while destinations.count <= leg + 1 { destinations.append(nil) }
    destinations[leg + 1] = way?.endpoint
    port.setDestination(leg + 1, way, in: &departures)
  }

  /// Whether the present key has sealed so much that another one is due.
  var isKeyRenewalDue: Bool { sealing?.isRenewalDue ?? false }

  /// A key for the datagrams of an epoch that is about to begin.
  mutating func install(_ key: EpochKey, epoch: UInt16) {
    sealing?.install(key, epoch: epoch)
  }

  /// What `body` assembles, sealed where there are keys: nothing ever goes in the clear then.
  private mutating func fill(
    _ bytes: inout MutableRawSpan, _ body: (inout MutableRawSpan) -> Int?
  ) -> Int? {
    guard let count = body(&bytes) else { return nil }
    return sealing == nil ? count : sealing?.seal(&bytes, byteCount: count)
  }

  /// Puts in what `body` assembles, nothing when that is nil. There must be room.
  mutating func assemble(
    to destination: Int, _ body: (inout MutableRawSpan) -> Int?
  ) {
    guard passage == nil else {
      let count = scratch.fill { fill(&$0, body) }
      if let count { passFaulty(count, to: destination) }
      return
    }
    // Safe: the next slot is ours until `append`.
    var bytes = unsafe departures.nextSlot.mutableBytes
    guard let count = fill(&bytes, body) else { return }
    departures.append(byteCount: count, to: destination)
    wireBytes += UInt64(count + headerByteCount)
  }

  /// What `body` assembles, as an array, for a leg's connection.
  mutating func assembleAside(_ body: (inout MutableRawSpan) -> Int?) -> ArraySlice<UInt8>? {
    let count = scratch.fill { fill(&$0, body) }
    return count.map { scratch.prefix($0) }
  }

  /// Sends what waits. False when the port takes no more now.
  @discardableResult
  mutating func send() -> Bool {
    (isBlocked, nextLook) = (false, nil)
    while !departures.isEmpty {
      do throws(SystemError) {
        if try port.send(&departures) == 0 {
          isBlocked = true
          nextLook = MonotonicClock.now() + Self.lookNanoseconds
          return false
        }
      } catch {
        hear(looking: false)
        guard !isLost else {
          sendErrors += UInt64(departures.count)
          departures.removeAll()
          return true
        }
        // The datagram is lost; its block will be reported and repaired, at last over TCP.
        if sendErrors == 0 { logger.warning("a datagram could not be sent: \(error)") }
        sendErrors += 1
        departures.discardFirst()
      }
      hear(looking: false)
    }
    return true
  }

  /// Tells what the port tells.
  mutating func hear(looking: Bool) {
    guard let first = port.takeNews(looking: looking) else { return }
    logger.log(first)
    while let news = port.takeNews(looking: looking) { logger.log(news) }
    guard port.isLost else { return }
    (isLost, isBlocked, nextLook, newsDescriptor) = (true, false, nil, -1)
  }

  // MARK: Faults on purpose

  private mutating func passFaulty(_ count: Int, to destination: Int) {
    guard let peer = destinations[destination] else { return }
    // Safe: the scratch stays as it is until everything was taken out of the passage.
    unsafe passage?.admit(scratch.filled(count), peer: peer)
    wireBytes += UInt64(count + headerByteCount)
    takeFromPassage()
  }

  private mutating func takeFromPassage() {
    // Safe: what the passage gives stays until its next `admit`.
    while let datagram = unsafe passage?.next() {
      if departures.isFull { send() }
      // A full batch that won't go loses the datagram, as a full queue on the way would.
      guard !departures.isFull,
        let destination = unsafe destinations.firstIndex(of: datagram.peer)
      else { continue }
      unsafe departures.append(copying: datagram.bytes.bytes, to: destination)
    }
  }

  /// Lets go what was held back: nothing comes that could overtake it.
  mutating func releaseHeld() -> Int {
    guard let held = passage?.heldCount, held > 0 else { return 0 }
    passage?.releaseAll()
    takeFromPassage()
    send()
    return held
  }
}

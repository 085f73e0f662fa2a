// Datagrams on their way out by RDMA. The device reads them where they were assembled, so a batch
// that was posted stays as it is until its last datagram is complete; meanwhile a second one is
// filled. Both change places, and nothing is copied.
//
//   batch    filled → posted, changes places with the spare → complete
//   spare    must be complete before the next batch is posted: else the port takes no more now
//
// One completion is told for each train, of its last datagram: sends complete in order.

#if RDMA
  internal import CDatagram
  internal import CVerbs
  internal import Glibc
  package import Lanes
  internal import Synchronization

  /// A queue pair that sends datagrams to a group and to single queue pairs.
  @safe
  package final class RDMADepartures: DeparturePort {
    /// Datagrams posted and not complete, at most.
    package static let depth = 1024

    /// How often in a row it starts anew without a good completion in between, and for how long
    /// in nanoseconds, before it is given up: a port may be down for a while.
    private static let restartsMax = 8
    private static let restartingMax: UInt64 = 10_000_000_000
    /// How long a full queue may stand still, in nanoseconds: a pause that a switch asks for is
    /// shorter, and behind it nothing else goes either.
    private static let stallMax: UInt64 = 2_000_000_000

    /// Until the device is lost.
    private(set) var queue: RDMAQueuePair?
    private var group: RDMAGroup?
    private let place: QueuePairPlace
    private let local: Endpoint
    package let ways: any WayFinder
    private var spare: DepartureBatch?
    /// The key to the memory of each of the two batches, by its address.
    private var memoryKeys: [UInt: UInt32] = [:]
    /// The group, and the legs; a leg without a way gets nothing.
    private var peers: [Peer?] = []
    /// Datagrams posted, and complete, since the start; a completion's id is the former.
    private var posted: UInt64 = 0
    private var completed: UInt64 = 0
    /// What was posted when the spare was.
    private var spareEnd: UInt64 = 0
    private var restarts = 0
    private var restartingSince: UInt64 = 0
    /// When the last completion was seen, or the queue was seen to be full.
    private var movedAt: UInt64 = 0
    private var news: [PortNews] = []

    /// Where datagrams go.
    private struct Peer {
      let handle: RDMAHandle
      let queuePair: UInt32
    }

    /// - Parameter group: its address and port; the port means nothing here.
    package init(
      at place: RDMAPlace, group: Endpoint, local: Endpoint, hops: UInt8 = 1
    ) throws(SystemError) {
      let domain = try RDMADomain(at: place, local: local, hops: hops)
      let joined = try domain.join(group)
      // Q_Keys with the top bit set belong to the device's owner.
      let queue = try RDMAQueuePair(
        in: domain, key: joined.key ?? UInt32.random(in: 1...0x7fff_ffff), .sends,
        depth: Self.depth)
      guard queue.depth >= DepartureBatch.trainDatagramsMax else {
        throw SystemError(doing: "post a train", number: ENOSPC)
      }
      self.queue = queue
      self.group = joined
      self.place = queue.queuePair
      self.local = local.with(port: Endpoint.rocePort)
      ways = RDMAWays(domain)
      try queue.follow(joined)
      try queue.initialize()
      try queue.start()
    }

    deinit { (ways as? RDMAWays)?.close() }

    /// What legs need to know.
    package var queuePair: QueuePairPlace? { place }
    package var descriptor: Int32 { queue?.descriptor ?? -1 }
    package var newsDescriptor: Int32 { queue?.watch.descriptor ?? -1 }
    package var isLost: Bool { queue == nil }
    package var segmentation: Offload { .off }
    package func localEndpoint() -> Endpoint { local }

    package func makeBatch(
      datagramMax: Int, destinationsMax: Int, node: Int?, pages: PagePolicy
    ) throws(SystemError) -> DepartureBatch {
      func make() throws(SystemError) -> DepartureBatch {
        var batch = DepartureBatch(
          datagramMax: datagramMax, destinationsMax: destinationsMax, node: node, pages: pages)
        try batch.withTrains { (trains) throws(SystemError) in
          // Safe: the memory stays as long as its batch, and the device has it for itself until
          // the queue pair is gone.
          unsafe memoryKeys[UInt(bitPattern: trains.pages.start)] = try alive().register(
            trains.pages.start, byteCount: trains.pages.byteCount)
        }
        return batch
      }
      let queue = try alive()
      guard let group else { throw SystemError(doing: "send by RDMA", number: ENODEV) }
      peers = Array(repeating: nil, count: destinationsMax)
      peers[0] = Peer(
        handle: try RDMAHandle(queue.domain, group.route), queuePair: Endpoint.everyQueuePair)
      spare = try make()
      return try make()
    }

    package func setDestination(
      _ index: Int, _ way: DepartureWay?, in batch: inout DepartureBatch
    ) {
      // The group's own stays; a port that is lost holds nothing of its device.
      guard index > 0, queue != nil else { return }
      peers[index] = way.flatMap { way in
        (way.handle as? RDMAHandle).map { Peer(handle: $0, queuePair: way.endpoint.scope) }
      }
    }

    package func takeNews(looking: Bool) -> PortNews? {
      while looking, let told = queue?.nextNews() {
        news.append(told)
        if told.weight == .loss { close() }
      }
      return news.isEmpty ? nil : news.removeFirst()
    }

    private func alive() throws(SystemError) -> RDMAQueuePair {
      guard let queue else { throw SystemError(doing: "send by RDMA", number: ENODEV) }
      return queue
    }

    /// Lets the device go: while anybody has it open it may not be able to leave.
    private func close() {
      // What is posted must not be under way any more when its memory and handles go.
      try? queue?.reset()
      queue = nil
      group = nil
      peers = Array(repeating: nil, count: peers.count)
      (ways as? RDMAWays)?.close()
    }

    private func lose(_ error: SystemError) {
      news.append(.lost(error))
      close()
    }

    package func send(_ batch: inout DepartureBatch) throws(SystemError) -> Int {
      let before = batch.count
      while true {
        let queue = try alive()
        try losing { () throws(SystemError) in try reap(queue) }
        _ = try alive()
        if completed >= spareEnd { try post(&batch, queue) }
        if batch.count < before || queue.isArmed { break }
        // Told from now on; what came before this is looked for once more.
        try losing { () throws(SystemError) in try queue.arm() }
      }
      let count = before - batch.count
      if count == 0 { try checkStall() } else { movedAt = 0 }
      if batch.isEmpty, var other = spare.take() {
        swap(&other, &batch)
        spare = consume other
        spareEnd = posted
      }
      return count
    }

    /// An error that nothing leads out of.
    private func losing(_ body: () throws(SystemError) -> Void) throws(SystemError) {
      do throws(SystemError) {
        try body()
      } catch {
        lose(error)
        throw error
      }
    }

    /// A queue that stands still holds up what could go over TCP, too.
    private func checkStall() throws(SystemError) {
      let now = MonotonicClock.now()
      if movedAt == 0 { movedAt = now }
      guard now > movedAt + Self.stallMax else { return }
      let error = SystemError(doing: "send by RDMA (nothing completes)", number: ETIMEDOUT)
      lose(error)
      throw error
    }

    /// Posts train by train, as long as there is room for a whole one.
    private func post(
      _ batch: inout DepartureBatch, _ queue: RDMAQueuePair
    ) throws(SystemError) {
      try batch.withTrains { (trains) throws(SystemError) in
        trains.close()
        // Safe: the memory of a message that waits is the batch's, and is registered; a handle
        // stays as long as its peer.
        guard let memoryKey = unsafe memoryKeys[UInt(bitPattern: trains.pages.start)] else {
          preconditionFailure("a batch that is not this port's")
        }
        while let train = unsafe trains.firstTrain {
          let segment = unsafe max(1, train.segment_size)
          let count = unsafe Int((train.length + segment - 1) / segment)
          guard Int(posted - completed) + count <= queue.depth else { return }
          guard let peer = unsafe peers[Int(train.destination)] else {
            // A leg that can't be reached so: its blocks go over TCP at last.
            trains.discardFirstTrain()
            continue
          }
          var destination = unsafe mirrorcast_verbs_destination(
            handle: peer.handle.pointer, queue_pair: peer.queuePair, key: queue.key)
          let result = unsafe mirrorcast_verbs_send(
            queue.pair, train.bytes, train.length, segment, memoryKey, &destination,
            posted + UInt64(count))
          guard result == Int32(count) else {
            // Those that went before it have no completion of their own.
            let error = SystemError(doing: "post datagrams", number: result < 0 ? -result : EIO)
            restart(queue, after: error)
            throw error
          }
          posted += UInt64(count)
          trains.discardFirstTrain()
        }
      }
    }

    private func reap(_ queue: RDMAQueuePair) throws(SystemError) {
      while true {
        let count = try queue.poll()
        for index in 0..<count {
          let completion = queue.completion(index)
          guard completion.status == 0 else {
            // The queue pair has stopped: what was posted is lost, and will be repaired.
            return restart(
              queue,
              after: SystemError(
                doing: "send by RDMA (status \(completion.status))", number: EIO))
          }
          // A device may tell nonsense.
          completed = max(completed, min(completion.id, posted))
          movedAt = 0
          restarts = 0
        }
        guard count == RDMAQueuePair.completionsMax else { return }
      }
    }

    /// Out of an error. Where there is no way out, or it leads into the next one, the port is lost:
    /// what was to go goes over TCP.
    private func restart(_ queue: RDMAQueuePair, after error: SystemError) {
      completed = posted
      restarts += 1
      let now = MonotonicClock.now()
      if restarts == 1 {
        restartingSince = now
        news.append(.restarted(error))
      }
      guard restarts <= Self.restartsMax || now < restartingSince + Self.restartingMax else {
        return lose(error)
      }
      do throws(SystemError) {
        try queue.reset()
        while try queue.poll() > 0 {}
        try queue.initialize()
        try queue.start()
      } catch {
        lose(error)
      }
    }
  }

  /// The ways from a port that may be lost meanwhile.
  final class RDMAWays: WayFinder {
    private let domain: Mutex<RDMADomain?>

    init(_ domain: RDMADomain) { self.domain = Mutex(domain) }

    var mayWait: Bool { true }

    func way(to peer: Endpoint, at address: Endpoint?) throws(SystemError) -> DepartureWay {
      guard let domain = domain.withLock({ $0 }) else {
        throw SystemError(doing: "find the way to \(peer.addressText)", number: ENODEV)
      }
      return try domain.way(to: peer, at: address)
    }

    func close() { domain.withLock { $0 = nil } }
  }
#endif

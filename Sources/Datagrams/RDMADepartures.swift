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

  /// A queue pair that sends datagrams to a group and to single queue pairs.
  @safe
  package final class RDMADepartures: DeparturePort {
    /// Datagrams posted and not complete, at most.
    package static let depth = 1024

    private let queue: RDMAQueuePair
    private let group: Endpoint
    private let local: Endpoint
    private let hops: UInt8
    private var spare: DepartureBatch?
    /// The key to the memory of each of the two batches, by its address.
    private var memoryKeys: [UInt: UInt32] = [:]
    // Safe: the handles stay as long as the queue pair.
    private var destinations: [mirrorcast_verbs_destination?] = unsafe []
    /// Datagrams posted, and complete, since the start; a completion's id is the former.
    private var posted: UInt64 = 0
    private var completed: UInt64 = 0
    /// What was posted when the spare was.
    private var spareEnd: UInt64 = 0
    private var untoldFailure: SystemError?

    /// - Parameter group: its address and port; the port means nothing here.
    package init(
      at place: RDMAPlace, group: Endpoint, local: Endpoint, hops: UInt8 = 1
    ) throws(SystemError) {
      // Q_Keys with the top bit set belong to the device's owner.
      let key = UInt32.random(in: 1...0x7fff_ffff)
      queue = try RDMAQueuePair(at: place, key: key, .sends, depth: Self.depth)
      guard queue.depth >= DepartureBatch.trainDatagramsMax else {
        throw SystemError(doing: "post a train", number: ENOSPC)
      }
      self.group = Endpoint(gid: group.gid, queuePair: Endpoint.everyQueuePair)
      self.local = local.with(port: Endpoint.rocePort)
      self.hops = hops
      try queue.initialize()
      try queue.start()
    }

    /// What legs need to know.
    package var queuePair: QueuePairPlace? { queue.queuePair }
    package var descriptor: Int32 { queue.descriptor }
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
          unsafe memoryKeys[UInt(bitPattern: trains.pages.start)] = try queue.register(
            trains.pages.start, byteCount: trains.pages.byteCount)
        }
        return batch
      }
      // Safe: the handles stay as long as the queue pair.
      unsafe destinations = Array(repeating: nil, count: destinationsMax)
      unsafe destinations[0] = try queue.destination(group, hops: hops)
      spare = try make()
      return try make()
    }

    package func setDestination(
      _ index: Int, _ endpoint: Endpoint?, in batch: inout DepartureBatch
    ) throws(SystemError) {
      // Safe: the handles stay as long as the queue pair; an array checks its index.
      unsafe destinations[index] = nil
      // Nobody is at the number 0: such a leg has no queue pair.
      guard let peer = index == 0 ? group : endpoint, peer.scope != 0 else { return }
      unsafe destinations[index] = try queue.destination(peer, hops: hops)
    }

    package func takeSegmentationFailure() -> SystemError? {
      defer { untoldFailure = nil }
      return untoldFailure
    }

    package func send(_ batch: inout DepartureBatch) throws(SystemError) -> Int {
      let before = batch.count
      while true {
        try reap()
        if completed >= spareEnd { try post(&batch) }
        if batch.count < before || queue.isArmed { break }
        // Told from now on; what came before this is looked for once more.
        try queue.arm()
      }
      let count = before - batch.count
      if batch.isEmpty, var other = spare.take() {
        swap(&other, &batch)
        spare = consume other
        spareEnd = posted
      }
      return count
    }

    /// Posts train by train, as long as there is room for a whole one.
    private func post(_ batch: inout DepartureBatch) throws(SystemError) {
      try batch.withTrains { (trains) throws(SystemError) in
        trains.close()
        // Safe: the memory of a message that waits is the batch's, and is registered.
        let memoryKey = unsafe memoryKeys[UInt(bitPattern: trains.pages.start)] ?? 0
        while let train = unsafe trains.firstTrain {
          let segment = unsafe max(1, train.segment_size)
          let count = unsafe Int((train.length + segment - 1) / segment)
          guard Int(posted - completed) + count <= queue.depth else { return }
          guard var destination = unsafe destinations[Int(train.destination)] else {
            // A leg that can't be reached so: its blocks go over TCP at last.
            trains.discardFirstTrain()
            continue
          }
          let result = unsafe mirrorcast_verbs_send(
            queue.pair, train.bytes, train.length, segment, memoryKey, &destination,
            posted + UInt64(count))
          guard result == Int32(count) else {
            // Those that went before it have no completion of their own.
            try restart()
            throw SystemError(doing: "post datagrams", number: result < 0 ? -result : EIO)
          }
          posted += UInt64(count)
          trains.discardFirstTrain()
        }
      }
    }

    private func reap() throws(SystemError) {
      while true {
        let count = try queue.poll()
        for index in 0..<count {
          let completion = queue.completion(index)
          guard completion.status == 0 else {
            // The queue pair has stopped: what was posted is lost, and will be repaired.
            untoldFailure = SystemError(doing: "send by RDMA", number: EIO)
            return try restart()
          }
          completed = max(completed, completion.id)
        }
        guard count == RDMAQueuePair.completionsMax else { return }
      }
    }

    /// Out of an error. Where there is no way out, each later post is an error, and what was to go
    /// goes over TCP at last.
    private func restart() throws(SystemError) {
      completed = posted
      try queue.reset()
      while try queue.poll() > 0 {}
      try queue.initialize()
      try queue.start()
    }
  }
#endif

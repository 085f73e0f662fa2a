// Datagrams on their way in by RDMA. Receives are posted in the order of the slots, round and
// round, and datagrams take them in that order: so neighbours are a message, and a slot is given
// back to the device with those around it. The device puts a header of 40 bytes in front of each.
//
//   slots    taken … release … owed │ posted … posted
//                    a batch of them is posted again at once
//
// Whoever asks for a datagram's source gets GID and queue pair, so what was sent by others, by a
// queue pair of the same number elsewhere, or by this machine itself, is told apart from what the
// registration's initiator sent.
//
// RoCE wants the group joined as UDP does, or the network doesn't bring it; the socket that does
// so hears nothing itself.

#if RDMA
  internal import CVerbs
  internal import Glibc
  package import Lanes

  /// A queue pair that receives what is sent to a group and to itself.
  @safe
  package final class RDMAArrivals: ArrivalPort {
    /// Datagrams that may wait.
    package static let depth = 4096
    /// Slots posted again at once.
    private static let repostMin = 64
    /// Datagrams taken by one receive.
    private static let takenMax = 256
    /// How often in a row it starts anew without a good completion in between.
    private static let restartsMax = 8
    /// The header in front of a datagram; IPv4's fills its end.
    private static let headerByteCount = 40

    /// Until the device is lost.
    private(set) var queue: RDMAQueuePair?
    private let place: QueuePairPlace
    private let depth: Int
    private let membership: DatagramSocket
    private let local: Endpoint
    private let isV4: Bool
    private var group: RDMAGroup?
    private var isAttached = false
    private let slots: Pages
    private let stride: Int
    private let memoryKey: UInt32
    /// The slots that are to be posted next, in turn.
    private var owedFirst = 0
    private var owed = 0
    private var news: [PortNews] = []
    private var restarts = 0
    /// The queue pair has stopped, for this: it starts anew once nothing lent is read any more.
    private var stopped: SystemError?

    package init(
      at place: RDMAPlace, key: UInt32, group: Endpoint, interface: NetworkInterface,
      local: Endpoint, node: Int?, pages policy: PagePolicy
    ) throws(SystemError) {
      let domain = try RDMADomain(at: place, local: local, hops: 1)
      let queue = try RDMAQueuePair(in: domain, key: key, .receives, depth: Self.depth)
      guard queue.depth >= 2 * Self.repostMin else {
        throw SystemError(doing: "post receives", number: ENOSPC)
      }
      membership = try DatagramSocket.groupReceiver(
        group: group, interface: interface, receiveBufferByteCount: 4096, coalescing: .off)
      let joined = try domain.join(group)
      self.group = joined
      try queue.follow(joined)
      self.local = local.with(port: Endpoint.rocePort)
      isV4 = group.family == .v4 && place.layer == .ethernet
      stride = (Self.headerByteCount + place.mtu + 63) / 64 * 64
      slots = try Pages(byteCount: queue.depth * stride, node: node, policy: policy)
      // Safe: the memory is there until the queue pair is gone, or the device has it locked.
      memoryKey = unsafe try queue.register(slots.start, byteCount: slots.byteCount)
      try queue.initialize()
      owed = queue.depth
      depth = queue.depth
      self.place = queue.queuePair
      self.queue = queue
      try repost(queue)
      try queue.start()
    }

    package var queuePair: QueuePairPlace? { place }
    package var descriptor: Int32 { queue?.descriptor ?? -1 }
    package var newsDescriptor: Int32 { queue?.watch.descriptor ?? -1 }
    package var isLost: Bool { queue == nil }
    /// Until the queue was seen empty with the next completion to be told.
    package var mayHold: Bool { queue.map { !$0.isArmed } ?? false }
    /// What a device drops for want of a slot it counts for all its users together, if at all: so
    /// it can't be told for a mirror.
    package var dropCount: UInt32? { nil }
    /// A short datagram takes a slot, too: half of them count.
    package var roomByteCount: Int { depth / 2 * place.mtu }
    package var coalescing: Offload { .off }
    package func localEndpoint() -> Endpoint { local }

    package func join(source: Endpoint?) throws(SystemError) {
      try membership.join(source: source)
      guard !isAttached, let queue, let group else { return }
      try queue.attach(group)
      isAttached = true
    }

    @discardableResult
    package func leave(source: Endpoint?) throws(SystemError) -> Bool {
      try membership.leave(source: source)
    }

    package func takeNews(looking: Bool) -> PortNews? {
      while looking, let told = queue?.nextNews() {
        news.append(told)
        if told.weight == .loss { (queue, group) = (nil, nil) }
      }
      return news.isEmpty ? nil : news.removeFirst()
    }

    /// Lets the device go: while anybody has it open it may not be able to leave. What it had
    /// received and not told is lost; whoever sent it learns so, and takes another way.
    private func lose(_ error: SystemError) {
      (queue, group) = (nil, nil)
      news.append(.lost(error))
    }

    package func receive(into batch: inout ArrivalBatch) throws(SystemError) -> Int {
      batch.beginLending()
      guard let queue else { return 0 }
      do throws(SystemError) {
        if let stopped { try restart(queue, after: stopped) }
        var taken = 0
        while taken < Self.takenMax, !batch.isFullOfLent {
          let count = try take(from: queue, into: &batch)
          taken += count
          // What came in turn before it is good.
          if stopped != nil { break }
          if count > 0 { continue }
          if queue.isArmed { return batch.count }
          // Told from now on; what came before this is looked for once more.
          try queue.arm()
        }
        batch.noteMore()
        return batch.count
      } catch {
        lose(error)
        return batch.count
      }
    }

    /// Out of an error, which anybody may bring about who knows the Q_Key: by a datagram that is
    /// longer than a slot. What had come and was not told is lost, and will be repaired.
    private func restart(_ queue: RDMAQueuePair, after error: SystemError) throws(SystemError) {
      stopped = nil
      restarts += 1
      guard restarts <= Self.restartsMax else { throw error }
      if restarts == 1 { news.append(.restarted(error)) }
      try queue.reset()
      while try queue.poll() > 0 {}
      try queue.initialize()
      (owedFirst, owed) = (0, queue.depth)
      try repost(queue)
      try queue.start()
    }

    /// How many completions there were; each takes the next slot.
    private func take(
      from queue: RDMAQueuePair, into batch: inout ArrivalBatch
    ) throws(SystemError) -> Int {
      let count = try queue.poll(atMost: ArrivalBatch.lentMax - batch.count)
      for index in 0..<count {
        let completion = queue.completion(index)
        let slot = (owedFirst + owed) % queue.depth
        owed += 1
        // A device that takes slots out of turn can't be relied on.
        guard completion.status == 0, Int(completion.id) == slot else {
          let why =
            completion.status == 0 ? "a slot out of turn" : "status \(completion.status)"
          stopped = SystemError(doing: "receive by RDMA (\(why))", number: EIO)
          return index
        }
        restarts = 0
        // Empty, and counted as too short, where the device tells nonsense.
        let length = min(max(0, Int(completion.length) - Self.headerByteCount), queue.place.mtu)
        // Safe: the slot is one of those posted, and is read until `release` at most.
        let start = unsafe slots.start + slot * stride
        unsafe batch.lend(
          LentMessage(
            start: UnsafeRawPointer(start + Self.headerByteCount), each: length, stride: stride,
            source: source(start, completion)))
      }
      return count
    }

    /// Who sent what stands behind this header: nobody where the device has not written one.
    private func source(
      _ header: UnsafeRawPointer, _ completion: mirrorcast_verbs_completion
    ) -> Endpoint {
      let queuePair = completion.source_queue_pair
      guard completion.has_header != 0 else { return Endpoint(gid: (0, 0), queuePair: 0) }
      // Safe: the header's 40 bytes are the slot's. IPv4's source is 8 bytes before their end, a
      // GID begins at the eighth.
      if isV4 {
        let address = unsafe header.loadUnaligned(fromByteOffset: 32, as: UInt32.self)
        return Endpoint(mappedV4: address, queuePair: queuePair)
      }
      let first = unsafe header.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
      let second = unsafe header.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
      return Endpoint(gid: (first, second), queuePair: queuePair)
    }

    package func release(_ batch: inout ArrivalBatch) {
      guard owed >= Self.repostMin, stopped == nil, let queue else { return }
      do throws(SystemError) { try repost(queue) } catch { lose(error) }
    }

    /// Gives the device all slots that it is owed, in turn.
    private func repost(_ queue: RDMAQueuePair) throws(SystemError) {
      while owed > 0 {
        let count = min(owed, queue.depth - owedFirst)
        // Safe: `count` slots from the first owed one on lie in the slots, and nobody reads them.
        try SystemError.check(
          unsafe mirrorcast_verbs_receive(
            queue.pair, slots.start, UInt32(stride), UInt32(Self.headerByteCount + queue.place.mtu),
            memoryKey, UInt32(owedFirst), UInt32(count)),
          "post receives")
        owedFirst = (owedFirst + count) % queue.depth
        owed -= count
      }
    }
  }
#endif

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
    /// The header in front of a datagram; IPv4's fills its end.
    private static let headerByteCount = 40

    private let queue: RDMAQueuePair
    private let membership: DatagramSocket
    private let local: Endpoint
    private let isV4: Bool
    private let group: Endpoint
    private var isAttached = false
    private let slots: Pages
    private let stride: Int
    private let memoryKey: UInt32
    /// The slots that are to be posted next, in turn.
    private var owedFirst = 0
    private var owed = 0
    private var isBroken = false

    package init(
      at place: RDMAPlace, key: UInt32, group: Endpoint, interface: NetworkInterface,
      local: Endpoint, node: Int?, pages policy: PagePolicy
    ) throws(SystemError) {
      queue = try RDMAQueuePair(at: place, key: key, .receives, depth: Self.depth)
      membership = try DatagramSocket.groupReceiver(
        group: group, interface: interface, receiveBufferByteCount: 4096, coalescing: .off)
      self.group = Endpoint(gid: group.gid, queuePair: 0)
      self.local = local.with(port: Endpoint.rocePort)
      isV4 = group.family == .v4
      stride = (Self.headerByteCount + place.mtu + 63) / 64 * 64
      slots = try Pages(byteCount: queue.depth * stride, node: node, policy: policy)
      // Safe: the memory is there until the queue pair is gone, or the device has it locked.
      memoryKey = unsafe try queue.register(slots.start, byteCount: slots.byteCount)
      try queue.initialize()
      owed = queue.depth
      try repost()
      try queue.start()
    }

    package var queuePair: QueuePairPlace? { queue.queuePair }
    package var descriptor: Int32 { queue.descriptor }
    /// Until the queue was seen empty with the next completion to be told.
    package var mayHold: Bool { !queue.isArmed && !isBroken }
    /// The device tells nobody what it dropped.
    package var dropCount: UInt32 { 0 }
    /// A short datagram takes a slot, too: half of them count.
    package var roomByteCount: Int { queue.depth / 2 * queue.place.mtu }
    package var coalescing: Offload { .off }
    package func localEndpoint() -> Endpoint { local }

    package func join(source: Endpoint?) throws(SystemError) {
      try membership.join(source: source)
      guard !isAttached else { return }
      try queue.attach(group)
      isAttached = true
    }

    @discardableResult
    package func leave(source: Endpoint?) throws(SystemError) -> Bool {
      try membership.leave(source: source)
    }

    package func receive(into batch: inout ArrivalBatch) throws(SystemError) -> Int {
      batch.beginLending()
      guard !isBroken else { return 0 }
      do {
        var taken = 0
        while taken < Self.takenMax, !batch.isFullOfLent {
          let count = try take(into: &batch)
          taken += count
          if count > 0 { continue }
          if queue.isArmed { return batch.count }
          // Told from now on; what came before this is looked for once more.
          try queue.arm()
        }
        batch.noteMore()
        return batch.count
      } catch {
        isBroken = true
        throw error
      }
    }

    /// How many completions there were; each takes the next slot.
    private func take(into batch: inout ArrivalBatch) throws(SystemError) -> Int {
      let count = try queue.poll(atMost: ArrivalBatch.lentMax - batch.count)
      for index in 0..<count {
        let completion = queue.completion(index)
        let slot = (owedFirst + owed) % queue.depth
        owed += 1
        // A device that takes slots out of turn can't be relied on.
        guard completion.status == 0, Int(completion.id) == slot else {
          throw SystemError(doing: "receive by RDMA", number: EIO)
        }
        // Empty, and counted as too short, where the device tells nonsense.
        let length = min(max(0, Int(completion.length) - Self.headerByteCount), queue.place.mtu)
        // Safe: the slot is one of those posted, and is read until `release` at most.
        let start = unsafe slots.start + slot * stride
        unsafe batch.lend(
          LentMessage(
            start: UnsafeRawPointer(start + Self.headerByteCount), each: length, stride: stride,
            source: source(start, completion.source_queue_pair)))
      }
      return count
    }

    /// Who sent what stands behind this header.
    private func source(_ header: UnsafeRawPointer, _ queuePair: UInt32) -> Endpoint {
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
      guard owed >= Self.repostMin, !isBroken else { return }
      do throws(SystemError) { try repost() } catch { isBroken = true }
    }

    /// Gives the device all slots that it is owed, in turn.
    private func repost() throws(SystemError) {
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

// One mirror at its initiator, for callers. It is made of parts, one for each lane: the disk is cut
// into stripes as long as the longest write, and stripe n belongs to part n modulo the parts. So
// writes that overlap meet in one part, whose sender keeps them apart, and parts need know nothing
// of each other but who left. The road not taken was one sender that feeds several sockets: a
// write's blocks, reports and repairs would have met in its state, from several cores.
import Datagrams
import Lanes
import Logging
import Replication
import Synchronization

/// One mirror, from its establishment to its termination. All calls from any thread.
public final class Mirror: Sendable {
  /// Bytes of each mirrored LUN; all are of one size.
  public let byteCount: UInt64
  /// Bytes of a logical block; offsets and lengths of writes are multiples of it.
  public let blockSize: Int
  /// The longest write that goes as one, in bytes; longer ones are split.
  public let writeLengthMax: Int
  /// Bytes of data in a full datagram, as the probe of the group has found them to pass.
  public let blockLength: Int
  /// Writes that the legs allow to be open at once, in all lanes together.
  public let depthMax: Int

  let options: MirrorOptions
  let logger: Logger
  /// One for each lane.
  let parts: [MirrorPart]
  /// Nil where the mirror is not kept.
  let keeping: KeptMirror?
  /// Nil where no other initiator writes to it.
  let gate: WriteGate?
  let reservations: ReservationDesk
  /// In a shared mirror, the mirrors that this one has been since.
  let succession: MirrorSuccession?
  let writeCacheWish: WriteCacheWish
  /// One ordered write after the other gets its place in the lanes.
  let orderings = Mutex(())
  let state: Mutex<State>

  /// What concerns all parts.
  struct State: Sendable {
    var notices: [String]
    var isChanging = false
    /// Who waits for the change of members that is under way.
    var changeWaiters: [CheckedContinuation<Void, Never>] = []
    var end: Task<[LegStatus], Never>?
  }

  init(_ establishment: Establishment, _ parts: [MirrorPart], notices: [String]) {
    byteCount = establishment.size.byteCount
    blockSize = establishment.size.blockSize
    writeLengthMax = establishment.request.writeLengthMax
    blockLength = establishment.request.blockLength
    depthMax = parts.reduce(0) { $0 + $1.depthMax }
    options = establishment.options
    logger = establishment.logger
    self.parts = parts
    keeping = establishment.keeping
    gate = establishment.keeping?.gate(byteCount: byteCount)
    let sharing = establishment.keeping?.sharing
    succession = sharing?.isFirst == true ? sharing?.succession : nil
    reservations = ReservationDesk(parts, establishment)
    writeCacheWish = establishment.keeping?.writeCacheWish ?? WriteCacheWish()
    state = Mutex(State(notices: notices))
    succession?.begin(with: self)
  }

  /// A mirror that nobody holds any more, and nobody ended: its sessions end, and so its maps.
  deinit {
    guard state.withLock({ $0.end == nil }) else { return }
    logger.warning("a mirror was let go without its end", metadata: ["group": "\(options.group)"])
    Task { [parts, keeping] in
      for part in parts { await part.finishWrites() }
      for part in parts { await part.close() }
      keeping?.end()
    }
  }

  /// What people should know: legs served otherwise than by multicast, missing authentication.
  public var notices: [String] {
    (succession?.current ?? self).state.withLock { $0.notices }
  }

  /// Tells people something, once.
  func note(_ notice: String) {
    state.withLock { if !$0.notices.contains(notice) { $0.notices.append(notice) } }
  }

  // MARK: Writing

  /// Writes `bytes` at `offset` on every leg.
  ///
  /// `bytes` must stay unchanged until this returns; its length and `offset` are multiples of
  /// `blockSize`. A write longer than `writeLengthMax` is split, and with several lanes one that
  /// crosses a multiple of it. The result names each leg that has not answered GOOD. FUA is set
  /// where `forceUnitAccess` is (SBC-3 §5.36). A mirror that several initiators share does simple
  /// writes only.
  public func write(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool = false,
    attribute: TaskAttribute = .simple, tag: WriteTag? = nil
  ) async -> WriteResult {
    // Safe: the caller keeps the buffer until the continuation was resumed.
    let piece = unsafe WritePiece(bytes)
    return await withCheckedContinuation { continuation in
      unsafe submit(
        piece.bytes, at: offset, forceUnitAccess: forceUnitAccess, attribute: attribute, tag: tag
      ) { continuation.resume(returning: $0) }
    }
  }

  /// As `write`, with a completion instead of a task: for many writes in flight.
  ///
  /// The completion is called once, on a lane's thread, and must not block; it may submit again.
  /// More than 4,096 writes under way in one lane are refused by their completion.
  public func submit(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool = false,
    attribute: TaskAttribute = .simple, tag: WriteTag? = nil,
    completion: @escaping @Sendable (WriteResult) -> Void
  ) {
    let count = bytes.count
    guard count > 0, count % blockSize == 0, offset % UInt64(blockSize) == 0,
      offset <= byteCount, UInt64(count) <= byteCount - offset
    else {
      let words = "write of \(count) bytes at \(offset) doesn't fit blocks of \(blockSize) bytes"
      return completion(parts[0].refusal(words))
    }
    // Safe: the caller leaves the buffer alone until the completion was called.
    guard let succession else {
      return unsafe submitHere(
        bytes, at: offset, forceUnitAccess: forceUnitAccess, attribute: attribute, tag: tag,
        completion: completion)
    }
    guard attribute == .simple else {
      return completion(
        parts[0].refusal("\(attribute.rawValue): a shared mirror does simple writes only"))
    }
    unsafe succession.submit(
      bytes, at: offset, forceUnitAccess: forceUnitAccess, by: self, completion: completion)
  }

  /// The same of a write that fits the disk, and by this mirror itself.
  // Safe: as above; each piece lies within the caller's buffer.
  func submitHere(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool,
    attribute: TaskAttribute = .simple, tag: WriteTag? = nil,
    completion: @escaping @Sendable (WriteResult) -> Void
  ) {
    // Not by `map` or `??`: those would take memory for each write, to wrap what is handed on.
    var completion = completion
    if let tag { completion = tag.naming(completion) }
    let isBarrier = attribute == .ordered && parts.count > 1
    var ordered: [PlacedCall] = []
    let stripes = stripes(of: bytes.count, at: offset)
    let pieceCount = stripes.pieceCount
    let gather = pieceCount == 1 ? completion : WriteGather(pieceCount, completion).completion
    for index in 0..<pieceCount {
      let piece = stripes[index]
      // Safe: within the caller's buffer, which stays until the completion.
      var call = unsafe call(
        UnsafeRawBufferPointer(rebasing: bytes[piece.range]),
        at: offset + UInt64(piece.range.lowerBound), forceUnitAccess, gather)
      call.attribute = attribute.ofSubmission
      call.tag = tag
      if isBarrier {
        ordered.append((piece.part, call))
      } else {
        pass(call, to: piece.part)
      }
    }
    if isBarrier { submitOrdered(ordered) }
  }

  func stripes(of count: Int, at offset: UInt64) -> StripePieces {
    StripePieces(
      offset: offset, count: count, length: UInt64(writeLengthMax), partCount: parts.count)
  }

  /// A write that is one of its stripes.
  // Safe: as above.
  func submitPiece(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool, to part: Int,
    completion: @escaping @Sendable (WriteResult) -> Void
  ) {
    pass(unsafe call(bytes, at: offset, forceUnitAccess, completion), to: part)
  }

  private func pass(_ call: WriteCall, to part: Int) {
    if let gate {
      gate.pass(call, to: parts[part])
    } else {
      parts[part].submit(call)
    }
  }

  /// Without status the call ends before its data is no longer needed: then a copy is kept.
  private func call(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ forceUnitAccess: Bool,
    _ completion: @escaping @Sendable (WriteResult) -> Void
  ) -> WriteCall {
    // Safe: the copy is as long as the piece, and the lane frees it.
    var kept = unsafe bytes
    if options.status == .none {
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
      unsafe copy.copyMemory(from: bytes)
      unsafe kept = UnsafeRawBufferPointer(copy)
    }
    return unsafe WriteCall(
      kept, isOwned: options.status == .none, byteOffset: offset,
      forceUnitAccess: forceUnitAccess || writeCacheWish.forcesWrites, completion: completion)
  }

  // MARK: Looking

  /// What was sent, lost and repaired so far; leg by leg, LUN by LUN.
  public func statistics() -> MirrorStatistics {
    if let current = succession?.current { return current.statistics() }
    var statistics = MirrorStatistics()
    statistics.blockLength = blockLength
    statistics.transport = options.transport.word
    var counters: [LegCounters] = []
    var deaf: LegSet = []
    for part in parts {
      let reading = part.board.latest
      deaf.formUnion(part.membership.withLock { $0.deaf })
      deaf.formUnion(reading.carried)
      statistics.add(reading, part.started)
      while counters.count < reading.legs.count { counters.append(LegCounters()) }
      for (index, leg) in reading.legs.enumerated() {
        counters[index].lostBlocks += leg.lostBlocks
        counters[index].repairedBlocks += leg.repairedBlocks
        counters[index].reports += leg.reports
        counters[index].unproven += leg.unproven
      }
    }
    statistics.pacing = MirrorStatistics.Pacing(parts.map(\.board.latest))
    for (index, leg) in parts[0].membership.withLock({ $0.legs }).enumerated() {
      let counted = index < counters.count ? counters[index] : LegCounters()
      let way = leg.way(isDeaf: deaf.contains(LegSet(index)), transport: options.transport)
      for status in keeping?.statuses(of: leg.urls) ?? leg.statuses {
        statistics.legs.append(
          MirrorStatistics.Leg(
            url: status.url, status: status, servedBy: way, lostBlocks: counted.lostBlocks,
            repairedBlocks: counted.repairedBlocks, reports: counted.reports,
            unproven: counted.unproven))
      }
    }
    return statistics
  }
}

extension MirrorStatistics {
  /// Adds what one part has done.
  fileprivate mutating func add(_ reading: MirrorBoard.Reading, _ started: StartedLane) {
    writes += reading.sender.writes
    bytes += reading.sender.bytes
    dataDatagrams += reading.sender.dataDatagrams
    repairDatagrams += reading.sender.repairDatagrams
    groupRepairDatagrams += reading.sender.groupRepairDatagrams
    questions += reading.sender.syncs
    wireBytes += reading.wireBytes
    lanes.append(started.told(segmentation: reading.segmentation))
  }
}

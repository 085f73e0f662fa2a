// One mirror at its initiator, for callers: what they ask goes to the lane, what the lane tells
// comes back by completion. Membership changes are made here, one at a time, by text on the legs'
// sessions.
import Bytes
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
  /// Writes that the legs allow to be open at once.
  public let depthMax: Int

  let options: MirrorOptions
  let interface: NetworkInterface
  let inbox: LaneInbox<SenderOrder>
  let calls: WriteCalls
  let lane: Lane<SenderDuty>
  let started: StartedLane
  let board: MirrorBoard
  let logger: Logger
  let membership: Mutex<Membership>

  /// The members, as the control side knows them.
  struct Membership: Sendable {
    var legs: [MirrorLeg]
    var epoch: UInt16
    var request: RegistrationRequest
    var notices: [String]
    var deaf: LegSet = []
    var dropped: LegSet = []
    var isChanging = false
    /// Who waits for the change of members that is under way.
    var changeWaiters: [CheckedContinuation<Void, Never>] = []
    /// Once there is one, the lane is handed nothing more but what the end itself needs.
    var end: Task<[LegStatus], Never>?

    /// The epoch of the next members; zero is none.
    var nextEpoch: UInt16 { epoch == .max ? 1 : epoch + 1 }
  }

  init(_ parts: Parts, lane: Lane<SenderDuty>, started: StartedLane) {
    byteCount = parts.byteCount
    blockSize = parts.blockSize
    writeLengthMax = parts.request.writeLengthMax
    depthMax = min(parts.openWritesMax, max(parts.credit / parts.request.writeLengthMax, 1))
    options = parts.options
    interface = parts.interface
    inbox = parts.inbox
    calls = parts.calls
    board = parts.board
    logger = parts.logger
    self.lane = lane
    self.started = started
    membership = Mutex(
      Membership(
        legs: parts.legs, epoch: parts.request.epoch, request: parts.request,
        notices: parts.notices))
  }

  /// A mirror that nobody holds any more, and nobody ended: its sessions end, and so its maps.
  deinit {
    let (end, legs) = membership.withLock { ($0.end, $0.legs) }
    guard end == nil else { return }
    logger.warning("a mirror was let go without its end", metadata: ["group": "\(options.group)"])
    Task { [inbox, lane] in
      await withCheckedContinuation { continuation in
        inbox.post(.whenIdle { continuation.resume() })
      }
      await Self.close(legs, lane)
    }
  }

  /// What establishing gathers.
  struct Parts {
    var options: MirrorOptions
    var byteCount: UInt64
    var blockSize: Int
    var request: RegistrationRequest
    var openWritesMax: Int
    var credit: Int
    var legs: [MirrorLeg]
    var interface: NetworkInterface
    var notices: [String]
    var inbox: LaneInbox<SenderOrder>
    var calls: WriteCalls
    var board: MirrorBoard
    var logger: Logger
  }

  /// What people should know: legs served otherwise than by multicast, missing authentication.
  public var notices: [String] { membership.withLock { $0.notices } }

  // MARK: Writing

  /// Writes `bytes` at `offset` on every leg.
  ///
  /// `bytes` must stay unchanged until this returns; its length and `offset` are multiples of
  /// `blockSize`. A write longer than `writeLengthMax` is split. The result names each leg that has
  /// not answered GOOD. FUA is set where `forceUnitAccess` is (SBC-3 §5.36).
  public func write(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool = false
  ) async -> WriteResult {
    // Safe: the caller keeps the buffer until the continuation was resumed.
    let piece = unsafe WritePiece(bytes)
    return await withCheckedContinuation { continuation in
      unsafe submit(piece.bytes, at: offset, forceUnitAccess: forceUnitAccess) {
        continuation.resume(returning: $0)
      }
    }
  }

  /// As `write`, with a completion instead of a task: for many writes in flight.
  ///
  /// The completion is called once, on the lane's thread, and must not block; it may submit again.
  /// More than 4,096 writes under way are refused by their completion.
  public func submit(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool = false,
    completion: @escaping @Sendable (WriteResult) -> Void
  ) {
    let count = bytes.count
    guard count > 0, count % blockSize == 0, offset % UInt64(blockSize) == 0,
      offset <= byteCount, UInt64(count) <= byteCount - offset
    else {
      return completion(
        refusal("write of \(count) bytes at \(offset) doesn't fit blocks of \(blockSize) bytes"))
    }
    let pieces = (count + writeLengthMax - 1) / writeLengthMax
    let gather = pieces == 1 ? completion : WriteGather(pieces, completion).completion
    for index in 0..<pieces {
      let start = index * writeLengthMax
      let end = min(start + writeLengthMax, count)
      // Safe: within the caller's buffer, which stays until the completion.
      let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<end])
      let call = unsafe call(piece, at: offset + UInt64(start), forceUnitAccess, gather)
      let isTaken = membership.withLock { $0.end == nil ? calls.offer(call) : nil }
      guard isTaken != true else { continue }
      call.release()
      let most = WriteCalls.underWayMax
      gather(refusal(isTaken == nil ? "mirror ended" : "more than \(most) writes under way"))
    }
  }

  /// Hands the lane an order, as long as it is there to take it. False once the mirror ends.
  func post(_ order: SenderOrder) -> Bool {
    while true {
      // Never waiting for room under the lock: the lane's completions may want it, too.
      let isTaken = membership.withLock { $0.end == nil ? inbox.offer(order) : nil }
      guard isTaken == false else { return isTaken ?? false }
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
      forceUnitAccess: forceUnitAccess, completion: completion)
  }

  private func refusal(_ words: String) -> WriteResult {
    let failures = membership.withLock { $0.legs }.flatMap(\.urls).map {
      LegStatus(url: $0, isGood: false, text: words)
    }
    return WriteResult(isGood: false, failures: failures)
  }

  // MARK: Looking

  /// What was sent, lost and repaired so far; leg by leg, LUN by LUN.
  public func statistics() -> MirrorStatistics {
    let reading = board.latest
    let (legs, deaf) = membership.withLock { ($0.legs, $0.deaf) }
    var statistics = MirrorStatistics()
    statistics.writes = reading.sender.writes
    statistics.bytes = reading.sender.bytes
    statistics.dataDatagrams = reading.sender.dataDatagrams
    statistics.repairDatagrams = reading.sender.repairDatagrams
    statistics.groupRepairDatagrams = reading.sender.groupRepairDatagrams
    statistics.wireBytes = reading.wireBytes
    statistics.lanes = [started.told(segmentation: reading.segmentation)]
    for (index, leg) in legs.enumerated() {
      let counters = index < reading.legs.count ? reading.legs[index] : LegCounters()
      let way = leg.isForeign ? "iscsi" : deaf.contains(LegSet(index)) ? "tcp" : "multicast"
      for status in leg.statuses {
        statistics.legs.append(
          MirrorStatistics.Leg(
            url: status.url, status: status, servedBy: way, lostBlocks: counters.lostBlocks,
            repairedBlocks: counters.repairedBlocks, reports: counters.reports))
      }
    }
    return statistics
  }
}

/// A buffer on its way through an async call.
// Safe: the caller of Mirror.write keeps it until the call returns.
@safe private struct WritePiece: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) {
    // Safe: kept by the caller, as said above.
    unsafe self.bytes = bytes
  }
}

/// Joins the results of the pieces of one long write.
private final class WriteGather: Sendable {
  private struct State {
    var left: Int
    var failures: [LegStatus] = []
  }

  private let state: Mutex<State>
  private let done: @Sendable (WriteResult) -> Void

  init(_ pieces: Int, _ done: @escaping @Sendable (WriteResult) -> Void) {
    state = Mutex(State(left: pieces))
    self.done = done
  }

  var completion: @Sendable (WriteResult) -> Void {
    { result in
      let failures = self.state.withLock { state -> [LegStatus]? in
        state.left -= 1
        for failure in result.failures
        where !state.failures.contains(where: { $0.url == failure.url }) {
          state.failures.append(failure)
        }
        return state.left == 0 ? state.failures : nil
      }
      if let failures { self.done(WriteResult(isGood: failures.isEmpty, failures: failures)) }
    }
  }
}

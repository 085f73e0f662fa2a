// A shared mirror outlives the initiator that leads it: when that is gone its guests come together
// anew, one of them leads, and what was not told as ended is written again. For a guest's callers
// nothing happens but that their writes take longer.
//
// The mirror that a caller has is the first of a line; each further one is opened as the first was.
// A write that nobody told as ended may have reached some legs: those are made equal by whoever
// leads, and then it is done again, as a host does whose path was lost. Callers that write to one
// place from two hosts have to keep them apart by a lock of their own until a write has ended, as
// with any disk that two hosts share.
import Logging
import Replication
import Synchronization

/// The mirrors that one mirror of a caller has been, one after the other.
final class MirrorSuccession: Sendable {
  /// A write that is to be done again.
  // Safe: the caller leaves the buffer alone until the completion was called, see Mirror.submit.
  @safe private struct Pending: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    let offset: UInt64
    let forceUnitAccess: Bool
    let completion: @Sendable (WriteResult) -> Void
  }

  private struct State {
    /// Nil: the first one.
    var current: Mirror?
    var pending: [Pending] = []
    var isOpening = false
    /// The caller ends it, or there is no next one.
    var isOver = false
  }

  /// Of one for the other, too.
  let writeCacheWish = WriteCacheWish()
  private let options: MirrorOptions
  /// One for all of the line.
  let reservations = ReservationMemory()
  private let logger: Logger
  private let state = Mutex(State())

  init(_ options: MirrorOptions, _ logger: Logger) {
    self.options = options
    self.logger = logger
  }

  /// The mirror that is open now, where it is not the first.
  var current: Mirror? { state.withLock { $0.current } }

  /// Writes by the mirror that is open; again by the next one where that was left by its leader.
  func submit(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool, by first: Mirror,
    completion: @escaping @Sendable (WriteResult) -> Void
  ) {
    // Safe: the caller leaves the buffer alone until the completion was called.
    let write = unsafe Pending(
      bytes: bytes, offset: offset, forceUnitAccess: forceUnitAccess, completion: completion)
    let mirror = state.withLock { state -> Mirror? in
      guard !state.isOpening else {
        state.pending.append(write)
        return nil
      }
      return state.current ?? first
    }
    if let mirror { begin(write, by: mirror) }
  }

  private func begin(_ write: Pending, by mirror: Mirror) {
    // Safe: the caller's buffer stays until its completion.
    unsafe mirror.submitHere(
      write.bytes, at: write.offset, forceUnitAccess: write.forceUnitAccess
    ) { [self, weak mirror] result in
      guard !result.isGood, let mirror, mirror.keeping?.sharing?.isLeaderGone == true,
        postpone(write)
      else { return write.completion(result) }
    }
  }

  private func postpone(_ write: Pending) -> Bool {
    state.withLock { state in
      guard !state.isOver else { return false }
      state.pending.append(write)
      return true
    }
  }

  // MARK: The next one

  /// The leader of the mirror is gone.
  func leaderGone(_ keeping: KeptMirror) {
    let isMine = state.withLock { state in
      guard !state.isOver, !state.isOpening else { return false }
      state.isOpening = true
      return true
    }
    guard isMine else { return }
    Task { await openNext(after: keeping.options) }
  }

  private func openNext(after told: MirrorOptions) async {
    var next = options
    // As the last leader told it: the legs by then, and where the group is.
    next.name = told.name
    next.legs = told.legs
    next.group = told.group
    next.virtualLUN = nil
    next.keeping.isShared = true
    next.keeping.required = nil
    do {
      let mirror = try await SharedOpening(next, logger).open(succeeding: self)
      await takeReservations(mirror)
      await take(mirror)
    } catch {
      logger.error("a shared mirror is not opened again: \(error)")
      let pending = state.withLock { state in
        state.isOver = true
        state.isOpening = false
        defer { state.pending = [] }
        return state.pending
      }
      let words = "the mirror's leader is gone, and it is not opened again: \(error)"
      let failures = told.legs.map { LegStatus(url: $0, isGood: false, text: words) }
      for write in pending {
        write.completion(WriteResult(isGood: false, failures: failures))
      }
    }
  }

  /// Made anew before any write; what the last leader had is nobody's.
  private func takeReservations(_ mirror: Mirror) async {
    await mirror.reservations.restore()
    let key = reservations.leaderKey
    guard mirror.keeping?.sharing?.server != nil, key != 0, key != reservations.own.key else {
      return
    }
    reservations.setLeaderKey(0)
    await mirror.reservations.remove(key)
  }

  private func take(_ mirror: Mirror) async {
    let (pending, former, isOver) = state.withLock { state in
      let former = state.current
      state.current = mirror
      state.isOpening = false
      defer { state.pending = [] }
      return (state.pending, former, state.isOver)
    }
    for write in pending { begin(write, by: mirror) }
    if let former { _ = await former.withdraw() }
    if isOver { _ = await mirror.terminate() }
  }

  /// The caller ends the mirror: there will be no next one.
  func end() -> Mirror? {
    state.withLock { state in
      state.isOver = true
      return state.current
    }
  }
}

// A shared mirror outlives the initiator that leads it: when that is gone its guests come together
// anew, one of them leads, and what was not told as ended is written again. For a guest's callers
// nothing happens but that their writes take longer.
//
// The mirror that a caller has is the first of a line; each further one is opened as the first was.
// A write that nobody told as ended may have reached some legs: those are made equal by whoever
// leads, and then it is done again, as a host does whose path was lost. Callers that write to one
// place from two hosts have to keep them apart by a lock of their own until a write has ended, as
// with any disk that two hosts share.
//
// Law: what is done again keeps the order in which it was begun, comes before what is begun
// later, and leaves out what has ended: over that a later write may have ended, too. So a write has
// a number, it is done again piece by piece, and nothing begins by the next mirror before all has
// ended by the one before.
import Logging
import Replication
import Synchronization

/// The mirrors that one mirror of a caller has been, one after the other.
final class MirrorSuccession: Sendable {
  /// A write, or a piece of one, that may have to be done again.
  // Safe: the caller leaves the buffer alone until the completion was called, see Mirror.submit.
  @safe private struct Pending: @unchecked Sendable {
    let number: UInt64
    let bytes: UnsafeRawBufferPointer
    let offset: UInt64
    let forceUnitAccess: Bool
    let completion: @Sendable (WriteResult) -> Void
  }

  private struct State {
    weak var first: Mirror?
    /// Nil: the first one.
    var current: Mirror?
    var lastNumber: UInt64 = 0
    /// Until the next mirror takes them.
    var pending: [Pending] = []
    /// From the end of a leader until the next mirror has taken all that waits.
    var opening: Task<Void, Never>?
    /// The next mirror has lost its leader, too, before that.
    var lostMeanwhile: MirrorOptions?
    /// Who waits until the next one is open.
    var waiting: [CheckedContinuation<Void, Never>] = []
    /// The caller ends it, or there is no next one.
    var isOver = false

    mutating func endOpening() -> [CheckedContinuation<Void, Never>] {
      opening = nil
      defer { waiting = [] }
      return waiting
    }

    /// In the order in which they were begun.
    mutating func takePending() -> [Pending] {
      defer { pending = [] }
      return pending.sorted { $0.number < $1.number }
    }
  }

  /// What becomes of a write.
  private enum Fate {
    case waits
    case begins(Mirror)
    case fails
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

  func begin(with first: Mirror) { state.withLock { $0.first = first } }

  /// The mirror that is open now, where it is not the first.
  var current: Mirror? { state.withLock { $0.current } }

  // MARK: Writes

  /// Writes by the mirror that is open; again by the next one where that was left by its leader.
  func submit(
    _ bytes: UnsafeRawBufferPointer, at offset: UInt64, forceUnitAccess: Bool, by first: Mirror,
    completion: @escaping @Sendable (WriteResult) -> Void
  ) {
    let number = state.withLock { state in
      state.lastNumber += 1
      return state.lastNumber
    }
    // Safe: the caller leaves the buffer alone until the completion was called.
    let write = unsafe Pending(
      number: number, bytes: bytes, offset: offset, forceUnitAccess: forceUnitAccess,
      completion: completion)
    let fate = state.withLock { state -> Fate in
      guard state.opening != nil else { return .begins(state.current ?? first) }
      guard state.pending.count < WriteCalls.underWayMax else { return .fails }
      state.pending.append(write)
      return .waits
    }
    switch fate {
    case .waits: break
    case .begins(let mirror): begin(write, by: mirror)
    case .fails:
      completion(
        first.parts[0].refusal("more than \(WriteCalls.underWayMax) writes wait for a leader"))
    }
  }

  private func begin(_ write: Pending, by mirror: Mirror) {
    // Safe: the caller's buffer stays until the completion, and each piece lies within it.
    let stripes = mirror.stripes(of: unsafe write.bytes.count, at: write.offset)
    let count = stripes.pieceCount
    let gather = count == 1 ? write.completion : WriteGather(count, write.completion).completion
    for index in 0..<count {
      let (range, part) = stripes[index]
      let piece = unsafe Pending(
        number: write.number, bytes: UnsafeRawBufferPointer(rebasing: write.bytes[range]),
        offset: write.offset + UInt64(range.lowerBound), forceUnitAccess: write.forceUnitAccess,
        completion: gather)
      unsafe mirror.submitPiece(
        piece.bytes, at: piece.offset, forceUnitAccess: piece.forceUnitAccess, to: part
      ) { [self, weak mirror] result in
        guard !result.isGood, let mirror else { return gather(result) }
        switch fate(of: piece, from: mirror) {
        case .waits: break
        case .begins(let next): begin(piece, by: next)
        case .fails: gather(result)
        }
      }
    }
  }

  private func fate(of piece: Pending, from mirror: Mirror) -> Fate {
    state.withLock { state in
      guard mirror.keeping?.sharing?.isLeaderGone == true else { return .fails }
      if state.opening != nil {
        state.pending.append(piece)
        return .waits
      }
      // Begun while the next one took over: nothing of that caller came later.
      guard let current = state.current, current !== mirror else { return .fails }
      return .begins(current)
    }
  }

  // MARK: The next one

  /// The leader of the mirror is gone.
  /// - Parameter mark: what makes that known to `fate`; at once with the opening of the next one.
  func leaderGone(_ keeping: KeptMirror, mark: () -> Void) {
    // Legs that came since it was opened, too.
    let told = keeping.told
    state.withLock { state in
      mark()
      if state.opening != nil {
        state.lostMeanwhile = told
      } else if !state.isOver {
        state.opening = Task { await openNext(after: told) }
      }
    }
  }

  private func openNext(after lost: MirrorOptions) async {
    var told = lost
    while true {
      do {
        let mirror = try await SharedOpening(next(after: told), logger).open(succeeding: self)
        await mirror.takeOverWriteCache()
        await takeReservations(mirror)
        guard let lost = await take(mirror) else { return }
        told = lost
      } catch {
        return giveUp(told, error)
      }
    }
  }

  /// As the last leader told it: the legs by then, and where the group is.
  private func next(after told: MirrorOptions) -> MirrorOptions {
    var next = options
    next.name = told.name
    next.legs = told.legs
    next.group = told.group
    next.virtualLUN = nil
    next.security = told.security
    next.keeping.isShared = true
    next.keeping.isSuccession = true
    next.keeping.required = nil
    next.keeping.kept = nil
    next.keeping.added = []
    return next
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

  /// All that waits begins by this one. Returns what another one has to follow where its leader is
  /// gone already.
  private func take(_ mirror: Mirror) async -> MirrorOptions? {
    let (former, first) = state.withLock { state in
      defer { state.current = mirror }
      return (state.current ?? state.first, state.first)
    }
    // What fails by that waits here, too, then.
    await former?.endWrites()
    // The caller ends the first one.
    if let former, former !== first { Task { _ = await former.withdraw() } }
    while true {
      var waiting: [CheckedContinuation<Void, Never>]?
      let (batch, lost) = state.withLock { state -> ([Pending], MirrorOptions?) in
        if let lost = state.lostMeanwhile, !state.isOver || !state.pending.isEmpty {
          state.lostMeanwhile = nil
          return ([], lost)
        }
        let batch = state.takePending()
        if batch.isEmpty { waiting = state.endOpening() }
        return (batch, nil)
      }
      if let lost { return lost }
      for write in batch { begin(write, by: mirror) }
      guard let waiting else { continue }
      for waiter in waiting { waiter.resume() }
      return nil
    }
  }

  private func giveUp(_ told: MirrorOptions, _ error: any Error) {
    logger.error("a shared mirror is not opened again: \(error)")
    let (pending, waiting) = state.withLock { state in
      state.isOver = true
      return (state.takePending(), state.endOpening())
    }
    let words = "the mirror's leader is gone, and it is not opened again: \(error)"
    let failures = told.legs.map { LegStatus(url: $0, isGood: false, text: words) }
    for write in pending { write.completion(WriteResult(isGood: false, failures: failures)) }
    for waiter in waiting { waiter.resume() }
  }
}

// MARK: What outlives a leader

extension MirrorSuccession {
  private func whenOpen() async {
    await withCheckedContinuation { waiter in
      let isOpening = state.withLock { state in
        if state.opening != nil { state.waiting.append(waiter) }
        return state.opening != nil
      }
      if !isOpening { waiter.resume() }
    }
  }

  /// Asks the mirror that is open, and the one after it where its leader was gone meanwhile.
  func ask<Answer>(
    _ first: Mirror, _ body: (Mirror) async throws -> Answer
  ) async rethrows -> Answer {
    while true {
      await whenOpen()
      let mirror = current ?? first
      do {
        let answer = try await body(mirror)
        if isLast(mirror, first) { return answer }
      } catch {
        if isLast(mirror, first) { throw error }
      }
    }
  }

  private func isLast(_ mirror: Mirror, _ first: Mirror) -> Bool {
    state.withLock { $0.opening == nil && ($0.current ?? first) === mirror }
  }

  /// The caller ends the mirror: there will be no next one. Returns the last one, when all that
  /// waited was taken by it.
  func end() async -> Mirror? {
    state.withLock { state in
      state.isOver = true
      if state.pending.isEmpty { state.opening?.cancel() }
    }
    await whenOpen()
    return current
  }
}

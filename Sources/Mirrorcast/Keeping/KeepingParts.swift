// The small things that the keeping of a mirror is made of: who waits, when to wake up, whether
// callers are busy.
import Lanes
import Replication
import Synchronization

/// The lanes of the mirror, once there are any.
struct KeptLanes: Sendable {
  var parts: [MirrorPart] = []
  var reservations: ReservationDesk?
  /// Bytes of the disk's stripes, which is the longest write.
  var stripeLength = 1
  var blockSize = 1
  var byteCount: UInt64 = 0

  func post(_ order: KeptOrder) {
    for part in parts { part.inbox.post(.kept(order)) }
  }

  /// A leg's way for bulk, where it has a place.
  func bulk(_ seat: LegSeat) -> LegBulk? {
    guard let place = seat.place, let first = parts.first else { return nil }
    let legs = first.membership.withLock { $0.legs }
    guard place < legs.count, legs[place].stay == seat.stay else { return nil }
    return LegBulk(url: seat.url, connection: legs[place].connection)
  }

  /// The parts that have a stripe of a range.
  func parts(of bytes: Range<UInt64>) -> [Int] {
    let stripes = pieces(of: bytes)
    var found: Set<Int> = []
    for index in 0..<min(stripes.pieceCount, parts.count) { found.insert(stripes[index].part) }
    return found.sorted()
  }

  func pieces(of bytes: Range<UInt64>) -> StripePieces {
    StripePieces(
      offset: bytes.lowerBound, count: bytes.count, length: UInt64(stripeLength),
      partCount: parts.count)
  }
}

/// Legs that are to be taken into the lanes, one after the other: each is a new epoch.
struct JoinQueue: Sendable {
  /// Legs with their stays: one that was lost meanwhile is ordered anew.
  var waiting: [(leg: Int, stay: Int)] = []
  var isRunning = false
  /// Losses of legs that are being taken in: told to the lanes when that has ended.
  var confirmed: LegSet = []
  /// Legs that all of this initiator's writes reach, and that are no members yet.
  var settled: LegSet = []
  /// Legs that all guests' writes reach.
  var reached: LegSet = []
}

/// Who waits for something of a kept mirror.
struct KeptCallers: Sendable {
  var opening: CheckedContinuation<Mirror, any Error>?
  var adding: [Int: CheckedContinuation<Void, any Error>] = [:]
  var confirming: [CheckedContinuation<Void, Never>] = []
  var syncing: [CheckedContinuation<Void, Never>] = []
  var closing: [CheckedContinuation<Void, Never>] = []
  var ordering = OrderWaiters()
  var verifying: KeptVerificationOrder?
  /// Legs whose loss the others have yet to store.
  var awaited: LegSet = []
  /// Since somebody waits for legs to be in sync: it can't be reached.
  var isUnreadable = false

  var isClosing: Bool { !closing.isEmpty }

  /// Lets those go on whose time has come.
  mutating func resume(_ phase: Coordinator.Phase, _ seats: [LegSeat], _ board: KeptBoard) {
    let isEnded = phase == .ended
    if awaited.isEmpty || isEnded {
      for waiter in confirming { waiter.resume() }
      confirming = []
      ordering.endDetaching(.done)
    }
    if !syncing.isEmpty {
      let isCopying = zip(seats, board.legs).contains { $0.link != nil && $1.state != .inSync }
      if !isCopying || isUnreadable || isEnded {
        for waiter in syncing { waiter.resume() }
        syncing = []
      }
    } else {
      isUnreadable = false
    }
    guard isEnded else { return }
    for waiter in closing { waiter.resume() }
    closing = []
    ordering.end()
    for (_, waiter) in adding { waiter.resume(throwing: MirrorcastError("the mirror has ended")) }
    adding = [:]
  }

  /// Who closes goes on, though the mirror is not closed.
  mutating func endClosing() {
    for waiter in closing { waiter.resume() }
    closing = []
  }

  /// Nobody is left waiting.
  mutating func end() {
    opening?.resume(throwing: MirrorcastError("the mirror has ended"))
    opening = nil
    for waiter in confirming + syncing + closing { waiter.resume() }
    verifying?.waiter.resume(throwing: MirrorcastError("the mirror has ended"))
    verifying = nil
    for (_, waiter) in adding { waiter.resume(throwing: MirrorcastError("the mirror has ended")) }
    (confirming, syncing, closing, adding) = ([], [], [], [:])
    ordering.end()
  }
}

/// Whether callers have written lately: then copies make room for them.
struct CallerPace: Sendable {
  /// Writes that long ago count.
  private static let latelyNanoseconds: UInt64 = 200_000_000

  private var writes: UInt64 = 0
  private var changedAt: UInt64?

  mutating func isBusy(_ parts: [MirrorPart], now: UInt64) -> Bool {
    let counted = parts.reduce(0) { $0 + $1.board.latest.sender.writes }
    if counted != writes {
      writes = counted
      changedAt = now
    }
    return changedAt.map { now < $0 + Self.latelyNanoseconds } ?? false
  }
}

/// Posts the news that time has passed.
struct KeptTimer: Sendable {
  private var due: UInt64?
  private var task: Task<Void, Never>?

  mutating func set(_ deadline: UInt64?, now: UInt64, _ inbox: KeptInbox) {
    guard deadline != due else { return }
    task?.cancel()
    due = deadline
    task = deadline.map { deadline in
      Task {
        let pause = deadline > now ? deadline - now : 0
        guard (try? await Task.sleep(for: .nanoseconds(Int64(pause)))) != nil else { return }
        inbox.post(.timePassed)
      }
    }
  }

  mutating func passed() {
    due = nil
    task = nil
  }
}

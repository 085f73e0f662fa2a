// Holds: ranges on which nothing begins, so that what one leg has there can be copied to others
// and never lands over a newer write.
//
// A hold takes its turn in the queue as a write does, but neither a number nor a slot nor credit.
// At the queue's head it steps aside and waits for what overlaps it and is open, is to start anew
// or came before it; then it stands. Two holds never stand on one byte.
//
// Writes behind it that overlap it step aside, too, and those that overlap these: overlapping
// writes keep their order, and the others go on. When the hold is let go they go before the queue.
// Where too many have stepped aside the queue waits with them. A write that goes before the queue
// (SenderTurns) waits for what stands only.
//
// A pause (an epoch that is being agreed on) lets neither writes nor copies nor holds begin; what
// stands goes on standing.
import Bytes
import ISCSI

/// What is held, what waits for that, and the copies that may go there.
struct RangeHolds: Sendable {
  /// What has stepped out of the queue, and when.
  private struct Aside: Sendable {
    var submission: Submission
    var turn: UInt64
  }

  /// Holds that wait in the queue, beside it, or stand.
  private(set) var count = 0
  private var standing: [Submission] = []
  private var waiting: [Aside] = []
  private var parked: [Aside] = []
  private var turn: UInt64 = 0
  /// Writes that were parked and wait for room only: they go before the queue.
  var freed = Fifo<Submission>()
  /// Copies go before all that has no number yet.
  var copies = Fifo<Submission>()

  /// Whether nothing is held and nothing waits but in the queue.
  var isIdle: Bool { count == 0 && freed.isEmpty && copies.isEmpty }
  /// Writes beside the queue.
  var asideCount: Int { parked.count + freed.count }
  /// Whether anything waits beside the queue.
  var hasWaiting: Bool { asideCount > 0 || !copies.isEmpty || !waiting.isEmpty }
  var isParkingFull: Bool { parked.count >= Limits.parkedMax }

  mutating func ask() -> Bool {
    guard count < Limits.holdsMax else { return false }
    count += 1
    return true
  }

  /// Whether a write that comes to the queue's head has to step aside.
  func isBlocked(_ write: Submission) -> Bool {
    standing.contains { $0.overlaps(write) }
      || waiting.contains { $0.submission.overlaps(write) }
      || parked.contains { $0.submission.overlaps(write) }
  }

  /// Whether a write that goes before the queue has to wait.
  func isHeld(_ write: Submission) -> Bool { standing.contains { $0.overlaps(write) } }

  func isCovered(_ copy: Submission) -> Bool { standing.contains { $0.covers(copy) } }

  /// Takes a hold or a blocked write that is out of the queue.
  mutating func stepAside(_ submission: Submission) {
    turn += 1
    let aside = Aside(submission: submission, turn: turn)
    if submission.kind == .hold { waiting.append(aside) } else { parked.append(aside) }
  }

  /// Takes the next hold that may stand.
  /// - Parameter isFree: whether no write outside of this overlaps it.
  mutating func stand(where isFree: (Submission) -> Bool) -> Submission? {
    for index in waiting.indices {
      let hold = waiting[index]
      let isLate =
        standing.contains { $0.overlaps(hold.submission) }
        || waiting[..<index].contains { $0.submission.overlaps(hold.submission) }
        || parked.contains { $0.turn < hold.turn && $0.submission.overlaps(hold.submission) }
      guard !isLate, isFree(hold.submission) else { continue }
      waiting.remove(at: index)
      standing.append(hold.submission)
      return hold.submission
    }
    return nil
  }

  /// Lets a hold go that stands or waits beside the queue; false when it does neither.
  mutating func release(_ token: UInt64) -> Bool {
    let before = standing.count + waiting.count
    standing.removeAll { $0.token == token }
    waiting.removeAll { $0.submission.token == token }
    let gone = before - standing.count - waiting.count
    guard gone > 0 else { return false }
    count -= gone
    unpark()
    return true
  }

  /// Takes a write out that waits for a hold, and lets those go on that waited for it.
  mutating func takeParked(_ token: UInt64) -> Submission? {
    guard let index = parked.firstIndex(where: { $0.submission.token == token }) else { return nil }
    let taken = parked.remove(at: index).submission
    unpark()
    return taken
  }

  mutating func forgetQueued(_ gone: Int) { count -= gone }

  private mutating func unpark() {
    var kept: [Aside] = []
    for write in parked {
      let isBlocked =
        standing.contains { $0.overlaps(write.submission) }
        || waiting.contains {
          $0.turn < write.turn && $0.submission.overlaps(write.submission)
        }
        || kept.contains { $0.submission.overlaps(write.submission) }
      if isBlocked { kept.append(write) } else { freed.append(write.submission) }
    }
    parked = kept
  }

  /// Takes all writes and copies away, and forgets the holds.
  mutating func removeAll() -> [Submission] {
    var all: [Submission] = []
    while let copy = copies.popFirst() { all.append(copy) }
    while let write = freed.popFirst() { all.append(write) }
    all += parked.map(\.submission)
    self = RangeHolds()
    return all
  }
}

extension Sender {
  /// Asks that no write be open in a range, nor begin there: `SenderEvent.held` says when it is so.
  /// False when there are too many holds, or the mirror has stopped.
  /// - Parameter token: the owner's name for it, unlike that of any other hold.
  package mutating func hold(token: UInt64, byteOffset: UInt64, length: Int, now: UInt64) -> Bool {
    precondition(length > 0, "a hold of nothing")
    guard !withheld.isStopped, holds.ask() else { return false }
    var hold = Submission(token: token, byteOffset: byteOffset, length: length)
    hold.kind = .hold
    if turns.barriers > 0 { holds.stepAside(hold) } else { queue.append(hold) }
    admit(now: now)
    return true
  }

  /// Lets a hold go, or forgets one that still waits. Copies in it that have not begun fail.
  package mutating func releaseHold(token: UInt64, now: UInt64) {
    if !holds.release(token) {
      let before = queue.count
      queue.removeAll { $0.kind == .hold && $0.token == token }
      holds.forgetQueued(before - queue.count)
    }
    giveUpUncovered()
    admit(now: now)
  }

  /// What one leg has, for others: a write to these legs alone, inside a hold that stands. It ends
  /// with `SenderEvent.copied`. False when too many copies wait.
  package mutating func submitCopy(
    token: UInt64, byteOffset: UInt64, length: Int, to targets: LegSet, now: UInt64
  ) -> Bool {
    var copy = Submission(token: token, byteOffset: byteOffset, length: length)
    copy.kind = .copy
    copy.targets = targets
    guard !withheld.isStopped, !targets.isDisjoint(with: activeLegs) else {
      giveUp(copy)
      return true
    }
    precondition(
      isWhole(copy) && holds.isCovered(copy), "a copy is whole blocks, in a hold that stands")
    guard holds.copies.count < Limits.copiesMax else { return false }
    holds.copies.append(copy)
    admit(now: now)
    return true
  }

  /// A copy whose hold is gone could land over a newer write.
  private mutating func giveUpUncovered() {
    var rest = Fifo<Submission>()
    while let copy = holds.copies.popFirst() {
      if holds.isCovered(copy) { rest.append(copy) } else { giveUp(copy) }
    }
    holds.copies = rest
    guard restarted.contains(where: { $0.isCopy && !holds.isCovered($0) }) else { return }
    for copy in restarted where copy.isCopy && !holds.isCovered(copy) {
      if configuration.isKept { withheld.repeats -= 1 }
      giveUp(copy)
    }
    restarted.removeAll { $0.isCopy && !holds.isCovered($0) }
    raiseLowest()
  }

  /// `admit` where anything is held, or has a turn of its own.
  mutating func admitInTurn(now: UInt64) {
    while !isPaused {
      sortHeads()
      sortQueue()
      standHolds()
      standMark()
      guard let (next, place) = nextInTurn, hasRoom(for: next) else { return }
      switch place {
      case .restarted: restarted.removeFirst()
      case .copies: _ = holds.copies.popFirst()
      case .heads: _ = turns.heads.popFirst()
      case .freed: _ = holds.freed.popFirst()
      case .queue: _ = queue.popFirst()
      }
      begin(next, now: now)
    }
  }

  /// Where something waits that has no slot.
  private enum Place { case restarted, copies, heads, freed, queue }

  private var nextInTurn: (Submission, Place)? {
    if let first = restarted.first { return (first, .restarted) }
    if let first = holds.copies.first { return (first, .copies) }
    if let first = turns.heads.first, !holds.isHeld(first) { return (first, .heads) }
    if let first = holds.freed.first { return (first, .freed) }
    guard let first = queue.first, first.kind == .write, !holds.isBlocked(first), hasTurn(first)
    else { return nil }
    return (first, .queue)
  }

  /// A write that goes before the queue and has to wait for a hold holds nothing else back.
  private mutating func sortHeads() {
    while let first = turns.heads.first, holds.isHeld(first), !holds.isParkingFull {
      _ = turns.heads.popFirst()
      holds.stepAside(first)
    }
  }

  /// Takes holds, and writes that wait for them, out of the queue's head. An ordered one stays
  /// there, and so does all behind it.
  private mutating func sortQueue() {
    while let first = queue.first {
      guard
        first.kind == .hold
          || !first.isBarrier && holds.isBlocked(first) && !holds.isParkingFull && !isBarred
      else { return }
      _ = queue.popFirst()
      holds.stepAside(first)
    }
  }

  private mutating func standHolds() {
    while true {
      let next = holds.stand { [writes, restarted, freed = holds.freed] hold in
        !writes.contains { $0.phase != .idle && $0.submission.overlaps(hold) }
          && !restarted.contains { $0.overlaps(hold) }
          && !freed.contains { $0.overlaps(hold) }
      }
      guard let next else { return }
      events.append(.held(token: next.token))
    }
  }
}

// The initiator of a kept mirror: who belongs to it, what happens when a leg is lost or comes back,
// and what is copied where. It sends nothing itself: it orders, and is told.
//
// Law: the members' states change only by a generation, and nothing that a change is for happens
// before all members have stored it. A leg that left stays unconfirmed until then, and the sender
// tells no write as GOOD meanwhile. A leg is called in sync only when what was marked at it, and at
// those that have everything, was found equal or copied, and is on its medium.
//
// Order of calls: `open`; then `handle…` for what comes, `handleTimeout` when `nextDeadline` has
// passed; after each take `orders` and empty them.

/// The machine of one kept mirror at its initiator.
package struct Coordinator: Sendable {
  /// Where the mirror stands.
  package enum Phase: Sendable {
    case opening
    /// Its generation is stored, and the legs are being registered.
    case beginning
    case running
    case closing
    case ended
  }

  package let configuration: CoordinatorConfiguration
  /// What the owner has to do; it empties it.
  package var orders: [CoordinatorOrder] = []
  /// Writes of callers are under way: copies make room for them.
  package var isBusy = false
  /// Seconds since 1970; the owner keeps it.
  package var wallSeconds: UInt64 = 0
  package internal(set) var phase = Phase.opening
  /// The newest generation that any leg was asked to store.
  package internal(set) var record: MirrorRecord?

  var legs: [CoordinatedLeg]
  var asked: [Question] = []
  var round = MembershipRound()
  var copies = CopyWork()
  var verification: VerificationWork?
  var identities: Identities
  var layout: RegionLayout?
  /// When waiting for legs to return is over; nil while enough are here.
  var patienceEnd: UInt64?

  package init(_ configuration: CoordinatorConfiguration) {
    self.configuration = configuration
    identities = Identities(seed: configuration.seed)
    legs = configuration.wish.labels.map { _ in CoordinatedLeg() }
    // One that isn't here when the mirror is opened is added when it comes.
    configuration.wish.added.forEach { round.added[$0] = configuration.wish.labels[$0] }
  }

  // MARK: Look

  /// The legs that mirrored writes reach.
  package var joinedLegs: LegSet { LegSet(legs.indices.filter { legs[$0].stage == .joined }) }

  /// The member that a leg is; zero where that isn't known yet.
  package func member(ofLeg leg: Int) -> UInt64 { legs[leg].member }

  /// Legs that left with writes open, until the others have stored that they did.
  package var unconfirmedLegs: LegSet { round.unconfirmed }

  package func state(ofLeg leg: Int) -> MemberState {
    guard legs[leg].member != 0 else { return .absent }
    return round.members.first { $0.id == legs[leg].member }?.state ?? .absent
  }

  /// Regions of a leg that are still to be compared; nil where that isn't known yet.
  package func remaining(ofLeg leg: Int) -> Int? { legs[leg].copy.dirty?.count }

  package var nextDeadline: UInt64? {
    guard phase == .running else { return nil }
    var deadline = patienceEnd
    for leg in legs.indices where legs[leg].stage == .away {
      if let due = legs[leg].retryAt { deadline = min(deadline ?? .max, due) }
    }
    if let due = copies.resumeAt { deadline = min(deadline ?? .max, due) }
    if let due = copies.forgiveAt { deadline = min(deadline ?? .max, due) }
    if let due = verification?.resumeAt { deadline = min(deadline ?? .max, due) }
    return deadline
  }

  // MARK: Handle

  /// Begins: all legs are asked who they are.
  package mutating func open(now: UInt64) {
    for leg in legs.indices { connect(leg) }
  }

  package mutating func handleConnected(leg: Int, now: UInt64) {
    guard legs[leg].stage == .connecting else { return }
    legs[leg].stage = .claiming
    ask(leg, .claim(holder: configuration.holder), for: .claim)
  }

  package mutating func handleUnreachable(leg: Int, words: String, now: UInt64) {
    guard legs[leg].stage == .connecting else { return }
    setAway(leg, words, now: now)
    settle(now: now)
  }

  /// A leg's connections are gone, or the sender has given it up.
  package mutating func handleLost(leg: Int, words: String, now: UInt64) {
    guard legs[leg].stage != .away, legs[leg].stage != .connecting, phase != .ended else { return }
    lose(leg, words, now: now)
    settle(now: now)
  }

  package mutating func handleAnswer(leg: Int, token: UInt64, _ answer: KeepingAnswer, now: UInt64)
  {
    guard let index = asked.firstIndex(where: { $0.token == token && $0.leg == leg }) else {
      return
    }
    let question = asked.remove(at: index)
    switch question.purpose {
    case .claim: handleClaim(leg, answer, now: now)
    case .adopt(let id): handleAdopted(leg, id, answer, now: now)
    case .marks(let wanting): handleMarks(leg, for: wanting, answer, now: now)
    case .mark: handleMarked(leg, answer, now: now)
    case .markAll: handleAllMarked(leg, answer, now: now)
    case .synced(let ranges): handleSynced(leg, ranges, answer, now: now)
    case .flush: handleFlushed(leg, answer, now: now)
    case .forget: break
    case .close:
      if case .refused(_, let words) = answer { round.closeFailures[leg] = words }
    }
    settle(now: now)
  }

  /// The mirror is registered with these legs; the others that were to be are lost.
  package mutating func handleBegun(_ joined: LegSet, now: UInt64) {
    guard phase == .beginning else { return }
    phase = .running
    for leg in legs.indices where legs[leg].stage == .claimed {
      if joined.contains(LegSet(leg)) {
        legs[leg].stage = .joined
        round.added[leg] = nil
      } else {
        lose(leg, "it could not be registered", now: now)
      }
    }
    guard phase == .running, let record else { return }
    suspendIfTooFew("those that are here get what they lack first", now: now)
    orders.append(
      .tell(.opened(generation: record.generation.counter, isNew: round.isNew)))
    for leg in legs.indices where state(ofLeg: leg) != .inSync {
      tell(leg)
      if legs[leg].stage == .joined { gather(leg) }
    }
    for leg in legs.indices where legs[leg].stage == .away { retryLater(leg, now: now) }
    afterRound(now: now)
    settle(now: now)
  }

  /// A leg is in the mirror's epoch: all writes from now on reach it.
  package mutating func handleJoined(leg: Int, now: UInt64) {
    guard legs[leg].stage == .claimed, legs[leg].isJoining else { return }
    legs[leg].stage = .joined
    legs[leg].isJoining = false
    // Once; a disk that is blank when it comes again is nobody's by the same word.
    round.added[leg] = nil
    legs[leg].pause = 0
    gather(leg)
    settle(now: now)
  }

  package mutating func handleTimeout(now: UInt64) {
    guard phase == .running else { return }
    if let end = patienceEnd, end <= now {
      // Who is being copied to will be one more, as long as that gets on, be it by a piece of a
      // region; and so will be who has got all of it, once that is on its medium, and all have
      // stored so.
      let isCopying = legs.contains { $0.isGettingCopies && $0.copy.dirty?.count ?? 1 > 0 }
      let isEnding = round.isRunning || round.isWanted || legs.contains { $0.copy.isSyncing }
      guard isEnding || isCopying && copies.doneCount != copies.doneBefore else {
        stop("too few legs have come back")
        return
      }
      copies.doneBefore = copies.doneCount
      patienceEnd = now + configuration.patienceNanoseconds
    }
    for leg in legs.indices where legs[leg].stage == .away && legs[leg].retryAt ?? .max <= now {
      connect(leg)
    }
    settle(now: now)
  }

  /// One more leg is to belong to the mirror; it is connected to, and copied to. Returns its index.
  package mutating func add(label: String, now: UInt64) -> Int? {
    guard phase == .running, legs.count < Limits.legsMax else { return nil }
    legs.append(CoordinatedLeg())
    round.added[legs.count - 1] = label
    connect(legs.count - 1)
    return legs.count - 1
  }

  /// Ends the mirror in order, once no write is open any more.
  package mutating func close(now: UInt64) {
    guard phase == .running || phase == .beginning || phase == .opening else { return }
    guard phase == .running else {
      phase = .ended
      orders.append(.tell(.closed(failures: [:])))
      return
    }
    phase = .closing
    endCopies()
    endVerification("the mirror was closed")
    settle(now: now)
  }

  // MARK: Going on

  /// What has become possible by what was told.
  mutating func settle(now: UInt64) {
    switch phase {
    case .opening:
      if record == nil { judge(now: now) } else { stepRound(now: now) }
    case .beginning, .ended: break
    case .running:
      stepDoubts()
      stepRound(now: now)
      stepJoins()
      stepMends()
      stepCopies(now: now)
      stepVerification(now: now)
      // Who has got all by that is to be called so now: perhaps nothing else will happen.
      if round.isWanted { stepRound(now: now) }
    case .closing: stepClosing(now: now)
    }
  }

  private mutating func stepClosing(now: UInt64) {
    if !round.isClosing {
      // Who opens it next is told by the states where legs may differ: that it was closed in order
      // says that they don't.
      stepDoubts()
      if round.isRunning || round.isWanted {
        stepRound(now: now)
        stepMends()
        guard !round.isRunning, !round.isWanted, phase == .closing else { return }
      }
      guard copies.vanishing == 0 else { return }
      round.isClosing = true
      for leg in legs.indices where legs[leg].stage == .joined { ask(leg, .close, for: .close) }
    }
    let isAwaited = asked.contains { if case .close = $0.purpose { true } else { false } }
    guard !isAwaited else { return }
    phase = .ended
    orders.append(.tell(.closed(failures: round.closeFailures)))
  }

  /// Before any loss is confirmed that leaves too few: nothing is told as GOOD until enough are
  /// back.
  mutating func suspendIfTooFew(_ words: String, now: UInt64) {
    guard phase == .running, !suffices, patienceEnd == nil else { return }
    patienceEnd = now + configuration.patienceNanoseconds
    orders.append(.suspend)
    orders.append(.tell(.suspended("\(words); too few legs are left")))
  }

  // MARK: Questions

  mutating func ask(_ leg: Int, _ request: KeepingRequest, for purpose: Question.Purpose) {
    let token = identities.next()
    asked.append(Question(token: token, leg: leg, purpose: purpose))
    orders.append(.ask(leg: leg, token: token, request))
  }

  mutating func connect(_ leg: Int) {
    legs[leg].stage = .connecting
    legs[leg].retryAt = nil
    orders.append(.connect(leg: leg))
  }

  mutating func stop(_ words: String) {
    guard phase != .ended else { return }
    phase = .ended
    patienceEnd = nil
    endCopies()
    endVerification("the mirror has stopped")
    orders.append(.stop(words))
    orders.append(.tell(.stopped(words)))
  }
}

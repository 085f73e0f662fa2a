// Who is a member: the opening, rounds of a new generation, losses and returns.

extension Coordinator {
  // MARK: Opening

  /// Once every leg has answered, or can't be reached.
  mutating func judge(now: UInt64) {
    for leg in legs where leg.stage == .connecting || leg.stage == .claiming { return }
    let reached = legs.indices.compactMap { leg in
      legs[leg].descriptor.map { ReachedLeg(leg: leg, descriptor: $0) }
    }.filter { legs[$0.leg].stage == .claimed }
    do throws(OpeningRefusal) {
      var identities = identities
      let plan = try Opening.plan(
        configuration.wish, reached: reached, wallSeconds: wallSeconds
      ) { identities.next() }
      self.identities = identities
      begin(plan, reached, now: now)
    } catch {
      refuse(error)
    }
  }

  mutating func refuse(_ refusal: OpeningRefusal) {
    var refusal = refusal
    for leg in legs.indices where legs[leg].stage == .away {
      refusal.lines.append("\(configuration.wish.labels[leg]): \(legs[leg].words)")
    }
    phase = .ended
    orders.append(.tell(.refused(refusal)))
  }

  private mutating func begin(_ plan: OpeningPlan, _ reached: [ReachedLeg], now: UInt64) {
    record = plan.record
    layout = reached[0].descriptor.layout
    round.members = plan.record.generation.members
    round.replaced = plan.replaced
    round.isNew = plan.record.generation.counter == 1
    for leg in legs.indices {
      legs[leg].member = plan.members[leg]
      round.told[leg] = plan.state(ofLeg: leg)
      // A member that isn't here has no leg yet: it is known again by its label.
      guard legs[leg].member == 0 else { continue }
      let label = configuration.wish.labels[leg]
      legs[leg].member = round.members.first { $0.label == label && $0.state == .absent }?.id ?? 0
    }
    plan.blank.forEach { leg in
      giveUp(leg, "it belongs to no mirror any more: it has to be added", now: now)
    }
    plan.former.forEach { leg in
      legs[leg].isForgotten = true
      giveUp(leg, "it was a member once, and is none any more", now: now)
    }
    startRound()
  }

  // MARK: Rounds

  mutating func stepRound(now: UInt64) {
    if round.isRunning {
      guard round.waiting.isEmpty else { return }
      round.isRunning = false
      roundDone(now: now)
    }
    guard round.isWanted, !round.isRunning, phase != .ended, var next = record else { return }
    next.generation = next.generation.next(id: identities.next(), madeAt: wallSeconds)
    next.generation.members = round.members
    record = next
    startRound()
  }

  private mutating func startRound() {
    guard let record else { return }
    round.isWanted = false
    round.isRunning = true
    round.waiting = []
    asked.removeAll { if case .adopt = $0.purpose { true } else { false } }
    for leg in legs.indices where legs[leg].stage == .claimed || legs[leg].stage == .joined {
      guard state(ofLeg: leg) != .absent else { continue }
      round.waiting.insert(LegSet(leg))
      ask(
        leg,
        .adopt(
          record.of(legs[leg].member), replaces: round.replaced.contains(LegSet(leg))),
        for: .adopt(generation: record.generation.id))
    }
  }

  mutating func handleAdopted(_ leg: Int, _ id: UInt64, _ answer: KeepingAnswer, now: UInt64) {
    guard round.isRunning, record?.generation.id == id else { return }
    guard case .done = answer else {
      // Somebody else's record was on its way when it said who it is: all is to be judged anew.
      if phase == .opening, case .refused(.conflict, let words) = answer {
        let label = configuration.wish.labels[leg]
        return refuse(
          OpeningRefusal(kind: .held, words: "\(label) has changed meanwhile: \(words)"))
      }
      dismiss(leg, words(answer), now: now)
      return
    }
    let stored = record?.generation.member(legs[leg].member)?.state
    legs[leg].takesCopies = stored != .inSync
    round.replaced.remove(LegSet(leg))
    round.waiting.remove(LegSet(leg))
  }

  private mutating func roundDone(now: UInt64) {
    if phase == .opening {
      guard !markFresh() else { return }
      let here = legs.indices.filter { legs[$0].stage == .claimed }
      guard record?.generation.maySuffice(Set(here.map { legs[$0].member })) == true else {
        refuse(
          OpeningRefusal(kind: .tooFew, words: "too few legs are left of those that were here"))
        return
      }
      phase = .beginning
      orders.append(.begin(LegSet(legs.indices.filter { legs[$0].stage == .claimed })))
    } else if !round.isWanted {
      afterRound(now: now)
    }
  }

  /// Legs of which nothing is known mark all that they have; then they are called something else.
  /// Only then, or an initiator's end between the two would leave them equal for all that anybody
  /// knows. False where there are none.
  private mutating func markFresh() -> Bool {
    guard let layout else { return false }
    for leg in legs.indices where legs[leg].stage == .claimed && state(ofLeg: leg) == .fresh {
      guard !legs[leg].isMarking else { continue }
      legs[leg].isMarking = true
      ask(leg, .mark([0..<layout.regionCount]), for: .markAll)
    }
    return legs.contains { $0.isMarking }
  }

  mutating func handleAllMarked(_ leg: Int, _ answer: KeepingAnswer, now: UInt64) {
    legs[leg].isMarking = false
    guard case .done = answer else { return dismiss(leg, words(answer), now: now) }
    // Of a new mirror nothing was acknowledged yet that it could lack.
    set(phase == .opening && round.isNew ? .unequal : .stale, ofLeg: leg)
  }

  /// All members have stored who they are: what waited for that may happen.
  mutating func afterRound(now: UInt64) {
    guard !round.isRunning, !round.isWanted else { return }
    for leg in legs.indices { tellChange(of: leg) }
    for label in round.forgotten {
      orders.append(.tell(.forgotten(label, generation: record?.generation.counter ?? 0)))
    }
    round.forgotten = []
    if !round.unconfirmed.isEmpty {
      orders.append(.confirm(round.unconfirmed))
      round.unconfirmed = []
    }
    // Only now, since who has everything may have become it by this very generation.
    if suffices, patienceEnd != nil {
      patienceEnd = nil
      orders.append(.endSuspension)
      orders.append(.tell(.resumed))
    }
    guard phase == .running else { return }
    _ = markFresh()
    for leg in legs.indices {
      guard legs[leg].stage == .joined, state(ofLeg: leg) == .unequal else { continue }
      if case .none = legs[leg].copy.stage { gather(leg) }
    }
  }

  private mutating func tellChange(of leg: Int) {
    let state = state(ofLeg: leg)
    // One that was back before its loss was stored was away all the same.
    if let words = round.lost.removeValue(forKey: leg), state != .absent,
      round.told[leg] != .absent
    {
      tell(leg, .absent, words)
    }
    if round.told[leg] != state { tell(leg) }
  }

  /// People are told of a leg's state.
  mutating func tell(_ leg: Int) {
    let state = state(ofLeg: leg)
    switch state {
    case .absent: tell(leg, state, legs[leg].words)
    case .unequal where round.isNew && round.told[leg] == .fresh:
      tell(leg, state, "the mirror is new: what its disks hold is compared")
    default: tell(leg, state, state.reason)
    }
  }

  private mutating func tell(_ leg: Int, _ state: MemberState, _ reason: String) {
    guard let counter = record?.generation.counter else { return }
    round.told[leg] = state
    orders.append(.tell(.leg(leg, state, generation: counter, reason: reason)))
  }

  /// Whether the legs that have everything, and are here, may tell a write as GOOD.
  var suffices: Bool {
    let here = legs.indices.filter {
      legs[$0].stage == .joined && state(ofLeg: $0).hasEverything
    }
    return record?.generation.maySuffice(Set(here.map { legs[$0].member })) ?? false
  }

  mutating func set(_ state: MemberState, ofLeg leg: Int) {
    guard let index = round.members.firstIndex(where: { $0.id == legs[leg].member }) else { return }
    guard round.members[index].state != state else { return }
    round.members[index].state = state
    verification?.note(state, ofLeg: leg)
    round.isWanted = true
  }

  // MARK: Losing a leg

  /// A leg that doesn't do what it is asked is none.
  mutating func dismiss(_ leg: Int, _ words: String, now: UInt64) {
    orders.append(.leave(leg: leg, words: words))
    lose(leg, words, now: now)
  }

  mutating func lose(_ leg: Int, _ words: String, now: UInt64) {
    let wasWritten = legs[leg].stage == .joined || legs[leg].isJoining || phase == .beginning
    setAway(leg, words, now: now)
    dropCopies(of: leg, now: now)
    guard record != nil else { return }
    if wasWritten { round.unconfirmed.insert(LegSet(leg)) }
    round.lost[leg] = words
    set(.absent, ofLeg: leg)
    // Who was to store a generation that names it is told another.
    if round.isRunning, round.isWanted {
      round.isRunning = false
      round.waiting = []
    }
    guard keepSource(now: now) else { return }
    for other in legs.indices {
      if case .gathering = legs[other].copy.stage { gather(other) }
    }
    suspendIfTooFew(words, now: now)
  }

  mutating func setAway(_ leg: Int, _ words: String, now: UInt64) {
    legs[leg].stage = .away
    legs[leg].isJoining = false
    legs[leg].isMarking = false
    legs[leg].words = words
    if phase == .closing { round.closeFailures[leg] = words }
    asked.removeAll { $0.leg == leg }
    retryLater(leg, now: now)
  }

  mutating func retryLater(_ leg: Int, now: UInt64) {
    guard phase == .running, !legs[leg].isGivenUp, !legs[leg].isDetached, !legs[leg].isForgotten
    else { return }
    let pause = max(
      configuration.retryNanoseconds, min(legs[leg].pause * 2, configuration.retryMaxNanoseconds))
    legs[leg].pause = pause
    legs[leg].retryAt = now + pause
  }

  /// One leg that is in sync is left, or becomes it: the others that have everything are made equal
  /// to that one. False where none has.
  private mutating func keepSource(now: UInt64) -> Bool {
    let here = legs.indices.filter { legs[$0].stage == .joined || legs[$0].stage == .claimed }
    guard !here.contains(where: { state(ofLeg: $0) == .inSync }) else { return true }
    guard let next = here.first(where: { state(ofLeg: $0) == .unequal }) else {
      stop("no leg that has everything is left")
      return false
    }
    set(.inSync, ofLeg: next)
    legs[next].copy = LegCopy()
    restartCopies()
    verification?.failMending()
    for leg in here where leg != next && legs[leg].stage == .joined { gather(leg) }
    return true
  }

  func words(_ answer: KeepingAnswer) -> String {
    guard case .refused(let refusal, let words) = answer else { return "an answer to nothing" }
    return "\(words) (\(refusal.rawValue))"
  }
}

extension MemberState {
  /// Why a leg is called so, where it isn't gone.
  fileprivate var reason: String {
    switch self {
    case .inSync: "all that it lacked is there"
    case .unequal: "what was open when the mirror stopped is compared"
    case .stale: "it is back, and gets what it lacks"
    case .absent: "not reached"
    case .fresh: "nothing is known of its bytes: all of them are compared"
    }
  }
}

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
    for leg in legs.indices {
      legs[leg].member = plan.members[leg]
      legs[leg].copy.isWhole = plan.whole.contains(LegSet(leg))
      round.told[leg] = plan.state(ofLeg: leg)
      // A member that isn't here has no leg yet: it is known again by its label.
      guard legs[leg].member == 0 else { continue }
      let label = configuration.wish.labels[leg]
      legs[leg].member = round.members.first { $0.label == label && $0.state == .absent }?.id ?? 0
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
      dismiss(leg, words(answer), now: now)
      return
    }
    round.replaced.remove(LegSet(leg))
    round.waiting.remove(LegSet(leg))
  }

  private mutating func roundDone(now: UInt64) {
    if phase == .opening {
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

  /// All members have stored who they are: what waited for that may happen.
  mutating func afterRound(now: UInt64) {
    guard !round.isRunning, !round.isWanted else { return }
    for leg in legs.indices {
      let state = state(ofLeg: leg)
      guard round.told[leg] != state else { continue }
      round.told[leg] = state
      tell(leg)
    }
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
    for leg in legs.indices where legs[leg].stage == .claimed && !legs[leg].isJoining {
      guard state(ofLeg: leg) != .absent, phase == .running else { continue }
      legs[leg].isJoining = true
      orders.append(.join(leg: leg))
    }
  }

  /// People are told of a leg's state.
  mutating func tell(_ leg: Int) {
    guard let counter = record?.generation.counter else { return }
    let state = state(ofLeg: leg)
    let reason = state == .absent ? legs[leg].words : state.reason
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
    legs[leg].words = words
    asked.removeAll { $0.leg == leg }
    retryLater(leg, now: now)
  }

  mutating func retryLater(_ leg: Int, now: UInt64) {
    guard phase == .running, !legs[leg].isGivenUp else { return }
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
    for leg in here where leg != next && legs[leg].stage == .joined { gather(leg) }
    return true
  }

  // MARK: Coming back

  mutating func handleClaim(_ leg: Int, _ answer: KeepingAnswer, now: UInt64) {
    guard case .description(let descriptor) = answer else {
      if phase == .opening, case .refused(.held, let words) = answer {
        setAway(leg, words, now: now)
        refuse(OpeningRefusal(kind: .held, words: "\(configuration.wish.labels[leg]): \(words)"))
        return
      }
      orders.append(.leave(leg: leg, words: words(answer)))
      setAway(leg, words(answer), now: now)
      return
    }
    legs[leg].descriptor = descriptor
    legs[leg].stage = .claimed
    guard phase == .running else { return }
    if let why = takeBack(leg, descriptor) {
      legs[leg].isGivenUp = true
      orders.append(.tell(.notTaken(leg, reason: why)))
      orders.append(.leave(leg: leg, words: why))
      setAway(leg, why, now: now)
    }
  }

  /// A leg that is here again gets what it missed; in words, why not.
  private mutating func takeBack(_ leg: Int, _ descriptor: LegDescriptor) -> String? {
    guard let current = record, descriptor.layout == layout else {
      return "its disk, or its regions, are not of the mirror's size"
    }
    legs[leg].copy = LegCopy()
    guard let record = descriptor.record else {
      guard let label = round.added[leg] else {
        return "it belongs to no mirror: it has to be added"
      }
      legs[leg].member = identities.next()
      legs[leg].copy.isWhole = true
      round.members.append(
        MirrorMember(id: legs[leg].member, label: label, state: .stale))
      round.isWanted = true
      return nil
    }
    guard record.mirror == current.mirror else {
      return "it belongs to the mirror '\(record.name)'"
    }
    let others = legs.indices.filter { $0 != leg && legs[$0].stage == .joined }
      .map { current.of(legs[$0].member) }
    guard current.generation.state(ofReturning: record, others: others) != nil else {
      return "it went on without the others: generation \(record.generation.counter)"
        + " (\(String(record.generation.id, radix: 16)))"
    }
    legs[leg].member = record.member
    if !current.generation.descends(from: record.generation.id) {
      round.replaced.insert(LegSet(leg))
      legs[leg].copy.isWhole = true
    }
    set(.stale, ofLeg: leg)
    // It is asked to store even what was called so before.
    round.isWanted = true
    return nil
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
    }
  }
}

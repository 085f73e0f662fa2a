// Legs that come back: who they say they are, and what becomes of them.

extension Coordinator {
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
      // One that was to be added never became a leg, and may be named again.
      let wasToBeAdded = round.added.removeValue(forKey: leg) != nil
      if wasToBeAdded, legs[leg].member == 0 { legs[leg].isForgotten = true }
      giveUp(leg, why, now: now)
    }
  }

  /// A leg that is here, and can't be taken as it is.
  mutating func giveUp(_ leg: Int, _ words: String, now: UInt64) {
    legs[leg].isGivenUp = true
    orders.append(.tell(.notTaken(leg, reason: words)))
    orders.append(.leave(leg: leg, words: words))
    setAway(leg, words, now: now)
  }

  /// Legs that are to be joined are, when no copy is on its way. A leg stores what is copied from
  /// its first write on; a copy that began before is not for it, so nobody waits for it there, and
  /// it could land over a newer write.
  mutating func stepJoins() {
    guard phase == .running, !round.isRunning, !round.isWanted,
      !copies.jobs.contains(where: \.isHolding)
    else { return }
    for leg in legs.indices where isToJoin(leg) {
      legs[leg].isJoining = true
      orders.append(.join(leg: leg))
    }
  }

  private func isToJoin(_ leg: Int) -> Bool {
    guard legs[leg].stage == .claimed, !legs[leg].isJoining else { return false }
    let state = state(ofLeg: leg)
    return state != .absent && state != .fresh
  }

  /// A leg is about to come, or is coming.
  var isAnyJoining: Bool { legs.indices.contains { legs[$0].isJoining || isToJoin($0) } }

  /// A leg that is here again gets what it missed; in words, why not.
  private mutating func takeBack(_ leg: Int, _ descriptor: LegDescriptor) -> String? {
    guard let current = record, descriptor.layout == layout else {
      return "its disk, or its regions, are not of the mirror's size"
    }
    legs[leg].copy = LegCopy()
    guard let record = descriptor.record, !record.isBlank(among: round.members) else {
      guard let label = round.added[leg] else {
        return "it belongs to no mirror: it has to be added"
      }
      if descriptor.record != nil { round.replaced.insert(LegSet(leg)) }
      var next = current.generation
      next.members = round.members
      legs[leg].member = next.add(identities.next(), label: label)
      round.members = next.members
      round.isWanted = true
      return nil
    }
    guard record.mirror == current.mirror else {
      return "it belongs to the mirror '\(record.name)'"
    }
    guard round.members.contains(where: { $0.id == record.member }) else {
      return "it was a member once, and is none any more: release it, then add it"
    }
    let others = legs.indices.filter { $0 != leg && legs[$0].stage == .joined }
      .map { current.of(legs[$0].member) }
    guard let state = current.generation.state(ofReturning: record, others: others) else {
      return "it went on without the others: generation \(record.generation.counter)"
        + " (\(String(record.generation.id, radix: 16)))"
    }
    legs[leg].member = record.member
    if !current.generation.descends(from: record.generation.id) {
      round.replaced.insert(LegSet(leg))
    }
    set(state == .fresh ? .fresh : .stale, ofLeg: leg)
    // It is asked to store even what was called so before.
    round.isWanted = true
    return nil
  }
}

// Which of several generations is the one that counts, and how each leg stands to it.

extension MirrorGeneration {
  /// Whether this is that generation, or descends from it as far as is remembered.
  func descends(from id: UInt64) -> Bool { self.id == id || ancestors.contains(id) }

  /// The same, or so far ahead that it can't be remembered: then it is enough that this calls the
  /// leg one that has everything. That was said of it when it was in line, and nothing was
  /// acknowledged in what it has not stored since.
  func covers(_ record: MirrorRecord) -> Bool {
    guard !descends(from: record.generation.id) else { return true }
    return record.generation.counter + UInt64(ancestors.count) < counter
      && member(record.member)?.state.hasEverything == true
  }

  /// Whether any of these members, which it counts as here, went another way without having stored
  /// it: then nothing was ever acknowledged in it.
  func isSuperseded(by others: [MirrorRecord]) -> Bool {
    others.contains { other in
      guard let own = member(other.member), own.state != .absent else { return false }
      return other.generation.id != id && !covers(other)
        && !other.generation.ancestors.contains(id)
    }
  }

  /// How a leg that returns stands to this generation, whose members are here; nil where it went on
  /// without them.
  package func state(
    ofReturning record: MirrorRecord, others: [MirrorRecord]
  ) -> MemberState? {
    guard let known = member(record.member) else { return nil }
    if !covers(record) {
      // In a generation of too few nothing was acknowledged either.
      guard record.generation.isSuperseded(by: others) || !record.generation.isSufficient else {
        return nil
      }
      return .fresh
    }
    let state = known.state.worse(record.state)
    return state == .absent ? .stale : state
  }
}

extension MirrorGeneration {
  /// One more member, or a new disk in the place of one that was reached there and is away.
  /// - Returns: its number.
  mutating func add(_ id: UInt64, label: String) -> UInt64 {
    if let index = members.firstIndex(where: { $0.label == label && $0.state == .absent }) {
      members[index].state = .fresh
      return members[index].id
    }
    members.append(MirrorMember(id: id, label: label, state: .fresh))
    return id
  }
}

extension Opening {
  /// The newest record, where all of them are of one line.
  func newest(_ recorded: [ReachedLeg]) throws(OpeningRefusal) -> MirrorRecord {
    let records = recorded.compactMap(\.descriptor.record)
    var heads: [MirrorRecord] = []
    for record in records {
      let isOld = records.contains {
        $0.generation.id != record.generation.id && $0.generation.covers(record)
      }
      let isKnown = heads.contains { $0.generation.id == record.generation.id }
      if !isOld, !isKnown { heads.append(record) }
    }
    let standing = heads.filter {
      !$0.generation.isSuperseded(by: records) && $0.generation.isSufficient
    }
    let left = standing.isEmpty ? heads : standing
    guard standing.count <= 1 else {
      throw refusal(
        .splitBrain, "the legs went on without each other, and each may have what the others lack",
        about: reached)
    }
    // In none of several that supersede each other was anything acknowledged: what counts is one by
    // which a leg that has everything is here. A member that only some have stored to be forgotten
    // is still one.
    let sourced = left.filter { head in
      records.contains {
        head.generation.state(ofReturning: $0, others: records)?.hasEverything == true
      }
    }
    func weight(_ record: MirrorRecord) -> (Int, UInt64) {
      let known = records.filter { record.generation.member($0.member) != nil }
      return (known.count, record.generation.counter)
    }
    guard let head = (sourced.isEmpty ? left : sourced).max(by: { weight($0) < weight($1) }) else {
      preconditionFailure("some record is the newest")
    }
    return head
  }

  // MARK: The next generation

  /// What comes after a generation, with the legs that are here.
  func successor(
    of head: MirrorRecord, _ wallSeconds: UInt64, _ identity: () -> UInt64
  ) throws(OpeningRefusal) -> OpeningPlan {
    var generation = head.generation
    var plan = OpeningPlan(
      record: head, members: [UInt64](repeating: 0, count: wish.labels.count))
    for index in generation.members.indices { generation.members[index].state = .absent }
    let counting = counting(head.generation)
    for leg in reached {
      guard let record = leg.descriptor.record, !record.isBlank(among: head.generation.members)
      else {
        if isToBeAddedAnew(leg, among: head.generation.members) {
          plan.blank.insert(LegSet(leg.leg))
          continue
        }
        if leg.descriptor.record != nil { plan.replaced.insert(LegSet(leg.leg)) }
        try add(leg, to: &generation, &plan, identity())
        continue
      }
      guard let index = generation.members.firstIndex(where: { $0.id == record.member }) else {
        if wish.leavesOutFormer {
          plan.former.insert(LegSet(leg.leg))
          continue
        }
        throw refusal(
          .otherMirror,
          "\(wish.labels[leg.leg]) was a member once, and is none any more: leave it out, or"
            + " release it and add it", about: [leg])
      }
      let state = try state(of: leg, record, head: head.generation, counting: counting)
      plan.members[leg.leg] = record.member
      generation.members[index].state = state
      generation.members[index].label = wish.labels[leg.leg]
      let isOfLine = head.generation.descends(from: record.generation.id)
      if !isOfLine || record.mirror != head.mirror { plan.replaced.insert(LegSet(leg.leg)) }
    }
    try checkNamed(head.generation.members.filter { $0.state != .absent }, plan.members)
    try chooseSource(&generation, plan.members, head: head.generation, counting: counting)
    // Fewer legs than before may be asked for only where as many as before are here: others could
    // do the same with the rest.
    if wish.kept == nil { try checkSufficient(generation) }
    apply(wish.required, to: &generation, plan.members)
    try checkSufficient(generation)
    let states = generation.members
    let required = generation.requiredCount
    generation = head.generation.next(id: identity(), madeAt: wallSeconds)
    generation.members = states
    generation.requiredCount = required
    let highest = reached.compactMap { $0.descriptor.record?.generation.counter }.max() ?? 0
    generation.counter = max(generation.counter, highest + 1)
    plan.record.generation = generation
    plan.record.isClosed = false
    plan.record.member = 0
    return plan
  }

  private func add(
    _ leg: ReachedLeg, to generation: inout MirrorGeneration, _ plan: inout OpeningPlan,
    _ id: UInt64
  ) throws(OpeningRefusal) {
    guard wish.added.contains(LegSet(leg.leg)) else {
      throw refusal(
        .blank, "\(wish.labels[leg.leg]) belongs to no mirror: it has to be added",
        about: reached)
    }
    guard generation.members.count < Limits.legsMax else {
      throw refusal(.otherMirror, "a mirror has at most \(Limits.legsMax) members")
    }
    plan.members[leg.leg] = generation.add(id, label: wish.labels[leg.leg])
  }

  /// The last generation in which anything may have been acknowledged. A member that has everything
  /// by the head, and is at an older one, was one of all between: so it should have stored each of
  /// them before a write was told as GOOD in it. Whom the head calls lost has all of that, too; and
  /// of the older one the same may be true.
  private func counting(_ head: MirrorGeneration) -> MirrorGeneration {
    var last = head
    while let older = behind(last).min(by: { $0.counter < $1.counter }) { last = older }
    return last
  }

  private func behind(_ head: MirrorGeneration) -> [MirrorGeneration] {
    reached.compactMap(\.descriptor.record).filter { record in
      record.generation.counter < head.counter && head.descends(from: record.generation.id)
        && record.state.hasEverything && head.member(record.member)?.state.hasEverything == true
    }.map(\.generation)
  }

  private func state(
    of leg: ReachedLeg, _ record: MirrorRecord, head: MirrorGeneration,
    counting: MirrorGeneration
  ) throws(OpeningRefusal) -> MemberState {
    if let kept = wish.kept {
      guard leg.leg != kept else { return .inSync }
      return head.descends(from: record.generation.id) && record.state != .fresh ? .stale : .fresh
    }
    if let known = counting.member(record.member), head.descends(from: record.generation.id),
      record.generation.descends(from: counting.id)
    {
      let state = known.state.worse(record.state)
      return state == .absent ? .stale : state
    }
    let others = reached.compactMap(\.descriptor.record)
    guard let state = head.state(ofReturning: record, others: others) else {
      throw refusal(
        .splitBrain, "\(wish.labels[leg.leg]) went on without the others", about: reached)
    }
    return state
  }

  /// One leg that has everything is the source; the others that have are made equal to it, where
  /// anything may differ.
  private func chooseSource(
    _ generation: inout MirrorGeneration, _ members: [UInt64], head: MirrorGeneration,
    counting: MirrorGeneration
  ) throws(OpeningRefusal) {
    func place(_ leg: ReachedLeg) -> Int? {
      generation.members.firstIndex { $0.id == members[leg.leg] }
    }
    let whole = reached.filter { leg in
      place(leg).map { generation.members[$0].state.hasEverything } ?? false
    }
    let intact = whole.filter(\.descriptor.isIntact)
    // A new disk in a member's place says nothing of what the old one had.
    let here = Set(reached.filter { $0.descriptor.record != nil }.map { members[$0.leg] })
    let isAway = { (member: MirrorMember) in
      member.state.hasEverything && !here.contains(member.id)
    }
    // Whom the head calls lost is not ahead; but it may have what a leg lost with its power.
    let away = intact.isEmpty ? counting.members.filter(isAway) : head.members.filter(isAway)
    let candidates = intact.isEmpty ? whole : intact
    let source =
      candidates.first { leg in place(leg).map { generation.members[$0].state } == .inSync }
      ?? candidates.first
    guard let source, let sourcePlace = place(source) else {
      throw refusal(.noSource, "no leg that has everything is here", about: reached)
    }
    // The operator has said that nobody else counts.
    if wish.kept == nil, !away.isEmpty {
      try checkNamed(away, members)
      let couldGoOn = head.maySuffice(Set(away.map(\.id)))
      guard !couldGoOn, !intact.isEmpty else {
        throw refusal(
          .missing,
          "not reached, and perhaps ahead of the others: "
            + away.map(\.label).joined(separator: ", "), about: reached)
      }
    }
    let areMarked = whole.contains { $0.descriptor.markedCount > 0 }
    for leg in whole where leg.leg != source.leg {
      guard let index = place(leg) else { continue }
      let isEqual =
        generation.members[index].state == .inSync
        && generation.members[sourcePlace].state == .inSync
        && (!areMarked || wasClosed(leg, with: source))
      if !isEqual { generation.members[index].state = .unequal }
      if !intact.isEmpty, !leg.descriptor.isIntact { generation.members[index].state = .stale }
    }
    generation.members[sourcePlace].state = .inSync
  }

  /// Both were ended in order, together: they are equal, whatever is marked on another's account.
  private func wasClosed(_ leg: ReachedLeg, with source: ReachedLeg) -> Bool {
    guard let one = leg.descriptor.record, let other = source.descriptor.record else {
      return false
    }
    return one.isClosed && other.isClosed && one.generation.id == other.generation.id
  }

  private func apply(
    _ required: RequiredLegs?, to generation: inout MirrorGeneration, _ members: [UInt64]
  ) {
    // Those who are gone for good are not waited for, where the operator doesn't say otherwise.
    guard let required = required ?? (wish.kept == nil ? nil : .count(1)) else { return }
    generation.requiredCount = required.count(of: generation.members.count)
    for index in generation.members.indices {
      let leg = members.firstIndex(of: generation.members[index].id)
      generation.members[index].isRequired = leg.map(required.contains) ?? false
    }
  }

  /// Legs that lack something are given it before anything is written.
  private func checkSufficient(_ generation: MirrorGeneration) throws(OpeningRefusal) {
    let here = generation.members.filter { $0.state != .absent }
    guard !generation.maySuffice(Set(here.map(\.id))) else { return }
    throw refusal(
      .tooFew,
      "\(here.count) of its \(generation.members.count) legs are here; it needs"
        + " \(generation.requiredCount), and those that are named", about: reached)
  }
}

// What people order of a mirror that is open: a leg goes, and comes back, or is gone for good.
//
// Law of `detach`: it never leaves fewer legs that have everything than the mirror needs. There is
// no way to force it: writes would wait, and the mirror would stop; who wants that ends it.
//
// Law of `forget`: it never lets fewer legs take writes than before. So a member may be forgotten
// only while enough of the others are here: whoever would be enough without it was enough before.
// Where they are too few, only `resolve --keep` goes on, by the operator's word. Until all members
// have stored that it is none, no mark is taken away: one that has not could be opened with the
// forgotten leg, and would miss the marks of what that one lacks.
//
// A forgotten member that comes back is a stranger. Its record is of this mirror, and it may have
// what nobody else has, if somebody has opened it alone: so it is not taken for a new leg either,
// neither by `add` nor by an opening, before its record was taken away (`release`).

extension Coordinator {
  /// Lets a leg go; it is not tried again before `attach`. Throws why not.
  package mutating func detach(leg: Int, now: UInt64) throws(OrderFault) {
    try checkRunning()
    guard !legs[leg].isForgotten else { throw OrderFault("it is no member any more") }
    let words = "detached by order"
    let wasAbsent = state(ofLeg: leg) == .absent
    switch legs[leg].stage {
    case .joined, .claimed, .claiming:
      let left = legs.indices.filter {
        $0 != leg && legs[$0].stage == .joined && state(ofLeg: $0).hasEverything
      }
      guard record?.generation.maySuffice(Set(left.map { legs[$0].member })) == true else {
        throw OrderFault("too few legs that have everything would be left")
      }
      legs[leg].isDetached = true
      dismiss(leg, words, now: now)
    case .connecting:
      legs[leg].isDetached = true
      dismiss(leg, words, now: now)
    case .away:
      legs[leg].isDetached = true
      legs[leg].words = words
      legs[leg].retryAt = nil
    }
    // Else it is told when that is stored.
    if wasAbsent { tell(leg) }
    settle(now: now)
  }

  /// A leg that is not here is tried again at once, and from then on by itself. Throws why not.
  package mutating func attach(leg: Int, now: UInt64) throws(OrderFault) {
    try checkRunning()
    guard !legs[leg].isForgotten else {
      throw OrderFault("it is no member any more: it has to be added")
    }
    legs[leg].isDetached = false
    legs[leg].isGivenUp = false
    legs[leg].pause = 0
    if legs[leg].stage == .away { connect(leg) }
    settle(now: now)
  }

  /// A member whose disk belongs to no mirror any more is taken as a new one. False where it isn't
  /// such a one.
  package mutating func addAnew(leg: Int, label: String, now: UInt64) -> Bool {
    guard phase == .running, legs[leg].stage == .away, legs[leg].isGivenUp else { return false }
    round.added[leg] = label
    legs[leg].isDetached = false
    legs[leg].isGivenUp = false
    legs[leg].pause = 0
    connect(leg)
    settle(now: now)
    return true
  }

  /// A member that is not here is gone for good: nothing is remembered for it any more. Throws why
  /// not; `forgotten` is told when all members have stored it.
  package mutating func forget(label: String, now: UInt64) throws(OrderFault) {
    try checkRunning()
    let named = round.members.indices.filter { round.members[$0].label == label }
    guard let first = named.first else { throw OrderFault("the mirror has no such member") }
    guard let index = named.first(where: { round.members[$0].state == .absent }) else {
      throw OrderFault("it is \(round.members[first].state.word): detach it first")
    }
    guard suffices else {
      throw OrderFault("too few legs are here to go on without it")
    }
    let member = round.members.remove(at: index)
    round.isWanted = true
    round.forgotten.append(label)
    for leg in legs.indices where legs[leg].member == member.id {
      legs[leg].isForgotten = true
      legs[leg].member = 0
      let words = "forgotten by order"
      if legs[leg].stage != .away {
        orders.append(.leave(leg: leg, words: words))
        setAway(leg, words, now: now)
      }
      legs[leg].words = words
      legs[leg].retryAt = nil
    }
    settle(now: now)
  }

  private func checkRunning() throws(OrderFault) {
    guard phase == .running else { throw OrderFault("the mirror is being opened, or is ending") }
  }

  // MARK: Look

  package func isDetached(_ leg: Int) -> Bool { legs[leg].isDetached }

  /// It was a leg once, and its member is none any more.
  package func isForgotten(_ leg: Int) -> Bool { legs[leg].isForgotten }

  /// Too few legs are here: writes wait.
  package var isSuspended: Bool { patienceEnd != nil }

  /// The members that none of the legs is.
  package var strangers: [MirrorMember] {
    round.members.filter { member in !legs.contains { $0.member == member.id } }
  }
}

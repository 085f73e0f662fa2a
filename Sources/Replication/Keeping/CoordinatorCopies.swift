// What legs lack, and how they get it: marks are gathered, then regions are compared, and copied
// where they differ, under a hold that keeps newer writes away.
//
// The comparison itself holds nobody: two legs that get the same writes in the same order, and were
// equal at any two moments, stay equal. Where they differ it may only be that a write is on its way
// to one of them; then a piece is copied for nothing.

extension Coordinator {
  // MARK: Gathering

  /// Asks all that have everything what is marked there, and the leg itself.
  mutating func gather(_ leg: Int) {
    guard let layout, legs[leg].stage == .joined else { return }
    asked.removeAll { question in
      if case .marks(leg) = question.purpose { return true }
      if case .mark = question.purpose { return question.leg == leg }
      if case .synced = question.purpose { return question.leg == leg }
      if case .flush = question.purpose { return question.leg == leg }
      return false
    }
    var dirty = legs[leg].copy.dirty ?? RegionMap(regionCount: layout.regionCount)
    for range in legs[leg].copy.unsynced { dirty.insert(range) }
    legs[leg].copy = LegCopy()
    legs[leg].copy.dirty = dirty
    let others = legs.indices.filter {
      $0 == leg || legs[$0].stage == .joined && state(ofLeg: $0).hasEverything
    }
    legs[leg].copy.stage = .gathering(others.count)
    for other in others { ask(other, .marks(from: 0), for: .marks(for: leg)) }
  }

  mutating func handleMarks(
    _ leg: Int, for wanting: Int, _ answer: KeepingAnswer, now: UInt64
  ) {
    guard case .gathering(let count) = legs[wanting].copy.stage, let layout else { return }
    guard case .marks(let ranges, let next) = answer,
      ranges.allSatisfy({ $0.lowerBound >= 0 && $0.upperBound <= layout.regionCount })
    else { return dismiss(leg, words(answer), now: now) }
    for range in ranges { legs[wanting].copy.dirty?.insert(range) }
    if let next {
      // Who names no later region would be asked for ever.
      guard next >= ranges.last?.upperBound ?? .max else {
        return dismiss(leg, "its marks have no end", now: now)
      }
      ask(leg, .marks(from: next), for: .marks(for: wanting))
      return
    }
    legs[wanting].copy.stage = .gathering(count - 1)
    if count == 1 { tellMarks(wanting, from: 0) }
  }

  /// The leg itself remembers what it lacks, before any of it is taken off the list.
  private mutating func tellMarks(_ leg: Int, from region: Int) {
    guard let dirty = legs[leg].copy.dirty else { return }
    let (ranges, next) = dirty.ranges(from: region, max: CopyWork.rangesMax)
    legs[leg].copy.stage = .marking(next ?? dirty.regionCount)
    ask(leg, .mark(ranges), for: .mark)
  }

  mutating func handleMarked(_ leg: Int, _ answer: KeepingAnswer, now: UInt64) {
    guard case .marking(let next) = legs[leg].copy.stage, let dirty = legs[leg].copy.dirty else {
      return
    }
    guard case .done = answer else { return dismiss(leg, words(answer), now: now) }
    guard next >= dirty.regionCount else { return tellMarks(leg, from: next) }
    legs[leg].copy.stage = .copying
    legs[leg].copy.total = dirty.count
    copies.forgive(from: 0)
    tellProgress(leg, now: now, isForced: true)
  }

  // MARK: Copying

  /// Begins as much as may be under way, and ends what is done.
  mutating func stepCopies(now: UInt64) {
    if let due = copies.resumeAt, due <= now { copies.resumeAt = nil }
    if let due = copies.forgiveAt, due <= now { copies.forgive(from: 0) }
    if !isResting {
      for token in copies.jobs.map(\.token) {
        guard let index = copies.jobs.firstIndex(where: { $0.token == token }),
          copies.jobs[index].isCompared, !copies.jobs[index].isHolding
        else { continue }
        stepJob(index, now: now)
      }
    }
    while !isResting, copies.resumeAt == nil, copies.regionJobs < configuration.copiesMax,
      let region = nextRegion()
    {
      beginRegion(region, now: now)
    }
    for leg in legs.indices where legs[leg].isCopying { finishCopy(leg) }
  }

  var sources: [Int] {
    legs.indices.filter { legs[$0].stage == .joined && state(ofLeg: $0) == .inSync }
  }

  /// The first region that any leg lacks, and nobody works at.
  private func nextRegion() -> Int? {
    var found: Int?
    for leg in legs.indices where legs[leg].isCopying {
      guard let dirty = legs[leg].copy.dirty else { continue }
      var next = dirty.first()
      while let region = next, copies.isTaken(region) { next = dirty.first(from: region + 1) }
      if let region = next { found = min(found ?? region, region) }
    }
    return found
  }

  private mutating func beginRegion(_ region: Int, now: UInt64) {
    guard let layout else { return }
    var targets: LegSet = []
    for leg in legs.indices where legs[leg].isCopying {
      if legs[leg].copy.dirty?.contains(region) == true { targets.insert(LegSet(leg)) }
    }
    guard let source = source(of: region) else {
      copies.postpone(region, now: now)
      return
    }
    let bytes = layout.bytes(of: region)
    let token = identities.next()
    copies.jobs.append(
      CopyJob(
        token: token, region: region, bytes: bytes, source: source, targets: targets, beganAt: now))
    orders.append(.compare(token: token, source: source, targets: targets, bytes: bytes))
  }

  /// Who can read it, one that is right there where a verification has found others wrong.
  private mutating func source(of region: Int) -> Int? {
    let able = sources.filter { !copies.isBad(region, at: $0) }
    guard let right = verification?.right(in: region), !right.isEmpty else { return able.first }
    if let source = able.first(where: { right.contains(LegSet($0)) }) { return source }
    verification?.noteWrongSource(region)
    return able.first
  }

  /// A leg whose regions are all equal by now tells so to its medium, and is in sync then.
  private mutating func finishCopy(_ leg: Int) {
    guard let dirty = legs[leg].copy.dirty, !legs[leg].copy.isSyncing, allKnow,
      copies.doubts.isEmpty, copies.vanishing == 0
    else { return }
    let isDone = dirty.isEmpty && !copies.jobs.contains { $0.targets.contains(LegSet(leg)) }
    // Where a member is away, what is marked here is what that one lacks, too: it stays.
    if legs[leg].copy.unsynced.isEmpty || !areAllHere {
      legs[leg].copy.isDone = isDone
      if !isDone { legs[leg].copy.isFlushed = false }
      guard isDone, !copies.jobs.contains(where: \.isHolding) else { return }
      // What was flushed everywhere before it came is on the others' medium, and has to be on its
      // own: it may be the source once all have lost their power.
      guard legs[leg].copy.isFlushed else {
        legs[leg].copy.isSyncing = true
        return ask(leg, .flush, for: .flush)
      }
      legs[leg].copy = LegCopy()
      set(.inSync, ofLeg: leg)
      return
    }
    guard isDone || legs[leg].copy.unsynced.count >= CopyWork.unsyncedMax else { return }
    legs[leg].copy.isSyncing = true
    let ranges = Array(legs[leg].copy.unsynced.prefix(CopyWork.rangesMax))
    ask(leg, .synced(ranges), for: .synced(ranges))
  }

  /// Whether every leg that is here remembers what it lacks. Before, no mark is taken away: a leg
  /// that was made equal to a source which is then lost would differ from the next one, and neither
  /// would have a mark.
  private var allKnow: Bool {
    legs.indices.allSatisfy {
      let isHere = legs[$0].stage == .joined || legs[$0].stage == .claimed
      return !isHere || state(ofLeg: $0) == .inSync || legs[$0].isCopying
    }
  }

  /// Nor may any member still know one that is none any more: it could be opened with that one.
  private var areAllHere: Bool {
    round.forgotten.isEmpty && round.members.allSatisfy { $0.state != .absent }
  }

  mutating func handleSynced(
    _ leg: Int, _ ranges: [Range<Int>], _ answer: KeepingAnswer, now: UInt64
  ) {
    guard case .done = answer else { return dismiss(leg, words(answer), now: now) }
    legs[leg].copy.isSyncing = false
    legs[leg].copy.unsynced.removeAll { ranges.contains($0) }
    tellSurvivors(ranges)
  }

  mutating func handleFlushed(_ leg: Int, _ answer: KeepingAnswer, now: UInt64) {
    guard case .done = answer else { return dismiss(leg, words(answer), now: now) }
    legs[leg].copy.isSyncing = false
    legs[leg].copy.isFlushed = legs[leg].copy.isDone
  }

  /// Questions of a leg that only make it forget marks.
  static var forgetsMax: Int { 4 }

  /// What nobody lacks any more is forgotten at those that had it: how far the copy has come
  /// outlasts the initiator. Not while a member is away, which may lack it, too.
  private mutating func tellSurvivors(_ ranges: [Range<Int>]) {
    guard areAllHere else { return }
    let lacking = legs.indices.filter { state(ofLeg: $0) != .inSync }
    for leg in lacking {
      guard legs[leg].isCopying, let dirty = legs[leg].copy.dirty else { return }
      for range in ranges where !range.allSatisfy({ !dirty.contains($0) }) { return }
      for range in ranges where legs[leg].copy.unsynced.contains(where: range.overlaps) { return }
    }
    for leg in sources {
      let count = asked.count { question in
        if case .forget = question.purpose { question.leg == leg } else { false }
      }
      // What it isn't asked now stays marked, until it takes that away by itself.
      guard count < Self.forgetsMax else { continue }
      ask(leg, .synced(ranges), for: .forget)
    }
  }

  func tellsProgress(now: UInt64) -> Bool { now >= copies.tellAt }

  mutating func tellProgress(_ leg: Int, now: UInt64, isForced: Bool = false) {
    guard isForced || tellsProgress(now: now), let dirty = legs[leg].copy.dirty else { return }
    copies.tellAt = now + CopyWork.tellNanoseconds
    orders.append(
      .tell(
        .copying(
          leg, remaining: dirty.count, of: legs[leg].copy.total,
          copiedBytes: legs[leg].copy.copiedBytes)))
  }
}

extension CoordinatedLeg {
  /// Whether it is on its way to be in sync.
  var isGettingCopies: Bool {
    guard stage == .joined else { return isJoining }
    if case .none = copy.stage { return false }
    return true
  }

  /// Whether it is known what the leg lacks, and it is given it.
  var isCopying: Bool {
    guard stage == .joined, case .copying = copy.stage else { return false }
    return true
  }
}

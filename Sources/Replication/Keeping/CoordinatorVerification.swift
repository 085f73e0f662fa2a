// Whether legs that are in sync have the same bytes: region by region, by digests made at the
// targets, while writes go on.
//
// A repair goes the way of a write that ended badly everywhere: the legs that are wrong are called
// `unequal`, what differs is marked there, compared again and copied, and they are in sync again. A
// copy to legs that are in sync, under the same hold, would be faster; but if anybody died then,
// nobody would know which legs have it. Until the marks are stored nothing is worse than before.

extension Coordinator {
  /// Begins a verification; false where one is under way, or the mirror isn't. Its end is told by
  /// `KeepingEvent.verified`.
  package mutating func verify(_ wish: VerificationWish, now: UInt64) -> Bool {
    guard phase == .running, verification == nil, let layout, !wish.bytes.isEmpty,
      wish.bytes.upperBound <= layout.byteCount
    else { return false }
    verification = VerificationWork(wish, layout)
    settle(now: now)
    return true
  }

  /// Ends it early; legs that are being repaired go on to be.
  package mutating func cancelVerification(now: UInt64) {
    endVerification("it was cancelled")
    settle(now: now)
  }

  mutating func endVerification(_ words: String?) {
    guard var work = verification, let layout else { return }
    work.report.forgotten = LegSet(legs.indices.filter { isForgotten($0) })
    for job in work.jobs where job.stage == .holding || job.stage == .judging {
      orders.append(.release(token: job.token))
    }
    verification = nil
    orders.append(.tell(.verified(work.finished(words, layout, legCount: legs.count))))
  }

  // MARK: Steps

  mutating func stepVerification(now: UInt64) {
    // First, or it would be due again and again.
    if let due = verification?.resumeAt, due <= now { verification?.resumeAt = nil }
    guard verification != nil, !isChanging else { return }
    if verification?.mending != nil {
      guard !isMending else { return }
      verification?.endMending()
    }
    for token in verification?.jobs.map(\.token) ?? [] { advanceVerification(token, now: now) }
    while canVerifyMore { beginVerifiedRegion(now: now) }
    guard let work = verification, work.jobs.isEmpty else { return }
    if work.left.isEmpty {
      // What is on its way now is not for those that are wrong.
      guard !work.isRepairDue || !copies.jobs.contains(where: \.isHolding) else { return }
      if !mendVerified() { endVerification(nil) }
    } else if sources.count < 2, !legs.contains(where: \.isGettingCopies) {
      endVerification("fewer than two legs are in sync")
    }
  }

  private var canVerifyMore: Bool {
    guard let work = verification else { return false }
    return !work.left.isEmpty && work.resumeAt == nil
      && work.jobs.count < configuration.copiesMax && sources.count > 1
  }

  private mutating func beginVerifiedRegion(now: UInt64) {
    guard let layout, let region = verification?.left.first() else { return }
    verification?.left.remove(region)
    let token = identities.next()
    let job = VerificationJob(
      token: token, region: region, beganAt: now, legs: LegSet(sources),
      ranges: [layout.bytes(of: region)])
    verification?.jobs.append(job)
    advanceVerification(token, now: now)
  }

  /// The next comparison, the next hold, or the end of a region.
  private mutating func advanceVerification(_ token: UInt64, now: UInt64) {
    guard let index = verification?.index(of: token), var job = verification?.jobs[index],
      job.stage == .nothing, !isResting
    else { return }
    while job.able.count < 2, !job.ranges.isEmpty || !job.pieces.isEmpty {
      // Nobody is left to be compared with there.
      if job.ranges.isEmpty { job.pieces.removeFirst() } else { job.ranges.removeFirst() }
      job.unable = []
    }
    if let range = job.ranges.first {
      job.stage = .comparing
      job.setComparison(of: job.able)
      orders.append(
        .compare(token: token, source: job.source, targets: job.targets, bytes: range))
    } else if let piece = job.pieces.first {
      job.stage = .holding
      orders.append(.hold(token: token, bytes: piece))
    } else {
      return endVerifiedRegion(index, now: now)
    }
    verification?.jobs[index] = job
  }

  private mutating func endVerifiedRegion(_ index: Int, now: UInt64) {
    guard let layout, let job = verification?.jobs.remove(at: index) else { return }
    for (legs, count) in job.compared {
      verification?.noteCompared(legs.intersection(job.legs), count)
    }
    verification?.doneBytes += UInt64(layout.bytes(of: job.region).count)
    tellVerifying(now: now)
    guard isBusy, configuration.busyShare < 100 else { return }
    let rest =
      (now - job.beganAt) * (100 - configuration.busyShare) / max(configuration.busyShare, 1)
    let due = verification?.resumeAt ?? 0
    verification?.resumeAt = max(due, now + rest)
  }

  private mutating func tellVerifying(now: UInt64) {
    guard let work = verification, now >= work.tellAt || work.left.isEmpty else { return }
    verification?.tellAt = now + CopyWork.tellNanoseconds
    orders.append(
      .tell(.verifying(doneBytes: work.doneBytes, of: UInt64(work.report.bytes.count))))
  }

  // MARK: Told by the owner

  /// False where it is none of the verification's.
  mutating func handleVerified(token: UInt64, differing: [LegSet], now: UInt64) -> Bool {
    guard let index = verification?.index(of: token), var job = verification?.jobs[index] else {
      return false
    }
    // Without the source it was a comparison with nobody.
    let isValid = job.legs.contains(LegSet(job.source))
    let compared = job.targets.intersection(job.legs)
    if case .judging = job.stage {
      if isValid {
        let others = (differing.first ?? []).intersection(compared)
        job.groups.append(compared.subtracting(others).union(LegSet(job.source)))
        job.rest = others
      } else {
        job.beginGroups()
      }
      judge(index, job)
    } else if isValid, let range = job.ranges.first {
      job.compared.append((compared.union(LegSet(job.source)), range.count))
      for (piece, set) in zip(pieces(of: range), differing) where !set.isDisjoint(with: compared) {
        job.pieces.append(piece)
      }
      job.ranges.removeFirst()
      job.unable = []
      rest(index, job)
    } else {
      rest(index, job)
    }
    settle(now: now)
    return true
  }

  mutating func handleVerificationHeld(token: UInt64, now: UInt64) -> Bool {
    guard let index = verification?.index(of: token), var job = verification?.jobs[index] else {
      return false
    }
    job.beginGroups()
    judge(index, job)
    settle(now: now)
    return true
  }

  /// Of a longer range it is found out which piece can't be read.
  mutating func handleUnverified(token: UInt64, leg: Int, words: String, now: UInt64) -> Bool {
    guard let index = verification?.index(of: token), var job = verification?.jobs[index] else {
      return false
    }
    if case .judging = job.stage {
      if let piece = job.pieces.first { note(&job, leg, piece, words) }
      job.beginGroups()
      judge(index, job)
    } else if let range = job.ranges.first {
      let pieces = pieces(of: range)
      if pieces.count > 1 {
        job.ranges.replaceSubrange(0..<1, with: pieces)
      } else {
        note(&job, leg, range, words)
      }
      rest(index, job)
    }
    settle(now: now)
    return true
  }

  private mutating func note(
    _ job: inout VerificationJob, _ leg: Int, _ bytes: Range<UInt64>, _ words: String
  ) {
    guard job.legs.contains(LegSet(leg)) else { return }
    job.unable.insert(LegSet(leg))
    let range = UnreadableRange(leg: leg, bytes: bytes, words: words)
    if verification?.noteUnreadable(range) == true { orders.append(.tell(.unverified(range))) }
  }

  /// Nothing is awaited: it goes on when it may.
  private mutating func rest(_ index: Int, _ job: VerificationJob) {
    verification?.jobs[index] = job
    verification?.jobs[index].stage = .nothing
  }

  /// Under the hold: one more comparison, or the judgement.
  private mutating func judge(_ index: Int, _ job: VerificationJob) {
    var job = job
    let rest = job.rest.intersection(job.able)
    if rest.count > 1, let piece = job.pieces.first {
      job.rest = rest
      job.stage = .judging
      job.setComparison(of: rest)
      orders.append(
        .compare(token: job.token, source: job.source, targets: job.targets, bytes: piece))
      verification?.jobs[index] = job
      return
    }
    let groups = job.judgement
    let piece = job.pieces.removeFirst()
    if groups.count > 1 { noteDifference(piece, job.region, groups) }
    orders.append(.release(token: job.token))
    job.unable = []
    self.rest(index, job)
  }

  private mutating func noteDifference(_ piece: Range<UInt64>, _ region: Int, _ groups: [LegSet]) {
    // Told before the hold is let go.
    if let difference = verification?.noteDifference(piece, region: region, groups: groups) {
      orders.append(.tell(.differing(difference)))
    }
    guard verification?.wish.repair != VerificationRepair.none else { return }
    // What lacks anything may have got it from a leg that is wrong there.
    doubt(region)
  }

  private func pieces(of range: Range<UInt64>) -> [Range<UInt64>] {
    stride(from: range.lowerBound, to: range.upperBound, by: Int(configuration.copyLength)).map {
      $0..<min($0 + configuration.copyLength, range.upperBound)
    }
  }

  // MARK: Repairs

  /// Whether legs are still on their way to be equal again.
  private var isMending: Bool {
    guard let mending = verification?.mending else { return false }
    return legs.indices.contains { leg in
      guard mending.legs.contains(LegSet(leg)), legs[leg].stage == .joined,
        state(ofLeg: leg) != .inSync
      else { return false }
      // What nobody can read is not waited for.
      guard legs[leg].isCopying, let dirty = legs[leg].copy.dirty, !dirty.isEmpty else {
        return true
      }
      return !copies.arePostponed(dirty)
    }
  }

  /// Begins a repair, of as many regions as may be at once.
  private mutating func mendVerified() -> Bool {
    let inSync = LegSet(sources)
    guard let layout, let mending = verification?.takeRepairs(inSync) else { return false }
    verification?.mending = mending
    mending.legs.forEach { leg in
      legs[leg].copy = LegCopy()
      legs[leg].copy.dirty = RegionMap(regionCount: layout.regionCount)
      for (region, right) in mending.regions where !right.contains(LegSet(leg)) {
        legs[leg].copy.dirty?.insert(region)
      }
      set(.unequal, ofLeg: leg)
    }
    return true
  }
}

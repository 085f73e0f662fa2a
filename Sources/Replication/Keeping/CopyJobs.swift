// The single regions that are being compared and copied.

/// One region, or one range to be mended, on its way.
struct CopyJob: Sendable {
  /// A run of bytes and who wants it.
  struct Piece: Sendable {
    var bytes: Range<UInt64>
    var targets: LegSet
  }

  let token: UInt64
  let region: Int
  let bytes: Range<UInt64>
  var source: Int
  var targets: LegSet
  let beganAt: UInt64
  var pieces: [Piece] = []
  var isCompared = false
  var isHolding = false
  /// What is awaited comes to nothing: its leg is gone.
  var isVoid = false
}

/// All that is being copied.
struct CopyWork: Sendable {
  /// Ranges of regions in one question.
  static let rangesMax = 256
  /// Ranges that wait to be told as equal.
  static let unsyncedMax = 64
  /// Progress is told so often.
  static let tellNanoseconds: UInt64 = 250_000_000
  /// Regions whose source could not be read.
  static let badMax = 1024
  /// Ranges that wait to be doubted one by one.
  static let doubtsMax = 64
  static let forgiveNanoseconds: UInt64 = 5_000_000_000

  var jobs: [CopyJob] = []
  /// Copies rest until then, so that callers' writes have their share.
  var resumeAt: UInt64?
  var tellAt: UInt64 = 0
  /// Comparisons and copies that ended well; how many had when patience was prolonged last.
  var doneCount: UInt64 = 0
  var doneBefore: UInt64 = 0
  var mends = 0
  /// Legs that are made equal again after a write that failed everywhere.
  var mending: LegSet = []
  /// Where the legs may differ, nil: wherever there are marks. The states by which they are made
  /// equal are set when no copy is on its way: a leg that takes copies by then would store one that
  /// is not for it, and that nobody waits for.
  var doubts: [Range<UInt64>?] = []
  /// Other initiators that are gone, and may still write.
  var vanishing = 0
  /// When what could not be read is tried again.
  private(set) var forgiveAt: UInt64?
  private var bad: [(region: Int, leg: Int)] = []
  private var postponed: Set<Int> = []

  var regionJobs: Int { jobs.count }
  var badCount: Int { bad.count }
  var postponedCount: Int { postponed.count }

  func isTaken(_ region: Int) -> Bool {
    postponed.contains(region) || jobs.contains { $0.region == region }
  }

  /// Whether nobody can read any of these.
  func arePostponed(_ regions: RegionMap) -> Bool {
    var next = regions.first()
    while let region = next, postponed.contains(region) { next = regions.first(from: region + 1) }
    return next == nil
  }

  /// Legs may differ there; where too many such ranges wait, it may be anywhere that is marked.
  mutating func doubt(_ bytes: Range<UInt64>?) {
    if doubts.count >= Self.doubtsMax { doubts = [nil] }
    doubts.append(bytes)
  }

  func isBad(_ region: Int, at leg: Int) -> Bool {
    bad.contains { $0.region == region && $0.leg == leg }
  }

  /// Nobody can read it: its legs stay out of sync until somebody can.
  mutating func postpone(_ region: Int, now: UInt64) {
    postponed.insert(region)
    forgiveAt = forgiveAt ?? now + Self.forgiveNanoseconds
  }

  mutating func noteBad(_ region: Int, at leg: Int) {
    if bad.count < Self.badMax { bad.append((region, leg)) }
  }

  /// What could not be read is tried again.
  mutating func forgive(from region: Int) {
    bad.removeAll { $0.region >= region }
    postponed = postponed.filter { $0 < region }
    forgiveAt = nil
  }
}

extension Coordinator {
  // MARK: Told by the owner

  /// How pieces of the configured length compare: which targets differ from the source in each.
  package mutating func handleCompared(token: UInt64, differing: [LegSet], now: UInt64) {
    guard !handleVerified(token: token, differing: differing, now: now) else { return }
    guard let index = copies.jobs.firstIndex(where: { $0.token == token }) else { return }
    guard !copies.jobs[index].isVoid else {
      endJob(index, isDone: false, now: now)
      return settle(now: now)
    }
    let job = copies.jobs[index]
    var start = job.bytes.lowerBound
    var pieces: [CopyJob.Piece] = []
    for set in differing {
      let end = min(start + configuration.copyLength, job.bytes.upperBound)
      let targets = set.intersection(job.targets)
      if !targets.isEmpty, start < end {
        pieces.append(CopyJob.Piece(bytes: start..<end, targets: targets))
      }
      start = end
    }
    precondition(start == job.bytes.upperBound, "a comparison tells of all its pieces")
    copies.jobs[index].pieces = pieces
    copies.jobs[index].isCompared = true
    copies.doneCount += 1
    stepJob(index, now: now)
    settle(now: now)
  }

  /// A leg's bytes can't be read, for the comparison or the copy.
  package mutating func handleUnreadable(token: UInt64, leg: Int, words: String, now: UInt64) {
    guard !handleUnverified(token: token, leg: leg, words: words, now: now) else { return }
    guard let index = copies.jobs.firstIndex(where: { $0.token == token }) else { return }
    let job = copies.jobs[index]
    endJob(index, isDone: false, now: now)
    if leg == job.source {
      copies.noteBad(job.region, at: leg)
      orders.append(.tell(.unreadable(leg, reason: words)))
    } else {
      dismiss(leg, words, now: now)
    }
    settle(now: now)
  }

  package mutating func handleHeld(token: UInt64, now: UInt64) {
    guard !handleVerificationHeld(token: token, now: now) else { return }
    guard let index = copies.jobs.firstIndex(where: { $0.token == token }) else {
      orders.append(.release(token: token))
      return
    }
    guard !copies.jobs[index].isVoid else {
      endJob(index, isDone: false, now: now)
      return settle(now: now)
    }
    let (source, piece) = (copies.jobs[index].source, copies.jobs[index].pieces[0])
    let targets = takers
    guard !piece.targets.isDisjoint(with: targets) else {
      orders.append(.release(token: token))
      copies.jobs[index].isHolding = false
      return stepJob(index, now: now)
    }
    copies.jobs[index].pieces[0].targets = targets
    orders.append(.copy(token: token, source: source, targets: targets, bytes: piece.bytes))
  }

  /// The targets of a copy have it, but for those that are lost.
  package mutating func handleCopied(token: UInt64, now: UInt64) {
    guard let index = copies.jobs.firstIndex(where: { $0.token == token }) else { return }
    guard !copies.jobs[index].isVoid else {
      endJob(index, isDone: false, now: now)
      return settle(now: now)
    }
    let piece = copies.jobs[index].pieces.removeFirst()
    piece.targets.forEach {
      legs[$0].copy.copiedBytes += UInt64(piece.bytes.count)
    }
    orders.append(.release(token: token))
    copies.jobs[index].isHolding = false
    copies.doneCount += 1
    stepJob(index, now: now)
    settle(now: now)
  }

  // MARK: Steps

  /// The legs that take copies: all that lack anything.
  private var takers: LegSet {
    LegSet(legs.indices.filter { legs[$0].stage == .joined && legs[$0].takesCopies })
  }

  /// While states change, or are about to, no copy is on its way: who stores it would not be known.
  var isResting: Bool { isChanging || verification?.isRepairDue == true }

  /// The same, but for repairs that wait for the copies that are on their way.
  var isChanging: Bool {
    round.isRunning || round.isWanted || !copies.doubts.isEmpty || isAnyJoining
      || legs.contains { $0.isCopying && $0.copy.isDone }
  }

  /// The next piece of a job, or its end.
  mutating func stepJob(_ index: Int, now: UInt64) {
    guard !copies.jobs[index].isVoid else { return endJob(index, isDone: false, now: now) }
    let here = joinedLegs
    while let piece = copies.jobs[index].pieces.first {
      let wanting = piece.targets.intersection(here).intersection(copies.jobs[index].targets)
      guard !wanting.isEmpty else {
        copies.jobs[index].pieces.removeFirst()
        continue
      }
      guard !isResting else { return }
      // Whoever takes copies stores this one, and has to be waited for.
      copies.jobs[index].pieces[0].targets = takers
      copies.jobs[index].isHolding = true
      orders.append(.hold(token: copies.jobs[index].token, bytes: piece.bytes))
      return
    }
    endJob(index, isDone: true, now: now)
  }

  private mutating func endJob(_ index: Int, isDone: Bool, now: UInt64) {
    let job = copies.jobs.remove(at: index)
    if job.isHolding { orders.append(.release(token: job.token)) }
    let region = job.region
    guard isDone else { return }
    job.targets.intersection(joinedLegs).forEach { leg in
      guard legs[leg].isCopying, legs[leg].copy.dirty?.remove(region) == true else { return }
      if legs[leg].copy.unsynced.last?.upperBound == region {
        let last = legs[leg].copy.unsynced.removeLast()
        legs[leg].copy.unsynced.append(last.lowerBound..<region + 1)
      } else {
        legs[leg].copy.unsynced.append(region..<region + 1)
      }
      tellProgress(leg, now: now)
    }
    guard isBusy, configuration.busyShare < 100 else { return }
    let took = now - job.beganAt
    let rest = took * (100 - configuration.busyShare) / max(configuration.busyShare, 1)
    copies.resumeAt = max(copies.resumeAt ?? 0, now + rest)
  }

  // MARK: Losses

  /// What goes on for a leg that left: it is no target any more; where it was the source, it is
  /// begun anew. What was ordered is awaited first.
  mutating func dropCopies(of leg: Int, now: UInt64) {
    legs[leg].copy = LegCopy()
    for index in copies.jobs.indices {
      copies.jobs[index].targets.remove(LegSet(leg))
      if copies.jobs[index].source == leg { copies.jobs[index].isVoid = true }
    }
  }

  /// The source has changed: nothing that was compared counts.
  mutating func restartCopies() {
    for index in copies.jobs.indices { copies.jobs[index].isVoid = true }
  }

  /// Nothing more is copied.
  mutating func endCopies() {
    for job in copies.jobs where job.isHolding { orders.append(.release(token: job.token)) }
    copies.jobs = []
    copies.resumeAt = nil
  }
}

// A verification under way: which regions are left, which are being compared, what is to be
// repaired.
//
// Law: nothing is called a difference that was not compared while its range was held. Legs that get
// the same writes are never equal at one moment while writes come: what differs at first is only
// suspected. The range is held (no write that overlaps it is open, none begins) and compared again.
// Who was in sync all that time and then has other bytes has really other bytes. Two legs that were
// equal at any two moments are equal without a hold.
//
// Under the hold legs are sorted into groups of equal bytes, each by one more comparison. So three
// legs can tell which one of them is odd; with two, people have to.

/// One region on its way.
struct VerificationJob: Sendable {
  /// What is awaited.
  enum Stage: Sendable {
    case nothing
    /// A comparison while writes go on.
    case comparing
    /// The hold of a piece.
    case holding
    /// A comparison under that hold.
    case judging
  }

  let token: UInt64
  let region: Int
  let beganAt: UInt64
  /// In sync ever since it began.
  var legs: LegSet
  /// Those that can't read the range at hand.
  var unable: LegSet = []
  /// To be compared while writes go on.
  var ranges: [Range<UInt64>]
  /// Differed: to be compared under a hold.
  var pieces: [Range<UInt64>] = []
  var stage = Stage.nothing
  /// Of the comparison that is awaited.
  var source = 0
  var targets: LegSet = []
  /// Who was compared, over how many bytes: told once the region is judged.
  var compared: [(legs: LegSet, byteCount: Int)] = []
  /// Of the piece at hand: legs that are equal, and those that belong to none of these.
  var groups: [LegSet] = []
  var rest: LegSet = []

  var able: LegSet { legs.subtracting(unable) }

  /// Begins with the legs that are there, for the piece at hand.
  mutating func beginGroups() {
    groups = []
    rest = able
  }

  /// The next comparison, of these legs with the first of them.
  mutating func setComparison(of set: LegSet) {
    source = set.rawValue.trailingZeroBitCount
    targets = set.subtracting(LegSet(source))
  }

  /// The groups by now, without legs that are gone.
  var judgement: [LegSet] {
    (groups + [rest]).map { $0.intersection(legs) }.filter { !$0.isEmpty }
  }
}

/// All of a verification.
struct VerificationWork: Sendable {
  /// Regions that are remembered for their repair.
  static let repairsMax = 1 << 16

  let wish: VerificationWish
  var report: VerificationReport
  /// Regions that have not been begun.
  var left: RegionMap
  var differing: RegionMap
  var repaired: RegionMap
  var jobs: [VerificationJob] = []
  var doneBytes: UInt64 = 0
  /// It rests until then, so that callers' writes have their share.
  var resumeAt: UInt64?
  var tellAt: UInt64 = 0
  /// What is to be repaired, by region.
  private var repairs: [Int: VerifiedRegion] = [:]
  var repairCount: Int { repairs.count }
  var mending: VerificationMending?

  init(_ wish: VerificationWish, _ layout: RegionLayout) {
    let regions = layout.regions(of: wish.bytes)
    self.wish = wish
    report = VerificationReport(
      bytes: layout.bytes(of: regions.lowerBound)
        .lowerBound..<layout.bytes(of: regions.upperBound - 1).upperBound)
    left = RegionMap(regionCount: layout.regionCount)
    differing = left
    repaired = left
    left.insert(regions)
  }

  func index(of token: UInt64) -> Int? { jobs.firstIndex { $0.token == token } }

  // MARK: Legs

  /// A leg's state has changed: what it had counts no more.
  mutating func note(_ state: MemberState, ofLeg leg: Int) {
    guard state != .inSync else { return }
    for index in jobs.indices { jobs[index].legs.remove(LegSet(leg)) }
    if state == .absent { mending?.failed.insert(LegSet(leg)) }
  }

  /// Those that were taken for right are gone.
  mutating func failMending() {
    guard let legs = mending?.legs else { return }
    mending?.failed = legs
  }

  // MARK: Findings

  mutating func noteCompared(_ legs: LegSet, _ byteCount: Int) {
    legs.forEach { leg in
      while report.comparedBytes.count <= leg { report.comparedBytes.append(0) }
      report.comparedBytes[leg] += UInt64(byteCount)
    }
  }

  /// Returns false where it is known already.
  mutating func noteUnreadable(_ range: UnreadableRange) -> Bool {
    let isKnown = report.unreadable.contains { $0.leg == range.leg && $0.bytes == range.bytes }
    guard !isKnown else { return false }
    report.unreadableCount += 1
    guard report.unreadable.count < VerificationReport.listedMax else { return false }
    report.unreadable.append(range)
    return true
  }

  /// Legs differ in a piece of a region; returns it where it is listed.
  mutating func noteDifference(
    _ bytes: Range<UInt64>, region: Int, groups: [LegSet]
  ) -> LegDifference? {
    var groups = groups
    let longest = groups.map(\.count).max() ?? 0
    let most = groups.filter { $0.count == longest }
    var right = most.first ?? []
    var candidates = most.reduce(LegSet()) { $0.union($1) }
    if case .from(let leg) = wish.repair {
      candidates = groups.first { $0.contains(LegSet(leg)) } ?? []
      if !candidates.isEmpty { right = candidates }
    }
    remember(region, groups, candidates)
    groups.removeAll { $0 == right }
    let difference = LegDifference(bytes: bytes, groups: [right] + groups)
    differing.insert(region)
    report.differenceCount += 1
    guard report.differences.count < VerificationReport.listedMax else { return nil }
    report.differences.append(difference)
    return difference
  }

  private mutating func remember(_ region: Int, _ groups: [LegSet], _ candidates: LegSet) {
    guard wish.repair != .none else { return }
    if differing.contains(region) {
      repairs[region]?.narrow(groups, candidates)
    } else if repairs.count < Self.repairsMax {
      repairs[region] = VerifiedRegion(groups: groups, candidates: candidates)
    }
  }

  // MARK: Repairs

  /// The legs that are right in all of a region that is repaired, or is to be; none where all are
  /// as good, or nobody knows.
  func right(in region: Int) -> LegSet {
    guard differing.contains(region) else { return [] }
    return mending?.regions[region] ?? repairs[region]?.right ?? []
  }

  /// It was copied from a leg that is not right there.
  mutating func noteWrongSource(_ region: Int) { mending?.regions[region] = nil }

  /// All is compared, and something may be to be repaired: the legs' states are about to change.
  var isRepairDue: Bool { left.isEmpty && jobs.isEmpty && mending == nil && !repairs.isEmpty }

  /// Takes as many regions as can be repaired at once: some of the legs that are in sync are right
  /// in all of them, and stay in sync; the others are made equal to these. What nobody is right in,
  /// or nobody who is here is wrong, is left as it is.
  mutating func takeRepairs(_ inSync: LegSet) -> VerificationMending? {
    var keepers = inSync
    var taken: [Int: LegSet] = [:]
    for region in repairs.keys.sorted() {
      let right = repairs[region]?.right.intersection(inSync) ?? []
      if !right.isEmpty, right != inSync {
        guard !keepers.isDisjoint(with: right) else { continue }
        keepers.formIntersection(right)
        taken[region] = right
      }
      repairs[region] = nil
    }
    guard !taken.isEmpty else { return nil }
    return VerificationMending(legs: inSync.subtracting(keepers), regions: taken)
  }

  /// What could be repaired is.
  mutating func endMending() {
    guard let mending else { return }
    for (region, right) in mending.regions {
      if mending.legs.subtracting(right).isDisjoint(with: mending.failed) {
        repaired.insert(region)
      }
    }
    self.mending = nil
  }

  /// The report as it stands.
  func finished(_ words: String?, _ layout: RegionLayout, legCount: Int) -> VerificationReport {
    var report = report
    report.endWords = words
    while report.comparedBytes.count < legCount { report.comparedBytes.append(0) }
    report.differingRegions = differing.count
    report.repairedRegions = repaired.count
    for index in report.differences.indices {
      let region = layout.regions(of: report.differences[index].bytes).lowerBound
      report.differences[index].isRepaired = repaired.contains(region)
    }
    return report
  }
}

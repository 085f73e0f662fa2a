// What a seed means: how many nodes, how large, how bad the world is.
import Replication

/// What happens to datagrams and messages between nodes.
struct LinkBehaviour: Sendable {
  var groupLoss = 0.0
  var ownLoss = 0.0
  var duplicate = 0.0
  var reorder = 0.0
  var corrupt = 0.0
  /// A datagram begins a burst in which all are lost.
  var burst = 0.0
  var burstLengthMax = 40
  var delayNanoseconds: UInt64 = 30_000
  var jitterNanoseconds: UInt64 = 5_000
  var reorderNanoseconds: UInt64 = 400_000
  var channelNanoseconds: UInt64 = 40_000
}

/// A fault that begins at an event and ends after a time.
struct PlannedFault: Sendable {
  /// What goes wrong.
  enum Kind: Int, Sendable, CaseIterable {
    case killTarget, powerLoss, killInitiator, reset, partition, partitionOneWay, pauseTarget
    case pauseInitiator, slowDisk, slowLink, lossy, diskErrors, diskFull, stopTarget, blockedOutlet
    case journalErrors, journalFull, slowJournal, loseAllPower, killAll
    case resetSharing, partitionSharing
  }

  /// What happens to a mirror, after which it is most hurt by what goes wrong.
  enum Occasion: Int, Sendable, CaseIterable {
    case opening, opened, legLeft, suspended, taking, joined, inSync, copying, closing, closed
    case guestSpoke, guestCame, guestWent, guestWrote, called, leaderGone
  }

  var kind: Kind
  /// Counted from the occasion; from the beginning without one.
  var atEvent: Int
  var occasion: Occasion?
  /// The first such occasion is 0.
  var occasionsBefore = 0
  var initiator: Int
  var target: Int
  var nanoseconds: UInt64
  /// Of two ways one.
  var isFirst: Bool
}

/// Everything that a seed decides beforehand.
struct Scenario: Sendable {
  static let targetsMax = 5

  let seed: UInt64
  var targetCount: Int
  var initiatorCount: Int
  var sectorCount: Int
  var writeSectorsMax: Int
  var blockLength: Int
  var openWritesMax: Int
  var credit: Int
  var isSolicited: Bool
  var recovery: Int
  var storeAheadByteCount: Int
  var deadlineNanoseconds: UInt64
  var callCount: Int
  var callGapNanoseconds: UInt64
  var forcedRate: Double
  var flushRate: Double
  var readRate: Double
  /// How many places are written again and again; 0: all alike.
  var hotSectors: Int
  var links: [LinkBehaviour]
  var disks: [DiskBehaviour]
  /// Of what is not durable when the power goes.
  var keptRate: Double
  var faults: [PlannedFault]
  var isQuiet: Bool
  /// The mirror has a name: its legs remember what may differ.
  var isKept: Bool
  var regionSectors: Int
  var clearNanoseconds: UInt64
  var journals: [DiskBehaviour]
  var required: Int
  var areEqual: Bool
  var copySectors: Int
  var copiesMax: Int
  var retryNanoseconds: UInt64
  var patienceNanoseconds: UInt64
  var silenceNanoseconds: UInt64
  /// The last target is added when so many calls are left; nil: it is a leg from the beginning.
  var addsLateAt: Int?
  var closeRate: Double
  var joinsLate: Bool
  /// Sectors rot, and verifications find them.
  var verifies = false
  /// A session that has nothing to do with the mirror writes to its legs.
  var hasPlainWriter = false
  /// People order legs to go and to come; decided for a run, not by its seed alone.
  var isSteered = false
  /// Several initiators have the mirror open at once.
  private(set) var sharing: SharingScenario?

  init(seed: UInt64) {
    var random = SeededRandom(SeededRandom.mix(seed ^ 0x6d69_7272_6f72))
    self.seed = seed
    isQuiet = random.chance(0.25)
    targetCount = random.within(2...Self.targetsMax)
    initiatorCount = random.chance(0.3) ? 2 : 1
    sectorCount = random.pick([256, 512, 1024, 2048])
    writeSectorsMax = random.pick([8, 16, 64])
    blockLength = random.pick([512, 1024, 1408])
    openWritesMax = random.pick([1, 2, 4, 8, 16])
    credit = random.pick([writeSectorsMax * 512, 64 << 10, 1 << 20])
    isSolicited = random.chance(0.3)
    recovery = random.below(4)
    storeAheadByteCount = random.pick([4096, 8192, 1 << 20])
    deadlineNanoseconds = random.chance(0.5) ? 10_000_000_000 : 400_000_000
    callCount = random.within(8...50)
    callGapNanoseconds = random.octaves(1_000...4_000_000)
    forcedRate = random.chance(0.5) ? 0.4 : 0
    flushRate = random.chance(0.4) ? 0.1 : 0.02
    readRate = random.chance(0.5) ? 0.2 : 0.05
    hotSectors = random.chance(0.5) ? random.within(1...writeSectorsMax) : 0
    keptRate = random.pick([0, 0.5, 0.5, 0.9])
    isKept = random.chance(0.85)
    if isKept { sectorCount = random.pick([128, 256, 512]) }
    regionSectors = random.pick([8, 16, 32])
    clearNanoseconds = random.octaves(10_000_000...400_000_000)
    required = random.below(8)
    areEqual = random.chance(0.6)
    copySectors = random.pick([8, 8, 16, 32])
    copiesMax = random.within(1...4)
    retryNanoseconds = random.octaves(200_000...50_000_000)
    patienceNanoseconds = random.octaves(10_000_000...5_000_000_000)
    silenceNanoseconds = random.octaves(20_000_000...2_000_000_000)
    addsLateAt = random.chance(0.2) && targetCount > 2 ? random.below(callCount) : nil
    closeRate = random.chance(0.2) ? 0.05 : 0
    joinsLate = random.chance(0.3)
    journals = []
    links = []
    disks = []
    faults = []
    let lossy = !isQuiet && random.chance(0.5)
    for _ in 0..<targetCount {
      links.append(Self.link(isLossy: lossy && random.chance(0.8), &random))
      disks.append(Self.disk(&random))
      journals.append(Self.disk(&random))
    }
    if !isQuiet { planFaults(&random) }
    sharing = SharingScenario(self)
    if let sharing {
      initiatorCount = sharing.initiatorCount
      callCount = sharing.callCount
      faults += sharing.faults
      if sharing.hasSlowDisks {
        for index in disks.indices { disks[index].jitterNanoseconds = 10_000_000 }
      }
    }
    // A chance of its own: worlds that don't are what they were before there were verifications.
    var other = SeededRandom(SeededRandom.mix(seed ^ 0x7665_7269_6679))
    verifies = isKept && sharing == nil && other.chance(0.3)
  }

  /// Not where journals fail: a generation that a leg could not store may be there all the same
  /// when it starts again, and says then that it went on alone, where legs were detached before. It
  /// is refused, rightly; only people can tell that it has not.
  var maySteer: Bool {
    isKept && sharing == nil
      && !faults.contains { $0.kind == .journalErrors || $0.kind == .journalFull }
  }

  /// Bytes of one comparison's piece.
  var copyLength: Int { copySectors * Sector.byteCount }

  var requiredLegs: RequiredLegs? {
    switch required {
    case 4: .count(1)
    case 5: .count(2)
    case 6: .all
    case 7: .named(LegSet(0))
    default: nil
    }
  }

  var layout: RegionLayout {
    RegionLayout(
      byteCount: UInt64(sectorCount * Sector.byteCount),
      regionLength: UInt64(regionSectors * Sector.byteCount))
  }

  private static func link(isLossy: Bool, _ random: inout SeededRandom) -> LinkBehaviour {
    var link = LinkBehaviour()
    link.delayNanoseconds = random.octaves(5_000...500_000)
    link.jitterNanoseconds = random.chance(0.3) ? link.delayNanoseconds : 2_000
    link.channelNanoseconds = random.octaves(10_000...1_000_000)
    guard isLossy else { return link }
    let rate = random.pick([0.001, 0.01, 0.05, 0.2])
    if random.chance(0.7) { link.groupLoss = rate }
    if random.chance(0.4) { link.ownLoss = rate }
    if random.chance(0.4) { link.duplicate = rate }
    if random.chance(0.4) { link.reorder = rate }
    if random.chance(0.3) { link.corrupt = rate }
    if random.chance(0.2) { link.burst = rate / 20 }
    if random.chance(0.03) { link.groupLoss = 1 }
    if random.chance(0.03) { link.ownLoss = 1 }
    return link
  }

  private static func disk(_ random: inout SeededRandom) -> DiskBehaviour {
    var disk = DiskBehaviour()
    disk.nanoseconds = random.octaves(2_000...400_000)
    disk.jitterNanoseconds = random.octaves(1_000...2_000_000)
    return disk
  }

  /// A leg is lost, and just then somebody dies: what was on its way is most in danger.
  private mutating func planPair(_ random: inout SeededRandom) {
    let losses: [PlannedFault.Kind] = [
      .reset, .partition, .partitionOneWay, .killTarget, .powerLoss, .pauseTarget, .diskErrors,
    ]
    let deaths: [PlannedFault.Kind] = [
      .killInitiator, .killInitiator, .killAll, .loseAllPower, .powerLoss, .killTarget, .reset,
    ]
    let occasions: [PlannedFault.Occasion] = [
      .legLeft, .legLeft, .taking, .joined, .copying, .inSync, .opening,
    ]
    faults.append(
      PlannedFault(
        kind: random.pick(losses), atEvent: Int(random.octaves(1...2_000)), initiator: 0,
        target: random.below(targetCount), nanoseconds: random.octaves(100_000...30_000_000),
        isFirst: random.chance(0.5)))
    for _ in 0..<random.within(1...2) {
      faults.append(
        PlannedFault(
          kind: random.pick(deaths), atEvent: Int(random.octaves(0...30)),
          occasion: random.pick(occasions), occasionsBefore: random.chance(0.8) ? 0 : 1,
          initiator: 0, target: random.below(targetCount),
          nanoseconds: random.octaves(100_000...100_000_000), isFirst: random.chance(0.5)))
    }
  }

  private mutating func planFaults(_ random: inout SeededRandom) {
    if isKept, random.chance(0.3) { return planPair(&random) }
    // A few kinds in one run, so that each meets long stretches without the others.
    var kinds: [PlannedFault.Kind] = []
    for kind in PlannedFault.Kind.general where random.chance(0.2) { kinds.append(kind) }
    guard !kinds.isEmpty else { return }
    for _ in 0..<random.within(1...5) {
      let occasion =
        isKept && random.chance(0.5) ? random.pick(PlannedFault.Occasion.general) : nil
      faults.append(
        PlannedFault(
          kind: random.pick(kinds),
          atEvent: Int(random.octaves(0...(occasion == nil ? 6_000 : 200))), occasion: occasion,
          occasionsBefore: random.chance(0.7) ? 0 : random.below(3),
          initiator: random.below(initiatorCount), target: random.below(targetCount),
          nanoseconds: random.octaves(100_000...3_000_000_000), isFirst: random.chance(0.5)))
    }
  }
}

// Worlds in which several initiators have one mirror open at once. All that is chosen for them
// comes from a stream of its own: other worlds are what they were.

/// What a seed decides of a shared mirror.
struct SharingScenario: Sendable {
  var initiatorCount = 2
  var channelNanoseconds: UInt64 = 50_000
  /// Who hears nothing for so long takes the other one for gone.
  var silenceNanoseconds: UInt64 = 100_000_000
  var callCount = 60
  /// Stores may take long, so that something else comes between.
  var hasSlowDisks = false
  var faults: [PlannedFault] = []

  init() {}

  /// - Returns: nil where nobody shares it.
  init?(_ scenario: Scenario) {
    var random = SeededRandom(SeededRandom.mix(scenario.seed ^ 0x7368_6172_6564_0020))
    guard scenario.isKept, scenario.initiatorCount > 1, random.chance(0.7) else { return nil }
    initiatorCount = random.within(2...3)
    channelNanoseconds = random.pick([20_000, 200_000, 2_000_000, 20_000_000])
    silenceNanoseconds = random.octaves(2_000_000...500_000_000)
    callCount = random.within(20...120)
    hasSlowDisks = random.chance(0.3)
    guard !scenario.isQuiet else { return }
    if random.chance(0.5) { faults.append(guestLoss(&random)) }
    if random.chance(0.5) { faults.append(legLoss(scenario, &random)) }
    if random.chance(0.2) { faults += comingLoss(scenario, &random) }
    guard random.chance(0.5) else { return }
    for _ in 0..<random.within(1...4) { faults.append(any(scenario, &random)) }
  }

  /// A guest that writes is lost to its leader.
  private func guestLoss(_ random: inout SeededRandom) -> PlannedFault {
    let kinds: [PlannedFault.Kind] = [
      .killInitiator, .killInitiator, .partitionSharing, .partitionSharing, .resetSharing,
      .resetSharing, .pauseInitiator,
    ]
    return PlannedFault(
      kind: random.pick(kinds), atEvent: Int(random.octaves(0...60)), occasion: .guestWrote,
      occasionsBefore: Int(random.octaves(1...60)) - 1,
      initiator: random.within(1...initiatorCount - 1), target: 0,
      nanoseconds: random.octaves(silenceNanoseconds...silenceNanoseconds * 16),
      isFirst: random.chance(0.9))
  }

  /// A leg is lost while a guest comes, and what the others store of that takes long.
  private func comingLoss(_ scenario: Scenario, _ random: inout SeededRandom) -> [PlannedFault] {
    let before = random.chance(0.8) ? 0 : 1
    return [.slowJournal, random.pick([.reset, .killTarget, .powerLoss, .partition])].map {
      PlannedFault(
        kind: $0, atEvent: Int(random.octaves(0...100)) * ($0 == .slowJournal ? 0 : 1),
        occasion: .guestSpoke, occasionsBefore: before, initiator: 0,
        target: random.below(scenario.targetCount),
        nanoseconds: $0 == .slowJournal
          ? random.octaves(20_000_000...1_000_000_000) : random.octaves(100_000...30_000_000),
        isFirst: true)
    }
  }

  /// The leader loses a leg while guests write, and gets it back.
  private func legLoss(_ scenario: Scenario, _ random: inout SeededRandom) -> PlannedFault {
    PlannedFault(
      kind: random.pick([.reset, .partition, .killTarget, .powerLoss, .pauseTarget]),
      atEvent: Int(random.octaves(0...60)), occasion: .guestWrote,
      occasionsBefore: Int(random.octaves(1...60)) - 1,
      initiator: random.chance(0.7) ? 0 : random.below(initiatorCount),
      target: random.below(scenario.targetCount),
      nanoseconds: random.octaves(100_000...30_000_000), isFirst: random.chance(0.5))
  }

  private func any(_ scenario: Scenario, _ random: inout SeededRandom) -> PlannedFault {
    let kinds: [PlannedFault.Kind] = [
      .killInitiator, .killInitiator, .pauseInitiator, .resetSharing, .partitionSharing, .reset,
      .partition, .killTarget, .powerLoss, .pauseTarget, .slowDisk, .killAll,
    ]
    let occasions: [PlannedFault.Occasion] = [
      .guestSpoke, .guestCame, .guestWent, .guestWrote, .called, .called, .leaderGone, .legLeft,
      .taking, .joined, .copying, .inSync,
    ]
    let occasion = random.chance(0.7) ? random.pick(occasions) : nil
    return PlannedFault(
      kind: random.pick(kinds), atEvent: Int(random.octaves(0...(occasion == nil ? 6_000 : 200))),
      occasion: occasion, occasionsBefore: random.chance(0.6) ? 0 : random.below(4),
      initiator: random.below(initiatorCount), target: random.below(scenario.targetCount),
      nanoseconds: random.octaves(100_000...3_000_000_000), isFirst: random.chance(0.5))
  }
}

extension Scenario {
  var isShared: Bool { sharing != nil }
}

extension PlannedFault.Kind {
  /// Those that any world may have.
  static let general = allCases.filter { $0 != .resetSharing && $0 != .partitionSharing }
}

extension PlannedFault.Occasion {
  /// Those that any mirror with a name may meet.
  static let general = allCases.filter {
    ![.guestSpoke, .guestCame, .guestWent, .guestWrote, .called, .leaderGone].contains($0)
  }
}

extension PlannedFault {
  /// The other initiator that a fault between two of them is about: the first one most often, which
  /// leads the mirror first.
  func other(of count: Int) -> Int {
    guard initiator > 0 else { return 1 + target % max(count - 1, 1) }
    return isFirst || count == 2 ? 0 : 3 - initiator
  }
}

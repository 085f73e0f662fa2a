// Worlds in which several initiators have one mirror open at once. All that is chosen for them
// comes from a stream of its own: other worlds are what they were.

/// What a seed decides of a shared mirror.
struct SharingScenario: Sendable {
  var initiatorCount = 2
  var channelNanoseconds: UInt64 = 50_000
  /// Who hears nothing for so long takes the other one for gone.
  var silenceNanoseconds: UInt64 = 100_000_000
  var callCount = 60
  var faults: [PlannedFault] = []

  init() {}

  /// - Returns: nil where nobody shares it.
  init?(_ scenario: Scenario) {
    var random = SeededRandom(SeededRandom.mix(scenario.seed ^ 0x7368_6172_6564_0020))
    guard scenario.isKept, scenario.initiatorCount > 1, random.chance(0.7) else { return nil }
    initiatorCount = random.within(2...3)
    channelNanoseconds = random.octaves(10_000...2_000_000)
    silenceNanoseconds = random.octaves(10_000_000...1_000_000_000)
    callCount = random.within(20...120)
    guard !scenario.isQuiet else { return }
    let kinds: [PlannedFault.Kind] = [
      .killInitiator, .killInitiator, .pauseInitiator, .resetSharing, .partitionSharing, .reset,
      .partition, .killTarget, .powerLoss, .pauseTarget, .slowDisk, .killAll,
    ]
    let occasions: [PlannedFault.Occasion] = [
      .guestCame, .guestCame, .guestWent, .called, .called, .leaderGone, .legLeft, .taking, .joined,
      .copying, .inSync,
    ]
    for _ in 0..<random.within(0...4) {
      let occasion = random.chance(0.7) ? random.pick(occasions) : nil
      faults.append(
        PlannedFault(
          kind: random.pick(kinds),
          atEvent: Int(random.octaves(0...(occasion == nil ? 6_000 : 200))),
          occasion: occasion, occasionsBefore: random.chance(0.6) ? 0 : random.below(4),
          initiator: random.below(initiatorCount), target: random.below(scenario.targetCount),
          nanoseconds: random.octaves(100_000...3_000_000_000), isFirst: random.chance(0.5)))
    }
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
    ![.guestCame, .guestWent, .called, .leaderGone].contains($0)
  }
}

extension PlannedFault {
  /// The other initiator that a fault between two of them is about.
  func other(of count: Int) -> Int { (initiator + 1 + target % max(count - 1, 1)) % count }
}

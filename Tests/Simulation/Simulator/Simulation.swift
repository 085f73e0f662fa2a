/// A fault planted on purpose: what the simulator must find, or it is worth nothing. The machines
/// stay as they ship; what is wrong is how they are driven.
package enum PlantedFault: String, CaseIterable, Sendable {
  /// A target tells its machine that a write is stored when that has just begun.
  case earlyGood = "early-good"
  /// A forced write does not go to the medium.
  case ignoredForce = "ignored-force"
  /// A store lands a sector before its place.
  case shiftedStore = "shifted-store"
  /// A store begins though its regions are not marked yet.
  case lostIntent = "lost-intent"
  /// A leg doesn't tell all that is marked there.
  case forgottenMarks = "forgotten-marks"
  /// A write is told as GOOD though not all know yet that a leg lacks it.
  case earlyCompletion = "early-completion"
  /// What is copied was read before its range was held.
  case unheldCopy = "unheld-copy"
  /// A verification judges what nobody holds.
  case unheldVerdict = "unheld-verdict"
  /// A verification takes all for equal.
  case blindComparison = "blind-comparison"
  /// A journal's flush does nothing.
  case idleJournalFlush = "idle-journal-flush"
  /// The flush of a medium, after which marks are taken away, does nothing.
  case idleMediumFlush = "idle-medium-flush"
  /// A guest is given the token of regions in which others write.
  case doubleGrant = "double-grant"
  /// What a guest does again after its leader comes in another order than it began.
  case reversedRedo = "reversed-redo"
  /// A token is given back while writes are open in its regions.
  case earlyRelease = "early-release"
  /// A guest is gone without a word, and the legs are not made equal.
  case unmendedGuest = "unmended-guest"
  /// A leg is called a member though the writes of guests don't reach it yet.
  case guestlessJoin = "guestless-join"
  /// A leg says that a guest is expelled while it still stores what that has written.
  case earlyExpel = "early-expel"

  /// An ordinary command changes what belongs to a mirror.
  case plainWrites = "plain-writes"

  /// A leg is a mirror's while an ordinary command still changes it.
  case unawaitedWrites = "unawaited-writes"

  /// What a machine has said is taken, and left in its memory.
  case hoardedAnswers = "hoarded-answers"

  /// Whether it is one of mirrors with a name only.
  var isOfKept: Bool {
    switch self {
    case .earlyGood, .ignoredForce, .shiftedStore, .hoardedAnswers: false
    default: true
    }
  }
}

extension World {
  func plants(_ fault: PlantedFault) -> Bool { plant == fault }
}

/// One run and what came of it.
package enum Simulation {
  /// What came of a run.
  package struct Outcome: Sendable {
    package var seed: UInt64
    /// Nil where all held.
    package var violation: String?
    /// The last events, where not all held.
    package var trace: [String] = []
    package var counters: RunCounters
  }

  package static let tracedMax = 40

  /// - Parameters:
  ///   - verifies: false leaves verifications out; nil is as the seed has it.
  ///   - hasPlainWriter: a session that has nothing to do with the mirror writes to its legs.
  package static func run(
    seed: UInt64, plant: PlantedFault? = nil, verifies: Bool? = nil, isSteered: Bool = false,
    hasPlainWriter: Bool = true, printsTrace: Bool = false, in workplace: Workplace
  ) -> Outcome {
    var scenario = Scenario(seed: seed)
    if let verifies { scenario.verifies = scenario.isKept && verifies }
    scenario.isSteered = isSteered && scenario.maySteer
    scenario.hasPlainWriter = scenario.isKept && hasPlainWriter
    let world = World(scenario, plant: plant, in: workplace)
    world.trace.printsAll = printsTrace
    world.run()
    world.counters.events = world.eventCount
    world.counters.virtualMilliseconds = Int(world.now / 1_000_000)
    return Outcome(
      seed: seed, violation: world.violation,
      trace: world.violation == nil ? [] : world.trace.last(tracedMax) + world.summary,
      counters: world.counters)
  }
}

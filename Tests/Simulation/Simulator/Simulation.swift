/// A fault planted on purpose: what the simulator must find, or it is worth nothing. The machines
/// stay as they ship; what is wrong is how they are driven.
package enum PlantedFault: String, CaseIterable, Sendable {
  /// A target tells its machine that a write is stored when that has just begun.
  case earlyGood = "early-good"
  /// A forced write does not go to the medium.
  case ignoredForce = "ignored-force"
  /// A store lands a sector before its place.
  case shiftedStore = "shifted-store"
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

  package static func run(
    seed: UInt64, plant: PlantedFault? = nil, printsTrace: Bool = false, in workplace: Workplace
  ) -> Outcome {
    let world = World(Scenario(seed: seed), plant: plant, in: workplace)
    world.trace.printsAll = printsTrace
    world.run()
    world.counters.events = world.eventCount
    world.counters.virtualMilliseconds = Int(world.now / 1_000_000)
    return Outcome(
      seed: seed, violation: world.violation,
      trace: world.violation == nil ? [] : world.trace.last(tracedMax),
      counters: world.counters)
  }
}

import Simulator
import Testing

@Suite struct SeedTests {
  /// As many as a debug build runs in some seconds; Scripts/simulate runs more of them.
  static let seeds: ClosedRange<UInt64> = 100...299

  @Test func `what must hold does, whatever goes wrong`() {
    let workplace = Workplace()
    for seed in Self.seeds {
      let outcome = Simulation.run(seed: seed, in: workplace)
      let words = outcome.trace.joined(separator: "\n")
      #expect(outcome.violation == nil, "seed \(seed):\n\(words)")
    }
  }

  /// Seeds among which each fault is found; most are among the first.
  static let finds: [PlantedFault: ClosedRange<UInt64>] = [
    .lostIntent: 230...240, .earlyCompletion: 710...715,
  ]

  @Test(arguments: PlantedFault.allCases)
  func `a fault that is planted is found`(_ fault: PlantedFault) {
    let workplace = Workplace()
    let found = (Self.finds[fault] ?? 1...20).first { seed in
      let isFound = Simulation.run(seed: seed, plant: fault, in: workplace).violation != nil
      // What fails without the fault, too, was not found by it.
      return isFound && Simulation.run(seed: seed, in: workplace).violation == nil
    }
    #expect(found != nil)
  }

  @Test func `a seed is one run, whatever ran before it`() {
    let fresh = Simulation.run(seed: 17, in: Workplace()).counters.words
    let workplace = Workplace()
    for seed in 10...17 as ClosedRange<UInt64> {
      let again = Simulation.run(seed: seed, in: workplace).counters.words
      if seed == 17 { #expect(again == fresh) }
    }
  }
}

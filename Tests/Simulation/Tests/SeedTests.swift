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

  /// Each of these once failed, for the reason that its words give.
  static let found: [(seed: UInt64, words: String)] = [
    (26, "a record that was on its way while a mirror was opened made a split brain of nothing"),
    (67, "a leg of a new mirror was called equal before all of it was marked"),
    (95, "a copy landed over a newer write at a leg that it was not for"),
    (98, "the same"),
    (111, "a leg of a new mirror was called equal before all of it was marked"),
    (208, "a copy landed over a newer write at a leg that it was not for"),
    (707, "a leg that was long behind was known to nobody any more"),
    (1444, "a leg that was added late was called equal before all of it was marked"),
    (1545, "a leg that was long behind was known to nobody any more"),
    (2499, "a generation of too few made a split brain of nothing"),
    (2814, "the same, when the mirror was opened"),
    (2861, "a leg that was here, and lacked something, was taken for one that might be ahead"),
    (3741, "a leg that was added late was called equal before all of it was marked"),
    (7857, "a region that could not be read once was never read again"),
    (935, "a leg whose journal had failed was believed, though it had stored more than it said"),
    (1061, "a registration that was ended told of writes as fenced that nobody had asked it to"),
    (2181, "a guest that came when a leg had just left told writes as GOOD too early"),
    (2349, "a leg was called unequal while a copy was on its way that was not for it"),
    (3322, "a guest that came when a leg had just left told writes as GOOD too early"),
    (7723, "a leg came while a copy was on its way that was not for it, and stored that"),
    (16505, "a leg came while a copy was on its way that was not for it, and stored that"),
    (16658, "marks that an absent leg needed were taken away with those of one that came back"),
  ]

  /// The same, where sectors rot and verifications find that.
  static let foundVerifying: [(seed: UInt64, words: String)] = [
    (9067, "who lost its power was the source, and who was lost before had what that lacked"),
    (33568, "who missed two generations that nobody confirmed had all, and got what was old"),
    (203_890, "a mirror stopped for its patience though copies got on, piece by piece"),
    (236_073, "a leg that was to be added, which nobody knows of any more, was nobody's for ever"),
    (36614, "two halves asked for fewer legs than before, each for itself"),
    (13323, "no leg was the source, though one that an unconfirmed generation called lost had all"),
    (4731, "a region in which as many legs had something else was not repaired"),
    (
      5175, "a leg was given what had rotted at its source, which was repaired then, and it was not"
    ),
    (21626, "a leg was repaired from another one that had been given what had rotted there"),
  ]

  /// The same, where people steer.
  static let foundSteered: [(seed: UInt64, words: String)] = [
    (12575, "a leg was called in sync before what it was given was on its medium"),
    (13234, "a mirror stopped while the last leg that it needed flushed its medium"),
    (20214, "a leg that was to be added when the mirror was opened came too late for that"),
    (34266, "a member that not all had stored to be forgotten was a stranger"),
    (38887, "a record that was on its way while a leg was claimed made a split brain of nothing"),
  ]

  /// The same, with ordinary writers.
  static let foundPlain: [(seed: UInt64, words: String)] = [
    (38321, "a leg that came while a write was tried again was compared without that write"),
    (274_628, "a repair began while a copy was on its way, and its leg stored that, too"),
    (737_639, "the same"),
    (909_824, "a mirror was closed in order though a killed guest had left legs different"),
    (805_832, "a guest's last store was called equal by who didn't know that it was gone"),
  ]

  @Test func `what was found once stays mended`() {
    let workplace = Workplace()
    for (seed, words) in Self.found {
      // As they were when they failed: before there were verifications, and ordinary writes.
      let outcome = Simulation.run(
        seed: seed, verifies: false, hasPlainWriter: false, in: workplace)
      #expect(outcome.violation == nil, "seed \(seed): \(words)")
    }
    for (seed, words) in Self.foundPlain {
      let outcome = Simulation.run(seed: seed, in: workplace)
      #expect(outcome.violation == nil, "seed \(seed): \(words)")
    }
    for (seed, words) in Self.foundVerifying {
      let outcome = Simulation.run(seed: seed, hasPlainWriter: false, in: workplace)
      #expect(outcome.violation == nil, "seed \(seed): \(words)")
    }
  }

  @Test func `what must hold does, whoever steers`() {
    let workplace = Workplace()
    for (seed, words) in Self.foundSteered {
      let outcome = Simulation.run(
        seed: seed, isSteered: true, hasPlainWriter: false, in: workplace)
      #expect(outcome.violation == nil, "seed \(seed): \(words)")
    }
    for seed in 100...199 as ClosedRange<UInt64> {
      let outcome = Simulation.run(seed: seed, isSteered: true, in: workplace)
      #expect(outcome.violation == nil, "seed \(seed)")
    }
  }

  /// Seeds among which each fault is found; most are among the first.
  static let finds: [PlantedFault: ClosedRange<UInt64>] = [
    .lostIntent: 230...240, .earlyCompletion: 120...125, .unmendedGuest: 518...518,
    .guestlessJoin: 88...88, .earlyExpel: 2495...2495, .unawaitedWrites: 30...40,
  ]

  @Test(arguments: PlantedFault.allCases)
  func `a fault that is planted is found`(_ fault: PlantedFault) {
    let workplace = Workplace()
    // Others were found before there were ordinary writes.
    let hasPlainWriter = fault == .plainWrites || fault == .unawaitedWrites
    let found = (Self.finds[fault] ?? 1...20).first { seed in
      let isFound =
        Simulation.run(
          seed: seed, plant: fault, hasPlainWriter: hasPlainWriter, in: workplace
        ).violation != nil
      // What fails without the fault, too, was not found by it.
      return isFound
        && Simulation.run(seed: seed, hasPlainWriter: hasPlainWriter, in: workplace).violation
          == nil
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

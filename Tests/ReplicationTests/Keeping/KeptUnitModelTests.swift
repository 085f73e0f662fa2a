import Bytes
import Testing

@testable import Replication

/// Hundreds of lives of a leg, each from a seed: writes, ends, requests, flushes that fail, deaths
/// of the process and of the power. The model knows only what was promised.
@Suite struct KeptUnitModelTests {
  @Test(arguments: 0..<8)
  func `whatever dies, what may differ is marked and the record is the old or the new`(
    _ block: Int
  ) throws {
    for seed in 0..<50 {
      var life = LegLife(seed: UInt64(block * 50 + seed))
      do {
        try life.live(steps: 400)
      } catch {
        Issue.record("seed \(block * 50 + seed): \(error)")
        return
      }
    }
  }

  @Test func `the lives have seen what they are for`() throws {
    var seen = LifeCounts()
    for seed in 0..<100 {
      var life = LegLife(seed: UInt64(seed))
      try life.live(steps: 400)
      seen.add(life.counts)
    }
    #expect(seen.powerCuts > 300)
    #expect(seen.kills > 100)
    #expect(seen.failures > 20)
    #expect(seen.stores > 2000)
    #expect(seen.safelyCleared > 500)
    #expect(seen.marksTaken > 500)
  }
}

/// What happened in a life, so that a test that never gets anywhere is noticed.
struct LifeCounts {
  var powerCuts = 0
  var kills = 0
  var failures = 0
  var stores = 0
  var safelyCleared = 0
  var marksTaken = 0

  mutating func add(_ other: LifeCounts) {
    powerCuts += other.powerCuts
    kills += other.kills
    failures += other.failures
    stores += other.stores
    safelyCleared += other.safelyCleared
    marksTaken += other.marksTaken
  }
}

/// A promise that was broken.
struct BrokenPromise: Error, CustomStringConvertible {
  var description: String
}

/// What the leg owes, told by nothing but what it was asked and what it answered.
struct LegPromises {
  /// Regions that may differ from another member.
  var owed: Set<Int> = []
  /// Open writes of each region, by part and number.
  var open: [Int: Set<UInt64>] = [:]
  /// Regions with writes whose end nobody tells.
  var lost: Set<Int> = []
  /// Regions that the flush of the medium that runs covers, if nothing touches them.
  var covered: Set<Int> = []
  /// Regions of a `synced` since the request, if nothing touches them; by its token.
  var synced: [UInt64: Set<Int>] = [:]
  /// Those of them that the flush that runs covers.
  var syncedCovered: [UInt64: Set<Int>] = [:]
  /// The record that is said to be stored, and those on their way.
  var record: MirrorRecord?
  /// What was answered to be stored just now.
  var answered: MirrorRecord??
  var coming: [MirrorRecord?] = []
  /// Those that may be on the medium still, as long as none was stored since.
  var older: [MirrorRecord?] = []

  mutating func touch(_ region: Int) {
    owed.insert(region)
    covered.remove(region)
    for token in synced.keys { synced[token]?.remove(region) }
    for token in syncedCovered.keys { syncedCovered[token]?.remove(region) }
  }

  func isQuiet(_ region: Int) -> Bool {
    !lost.contains(region) && open[region, default: []].isEmpty
  }

  mutating func flushBegins() {
    covered = owed.filter(isQuiet)
    for (token, regions) in synced {
      syncedCovered[token] = regions.filter { open[$0, default: []].isEmpty }
    }
    synced.removeAll()
  }

  mutating func flushEnds(isDegraded: Bool) {
    if !isDegraded { owed.subtract(covered.filter(isQuiet)) }
    for regions in syncedCovered.values {
      owed.subtract(regions.filter { open[$0, default: []].isEmpty })
    }
    covered.removeAll()
    syncedCovered.removeAll()
  }

  /// How writes ended is forgotten with the process.
  mutating func die() {
    lost.formUnion(owed)
    open.removeAll()
    covered.removeAll()
    synced.removeAll()
    syncedCovered.removeAll()
  }
}

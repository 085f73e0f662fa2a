// Verifications, and what they are there for: sectors that change behind everybody's back. The
// oracle knows each of these, so it knows of each difference whether it is one.
//
// A sector that rots gets the stamp of a write that nobody has made, at one disk alone, on its
// medium. Only legs that are in sync rot: what others have is looked after anyhow.
import Replication

/// A sector that has changed by itself.
struct Rot {
  let target: Int
  let sector: Int
  let stamp: Stamp
  let at: UInt64
}

/// A verification that an initiator waits for.
struct VerificationCall {
  let beganAt: UInt64
  /// Before the mirror ends for good: all is made equal.
  let isLast: Bool
  /// Of each target: one that loses its power may have again what had rotted, and was written over.
  let incarnations: [UInt32]
}

extension World {
  /// Now and then something rots, a verification begins, or is given up.
  func verifyAtTimes(_ initiator: Initiator) {
    guard scenario.verifies, let keeping = initiator.keeping else { return }
    if random.chance(0.06) { rot(keeping) }
    if random.chance(0.12) { keeping.verify(isLast: false) }
    if random.chance(0.01) { keeping.coordinator.cancelVerification(now: now) }
  }

  private func rot(_ keeping: Keeping) {
    let joined = keeping.coordinator.joinedLegs
    let legs = keeping.seats.indices.filter {
      joined.contains(LegSet($0)) && keeping.coordinator.state(ofLeg: $0) == .inSync
        && targets[keeping.seats[$0].target].isUp
    }
    guard legs.count > 1 else { return }
    let target = keeping.seats[random.pick(legs)].target
    let sector = random.below(scenario.sectorCount)
    let stamp = oracle.begin(
      WrittenRecord(
        sectors: sector..<sector + 1, initiator: -1, isForced: false, submittedAt: now))
    oracle.end(stamp, .unknown)
    targets[target].disk.put(stamp, at: sector)
    targets[target].disk.makeDurable(sector..<sector + 1)
    oracle.rots.append(Rot(target: target, sector: sector, stamp: stamp, at: now))
    counters.rots += 1
    note(target + Self.targetsAt, "rots at sector %, as write %", sector, Int(stamp))
  }

  /// It is there still.
  func isThere(_ rot: Rot) -> Bool { targets[rot.target].disk.live[rot.sector] == rot.stamp }
}

extension Keeping {
  static let lastTriesMax = 20

  /// Begins one, of some of the disk or all of it.
  func verify(isLast: Bool) {
    guard verification == nil else { return }
    let size = seats.isEmpty ? 0 : UInt64(world.scenario.sectorCount * Sector.byteCount)
    // Where no leg is right in all of a region people name one.
    var wish = VerificationWish(
      bytes: 0..<size, repair: isUndecided ? .from(leg: 0) : .fromMost)
    if !isLast {
      if world.random.chance(0.3) {
        let start = world.random.below(size - 1)
        wish.bytes = start..<start + 1 + world.random.below(size - start)
      }
      wish.repair = world.random.pick([
        .none, .none, .fromMost, .from(leg: world.random.below(seats.count)),
      ])
    }
    guard coordinator.verify(wish, now: world.now) else { return }
    verification = VerificationCall(
      beganAt: world.now, isLast: isLast, incarnations: world.targets.map(\.incarnation))
    world.note(initiator.index, "verifies, for the last time: %", isLast ? 1 : 0)
  }

  /// Before the mirror ends for good it is verified, and repaired. False while that isn't done.
  func isVerifiedAtLast() -> Bool {
    guard world.scenario.verifies, !isVerified, lastTries < Self.lastTriesMax else { return true }
    guard verification == nil else { return false }
    lastTries += 1
    verify(isLast: true)
    return verification == nil
  }

  /// Legs are said to differ: under the hold, and not without a reason.
  func checkDifference(_ difference: LegDifference) {
    world.counters.differences += 1
    let sectors = Self.sectors(difference.bytes)
    let named = difference.groups.reduce(LegSet()) { $0.union($1) }
    var targets: Set<Int> = []
    named.forEach { targets.insert(seats[$0].target) }
    world.note(
      initiator.index, "legs % differ from sector % on", Int(named.rawValue), sectors.lowerBound)
    // Also where it was copied to before it was found.
    let isReal = world.oracle.rots.contains { rot in
      sectors.contains(rot.sector)
        && targets.contains { world.targets[$0].disk.live[rot.sector] == rot.stamp }
        && targets.contains { world.targets[$0].disk.live[rot.sector] != rot.stamp }
    }
    guard !isReal else { return }
    world.violate("legs are said to differ from sector \(sectors.lowerBound) on, and don't")
  }

  /// What has rotted before, and is there still, was found.
  func handleVerified(_ report: VerificationReport) {
    guard let call = verification else { return }
    verification = nil
    world.counters.verifications += 1
    world.note(
      initiator.index, "has verified: % differences in % regions, % repaired",
      report.differenceCount, report.differingRegions, report.repairedRegions)
    // A leg that was added meanwhile is none of it.
    let whole = report.comparedBytes.indices.filter {
      report.comparedBytes[$0] == UInt64(report.bytes.count)
    }
    let steady = whole.filter { leg in
      let target = seats[leg].target
      return world.targets[target].incarnation == call.incarnations[target]
    }
    for rot in world.oracle.rots where rot.at < call.beganAt && world.isThere(rot) {
      check(rot, report, steady)
    }
    isUndecided =
      call.isLast && report.endWords == nil && report.differingRegions != report.repairedRegions
    isVerified =
      call.isLast && whole.count == seats.count && report.endWords == nil
      && report.unreadableCount == 0 && report.differingRegions == report.repairedRegions
  }

  private func check(_ rot: Rot, _ report: VerificationReport, _ whole: [Int]) {
    guard Self.sectors(report.bytes).contains(rot.sector),
      let leg = whole.first(where: { seats[$0].target == rot.target })
    else { return }
    let isUnread = report.unreadable.contains {
      Self.sectors($0.bytes).contains(rot.sector)
    }
    guard !isUnread else { return }
    for other in whole where other != leg {
      // What was written there meanwhile is newer.
      guard world.targets[seats[other].target].disk.live[rot.sector] < rot.stamp else { continue }
      let found = report.differences.first { difference in
        Self.sectors(difference.bytes).contains(rot.sector)
          && !difference.groups.contains { $0.contains(LegSet([leg, other])) }
      }
      guard let found else {
        return world.violate(
          "a verification has not found that sector \(rot.sector) of target \(rot.target) differs")
      }
      if found.isRepaired {
        return world.violate(
          "sector \(rot.sector) of target \(rot.target) is called repaired, and isn't")
      }
    }
  }

  private static func sectors(_ bytes: Range<UInt64>) -> Range<Int> {
    Int(bytes.lowerBound) / Sector.byteCount..<Int(bytes.upperBound) / Sector.byteCount
  }

  /// Whether nothing is held or compared but for a verification.
  var isAllInSync: Bool {
    seats.indices.allSatisfy { coordinator.state(ofLeg: $0) == .inSync }
  }
}

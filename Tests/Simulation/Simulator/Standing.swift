// How each target stands in its mirror by the newest generation that any leg has stored: what the
// machines have agreed on, read from the journals and not from those who made it.
import Replication

extension World {
  /// The newest generations that are stored anywhere; several, where they are of one number.
  var newest: [MirrorGeneration] {
    var found: [MirrorGeneration] = []
    for target in targets {
      guard let generation = target.record?.generation else { continue }
      let highest = found.first?.counter ?? 0
      if generation.counter > highest { found = [] }
      guard generation.counter >= highest else { continue }
      if !found.contains(where: { $0.id == generation.id }) { found.append(generation) }
    }
    return found
  }

  /// The targets that have, by all of these generations, at least such a state.
  func targets(where isMeant: (MemberState) -> Bool) -> [Int] {
    let newest = newest
    guard !newest.isEmpty else { return [] }
    return targets.indices.filter { target in
      guard let member = targets[target].record?.member else { return false }
      return newest.allSatisfy { generation in
        generation.member(member).map { isMeant($0.state) } ?? false
      }
    }
  }

  /// Whether a target was never down since it was last told to have everything.
  func isIntact(_ target: Int) -> Bool {
    !scenario.isKept || targets[target].isUp && targets[target].keeping?.unit.isIntact == true
  }

  /// The targets that must have all that was acknowledged.
  var complete: [Int] {
    guard scenario.isKept else { return targets.indices.filter { oracle.isTrusted[$0] } }
    return targets(where: \.hasEverything)
  }
}

extension Oracle {
  // MARK: Ends of processes

  /// A target's process is gone, or its power.
  func noteStopped(_ target: Target, losesPower: Bool, _ world: World) {
    guard world.scenario.isKept else {
      guard losesPower else { return }
      checkDurable(target.index, world)
      // What was acknowledged and not flushed may be gone.
      isTrusted[target.index] = false
      return
    }
    let complete = world.complete
    if losesPower { checkFlushed(target, complete, world) }
    checkMarks(complete, world)
    lowerFloor(complete, world)
  }

  /// Where every leg that has everything was down since it was told so, what was never flushed may
  /// be gone.
  private func lowerFloor(_ complete: [Int], _ world: World) {
    let isSomebodyWhole = complete.contains { world.isIntact($0) }
    guard !isSomebodyWhole, !complete.isEmpty else { return }
    acknowledged = flushed
    loweredAt = world.now
  }

  /// On the medium of a leg that has everything is all that was flushed.
  func checkFlushed(_ target: Target, _ complete: [Int], _ world: World) {
    guard complete.contains(target.index) else { return }
    for sector in flushed.indices
    where isOver(target.disk.durable[sector], by: flushed[sector]) {
      return world.violate(
        "on the medium of target \(target.index) sector \(sector) is of write"
          + " \(target.disk.durable[sector]), though \(flushed[sector]) was flushed")
    }
  }

  /// Whoever lacks a write that is GOOD is known to lack something, durably, by all that have it.
  /// A guest that is gone for its leader, and doesn't know that yet, may tell late what had ended
  /// at all legs before.
  func checkKnown(_ stamp: Stamp, _ legs: [Int], _ world: World) {
    guard !world.initiators[record(stamp).initiator].isCutOff else { return }
    for leg in legs {
      guard let record = world.targets[leg].record, record.state.hasEverything else { continue }
      for member in record.generation.members where member.state.hasEverything {
        let other = world.targets.indices.first { world.targets[$0].record?.member == member.id }
        guard let other, !legs.contains(other) else { continue }
        return world.violate(
          "write \(stamp) is GOOD without target \(other), which target \(leg) says has everything"
        )
      }
    }
  }

  // MARK: Marks

  /// Where two legs that have everything differ, one of them has a mark. A new mirror's legs may
  /// differ in what they have of other lives, until they are said to be in sync.
  func checkMarks(_ complete: [Int], _ world: World) {
    for (index, one) in complete.enumerated() {
      for other in complete[(index + 1)...] { checkMarks(one, other, world) }
    }
  }

  private func checkMarks(_ one: Int, _ other: Int, _ world: World) {
    let disks = (world.targets[one].disk, world.targets[other].disk)
    guard disks.0.live != disks.1.live, let left = world.targets[one].keeping?.unit.marks,
      let right = world.targets[other].keeping?.unit.marks
    else { return }
    let length = world.scenario.regionSectors
    let areInSync = [one, other].allSatisfy { world.targets[$0].record?.state == .inSync }
    for sector in disks.0.live.indices where disks.0.live[sector] != disks.1.live[sector] {
      let region = sector / length
      guard !left.contains(region), !right.contains(region) else { continue }
      guard !isRotten(sector, disks.0, disks.1) else { continue }
      let isOld = max(disks.0.live[sector], disks.1.live[sector]) <= prehistory
      guard areInSync || !isOld else { continue }
      return world.violate(
        "sector \(sector) is of write \(disks.0.live[sector]) at target \(one) and of"
          + " \(disks.1.live[sector]) at target \(other), and region \(region) is marked at neither"
      )
    }
  }

  /// What differs by itself is marked nowhere.
  private func isRotten(_ sector: Int, _ one: SimulatedDisk, _ other: SimulatedDisk) -> Bool {
    rots.contains {
      $0.sector == sector && ($0.stamp == one.live[sector] || $0.stamp == other.live[sector])
    }
  }

  /// What a loss of power has changed, or may have torn, is marked.
  func checkLost(_ sectors: [Int], at target: Target, _ world: World) {
    guard let unit = target.keeping?.unit, unit.record != nil else { return }
    for sector in sectors where !unit.marks.contains(sector / world.scenario.regionSectors) {
      return world.violate(
        "sector \(sector) of target \(target.index) was lost with the power, and its region"
          + " \(sector / world.scenario.regionSectors) is not marked")
    }
  }

  // MARK: The end

  /// The mirror was closed in order: its legs are equal, and all of it is on the medium.
  func checkKeptEnd(_ world: World) {
    if openCount > 0 { return world.violate("\(openCount) writes never ended") }
    let complete = world.complete
    guard complete.count == world.keptTargetCount else {
      return world.violate("in the end only \(complete) have everything")
    }
    guard let first = complete.first else { return }
    let image = world.targets[first].disk.live
    for sector in image.indices where isOver(image[sector], by: acknowledged[sector]) {
      return world.violate(
        "in the end sector \(sector) is of write \(image[sector]), though"
          + " \(acknowledged[sector]) was acknowledged")
    }
    for target in complete {
      let disk = world.targets[target].disk
      for sector in image.indices where disk.live[sector] != image[sector] {
        return world.violate(
          "in the end sector \(sector) is of write \(image[sector]) at target \(first), and of"
            + " \(disk.live[sector]) at target \(target)")
      }
      for sector in image.indices where disk.durable[sector] != image[sector] {
        return world.violate(
          "the mirror was closed, but sector \(sector) of target \(target) is not on the medium")
      }
    }
  }
}

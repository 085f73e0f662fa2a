// Legs that were in sync and may not be any more, though none has left: a write ended badly at all
// of them, or another initiator is gone in the midst of one. They are made equal again by way of
// the states that a crash leaves.
//
// Law: the states change when no copy is on its way. A leg that is called `unequal` stores what is
// copied from then on; a copy that began before is not for it, so nobody waits for it there, and it
// could land over a newer write.

extension Coordinator {
  /// A write ended badly everywhere: nobody knows what stands there. All that are in sync but one
  /// are made equal to that one again, by way of the states that a crash leaves.
  package mutating func handleSuspect(_ bytes: Range<UInt64>, now: UInt64) {
    guard phase == .running || phase == .closing else { return }
    copies.mends += 1
    copies.doubt(bytes)
    settle(now: now)
  }

  /// Another initiator of the mirror is gone without a word, and what it has under way may still
  /// land: until it is ended everywhere (`handleVanished`) no leg is called in sync, or its marks
  /// would be taken for what has been made equal.
  package mutating func handleVanishing() { copies.vanishing += 1 }

  /// Nothing of it can touch a medium any more: wherever there are marks a write of it may be half
  /// done. All that are in sync but one are made equal to that one, by the same way.
  package mutating func handleVanished(now: UInt64) {
    copies.vanishing -= min(copies.vanishing, 1)
    guard phase == .running || phase == .closing else { return }
    copies.mends += 1
    copies.doubt(nil)
    settle(now: now)
  }

  /// All that are in sync but one are to be made equal to that one in these regions, nil: wherever
  /// there are marks; those that get copies are compared there again.
  private mutating func doubt(_ regions: Range<Int>?) {
    guard let layout else { return }
    // What was compared there before says nothing now.
    for index in copies.jobs.indices where regions?.contains(copies.jobs[index].region) ?? true {
      copies.jobs[index].isVoid = true
    }
    let here = legs.indices.filter { legs[$0].stage == .joined }
    let source = here.first { state(ofLeg: $0) == .inSync }
    for leg in here where leg != source {
      if state(ofLeg: leg) == .inSync {
        set(.unequal, ofLeg: leg)
        legs[leg].copy = LegCopy()
        copies.mending.insert(LegSet(leg))
        guard let regions else { continue }
        legs[leg].copy.dirty = RegionMap(regionCount: layout.regionCount)
        legs[leg].copy.dirty?.insert(regions)
      } else if phase == .closing {
        continue
      } else if let regions {
        legs[leg].copy.doubt(regions)
      } else {
        gather(leg)
      }
    }
  }

  /// What is copied there is copied anew: its source may have been wrong. Who is in sync stays so.
  mutating func doubt(_ region: Int) {
    for index in copies.jobs.indices where copies.jobs[index].region == region {
      copies.jobs[index].isVoid = true
    }
    for leg in legs.indices where legs[leg].stage == .joined && state(ofLeg: leg) != .inSync {
      legs[leg].copy.doubt(region..<region + 1)
    }
  }

  /// Once no copy is on its way.
  mutating func stepDoubts() {
    guard let layout, !copies.doubts.isEmpty, !copies.jobs.contains(where: \.isHolding) else {
      return
    }
    let doubts = copies.doubts
    copies.doubts = []
    let ranges = doubts.compactMap { $0 }
    // The more general one covers the others.
    guard ranges.count == doubts.count, ranges.count <= CopyWork.doubtsMax else {
      return doubt(nil)
    }
    for bytes in ranges { doubt(layout.regions(of: bytes)) }
  }

  /// Those that were to be made equal are, or are gone.
  mutating func stepMends() {
    guard copies.mends > 0, copies.doubts.isEmpty, !round.isRunning, !round.isWanted else {
      return
    }
    copies.mending.forEach {
      if legs[$0].stage != .joined || state(ofLeg: $0) == .inSync {
        copies.mending.remove(LegSet($0))
      }
    }
    guard copies.mending.isEmpty else { return }
    copies.mends = 0
    orders.append(.mended(nil))
  }
}

// What must hold, seen from above: the oracle knows every write, every disk and what callers were
// told, and none of the machines does.
//
// With one initiator at a time writes have one order, that in which they were submitted. With
// several at once the order is a part of that: a write is over by another one (`isOver`) if that is
// of the same initiator and later, or if it had ended before the other was submitted. So a sector
// may be of write W where no other write W' of it was submitted after W had ended, or by the same
// initiator after W, and was itself told as GOOD before the read, or the look, began.
//
// A write ends when its caller is told so, well or badly, or when the process of its initiator is
// killed: what that has under way may still land, but whatever is submitted later waits for the
// legs to have ended it, since its regions' tokens are kept until then. A write that is done again
// since its initiator's leader is gone has not ended: it is one write, from its submission to the
// end of its last attempt, and may land behind others' that began after it, as they may behind it.

/// A write as its caller knows it.
struct WrittenRecord {
  /// What its caller knows of its end.
  enum State: UInt8 { case open, good, bad, unknown }

  var sectors: Range<Int>
  var initiator: Int
  var isForced: Bool
  var state = State.open
  var submittedAt: UInt64
  /// An ordinary write to a disk that belongs to a mirror.
  var isForbidden = false
  /// The last write that was submitted before its end.
  var endedBehind = Stamp.max
}

/// The judge of a run.
final class Oracle {
  private(set) var writes: [WrittenRecord] = []
  /// Stamps up to it are of other lives of the legs.
  var prehistory: Stamp = 0
  /// By sector: the latest write that was told as GOOD.
  var acknowledged: [Stamp]
  /// The latest that must be there even where every leg was without its power.
  var flushed: [Stamp]
  /// By target and sector: what must be there even when the power goes.
  private var durable: [[Stamp]]
  /// The legs that were never lost to the mirror: without names nobody else may be read.
  var isTrusted: [Bool]
  private(set) var openCount = 0
  /// When every leg that had everything had been down since it was told so.
  var loweredAt: UInt64 = 0
  /// Sectors that have changed by themselves.
  var rots: [Rot] = []
  private let isShared: Bool

  init(_ scenario: Scenario) {
    acknowledged = [Stamp](repeating: 0, count: scenario.sectorCount)
    flushed = acknowledged
    durable = Array(repeating: acknowledged, count: scenario.targetCount)
    isTrusted = Array(repeating: true, count: scenario.targetCount)
    isShared = scenario.isShared
  }

  /// The last write that was submitted.
  var lastStamp: Stamp { Stamp(writes.count) }

  func record(_ stamp: Stamp) -> WrittenRecord { writes[Int(stamp) - 1] }

  // MARK: Writes

  func begin(_ record: WrittenRecord) -> Stamp {
    writes.append(record)
    openCount += 1
    return Stamp(writes.count)
  }

  func end(_ stamp: Stamp, _ state: WrittenRecord.State) {
    guard writes[Int(stamp) - 1].state == .open else { return }
    writes[Int(stamp) - 1].state = state
    writes[Int(stamp) - 1].endedBehind = lastStamp
    openCount -= 1
  }

  /// Whether a write may be seen no more where another one was told as GOOD.
  func isOver(_ stamp: Stamp, by other: Stamp) -> Bool {
    guard isShared, stamp > 0 else { return stamp < other }
    let (one, next) = (writes[Int(stamp) - 1], writes[max(Int(other), 1) - 1])
    return one.endedBehind < other || one.initiator == next.initiator && stamp < other
  }

  /// A write was told as GOOD, and these legs have it.
  func noteGood(_ stamp: Stamp, legs: [Int], _ world: World) {
    guard writes[Int(stamp) - 1].state == .open else {
      return world.violate("write \(stamp) was completed twice")
    }
    end(stamp, .good)
    let record = record(stamp)
    let complete = world.complete
    if world.scenario.isKept { checkKnown(stamp, legs, world) }
    var isHeld = !world.scenario.isKept
    // One that is told late may have been lost meanwhile, by all that had it, like any other.
    let mayBeLost = !record.isForced && record.submittedAt <= loweredAt
    for leg in legs where !mayBeLost && complete.contains(leg) && world.isIntact(leg) {
      isHeld = true
      for sector in record.sectors
      where !isRight(world.targets[leg].disk.live[sector], stamp, world) {
        let found = world.targets[leg].disk.live[sector]
        return world.violate(
          "write \(stamp) is GOOD, but sector \(sector) of target \(leg) is of write \(found)")
      }
    }
    for sector in record.sectors {
      // Where all that had it were down meanwhile, it is there only if it was forced.
      if isHeld || record.isForced { acknowledged[sector] = max(acknowledged[sector], stamp) }
      if record.isForced { flushed[sector] = max(flushed[sector], stamp) }
      guard record.isForced else { continue }
      for leg in legs where complete.contains(leg) {
        durable[leg][sector] = max(durable[leg][sector], stamp)
      }
    }
  }

  /// A completion that was held back may come after a later write was stored.
  private func isRight(_ found: Stamp, _ stamp: Stamp, _ world: World) -> Bool {
    found == stamp || world.scenario.isKept && !isOver(found, by: stamp)
  }

  // MARK: Disks

  /// Bytes of a write come to a disk.
  func checkStore(
    _ stamp: Stamp, over old: Stamp, at sector: Int, target: Int, _ world: World
  ) {
    // A copy may bring what was never written.
    guard stamp > 0 || world.scenario.isKept, stamp <= lastStamp else {
      return world.violate("target \(target) stores a write that was never submitted")
    }
    guard stamp == 0 || record(stamp).sectors.contains(sector) else {
      return world.violate("write \(stamp) lands at sector \(sector), which is not its own")
    }
    guard stamp == 0 || !record(stamp).isForbidden else {
      return world.violate("what an ordinary command has written, \(stamp), is at target \(target)")
    }
    guard !world.scenario.isKept else {
      // A copy may be older than what was never acknowledged, not than what was.
      guard isOver(stamp, by: acknowledged[sector]), isOver(stamp, by: old),
        world.isJoined(target)
      else { return }
      return world.violate(
        "write \(stamp) lands on write \(old) at target \(target), though"
          + " \(acknowledged[sector]) was acknowledged there")
    }
    guard !isTrusted[target] || stamp >= old else {
      return world.violate("write \(stamp) lands on write \(old), which came later")
    }
  }

  /// What is left after a loss of power is not less than was promised.
  func checkDurable(_ target: Int, _ world: World) {
    let disk = world.targets[target].disk
    for sector in disk.durable.indices where disk.durable[sector] < durable[target][sector] {
      return world.violate(
        "on the medium of target \(target) sector \(sector) is of write"
          + " \(disk.durable[sector]), though \(durable[target][sector]) was said to be there")
    }
  }

  /// Everybody who has everything has flushed what was acknowledged then.
  func noteFlushed(_ floor: [Stamp]) {
    for sector in floor.indices { flushed[sector] = max(flushed[sector], floor[sector]) }
  }

  /// A target has flushed what was acknowledged when it was asked.
  func noteFlushed(_ target: Int, _ floor: [Stamp]) {
    guard isTrusted[target] else { return }
    for sector in floor.indices {
      durable[target][sector] = max(durable[target][sector], floor[sector])
    }
  }

  /// A read of a leg that has everything gives every write that was acknowledged before it began,
  /// or a later one.
  func checkRead(
    _ stamps: [Stamp], _ sectors: Range<Int>, floor: [Stamp], target: Int, _ world: World
  ) {
    guard world.complete.contains(target) else { return }
    guard stamps.count == sectors.count else { return world.violate("a read of another length") }
    for (sector, stamp) in zip(sectors, stamps)
    where isOver(stamp, by: min(floor[sector], acknowledged[sector])) {
      return world.violate(
        "a read of sector \(sector) at target \(target) gives write \(stamp), though"
          + " \(floor[sector]) was acknowledged")
    }
  }

  // MARK: The end

  func checkEnd(_ world: World) {
    guard !world.scenario.isKept else { return checkKeptEnd(world) }
    if openCount > 0 { return world.violate("\(openCount) writes never ended") }
    for target in world.targets.indices { checkDurable(target, world) }
    let legs = world.targets.indices.filter { isTrusted[$0] }
    guard let first = legs.first else { return }
    // Where a write did not end as GOOD, legs without names may differ until the next one there.
    var isCertain = [Bool](repeating: true, count: acknowledged.count)
    for (index, record) in writes.enumerated() where record.state != .good {
      for sector in record.sectors where acknowledged[sector] < Stamp(index + 1) {
        isCertain[sector] = false
      }
    }
    for leg in legs {
      let live = world.targets[leg].disk.live
      for sector in live.indices where isCertain[sector] {
        guard live[sector] == acknowledged[sector] else {
          return world.violate(
            "in the end sector \(sector) of target \(leg) is of write \(live[sector]), of target"
              + " \(first) of \(world.targets[first].disk.live[sector]); \(acknowledged[sector])"
              + " was acknowledged")
        }
      }
    }
  }
}

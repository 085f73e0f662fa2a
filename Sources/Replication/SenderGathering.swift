// Repairs that wait for the reports of other legs, so that what many lack is sent once.
import Bytes

extension Sender {
  mutating func setRepairDue(_ slot: Int, at due: UInt64) {
    writes[slot].repairDue = min(writes[slot].repairDue ?? due, due)
    timerDue = min(timerDue, due)
  }

  /// Keeps a report until the other legs have said what they lack, or were quiet for long enough.
  mutating func keepGap(
    _ slot: Int, _ leg: Int, _ missing: BlockBitmap?, now: UInt64
  ) {
    guard let missing else { return }
    while writes[slot].gaps.count <= leg { writes[slot].gaps.append(BlockBitmap(capacity: 0)) }
    if writes[slot].reported.contains(LegSet(leg)) {
      writes[slot].gaps[leg].formUnion(missing)
    } else {
      writes[slot].gaps[leg] = missing
    }
    writes[slot].reported.insert(LegSet(leg))
    var isAwaited = false
    writes[slot].open.forEach {
      let isSilent = !writes[slot].reported.contains(LegSet($0))
      if isSilent, legs[$0].description.path == .datagrams { isAwaited = true }
    }
    let wait = min(legs[leg].timer.smoothed / 2, Limits.gatherMaxNanoseconds)
    setRepairDue(slot, at: isAwaited ? now + wait : now)
    if !isAwaited { repairTogether(slot, now: now) }
  }

  /// Repairs what was reported until now.
  mutating func repairTogether(_ slot: Int, now: UInt64) {
    writes[slot].repairDue = nil
    if configuration.recovery == .group {
      repairGroup(slot, now: now)
    } else {
      repairAdaptively(slot, now: now)
    }
  }

  /// Figure 5: the whole write again, to all, once the reports had time to come in.
  private mutating func repairGroup(_ slot: Int, now: UInt64) {
    writes[slot].reported = []
    repairs.append(
      RepairJob(
        slot: slot, number: writes[slot].number, destination: .group, flags: .repair,
        sendsCommand: true, blocks: writes[slot].isSent ? wholeWrite(slot) : nil))
  }

  /// Each block the way that costs least. A block sent to the group costs the uplink once and every
  /// leg's link once; sent to each leg that lacks it, once for each of these.
  private mutating func repairAdaptively(_ slot: Int, now: UInt64) {
    let wanting = writes[slot].reported.intersection(writes[slot].open)
    writes[slot].reported = []
    guard !wanting.isEmpty, writes[slot].phase != .idle, writes[slot].phase != .restarting else {
      return
    }
    var heard = 0
    for leg in legs.indices where legs[leg].isActive && legs[leg].description.path == .datagrams {
      // What the others hear of a copy is nothing to them.
      if !writes[slot].submission.isCopy || writes[slot].members.contains(LegSet(leg)) {
        heard += 1
      }
    }
    let many = max(2, heard / Limits.groupRepairShare)
    if wanting.count >= many {
      let group = takeShared(slot, of: wanting, many: many)
      if group.missingCount > 0 { enqueue(slot, .group, sendsCommand: false, group) }
    }
    wanting.forEach { leg in
      let lacks = writes[slot].gaps[leg].missingCount
      guard lacks > 0 else { return }
      // Nearly all is gone: the whole write, in order, makes longer trains than its pieces.
      let isNearlyAll = lacks * 16 >= writes[slot].blockCount * 15 && lacks > 16
      if isNearlyAll, writes[slot].isSent, let whole = wholeWrite(slot) {
        enqueue(slot, .leg(leg), sendsCommand: true, whole)
      } else {
        enqueue(slot, .leg(leg), sendsCommand: false, writes[slot].gaps[leg])
      }
    }
  }

  /// Takes the blocks that at least `many` legs lack out of their lists, into one for the group.
  private mutating func takeShared(_ slot: Int, of wanting: LegSet, many: Int) -> BlockBitmap {
    let blockCount = writes[slot].blockCount
    var shared = BlockBitmap(capacity: blockCount)
    shared.restart(blockCount: blockCount, allMissing: false)
    var union = shared
    wanting.forEach { union.formUnion(writes[slot].gaps[$0]) }
    var next = union.firstMissing()
    while let block = next {
      var count = 0
      wanting.forEach { if writes[slot].gaps[$0].isMissing(block) { count += 1 } }
      if count >= many {
        shared.markMissing(block)
        wanting.forEach { _ = writes[slot].gaps[$0].markPresent(block) }
      }
      next = union.firstMissing(from: block + 1)
    }
    return shared
  }
}

// Repairs and questions: what happens on a leg's report, and on its silence.
//
// A report lists all that a leg lacks. `blocks` and `target` answer it at once, by unicast; `group`
// and `adaptive` wait a moment for the other legs' reports, so that what many lack is sent once.
import Bytes
import ISCSI

extension Sender {
  /// A leg's report of what it lacks of a write.
  package mutating func handleReport(
    leg: Int, _ report: MirrorAnswer, missing bytes: RawSpan, now: UInt64
  ) {
    guard legs[leg].isActive else { return }
    legs[leg].counters.reports += 1
    legs[leg].timer.heard()
    guard let slot = slot(of: report.writeNumber), writes[slot].epoch == report.epoch,
      writes[slot].open.contains(LegSet(leg)), writes[slot].phase != .restarting
    else {
      legs[leg].counters.lateAnswers += 1
      return
    }
    guard !report.isDistrusted else {
      carryAll(slot, leg)
      return
    }
    var missing: BlockBitmap?
    if !report.isCommandMissing {
      guard let parsed = BlockBitmap(bytes, blockCount: writes[slot].blockCount) else {
        fail(leg, .violation("a report of another length than its write"), now: now)
        return
      }
      missing = parsed
      markReady(slot, leg, now: now)
    } else if writes[slot].isUnsolicited {
      let blocksMax = Limits.blocks(
        of: configuration.writeLengthMax, blockLength: configuration.blockLength)
      missing = BlockBitmap(
        reaching: bytes, blockCount: writes[slot].blockCount, capacity: blocksMax)
      guard missing != nil else {
        fail(leg, .violation("a report longer than the longest write"), now: now)
        return
      }
    }
    guard writes[slot].phase != .idle else { return }
    noteDrops(leg, report.socketDrops)
    legs[leg].isDeaf = report.heard.group.silence == .max
    repair(slot, leg, report: report, missing: missing, now: now)
  }

  /// A leg that got two checksums for one piece of a write takes all of it by its connection. Until
  /// the data was sent once there is nothing to carry: the leg says so again when it is asked.
  private mutating func carryAll(_ slot: Int, _ leg: Int) {
    guard writes[slot].isSent, !isRepairing(slot, leg) else { return }
    legs[leg].counters.forgeries += 1
    events.append(.forged(leg: leg))
    writes[slot].progress[leg].askedAt = nil
    writes[slot].progress[leg].round = Limits.datagramRoundsMax + 1
    writes[slot].progress[leg].isCarried = true
    repairs.append(
      RepairJob(
        slot: slot, number: writes[slot].number, destination: .connection(leg), flags: .repair,
        sendsCommand: true, blocks: wholeWrite(slot)))
  }

  private mutating func repair(
    _ slot: Int, _ leg: Int, report: MirrorAnswer, missing: BlockBitmap?, now: UInt64
  ) {
    var lost = missing
    if missing == nil {
      guard isCommandLost(slot, leg, report, now: now) else { return ignore(leg) }
    } else {
      lost = lost.map { onlyLost($0, slot, leg, report, now: now) }
      guard lost?.missingCount ?? 0 > 0, !isEarly(slot, leg) else { return ignore(leg) }
    }
    // No measure of the leg's answer time: how long a report is ignored depends on that itself.
    if !report.isCommandMissing { writes[slot].progress[leg].askedAt = nil }
    let isAgain = noteLost(slot, leg, lost)
    if isAgain, writes[slot].progress[leg].round < .max { writes[slot].progress[leg].round += 1 }
    let roundsMax = missing == nil ? Limits.commandRoundsMax : Limits.datagramRoundsMax
    let fails = writes[slot].progress[leg].round > roundsMax
    if fails, report.heard.own.silence == .max {
      legs[leg].carriedUntil = max(legs[leg].carriedUntil, now + Limits.carriedNanoseconds)
    }
    let isTogether =
      !fails && path(leg, writes[slot].submission) == .datagrams && now >= legs[leg].carriedUntil
    if !isTogether { writes[slot].progress[leg].isCarried = true }
    switch configuration.recovery {
    case .group where isTogether:
      // Other legs' reports are on their way: one repair serves them all.
      writes[slot].reported.insert(LegSet(leg))
      setRepairDue(slot, at: now + legs[leg].timer.smoothed / 2)
    case .adaptive where isTogether && missing != nil:
      keepGap(slot, leg, lost, now: now)
    default: enqueueRepair(slot, leg, missing: lost)
    }
  }

  private mutating func ignore(_ leg: Int) { legs[leg].counters.reportsIgnored += 1 }

  /// Whether the command of a solicited write has to go again.
  private func isCommandLost(_ slot: Int, _ leg: Int, _ report: MirrorAnswer, now: UInt64) -> Bool {
    guard isAnnounced(slot), !isRepairing(slot, leg) else { return false }
    let progress = writes[slot].progress[leg]
    let place = writes[slot].hasImmediateData ? 1 : SendOrder.command
    return progress.round == 0
      || isLost(place, of: slot, leg, report, now: now)
  }

  /// Counts the blocks that this leg lacks for the first time. Whether any was repaired before.
  private mutating func noteLost(_ slot: Int, _ leg: Int, _ lost: BlockBitmap?) -> Bool {
    let isFirst = !writes[slot].progress[leg].hasLostList
    guard let lost else {
      if writes[slot].isImmediate, !writes[slot].progress[leg].hasReported {
        legs[leg].counters.lostBlocks += 1
        writes[slot].progress[leg].hasReported = true
      }
      return true
    }
    while writes[slot].lostOnce.count <= leg {
      writes[slot].lostOnce.append(BlockBitmap(capacity: 0))
    }
    var all = lost
    if !isFirst { all.formUnion(writes[slot].lostOnce[leg]) }
    let known = isFirst ? 0 : writes[slot].lostOnce[leg].missingCount
    let new = all.missingCount - known
    legs[leg].counters.lostBlocks += UInt64(new)
    writes[slot].lostOnce[leg] = all
    writes[slot].progress[leg].hasReported = true
    writes[slot].progress[leg].hasLostList = true
    return isFirst || new < lost.missingCount
  }

  private func isRepairing(_ slot: Int, _ leg: Int) -> Bool {
    repairs.contains { isFor($0, slot, leg) }
  }

  /// Where the whole write is to be sent again, it is sent whole once first, and again only when
  /// that is done; a report for that is counted once.
  private func isEarly(_ slot: Int, _ leg: Int) -> Bool {
    switch configuration.recovery {
    case .adaptive, .blocks: return false
    case .group where writes[slot].reported.contains(LegSet(leg)): return true
    case .group, .target: return !writes[slot].isSent || isRepairing(slot, leg)
    }
  }

  private mutating func enqueueRepair(_ slot: Int, _ leg: Int, missing: BlockBitmap?) {
    let isCarried = writes[slot].progress[leg].isCarried
    var blocks = missing
    var sendsCommand = missing == nil
    if configuration.recovery == .target, !isCarried {
      sendsCommand = true
      blocks = writes[slot].isSent ? wholeWrite(slot) : nil
    }
    enqueue(
      slot, isCarried ? .connection(leg) : .leg(leg), sendsCommand: sendsCommand, blocks)
  }

  /// A job for these blocks; where the first one goes with the command, it does here.
  mutating func enqueue(
    _ slot: Int, _ destination: Transmission.Destination, sendsCommand: Bool,
    _ blocks: BlockBitmap?
  ) {
    var job = RepairJob(
      slot: slot, number: writes[slot].number, destination: destination, flags: .repair,
      sendsCommand: sendsCommand, blocks: blocks)
    if writes[slot].hasImmediateData, job.blocks?.isMissing(0) == true {
      _ = job.blocks?.markPresent(0)
      job.sendsCommand = true
    }
    repairs.append(job)
  }

  /// All blocks of a write beside the command, nil when it carries them all.
  func wholeWrite(_ slot: Int) -> BlockBitmap? {
    guard !writes[slot].isImmediate else { return nil }
    var all = BlockBitmap(capacity: writes[slot].blockCount)
    all.restart(blockCount: writes[slot].blockCount)
    if writes[slot].isUnsolicited { _ = all.markPresent(0) }
    return all
  }

  private func isAnnounced(_ slot: Int) -> Bool { writes[slot].commandDigest != nil }

  /// Asks a leg that owes an answer for too long what it lacks.
  mutating func ask(_ leg: Int, now: UInt64) {
    guard legs[leg].description.path != .foreign, legs[leg].askAgainAt <= now else { return }
    let timeout = legs[leg].timer.timeout
    var isLate = false
    var owed = 0
    for slot in writes.indices where writes[slot].phase != .idle {
      guard writes[slot].open.contains(LegSet(leg)),
        let asked = writes[slot].progress[leg].askedAt
      else { continue }
      owed += 1
      if asked + timeout <= now { isLate = true }
    }
    guard isLate else { return }
    var open: [SerialNumber] = []
    open.reserveCapacity(owed)
    for slot in writes.indices
    where writes[slot].phase != .idle && writes[slot].open.contains(LegSet(leg)) {
      if writes[slot].progress[leg].askedAt != nil { open.append(writes[slot].number) }
    }
    legs[leg].timer.asked()
    legs[leg].askAgainAt = now + legs[leg].timer.timeout
    legs[leg].syncedAt = now
    counters.syncs += 1
    events.append(.sync(leg: leg, open: open))
  }
}

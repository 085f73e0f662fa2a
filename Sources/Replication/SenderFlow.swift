// The pace of the sender: the pacer is asked once for many datagrams, not for each.
import Bytes

/// What the sender may send now, and what it has sent since it asked.
struct SenderFlow: Sendable {
  /// Of a full datagram, headers of IP and UDP included (the shorter of the two versions').
  let datagramByteCount: Int
  var pacer: Pacer
  var isRepairsTurn = false
  /// When to ask again, after something was refused.
  private(set) var heldUntil: UInt64?
  private var fresh = Account()
  private var repair = Account()

  /// Bytes of one kind.
  private struct Account: Sendable {
    var allowance = 0
    var sent = 0
  }

  init(_ configuration: SenderConfiguration) {
    datagramByteCount = configuration.blockLength + Datagram.overheadByteCount + 28
    pacer = Pacer(
      PacingConfiguration(legCount: Limits.legsMax, rateMax: configuration.bytesPerSecondMax),
      now: 0)
  }

  func hasAllowance(_ traffic: Pacer.Traffic) -> Bool {
    (traffic == .fresh ? fresh.allowance : repair.allowance) > 0
  }

  /// Tells the pacer what went, and asks for what waits. False when nothing may go now.
  mutating func ask(_ traffic: Pacer.Traffic, waiting: Int, now: UInt64) -> Bool {
    settle(now: now)
    let allowance = pacer.allowance(traffic, wanted: waiting, now: now)
    // Asked again before long, so that a rate that changes meanwhile is not missed.
    let bounded = min(allowance, 256 << 10)
    if traffic == .fresh { fresh.allowance = bounded } else { repair.allowance = bounded }
    if bounded == 0 { heldUntil = pacer.nextDeadline }
    return bounded > 0
  }

  mutating func handleTimeout(now: UInt64) {
    if let held = heldUntil, held <= now { heldUntil = nil }
  }

  private mutating func settle(now: UInt64) {
    if fresh.sent > 0 { pacer.handleSent(bytes: fresh.sent, now: now) }
    if repair.sent > 0 { pacer.handleRepairSent(bytes: repair.sent, now: now) }
    fresh.sent = 0
    repair.sent = 0
  }

  /// Takes a datagram from the allowance; what goes over connections is not paced.
  mutating func noteSent(_ transmission: Transmission, byteCount: Int) {
    if case .connection = transmission.destination { return }
    if transmission.flags.contains(.repair) {
      repair.allowance -= byteCount + 28
      repair.sent += byteCount + 28
    } else {
      fresh.allowance -= byteCount + 28
      fresh.sent += byteCount + 28
    }
  }
}

extension Sender {
  /// Tells the pacer what a leg's first word about a write says of the path.
  mutating func measure(
    _ slot: Int, _ leg: Int, missing: BlockBitmap?, socketDrops: Int, now: UInt64
  ) {
    guard writes[slot].isAnnounced, legs[leg].description.path == .datagrams else { return }
    guard !writes[slot].progress[leg].isMeasured else {
      measureRound(slot, leg, missing: missing, socketDrops: socketDrops, now: now)
      return
    }
    var blocks = writes[slot].blockCount
    var lost = missing?.missingCount ?? 0
    var lastSentAt = writes[slot].sentAt
    if writes[slot].phase == .sending || writes[slot].phase == .announcing {
      // What lies behind the last block there may be on its way.
      blocks = (missing?.lastPresent ?? -1) + 1
      lost -= writes[slot].blockCount - blocks
      lastSentAt = now
    }
    guard blocks > 0 else { return }
    writes[slot].progress[leg].isMeasured = true
    pacerHears(
      Delivery(
        leg: leg, blocks: blocks, lostBlocks: max(lost, 0), socketDrops: socketDrops,
        firstSentAt: writes[slot].beganAt, lastSentAt: lastSentAt), now: now)
  }

  /// In a collapse most of what is sent are repairs: what became of them counts, too.
  private mutating func measureRound(
    _ slot: Int, _ leg: Int, missing: BlockBitmap?, socketDrops: Int, now: UInt64
  ) {
    let progress = writes[slot].progress[leg]
    guard progress.roundBlocks > 0 else { return }
    writes[slot].progress[leg].roundBlocks = 0
    pacerHears(
      Delivery(
        leg: leg, blocks: progress.roundBlocks,
        lostBlocks: min(missing?.missingCount ?? 0, progress.roundBlocks),
        socketDrops: socketDrops, firstSentAt: progress.roundBeganAt,
        lastSentAt: progress.repairedAt), now: now)
  }

  private mutating func pacerHears(_ delivery: Delivery, now: UInt64) {
    flow.pacer.handleDelivery(delivery, now: now)
  }
}

// The pace of the sender: the pacer is asked once for many datagrams, not for each.
import Bytes

/// What the sender may send now, and what it has sent since it asked.
struct SenderFlow: Sendable {
  /// Of a full datagram, headers of IP and UDP included (the shorter of the two versions').
  let datagramByteCount: Int
  var pacer: Pacer
  /// Repairs and new data take turns by runs of datagrams, so that both go in trains.
  static let runDatagramsMax = 44
  private var isRepairsTurn = false
  private var turnLeft = 0
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

  /// Whether it is the repairs' turn, while both wait.
  mutating func takeTurn() -> Bool {
    if turnLeft == 0 {
      isRepairsTurn.toggle()
      turnLeft = Self.runDatagramsMax
    }
    turnLeft -= 1
    return isRepairsTurn
  }

  func hasAllowance(_ traffic: Pacer.Traffic) -> Bool {
    (traffic == .fresh ? fresh.allowance : repair.allowance) > 0
  }

  /// Tells the pacer what went, and asks for what waits. False when nothing may go now. New data
  /// counts as waiting until it is asked for again: so repairs are held to their own limit, half of
  /// what else goes and 8 MB/s, also while the window is full of what they repair. Without a limit
  /// they were seen to storm: three sent for one lost.
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
  /// Tells the pacer what a write that a leg has ended says of the path: how much of what was sent
  /// first did not come. Reports come earlier, but while a write is on its way nobody can tell what
  /// of it is lost from what is late; taken for loss, that made the pace collapse.
  mutating func measure(_ slot: Int, _ leg: Int, now: UInt64) {
    guard writes[slot].isAnnounced, writes[slot].isSent,
      legs[leg].description.path == .datagrams
    else { return }
    let hasLost = writes[slot].progress[leg].hasLostList
    let lost = hasLost ? writes[slot].lostOnce[leg].missingCount : 0
    // Who hears nothing at all is no narrow path: no pace would help, and all others would pay.
    if legs[leg].isDeaf, lost == writes[slot].blockCount {
      legs[leg].unheardBlocks += lost
      if legs[leg].unheardBlocks >= Limits.unheardBlocksMax {
        serveByConnection(leg)
        events.append(.deaf(leg: leg))
      }
      return
    }
    legs[leg].unheardBlocks = 0
    let drops = Int(legs[leg].untoldDrops)
    legs[leg].untoldDrops = 0
    flow.pacer.handleDelivery(
      Delivery(
        leg: leg, blocks: writes[slot].blockCount,
        lostBlocks: lost, socketDrops: drops,
        firstSentAt: writes[slot].beganAt, lastSentAt: writes[slot].sentAt), now: now)
  }

  /// A leg's sockets have lost datagrams for want of room since it told last.
  mutating func noteDrops(_ leg: Int, _ total: UInt32) {
    let drops = total &- legs[leg].socketDrops
    legs[leg].socketDrops = total
    // Its sockets are shared with other mirrors: what it says first is only where it begins.
    guard legs[leg].hasToldDrops, Int32(bitPattern: drops) > 0 else {
      legs[leg].hasToldDrops = true
      return
    }
    legs[leg].counters.socketDrops += UInt64(drops)
    // A leg may say any number: it counts for no more than a write has blocks.
    let most = UInt32(Law.deliveryBlocksMax)
    legs[leg].untoldDrops = min(legs[leg].untoldDrops + min(drops, most), most)
  }
}

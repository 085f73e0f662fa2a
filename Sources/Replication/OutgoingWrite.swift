import Bytes

/// One mirrored write at the initiator, from its number to its end at every leg.
///
///     idle ─ begin ─▶ announcing ─ all R2Ts ─▶ sending ─ last one ─▶ awaiting ─ ended ─▶ idle
///            │            │                    ▲  │                        │
///            └────────────┼── unsolicited ─────┘  │                        │
///                         └─────── the caller's buffer changed ────────────┤
///                                                                          ▼
///                                                     restarting ─ all fenced or ended ─▶ idle
///
/// Unsolicited, the first block goes with the command, and is repaired with it.
struct OutgoingWrite: Sendable {
  /// Where the write stands.
  enum Phase: Sendable { case idle, announcing, sending, awaiting, restarting, pausing }

  /// What one leg was last asked and sent of this write.
  struct LegProgress: Sendable {
    /// When the leg was last sent something that wants an answer; nil while nothing is owed.
    var askedAt: UInt64?
    /// Repairs that were lost, too, and one.
    var round: UInt8 = 0
    /// When something was last sent to this leg alone.
    var repairedAt: UInt64 = 0
    /// Repairs go over its connection.
    var isCarried = false
    var hasReported = false
    /// `lostOnce` has what it lacked.
    var hasLostList = false
  }

  var phase = Phase.idle
  var number = SerialNumber(0)
  var epoch: UInt16 = 0
  var lowestOpen = SerialNumber(0)
  var submission = Submission(token: 0, byteOffset: 0, length: 0)
  var blockCount = 0
  /// The whole write fits its command's datagram.
  var isImmediate = false
  /// The data goes out without R2T, its first block with the command.
  var isUnsolicited = false
  /// The command went to the group.
  var isAnnounced = false
  var members: LegSet = []
  var ready: LegSet = []
  var ended: LegSet = []
  /// The legs whose proof was right.
  var proven: LegSet = []
  /// And those whose proof was wrong.
  var doubted: LegSet = []
  var failures: [LegOutcome] = []
  var nextBlock = 0
  /// When the last block went out for the first time.
  var sentAt: UInt64 = 0
  var beganAt: UInt64 = 0
  var deadline: UInt64 = 0
  /// By when a leg has to be ready for the data: earlier, so that the others have time to finish.
  var readyDeadline: UInt64 = 0
  /// When what the legs reported is sent again; nil while nobody asked.
  var repairDue: UInt64?
  /// What each leg has reported for that; legs in `reported` only.
  var gaps: [BlockBitmap] = []
  /// What each leg that has reported lacked at any time.
  var lostOnce: [BlockBitmap] = []
  var reported: LegSet = []
  /// The caller was told already (no status wanted).
  var isTold = false
  /// It ends when all legs are fenced, for good.
  var isAborting = false
  var progress: [LegProgress]
  /// Digests of first sendings; a block is `unsent` until it has one.
  var digests: [UInt32]
  var unsent: BlockBitmap
  var commandDigest: UInt32?
  var order: SendOrder

  init(blocksMax: Int) {
    progress = [LegProgress](repeating: LegProgress(), count: Limits.legsMax)
    digests = [UInt32](repeating: 0, count: blocksMax)
    unsent = BlockBitmap(capacity: blocksMax)
    order = SendOrder(blocksMax: blocksMax)
  }

  mutating func begin(
    _ submission: Submission, number: SerialNumber, epoch: UInt16, blockLength: Int, legs: Int
  ) {
    phase = .announcing
    self.submission = submission
    self.number = number
    self.epoch = epoch
    blockCount = Limits.blocks(of: submission.length, blockLength: blockLength)
    isImmediate = blockCount == 1
    isAnnounced = false
    members = []
    proven = []
    doubted = []
    ready = []
    ended = []
    failures.removeAll(keepingCapacity: true)
    nextBlock = 0
    isUnsolicited = false
    repairDue = nil
    reported = []
    isTold = submission.isTold
    isAborting = false
    for index in 0..<legs { progress[index] = LegProgress() }
    unsent.restart(blockCount: blockCount)
    order.begin(blockCount: blockCount)
    commandDigest = nil
  }

  /// The legs that have not ended this write.
  var open: LegSet { members.subtracting(ended) }

  /// The legs that hold the data back.
  var unready: LegSet { phase == .announcing && !isImmediate ? open.subtracting(ready) : [] }

  /// Whether the command's datagram carries the first block.
  var hasImmediateData: Bool { isImmediate || isUnsolicited }

  /// When the legs that owe something are failed.
  var nextDeadline: UInt64 { unready.isEmpty ? deadline : min(readyDeadline, deadline) }

  /// Whether everything was sent once.
  var isSent: Bool { phase == .awaiting }

  /// Whether a leg served on `path` can hold all of the write by now. A connection runs ahead of
  /// the group, or behind it.
  func isSent(by path: LegDescription.Path) -> Bool {
    guard path == .connection else { return isSent }
    return commandDigest != nil && (isImmediate || unsent.missingCount == 0)
  }
}

/// A leg as the sender follows it.
struct SenderLeg: Sendable {
  var description: LegDescription
  var isActive = true
  /// Dropped on purpose: later writes are good without it.
  var isDropped = false
  var timer = AnswerTimer()
  var askAgainAt: UInt64 = 0
  /// Until then its repairs are carried at once: nothing came at its own address.
  var carriedUntil: UInt64 = 0
  /// Nothing of the group came there lately, it says.
  var isDeaf = false
  /// Blocks of writes, one after the other, of which it got none by the group.
  var unheardBlocks = 0
  /// When it was asked last.
  var syncedAt: UInt64 = 0
  /// What went to it alone.
  var sent = SendMoments()
  /// Datagrams lost at its sockets, as it told last.
  var socketDrops: UInt32 = 0
  var hasToldDrops = false
  var untoldDrops: UInt32 = 0
  var counters = LegCounters()
}

/// Blocks, or a whole write, to be sent again, or to be sent over a connection.
struct RepairJob: Sendable {
  var slot: Int
  var number: SerialNumber
  var destination: Transmission.Destination
  var flags: Datagram.Flags
  var sendsCommand: Bool
  var blocks: BlockBitmap?
  var nextBlock = 0
  /// Blocks that went out.
  var sentCount = 0

  /// Datagrams that have yet to go.
  var waitingCount: Int { (sendsCommand ? 1 : 0) + (blocks?.missingCount ?? 0) - sentCount }

  /// The leg it is for; nil for all.
  var leg: Int? {
    switch destination {
    case .group: nil
    case .leg(let leg), .connection(let leg): leg
    }
  }
}

import Bytes

/// One mirrored write at a leg, from its command to its answer. Slots of these are taken at
/// registration and used again and again.
///
///     idle ── command ──▶ collecting ── last block ──▶ storing ── all LUNs ──▶ idle (ended)
///                             │ fence                      │ fence: waits for running I/O
///                             ▼                            ▼
///                         idle (fenced)               idle (fenced)
struct ReceivedWrite: Sendable {
  /// Where the write stands.
  enum Phase: Sendable { case idle, collecting, storing }

  var phase = Phase.idle
  var number = SerialNumber(0)
  var epoch: UInt16 = 0
  var byteOffset: UInt64 = 0
  var length = 0
  var forceUnitAccess = false
  var missing: BlockBitmap
  var digests: [UInt32]
  var commandDigest: UInt32 = 0
  var roundSeen: UInt8 = 0
  var hasData = false
  /// When a report is due; nil while none is.
  var reportDue: UInt64?
  var quietFactor: UInt64 = 1
  /// The block after whose repair a round is over.
  var roundEnd = 0
  /// A fence came while I/O was running: answer it when that is done.
  var isFencing = false
  /// Two checksums came for one piece while the write was being stored: it is to be had again.
  var isForged = false
  /// Only what the connection carried is taken.
  var isDistrusted = false
  var unitsPending = 0
  var unitStatuses: [UnitStatus] = []

  init(blocksMax: Int) {
    missing = BlockBitmap(capacity: blocksMax)
    digests = [UInt32](repeating: 0, count: blocksMax)
  }

  /// Begins to collect a write whose command has come.
  mutating func begin(_ command: AcceptedCommand, blockLength: Int) {
    phase = .collecting
    number = command.number
    epoch = command.epoch
    byteOffset = command.byteOffset
    length = command.length
    forceUnitAccess = command.forceUnitAccess
    missing.restart(blockCount: Limits.blocks(of: command.length, blockLength: blockLength))
    commandDigest = command.digest
    roundSeen = 0
    hasData = false
    reportDue = nil
    quietFactor = 1
    roundEnd = missing.blockCount - 1
    isFencing = false
    isForged = false
    isDistrusted = command.isCarried
    unitsPending = 0
    unitStatuses.removeAll(keepingCapacity: true)
  }

  /// The length that block `index` must have.
  func length(ofBlock index: Int, blockLength: Int) -> Int {
    min(blockLength, length - index * blockLength)
  }
}

/// A mirrored WRITE command that passed every check.
struct AcceptedCommand: Sendable {
  var number: SerialNumber
  var epoch: UInt16
  var byteOffset: UInt64
  var length: Int
  var forceUnitAccess: Bool
  var digest: UInt32
  /// It came by the connection because datagrams of this write are not believed.
  var isCarried: Bool
}

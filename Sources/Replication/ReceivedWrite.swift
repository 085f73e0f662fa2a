import Bytes

/// One mirrored write at a leg, from its first datagram to its answer. Slots of these are taken at
/// registration and used again and again.
///
///     idle ── command ──▶ collecting ── last block ──▶ storing ── all LUNs ──▶ idle (ended)
///      │ data               ▲     │ fence                 │ fence: waits for running I/O
///      ▼                    │     ▼                       ▼
///     early ── command ─────┘  idle (fenced)           idle (fenced)
///
/// `early`: unsolicited data came, its command was lost or overtaken. Nobody knows yet where the
/// write goes or how long it is, so its blocks wait in the slot's buffer.
struct ReceivedWrite: Sendable {
  /// Where the write stands.
  enum Phase: Sendable { case idle, early, collecting, storing }

  /// When the leg reports what is missing.
  struct Reporting: Sendable {
    /// When a report is due; nil while none is.
    var due: UInt64?
    var quietFactor: UInt64 = 1
    /// The block after whose coming nothing more is expected: the last, later the last reported.
    var lastAwaited = 0
    var hasData = false
  }

  /// How a write ends when the I/O that runs for it is done.
  enum Ending: Sendable {
    case answered
    /// It was fenced meanwhile: that is the answer.
    case fenced
    /// The initiator waits for it no more.
    case forgotten
    /// Two checksums came for one piece: it is to be had again, by the connection.
    case distrusted
    /// Task management has ended it: it is answered so.
    case aborted
  }

  /// What is on its way to the medium.
  struct Storing: Sendable {
    /// Bytes from the write's beginning that were handed to the storage.
    var handedOver = 0
    /// The first block that is missing.
    var firstGap = 0
    var pending = 0
    var statuses: [UnitStatus] = []
    var ending = Ending.answered
    /// Somebody who has aborted it waits for its end.
    var isAwaited = false
  }

  var phase = Phase.idle
  var number = SerialNumber(0)
  var epoch: UInt16 = 0
  var byteOffset: UInt64 = 0
  var length = 0
  var forceUnitAccess = false
  /// Data comes without R2T.
  var isUnsolicited = false
  /// Data goes to the medium as it comes; no buffer holds it.
  var isDirect = false
  /// Only what the connection carried is taken.
  var isDistrusted = false
  var missing: BlockBitmap
  var digests: [UInt32]
  var commandDigest: UInt32 = 0
  var proof: WriteProof?
  var reporting = Reporting()
  var storing = Storing()
  /// In an early write: the block that said it is the last, and its length.
  var last: (block: Int, length: Int)?

  init(blocksMax: Int) {
    missing = BlockBitmap(capacity: blocksMax)
    digests = [UInt32](repeating: 0, count: blocksMax)
  }

  /// Whether datagrams may still add to it.
  var isOpenForData: Bool { phase == .collecting || phase == .early }

  private mutating func clear(_ number: SerialNumber, epoch: UInt16) {
    self.number = number
    self.epoch = epoch
    reporting = Reporting()
    storing.handedOver = 0
    storing.firstGap = 0
    storing.pending = 0
    storing.ending = .answered
    storing.isAwaited = false
    storing.statuses.removeAll(keepingCapacity: true)
    last = nil
    proof = nil
    isDistrusted = false
  }

  /// Begins to keep data whose command has not come.
  mutating func beginEarly(_ number: SerialNumber, epoch: UInt16, blocksMax: Int) {
    clear(number, epoch: epoch)
    phase = .early
    isUnsolicited = true
    isDirect = false
    missing.restart(blockCount: blocksMax)
  }

  /// Begins to collect a write whose command has come; what came early stays, where it fits.
  /// False when it did not fit and has to come again.
  @discardableResult
  mutating func begin(_ command: AcceptedCommand, blockLength: Int, isDirect: Bool) -> Bool {
    let isEarly = phase == .early
    if !isEarly { clear(command.number, epoch: command.epoch) }
    phase = .collecting
    byteOffset = command.byteOffset
    length = command.length
    forceUnitAccess = command.forceUnitAccess
    isUnsolicited = command.isUnsolicited
    self.isDirect = isDirect && !isEarly
    isDistrusted = command.isCarried
    commandDigest = command.digest
    let blockCount = Limits.blocks(of: command.length, blockLength: blockLength)
    var fits = true
    if isEarly { fits = takeEarly(blockCount: blockCount, blockLength: blockLength) }
    if !isEarly || !fits { missing.restart(blockCount: blockCount) }
    reporting.lastAwaited = blockCount - 1
    storing.firstGap = missing.firstMissing() ?? blockCount
    return fits
  }

  /// Whether what came early is of a write of this many blocks.
  private mutating func takeEarly(blockCount: Int, blockLength: Int) -> Bool {
    let tail = length(ofBlock: blockCount - 1, blockLength: blockLength)
    let fitsLast =
      last.map { $0.block == blockCount - 1 && $0.length == tail }
      ?? missing.isMissing(blockCount - 1)
    return missing.narrow(to: blockCount) && fitsLast && isUnsolicited
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
  /// Its data follows without R2T (RFC 7143 §11.3.1: F is 0), or came with it.
  var isUnsolicited: Bool
  var digest: UInt32
  /// It came by the connection because datagrams of this write are not believed.
  var isCarried: Bool
}

/// How far one of the sender's two streams has come.
struct HeardStream: Sendable {
  /// Nothing is overtaken by more: what stands further back is where the stream really is, and what
  /// was taken for it was forged, or heard before a very long silence.
  private static let reorderMax: Int32 = 1 << 16

  private var sequence: UInt32 = 0
  private var at: UInt64 = 0

  mutating func note(_ sequence: UInt32, now: UInt64) {
    at = now
    let ahead = Int32(bitPattern: sequence &- self.sequence)
    if self.sequence == 0 || ahead > 0 || ahead < -Self.reorderMax { self.sequence = sequence }
  }

  func heard(now: UInt64) -> Heard {
    Heard(sequence, silenceNanoseconds: now - min(at, now))
  }
}

package import Bytes

/// A set of legs of one mirror, by index: one machine word.
package struct LegSet: OptionSet, Sendable, BitwiseCopyable {
  package var rawValue: UInt64
  package init(rawValue: UInt64) { self.rawValue = rawValue }
  package init(_ leg: Int) { rawValue = 1 << UInt64(leg) }

  package init(_ legs: some Sequence<Int>) {
    self = []
    for leg in legs { insert(LegSet(leg)) }
  }

  package var count: Int { rawValue.nonzeroBitCount }

  /// Calls `body` for each leg of the set.
  package func forEach(_ body: (Int) -> Void) {
    var rest = rawValue
    while rest != 0 {
      body(rest.trailingZeroBitCount)
      rest &= rest - 1
    }
  }
}

/// How the losses of a write are mended: the patent's three ways (figures 5, 6 and 7), and the
/// choice between them.
package enum RecoveryMode: String, Sendable, CaseIterable {
  /// Each block the way that costs the least: to a leg where few lack it, to the group where many
  /// do; all of the write to a leg that lacks nearly all.
  case adaptive
  /// The whole write again, to the group.
  case group
  /// The whole write again, to the leg that lacks something.
  case target
  /// The missing blocks only, to the leg that lacks them.
  case blocks
}

/// What a mirror is to its sender.
package struct SenderConfiguration: Sendable {
  package var registration: UInt32
  /// The vLUN as it stands in the LUN field.
  package var virtualLUN: UInt64
  /// Bytes of data in a full datagram.
  package var blockLength: Int
  /// Bytes of a logical block.
  package var unitBlockSize: Int
  package var writeLengthMax: Int
  package var recovery = RecoveryMode.adaptive
  /// Data waits for every leg's R2T, the patent's second phase, though all legs grant more.
  package var isSolicited = false
  /// Data of Data-Outs is not digested; commands and headers always are.
  package var omitsDataDigest = false
  /// All datagrams together, headers of IP and UDP included, in bytes a second; nil: no cap.
  package var bytesPerSecondMax: Int?
  /// Whether a call waits for statuses; without, it ends when its data is sent.
  package var waitsForStatus = true
  /// The legs keep what may differ (Keeping): none may leave without the others' having stored it.
  package var isKept = false
  /// Each leg proves what it has of a write before its GOOD counts.
  package var wantsProof = false
  package var deadlineNanoseconds: UInt64 = 10_000_000_000
  /// Times that a write is sent again to a leg which failed what others did, in a kept mirror,
  /// before the leg leaves.
  package var retriesMax = 0
  package var firstWrite = SerialNumber(0)
  package var epoch: UInt16 = 1
  /// Submissions that may wait for their turn.
  package var queueMax = 4096

  package init(
    registration: UInt32, virtualLUN: UInt64, blockLength: Int, unitBlockSize: Int,
    writeLengthMax: Int
  ) {
    self.registration = registration
    self.virtualLUN = virtualLUN
    self.blockLength = blockLength
    self.unitBlockSize = unitBlockSize
    self.writeLengthMax = writeLengthMax
  }
}

/// A leg as the sender knows it.
package struct LegDescription: Sendable {
  /// How mirrored writes reach a leg.
  package enum Path: Sendable {
    /// By multicast, repairs by unicast datagrams.
    case datagrams
    /// Every datagram carried over the leg's connection: its probe was not confirmed.
    case connection
    /// Plain unicast iSCSI: a target of another make.
    case foreign
  }

  package var path: Path
  package var openWritesMax: Int
  package var credit: Int
  /// The leg takes data without R2T, as much as its credit.
  package var takesUnsolicited: Bool

  package init(path: Path, openWritesMax: Int, credit: Int, takesUnsolicited: Bool = true) {
    self.path = path
    self.openWritesMax = openWritesMax
    self.credit = credit
    self.takesUnsolicited = takesUnsolicited
  }
}

/// One caller's write, a copy between legs, or a hold or a mark that waits for its turn among them.
package struct Submission: Sendable, Equatable {
  /// The owner's name for it; it comes back with the completion.
  package var token: UInt64
  package var byteOffset: UInt64
  package var length: Int
  package var forceUnitAccess: Bool
  package var attribute: Attribute
  /// What of the four it is.
  enum Kind: Sendable { case write, copy, hold, mark }

  var kind = Kind.write
  /// The legs that a copy is for, or a retry.
  var targets: LegSet = []
  /// Of a retry: the legs that have it already.
  var stored: LegSet = []
  /// Times that it was sent again to those that failed it.
  var retries = 0
  /// Of a retry: the number that it had at first, by which legs that came since are not meant.
  var firstNumber: SerialNumber?
  /// Of a retry: what was sent at first, see `Sender.dataDigest`.
  var dataDigest: UInt64?
  var restarts = 0
  /// How many of those for a wrong proof.
  var unprovenRestarts = 0
  /// Times that it was done again since a leg had news to tell.
  var repetitions = 0
  /// The caller was told already (no status wanted) when the write started anew.
  var isTold = false
  /// It is to end as soon as it has begun.
  var isAborted = false

  package init(
    token: UInt64, byteOffset: UInt64, length: Int, forceUnitAccess: Bool = false,
    attribute: Attribute = .simple
  ) {
    self.token = token
    self.byteOffset = byteOffset
    self.length = length
    self.forceUnitAccess = forceUnitAccess
    self.attribute = attribute
  }

  /// The data is the owner's own: what one leg has, for others.
  package var isCopy: Bool { kind == .copy }
  /// It has had a number before.
  var isAgain: Bool { restarts + repetitions + retries > 0 }

  func covers(_ other: Submission) -> Bool {
    byteOffset <= other.byteOffset
      && other.byteOffset - byteOffset + UInt64(other.length) <= UInt64(length)
  }

  func overlaps(_ other: Submission) -> Bool {
    byteOffset <= other.byteOffset
      ? other.byteOffset - byteOffset < UInt64(length)
      : byteOffset - other.byteOffset < UInt64(other.length)
  }
}

/// How a write ended at one leg, other than GOOD.
package enum LegFailure: Sendable, Equatable {
  /// The leg answered with another status.
  case status(UInt8, sense: [UInt8], units: [UnitStatus])
  /// No answer by the deadline.
  case deadline
  /// The leg was lost before it answered, or before the write began.
  case lost
  /// The caller changed the buffer again and again while the write was open.
  case bufferChanged
  /// The owner has aborted it, before the leg had done it.
  case aborted
}

/// One datagram to be sent.
package struct Transmission: Sendable, Equatable {
  /// Where it goes.
  package enum Destination: Sendable, Equatable { case group, leg(Int), connection(Int) }
  /// What of the write it carries.
  package enum Content: Sendable, Equatable { case command, block(Int) }

  package var destination: Destination
  package var slot: Int
  package var content: Content
  package var flags: Datagram.Flags
}

/// What the sender asks its owner to do, or tells.
package enum SenderEvent: Sendable, Equatable {
  /// The caller may be told: failures by leg, none when all is GOOD. Where a status is waited for
  /// the data may be let go, without one only at `counted`.
  case completed(token: UInt64, failures: [LegOutcome])
  /// Write the submission to a leg of another make; answer by `handleForeign`.
  case unicast(leg: Int, number: SerialNumber, Submission)
  /// Ask a leg to fence a write.
  case fence(leg: Int, number: SerialNumber, epoch: UInt16)
  /// Ask a leg what it lacks.
  case sync(leg: Int, open: [SerialNumber])
  /// A leg left the mirror: close its connection, and name it.
  case legFailed(leg: Int, LegLoss)
  /// A leg got two checksums for one piece of a write: somebody forges datagrams.
  case forged(leg: Int)
  /// A leg hears the group no more: it is served over its connection from now on.
  case deaf(leg: Int)
  /// A leg has ended a write so; it is done again, since it was news, there or at another leg.
  case news(leg: Int, LegFailure)
  /// A leg has failed a write that others did; it is sent the write again before it has to leave.
  case retried(leg: Int, LegFailure)
  /// A caller's buffer changed while its write was open; it starts anew.
  case bufferChanged(token: UInt64)
  /// A leg has other bytes of a write than the caller gave: another leg has sent it datagrams in
  /// our name, or the buffer was changed. The write starts anew; where that doesn't help the leg
  /// leaves.
  case unproven(leg: Int, token: UInt64)
  /// A write without status was GOOD at all legs, or wasn't.
  case counted(token: UInt64, failures: [LegOutcome])
  /// A range is free of open writes, and none begins there.
  case held(token: UInt64)
  /// No caller's write is open, and none behind that mark begins until `passMark`.
  case marked(token: UInt64)
  /// A copy has ended: failures by leg, none when all its legs have it.
  case copied(token: UInt64, failures: [LegOutcome])
  /// A write has ended at all legs, and is not to be told yet: `completed` comes later.
  case withheld(token: UInt64)
  /// A write failed at all legs: in its range they may differ, so they have to be made equal.
  case suspect(byteOffset: UInt64, length: Int)
}

/// How one write ended at one leg.
package struct LegOutcome: Sendable, Equatable {
  package var leg: Int
  package var failure: LegFailure
}

/// Why a leg left the mirror.
package enum LegLoss: Sendable, Equatable {
  case deadline
  case connection(String)
  /// An answer for a write that was never sent, or one that breaks the protocol: not to be trusted.
  case violation(String)
  /// It could not do what others did, so it differs from them; kept mirrors only.
  case refused(LegFailure)
  case dropped
}

/// What the sender did, for people and benchmarks.
package struct SenderCounters: Sendable, Equatable {
  package var writes: UInt64 = 0
  package var bytes: UInt64 = 0
  package var dataDatagrams: UInt64 = 0
  package var commandDatagrams: UInt64 = 0
  package var repairDatagrams: UInt64 = 0
  /// Of these, to the group.
  package var groupRepairDatagrams: UInt64 = 0
  package var carried: UInt64 = 0
  package var restarts: UInt64 = 0
  /// Proofs that were of something else than was written.
  package var unproven: UInt64 = 0
  package var syncs: UInt64 = 0
  /// Copies between legs; they are not among the writes.
  package var copies: UInt64 = 0
  package var copiedBytes: UInt64 = 0

  package init() {}
}

/// What one leg lost, reported and was sent again.
package struct LegCounters: Sendable, Equatable {
  package var lostBlocks: UInt64 = 0
  package var repairedBlocks: UInt64 = 0
  package var reports: UInt64 = 0
  package var socketDrops: UInt64 = 0
  package var reportsIgnored: UInt64 = 0
  package var repairsCarried: UInt64 = 0
  package var lateAnswers: UInt64 = 0
  package var badWrites: UInt64 = 0
  /// Writes that ended with news: they were done again.
  package var news: UInt64 = 0
  package var forgeries: UInt64 = 0
  /// Proofs that were of something else than was written.
  package var unproven: UInt64 = 0

  package init() {}
}

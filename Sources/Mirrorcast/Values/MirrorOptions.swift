import Replication

/// How a leg's lost blocks are sent again.
public enum RecoveryMode: String, Sendable, CaseIterable {
  /// Each block the way that costs least: to a leg where few lack it, to the group where many do.
  case adaptive
  /// The whole write again, to the group.
  case group
  /// The whole write again, to the leg that lacks something.
  case target
  /// The missing blocks only, to the leg that lacks them.
  case blocks

  var machine: Replication.RecoveryMode {
    switch self {
    case .adaptive: .adaptive
    case .group: .group
    case .target: .target
    case .blocks: .blocks
    }
  }
}

/// Whose answers a write waits for.
public enum StatusPolicy: String, Sendable, CaseIterable {
  /// Every leg's: a write that is good is stored on all.
  case all
  /// Nobody's: a write ends when it is sent, and answers are only counted.
  case none
}

/// What is wanted of a mirror; what it gets stands in the `Mirror`.
public struct MirrorOptions: Sendable {
  /// The disks, of one size, each named once.
  public var legs: [LogicalUnitURL]
  public var group: GroupAddress
  /// The interface that datagrams leave by; nil for the one that reaches the first leg.
  public var interface: String?
  /// What carries datagrams to the group and to single legs.
  public var transport = Transport.udp
  /// The number that mirrored commands carry; nil for the highest that is nobody's LUN.
  public var virtualLUN: Int?
  public var recovery: RecoveryMode = .adaptive
  /// Data waits for every leg's R2T (RFC 7143 §11.8), though all legs grant it unasked.
  public var isSolicited = false
  /// CRC32C over the data of datagrams; without, a damaged block is caught by UDP's checksum alone.
  public var digestsData = true
  /// How datagrams are protected; nil: not at all, and whoever is on the segment can write.
  public var security: MirrorSecurity?
  /// Legs answer on TCP streams between the lanes, where they offer that; else, and where a stream
  /// can't be had, on their sessions, which takes small writes longer.
  public var answersByStream = true
  /// What may leave for the legs in bytes a second, all headers included; nil: what the path takes.
  public var bytesPerSecondMax: UInt64?
  public var status: StatusPolicy = .all
  /// For one write, in seconds: a leg that has not answered by then has failed.
  public var deadlineSeconds: Double = 10
  /// Writes in flight that are wanted; what legs grant may lower it.
  public var depth: Int = 16
  /// The longest mirrored write that is wanted, in bytes; longer ones are split.
  public var writeLength: Int = 1 << 20
  public var faults: Faults = .none
  public var lanes = LaneOptions()
  /// Under which the sessions log in.
  public var identity = InitiatorIdentity(name: "iqn.2025-01.org.mirrorcast:initiator")
  /// The mirror is kept at its legs under this name: they remember what may differ, and one that
  /// was away gets what it missed. Nil: nothing is remembered.
  public var name: String?
  public var keeping = KeepingOptions()

  public init(legs: [LogicalUnitURL], group: GroupAddress) {
    self.legs = legs
    self.group = group
  }
}

/// What is wanted of a mirror that has a name.
public struct KeepingOptions: Sendable {
  /// Nil: as the mirror has it; a new one takes `usual`.
  public var required: LegRequirement?
  /// Legs that belong to no mirror yet and are to belong to this one.
  public var added: Set<LogicalUnitURL> = []
  /// The legs of a new mirror are equal already, or nobody minds what they hold: nothing is
  /// compared.
  public var areEqual = false
  /// The leg that is right, where legs went on without each other or some are gone for good: what
  /// the others have beyond it is discarded.
  public var kept: LogicalUnitURL?
  /// Other initiators may write to the mirror, too: whoever comes first leads it, those that come
  /// later find it by a leg.
  public var isShared = false
  /// Times that a write which a leg failed, and others did, is sent to it again by unicast before
  /// it leaves the mirror; 0 to 16. Not where it is write protected, or for a reservation.
  public var retries = 2
  /// How long writes wait for legs to come back where too few are left, before the mirror stops.
  public var patienceSeconds: Double = 30
  /// A leg that owes an answer and says nothing at all for so long is taken for lost.
  public var silenceSeconds: Double = 0.8
  /// Called for all that happens, one event after the other; it must not block.
  public var onEvent: @Sendable (KeptMirrorEvent) -> Void = { _ in }
  /// A guest opens the mirror anew whose leader is gone: it may know less than that one did.
  var isSuccession = false

  public init() {}
}

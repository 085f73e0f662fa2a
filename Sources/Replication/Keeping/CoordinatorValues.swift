/// How a mirror is kept, as far as its initiator decides.
package struct CoordinatorConfiguration: Sendable {
  package var wish: OpeningWish
  /// The initiator's random number, by which its connections to all legs are one holder's.
  package var holder: UInt64
  /// How long writes wait for legs to return where too few are left, before the mirror stops.
  package var patienceNanoseconds: UInt64 = 30_000_000_000
  /// When a leg that left is tried again: the first pause and the longest; it doubles.
  package var retryNanoseconds: UInt64 = 500_000_000
  package var retryMaxNanoseconds: UInt64 = 15_000_000_000
  /// Bytes of one comparison's piece, and the most that one copy carries.
  package var copyLength: UInt64 = 256 << 10
  /// Regions that are compared and copied at once.
  package var copiesMax = 2
  /// The part of the time that copies take, in percent, while writes go on.
  package var busyShare: UInt64 = 25
  package var seed: UInt64

  package init(wish: OpeningWish, holder: UInt64, seed: UInt64) {
    self.wish = wish
    self.holder = holder
    self.seed = seed
  }
}

/// What the coordinator has its owner do. Each order that names a token is answered by one event
/// with that token, or the leg is told as lost.
package enum CoordinatorOrder: Sendable, Equatable {
  /// Log in to a leg: `handleConnected`, or `handleUnreachable`.
  case connect(leg: Int)
  /// Ask a leg: `handleAnswer`.
  case ask(leg: Int, token: UInt64, KeepingRequest)
  /// End the connections with a leg; nothing is answered.
  case leave(leg: Int, words: String)
  /// Register the mirror with these legs, and let writes begin: `handleBegun`.
  case begin(LegSet)
  /// Take a leg into the mirror's next epoch: `handleJoined`, once no write of an earlier epoch is
  /// open any more, or it is lost.
  case join(leg: Int)
  /// The members have stored that these legs are absent: `Sender.confirmDetached`.
  case confirm(LegSet)
  /// Too few legs are left: `Sender.suspend`.
  case suspend
  /// Enough are back: `Sender.endSuspension`.
  case endSuspension
  /// All is equal again where writes ended badly everywhere, or in so many of these ranges, which
  /// were told first: `Sender.confirmMended`.
  case mended(Int?)
  /// The mirror can't go on: `Sender.stop`.
  case stop(String)
  /// Compare pieces of the configured length: `handleCompared`. Nobody need be kept from writing.
  case compare(token: UInt64, source: Int, targets: LegSet, bytes: Range<UInt64>)
  /// Let no write overlap: `Sender.hold`; then `handleHeld`.
  case hold(token: UInt64, bytes: Range<UInt64>)
  /// Under that hold, read from the source and write to the targets: `handleCopied`.
  case copy(token: UInt64, source: Int, targets: LegSet, bytes: Range<UInt64>)
  /// `Sender.releaseHold`.
  case release(token: UInt64)
  case tell(KeepingEvent)
}

/// What people and programs are told of a kept mirror. Each change of state comes with its reason.
package enum KeepingEvent: Sendable, Equatable {
  case opened(generation: UInt64, isNew: Bool)
  case refused(OpeningRefusal)
  /// A leg's state in the mirror is this from now on.
  case leg(Int, MemberState, generation: UInt64, reason: String)
  /// A leg could not be taken back.
  case notTaken(Int, reason: String)
  /// A leg's bytes can't be read: those that lack them stay out of sync there.
  case unreadable(Int, reason: String)
  /// Too few legs are left: writes wait until some are back.
  case suspended(String)
  case resumed
  case stopped(String)
  /// Regions of a leg that are still to be compared.
  case copying(Int, remaining: Int, of: Int, copiedBytes: UInt64)
  /// How far a verification has come.
  case verifying(doneBytes: UInt64, of: UInt64)
  /// Legs that are in sync have different bytes, though no write is open there.
  case differing(LegDifference)
  /// What could not be compared, since a leg can't read it.
  case unverified(UnreadableRange)
  /// A verification has ended.
  case verified(VerificationReport)
  case closed(failures: [Int: String])
  /// A member is none any more, by order; that is stored.
  case forgotten(String, generation: UInt64)
}

/// A leg as the coordinator follows it.
struct CoordinatedLeg: Sendable {
  /// How far the way to a leg has come.
  enum Stage: Sendable {
    case away
    case connecting
    case claiming
    /// It has said who it is.
    case claimed
    /// Mirrored writes reach it.
    case joined
  }

  var stage = Stage.away
  var member: UInt64 = 0
  var descriptor: LegDescriptor?
  /// Why it isn't here, for people.
  var words = "not reached"
  var retryAt: UInt64?
  var pause: UInt64 = 0
  /// It is written of in words only: no more tries.
  var isGivenUp = false
  /// By order; it is not tried again by itself.
  var isDetached = false
  /// Its member is none any more, or never became one.
  var isForgotten = false
  var isJoining = false
  /// By the record that it has stored last, it stores what is copied.
  var takesCopies = false
  /// It is being told that all of it is marked.
  var isMarking = false
  var copy = LegCopy()
}

/// What a leg is still to get.
struct LegCopy: Sendable {
  /// How far it is known what that is.
  enum Stage: Sendable {
    case none
    /// Others are being asked for their marks; how many answers are awaited.
    case gathering(Int)
    /// The leg is being told its marks.
    case marking(Int)
    case copying
  }

  var stage = Stage.none
  var dirty: RegionMap?
  var total = 0
  var copiedBytes: UInt64 = 0
  /// Regions that are equal by now, but still marked at the leg.
  var unsynced: [Range<Int>] = []
  var isSyncing = false
  /// Nothing is left to be copied, but copies for others may be on their way there.
  var isDone = false
  /// Since then all of it is on its medium.
  var isFlushed = false

  /// What was equal there may not be any more: it is compared again, and its marks stay.
  mutating func doubt(_ regions: Range<Int>) {
    dirty?.insert(regions)
    (isDone, isFlushed) = (false, false)
    unsynced = unsynced.flatMap { range in
      guard range.overlaps(regions) else { return [range] }
      return [
        range.lowerBound..<max(range.lowerBound, regions.lowerBound),
        min(range.upperBound, regions.upperBound)..<range.upperBound,
      ].filter { !$0.isEmpty }
    }
  }
}

/// Random numbers from a seed, none of them zero.
struct Identities: Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// SplitMix64, by Guy Steele, Doug Lea and Christine Flood.
  mutating func next() -> UInt64 {
    while true {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
      mixed ^= mixed >> 31
      if mixed != 0 { return mixed }
    }
  }
}

/// What a leg was asked, and why.
struct Question: Sendable {
  /// What its answer is for.
  enum Purpose: Sendable {
    case claim
    case adopt(generation: UInt64)
    /// What is marked there, for that leg's sake.
    case marks(for: Int)
    case mark
    /// All of a fresh leg.
    case markAll
    case synced([Range<Int>])
    /// All that a leg was given, before it is called in sync.
    case flush
    /// The answer changes nothing.
    case forget
    case close
  }

  let token: UInt64
  let leg: Int
  let purpose: Purpose
}

/// A change of membership on its way to all members.
struct MembershipRound: Sendable {
  /// The members as they are to be.
  var members: [MirrorMember] = []
  /// Who has yet to store it.
  var waiting: LegSet = []
  var isRunning = false
  /// Members have changed since it began.
  var isWanted = false
  /// Legs that left with writes open, until the others have stored that they did.
  var unconfirmed: LegSet = []
  /// Whose records are replaced, by the opening.
  var replaced: LegSet = []
  var added: [Int: String] = [:]
  /// Members that are none any more, until all others have stored so.
  var forgotten: [String] = []
  /// What was told of each leg last.
  var told: [Int: MemberState] = [:]
  /// Why legs were lost of which that was not told yet.
  var lost: [Int: String] = [:]
  /// The mirror was never opened before.
  var isNew = false
  var isClosing = false
  var closeFailures: [Int: String] = [:]
}

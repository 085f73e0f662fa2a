/// What people and programs are told of a shared mirror's other initiators.
package enum GuestEvent: Sendable, Equatable {
  case came(UInt64)
  case went(UInt64, reason: String)
}

/// An initiator as the one that leads the mirror follows it.
struct Guest: Sendable {
  /// How far it has come.
  enum Stage: Sendable, Equatable {
    /// A leg is just coming.
    case waiting
    /// These legs have yet to let it in, of all these.
    case admitting(LegSet, LegSet)
    /// It was told the mirror.
    case registering
    case present
    /// These legs may have something of it yet.
    case going(LegSet)
  }

  let id: UInt64
  let participant: RegionTokens.Participant
  var deadline: UInt64?
  var stage = Stage.waiting
  /// Legs that it was told of, and not told that their loss is stored.
  var known: LegSet = []
  /// Of these, the legs that it was told are lost.
  var lost: LegSet = []
  /// By leg: how often it was asked to take it in.
  var turns: [Int: UInt32] = [:]
  /// Ranges that it has told as suspect, and not been told as mended.
  var suspects = 0
  /// The regions that it had when it went.
  var had: [Range<Int>] = []
  /// It is gone, and may have left writes half done.
  var isToMend = false
  /// It has said that nothing of its is open.
  var hasLeft = false
  /// By which it is registered for reservations at the legs; zero: it is not.
  var key: UInt64 = 0

  init(id: UInt64, participant: RegionTokens.Participant, deadline: UInt64) {
    self.id = id
    self.participant = participant
    self.deadline = deadline
  }

  var isGoing: Bool { if case .going = stage { true } else { false } }

  var isComing: Bool {
    switch stage {
    case .admitting, .registering: true
    case .waiting, .present, .going: false
    }
  }

  /// It was told the mirror: what happens to that is told, too.
  var isHere: Bool { stage == .registering || stage == .present }
}

/// A leg that comes, and the guests that have yet to reach it.
struct LegJoining: Sendable {
  let leg: Int
  let label: String
  private var admitting: Set<UInt64>
  private var awaited: Set<UInt64>
  private var isTold = false

  init(leg: Int, label: String, guests: [UInt64]) {
    self.leg = leg
    self.label = label
    admitting = Set(guests)
    awaited = admitting
  }

  /// The leg has let a guest in; whether that was waited for.
  mutating func admit(_ guest: UInt64) -> Bool { admitting.remove(guest) != nil }

  /// A guest reaches the leg, or is none any more.
  mutating func forget(_ guest: UInt64) {
    admitting.remove(guest)
    awaited.remove(guest)
  }

  /// The leg, once, when all guests reach it.
  mutating func takeReached() -> Int? {
    guard awaited.isEmpty, !isTold else { return nil }
    isTold = true
    return leg
  }
}

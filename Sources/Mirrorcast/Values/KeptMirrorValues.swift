// Kept mirrors, for callers: how their legs stand, what is required of them, what happens to them.
import Replication

/// How a leg of a kept mirror stands.
public enum LegState: String, Sendable, CaseIterable {
  /// It has all that was acknowledged, and equals the others but for writes that are open.
  case inSync = "in-sync"
  /// It has all that was acknowledged; what was open when the mirror stopped is being compared.
  case unequal
  /// It lacks acknowledged writes, is here, and gets what it lacks.
  case stale
  /// It is not here; what it misses is remembered at the others.
  case absent

  init(_ state: MemberState) {
    switch state {
    case .inSync: self = .inSync
    case .unequal: self = .unequal
    case .stale, .fresh: self = .stale
    case .absent: self = .absent
    }
  }
}

extension MemberState {
  init(_ state: LegState) {
    self =
      switch state {
      case .inSync: .inSync
      case .unequal: .unequal
      case .stale: .stale
      case .absent: .absent
      }
  }
}

/// A leg of a kept mirror as it stands now.
public struct KeptLeg: Sendable, Equatable {
  public var url: LogicalUnitURL
  public var state: LegState
  /// Why it is called so.
  public var reason: String
  /// The generation that calls it so; 0 before there is one.
  public var generation: UInt64
  /// Mirrored writes reach it.
  public var isHere = false
  /// It is not tried again, since it can't be taken back as it is.
  public var isGivenUp = false
  /// It was let go by order, and is not tried again before it is attached.
  public var isDetached = false
  /// Regions that are still to be compared; nil while that isn't known.
  public var remainingRegions: Int?
  /// Regions that had to be compared when that began.
  public var totalRegions: Int?
  /// Bytes that were copied to it since it is here.
  public var copiedBytes: UInt64 = 0
  /// It is no member any more.
  var isForgotten = false
  /// Why it could not store that the mirror has ended.
  var closingFailure: String?

  init(_ url: LogicalUnitURL) {
    self.url = url
    state = .absent
    reason = "not reached yet"
    generation = 0
  }

  /// The state as a status of the leg.
  var status: LegStatus {
    if let closingFailure {
      return LegStatus(url: url, isGood: false, text: "not closed: \(closingFailure)")
    }
    return LegStatus(
      url: url, isGood: state == .inSync,
      text: state == .inSync ? "GOOD" : "\(state.rawValue): \(reason)")
  }
}

/// How many legs that have everything a kept mirror needs to take a write, and which.
public enum LegRequirement: Sendable, Equatable {
  /// A majority of three and more, one of two: whoever is left goes on.
  case usual
  case all
  case count(Int)
  /// These, and as many.
  case named([LogicalUnitURL])
}

/// What happens to a kept mirror. Each change of a leg comes with its reason.
public enum KeptMirrorEvent: Sendable, Equatable {
  /// It takes writes from now on.
  case opened(generation: UInt64, isNew: Bool)
  case leg(LogicalUnitURL, LegState, generation: UInt64, reason: String)
  /// A leg is here, but can't be taken back as it is.
  case notTaken(LogicalUnitURL, reason: String)
  /// A leg has failed a write that others did: it gets it again, alone, before it has to leave.
  case retried(LogicalUnitURL, reason: String)
  /// A leg's bytes can't be read: legs that lack them stay out of sync there.
  case unreadable(LogicalUnitURL, reason: String)
  /// Too few legs are left: writes wait until some are back.
  case suspended(reason: String)
  case resumed
  /// Another initiator writes to the mirror from now on, or does so no more.
  case guest(UInt64, isHere: Bool, reason: String)
  /// It takes no more writes, for ever.
  case stopped(reason: String)
  case copying(LogicalUnitURL, remaining: Int, of: Int, copiedBytes: UInt64)
  /// What was a member, named by its URL, is none any more.
  case forgotten(String, generation: UInt64)
  /// Legs that are in sync have different bytes there, though no write is open: found by a
  /// verification. Of many only the first thousand are told.
  case differing(KeptDifference)
  /// A verification could not compare a leg there.
  case unverified(KeptUnreadable)
  /// A verification has ended.
  case verified(KeptVerification)
  /// It has ended in order, but for the legs that could not store so.
  case closed(failures: [LegStatus])
}

extension KeptMirrorEvent {
  /// Something isn't as it should be, or is about to be so.
  public var isTrouble: Bool {
    switch self {
    case .leg(_, .absent, _, _), .notTaken, .suspended, .retried, .unreadable, .unverified,
      .differing, .stopped:
      true
    case .verified(let verification): !verification.isEqual
    case .closed(let failures): !failures.isEmpty
    case .opened, .leg, .resumed, .guest, .forgotten, .copying: false
    }
  }
}

extension KeptMirrorEvent: CustomStringConvertible {
  /// One line for people.
  public var description: String {
    switch self {
    case .opened(let generation, let isNew):
      isNew ? "a new mirror, generation \(generation)" : "opened as generation \(generation)"
    case .leg(let url, let state, let generation, let reason):
      "\(url) is \(state.rawValue) since generation \(generation): \(reason)"
    case .notTaken(let url, let reason): "\(url) is not taken back: \(reason)"
    case .retried(let url, let reason): "\(url) failed a write, which it gets again: \(reason)"
    case .unreadable(let url, let reason): "\(url) can't be read: \(reason)"
    case .suspended(let reason): "writes wait: \(reason)"
    case .resumed: "writes go on"
    case .guest(let number, let isHere, let reason):
      "initiator \(String(number, radix: 16)) \(isHere ? "writes here, too" : "is gone"): \(reason)"
    case .stopped(let reason): "the mirror has stopped: \(reason)"
    case .differing(let difference): "DIFFERENT, \(difference)"
    case .unverified(let range): "not verified, \(range)"
    case .verified(let verification): "verified: \(verification.verdict)"
    case .copying(let url, let remaining, let all, _):
      "\(url): \(remaining) of \(all) regions are still to be compared"
    case .forgotten(let label, let generation):
      "\(label) is forgotten since generation \(generation): nothing is remembered for it"
    case .closed(let failures):
      failures.isEmpty
        ? "closed" : "closed, but not at \(failures.map { "\($0.url)" }.joined(separator: ", "))"
    }
  }
}

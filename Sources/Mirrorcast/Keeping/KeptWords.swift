// What happens to a kept mirror and why it isn't opened, in words for callers.
import Replication

extension KeptMirrorEvent {
  /// Nil where nobody is told.
  init?(_ event: KeepingEvent, url: (Int) -> LogicalUnitURL) {
    switch event {
    case .opened(let generation, let isNew): self = .opened(generation: generation, isNew: isNew)
    case .refused: return nil
    case .leg(let leg, let state, let generation, let reason):
      self = .leg(url(leg), LegState(state), generation: generation, reason: reason)
    case .notTaken(let leg, let reason): self = .notTaken(url(leg), reason: reason)
    case .unreadable(let leg, let reason): self = .unreadable(url(leg), reason: reason)
    case .verifying: return nil
    case .differing(let difference): self = .differing(KeptDifference(difference, url: url))
    case .unverified(let range): self = .unverified(KeptUnreadable(range, url: url))
    case .verified(let report): self = .verified(KeptVerification(report, url: url))
    case .suspended(let reason): self = .suspended(reason: reason)
    case .resumed: self = .resumed
    case .stopped(let reason): self = .stopped(reason: reason)
    case .copying(let leg, let remaining, let all, let bytes):
      self = .copying(url(leg), remaining: remaining, of: all, copiedBytes: bytes)
    case .forgotten(let label, let generation):
      self = .forgotten(label, generation: generation)
    case .closed(let failures):
      self = .closed(
        failures: failures.sorted { $0.key < $1.key }.map {
          LegStatus(url: url($0.key), isGood: false, text: $0.value)
        })
    }
  }
}

extension KeepingEvent {
  /// What it changes on the board.
  func note(on board: inout [KeptLeg]) {
    switch self {
    case .opened(let generation, _):
      for leg in board.indices where board[leg].generation == 0 {
        board[leg].generation = generation
        board[leg].state = .inSync
        board[leg].reason = "it has all"
      }
    case .leg(let leg, let state, let generation, let reason):
      board[leg].state = LegState(state)
      board[leg].generation = generation
      board[leg].reason = reason
      if state == .inSync || state == .absent { board[leg].remainingRegions = nil }
      if state == .absent {
        board[leg].isHere = false
        board[leg].copiedBytes = 0
      }
    case .notTaken(let leg, let reason):
      board[leg].isGivenUp = true
      board[leg].reason = reason
    case .copying(let leg, let remaining, let all, let bytes):
      board[leg].remainingRegions = remaining
      board[leg].totalRegions = all
      board[leg].copiedBytes = bytes
    case .closed(let failures):
      for (leg, words) in failures { board[leg].closingFailure = words }
    case .stopped: for leg in board.indices { board[leg].isHere = false }
    case .refused, .unreadable, .suspended, .resumed, .forgotten: break
    case .verifying, .differing, .unverified, .verified: break
    }
  }
}

extension MirrorcastError {
  /// Why a mirror is not opened, a line for each leg, and what to do.
  init(_ refusal: OpeningRefusal, name: String) {
    self.init(
      "the mirror '\(name)' is not opened (\(refusal.kind.rawValue)): \(refusal.words)",
      advice: refusal.kind.advice, details: refusal.lines)
  }
}

extension KeepingRefusal {
  /// What to do where a leg says so to a question.
  func advice(_ url: LogicalUnitURL) -> String? {
    switch self {
    case .held: "An initiator has the mirror open. How it stands: mirrorcast status \(url)"
    case .noSuchLUN: "What is served there: mirrorcast ls \(url.portal)"
    case .notClaimed, .conflict, .notOpen, .storage, .badRequest: nil
    }
  }
}

extension OpeningRefusal.Kind {
  fileprivate var advice: String {
    switch self {
    case .splitBrain:
      "Choose the leg that is right, with: mirrorcast resolve --keep URL (and all legs by --to)."
        + " What the others have beyond it is lost then."
    case .missing, .tooFew:
      "Start the targets of the missing legs. Where they are gone for good, go on without them by:"
        + " mirrorcast resolve --keep URL."
    case .unnamed:
      "Name all legs by --to: one that doesn't answer is left behind, and told. One that is gone"
        + " for good is taken out by: mirrorcast resync --forget URL, with the others by --to."
    case .noSource:
      "Start the target of a leg that has everything, or take one as it is by:"
        + " mirrorcast resolve --keep URL."
    case .blank: "Add it to the mirror by: mirrorcast add URL."
    case .otherMirror:
      "Give each mirror its own name and legs; mirrorcast release URL takes a leg's record away,"
        + " and with it what the leg knows of its mirror."
    case .size: "Give all legs LUNs of one size."
    case .held:
      "See who has it open and how it stands, by: mirrorcast status URL. End that one first, or"
        + " open the mirror with --shared on both. The claim of one that died ends with its"
        + " connections, which the leg's target notices within a minute."
    case .unreached: "Start the targets, and name all legs by --to."
    }
  }
}

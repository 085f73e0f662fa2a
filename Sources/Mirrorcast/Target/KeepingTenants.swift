// Who has a LUN that may belong to a kept mirror: one session by its claim, and the sessions that
// have registered parts of its mirror; or mirrors without a name, which nothing is kept of. A
// value.
//
// Law: a claim ends only when no part of that mirror can touch the medium any more, whichever
// session it came by. So when the claim's session is gone, or the same initiator claims by another,
// the parts of all sessions are ended, and who claims meanwhile waits: what an old connection had
// under way may be older than what was copied since.

import Replication

/// The claim of one LUN, and the registrations there.
struct KeepingTenants: Sendable {
  /// The session that has claimed it.
  struct Claim: Sendable, Equatable {
    let session: UInt64
    let holder: UInt64
  }

  private(set) var claim: Claim?
  /// Other initiators that the claim's holder lets in, by their numbers.
  private var guests: Set<UInt64> = []
  /// Where its holder is to be found by those that would be guests.
  private(set) var leader: LeaderPlace?
  /// By registration: its session.
  private var parts: [UInt32: UInt64] = [:]
  /// Registrations of mirrors that nothing is kept of.
  private var plainCount = 0
  /// Records that are about to be stored.
  private(set) var adoptCount = 0
  /// The claim's session is gone, and parts of its mirror may not be.
  private(set) var isEnding = false
  /// It is being taken from its target.
  private(set) var isWithdrawn = false

  /// Whether it is the initiator's that has claimed it.
  func isHolder(_ session: UInt64) -> Bool {
    claim?.session == session || parts.values.contains(session)
  }

  var isEmpty: Bool { claim == nil && parts.isEmpty && adoptCount == 0 }

  // MARK: Claims

  mutating func take(session: UInt64, holder: UInt64) {
    claim = Claim(session: session, holder: holder)
  }

  /// A session is gone; whether it had the claim, which is then ending.
  mutating func beginEnding(_ session: UInt64) -> Bool {
    guard claim?.session == session else { return false }
    isEnding = true
    return true
  }

  /// The same initiator claims by another session, having lost the first one, of which nothing may
  /// be known here: that session, whose claim is then ending.
  mutating func beginTakeover(by session: UInt64, holder: UInt64) -> UInt64? {
    guard let claim, !isEnding, claim.holder == holder, claim.session != session else {
      return nil
    }
    isEnding = true
    return claim.session
  }

  /// Nothing of a session whose claim was ending can touch the medium any more.
  mutating func end(_ session: UInt64) {
    guard claim?.session == session else { return }
    claim = nil
    guests = []
    leader = nil
    isEnding = false
  }

  // MARK: Guests

  mutating func lead(_ place: LeaderPlace) { leader = place }

  mutating func admit(_ guest: UInt64) { guests.insert(guest) }

  /// Lets no more of its registrations in; those that are here are to be ended.
  mutating func expel(_ guest: UInt64) { guests.remove(guest) }

  /// Why a request is refused, whatever the machine would say to it.
  /// - Parameter isKept: there is a record.
  func refusal(
    of request: KeepingRequest, from session: UInt64, isKept: Bool
  ) -> KeepingAnswer? {
    guard !isWithdrawn else { return .refused(.held, "the LUN is being taken away") }
    guard claim?.session == session else { return nil }
    switch request {
    case .adopt where plainCount > 0 && !isKept:
      return .refused(.conflict, "a mirror without a name has the LUN: end that first")
    case .admit(let guest) where !isGuest(guest) && guests.count >= GuestHall.guestsMax:
      return .refused(.badRequest, "no more than \(GuestHall.guestsMax) guests")
    case .release where !parts.isEmpty:
      return .refused(.conflict, "the mirror is registered: terminate it first")
    default: return nil
    }
  }

  mutating func beginAdopting() { adoptCount += 1 }
  mutating func endAdopting() { adoptCount -= 1 }

  // MARK: Registrations

  /// Lets a registration in.
  /// - Parameters:
  ///   - record: what the LUN belongs to.
  ///   - isOpen: the claim's session has adopted it.
  /// - Returns: whether it is a part of the kept mirror; else nothing is kept of it.
  mutating func enter(
    _ part: UInt32, session: UInt64, holder: UInt64?, record: MirrorRecord?, isOpen: Bool
  ) throws(RegistrationFault) -> Bool {
    guard let record else {
      guard adoptCount == 0 else {
        throw RegistrationFault(.kept, "the LUN is just becoming a mirror's with a name")
      }
      guard holder == nil else {
        throw RegistrationFault(.kept, "the LUN belongs to no mirror with a name: adopt it first")
      }
      plainCount += 1
      return false
    }
    guard let claim, isOpen, !isEnding else {
      throw RegistrationFault(
        .kept, "the LUN belongs to mirror \(record.name): open that, or release the LUN")
    }
    guard claim.session == session || claim.holder == holder || isGuest(holder) else {
      throw RegistrationFault(
        .kept, "the LUN belongs to mirror \(record.name), which another initiator has open")
    }
    parts[part] = session
    return true
  }

  private func isGuest(_ holder: UInt64?) -> Bool { holder.map(guests.contains) ?? false }

  mutating func leave(_ part: UInt32, isKept: Bool) {
    if isKept {
      parts[part] = nil
    } else {
      plainCount -= 1
    }
  }

  // MARK: The target

  /// Takes it from its target; false while an initiator has it.
  mutating func withdraw() -> Bool {
    guard isEmpty else { return false }
    isWithdrawn = true
    return true
  }

  mutating func restore() { isWithdrawn = false }
}

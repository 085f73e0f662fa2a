// What sessions ask of a target that keeps a mirror's leg, and what their end is followed by.
import Bytes
import Replication

extension Target {
  func ask(_ request: KeepingRequest, token: UInt64, on channel: Int) {
    guard keeping != nil else { return }
    world.writePlainly(before: request, at: self)
    if case .claim(let holder) = request {
      beginTakeover(by: channel, holder)
      if keeping?.tenancy.isEnding == true {
        keeping?.tenancy.deferred.append((channel, token, holder))
        return
      }
    }
    if let words = refusal(of: request, from: channel) {
      return world.send(.kept(token: token, .refused(.conflict, words)), on: channel)
    }
    if case .expel(let guest) = request, keeping?.tenancy.channel == channel {
      keeping?.tenancy.expel(guest)
      for registration in registrations where registration.holder == guest { end(registration) }
      guard world.plants(.earlyExpel) else {
        keeping?.tenancy.expulsions.append((channel, token, guest))
        return
      }
    }
    handOn(request, token: token, on: channel)
  }

  private func handOn(_ request: KeepingRequest, token: UInt64, on channel: Int) {
    guard let own = keeping?.tenancy.note(channel, request) else { return }
    keeping?.tokens[own] = token
    let now = world.now
    keeping?.act { $0.handle(request, session: UInt64(channel), token: own, now: now) }
  }

  /// The same initiator claims by another session, having lost the first one, of which nothing may
  /// be known here: that one's claim ends like that of a session that is gone.
  private func beginTakeover(by channel: Int, _ holder: UInt64) {
    guard let tenancy = keeping?.tenancy, let former = tenancy.channel, !tenancy.isEnding,
      tenancy.holder == holder, former != channel
    else { return }
    beginDeparture(former)
  }

  private func refusal(of request: KeepingRequest, from channel: Int) -> String? {
    guard keeping?.tenancy.channel == channel else { return nil }
    if case .release = request, !registrations.isEmpty { return "the mirror is registered" }
    return nil
  }

  /// Whether a session is of the initiator that has the leg.
  func isHolder(_ channel: Int) -> Bool {
    guard let keeping else { return true }
    return keeping.tenancy.channel == channel || registrations.contains { $0.channel == channel }
  }

  /// Why a registration is refused; nil where it is let in.
  func refusal(of order: RegistrationOrder, on channel: Int) -> String? {
    guard let keeping, keeping.record != nil else {
      return order.holder == nil ? nil : "adopt it first"
    }
    guard keeping.tenancy.channel != nil, keeping.unit.isOpen, !keeping.tenancy.isEnding else {
      return "open it first"
    }
    guard keeping.tenancy.channel == channel || keeping.tenancy.lets(order.holder) else {
      return "another initiator has it open"
    }
    return nil
  }

  /// A session is gone: where it had the claim, nothing of the mirror goes on.
  func beginDeparture(_ channel: Int) {
    guard keeping != nil else { return }
    keeping?.departures.append(channel)
    guard keeping?.tenancy.channel == channel else { return }
    keeping?.tenancy.isEnding = true
    for registration in registrations { end(registration) }
  }

  /// What was asked of guests is answered when nothing of them is left.
  func finishExpulsions() {
    guard let waiting = keeping?.tenancy.expulsions, !waiting.isEmpty else { return }
    for one in waiting where !registrations.contains(where: { $0.holder == one.guest }) {
      keeping?.tenancy.expulsions.removeAll { $0.token == one.token && $0.channel == one.channel }
      handOn(.expel(guest: one.guest), token: one.token, on: one.channel)
    }
  }

  /// The claims of sessions end of which nothing is left.
  func finishDepartures() {
    guard let departures = keeping?.departures, !departures.isEmpty else { return }
    for channel in departures {
      let isClaim = keeping?.tenancy.channel == channel
      guard !registrations.contains(where: { isClaim || $0.channel == channel }) else { continue }
      keeping?.departures.removeAll { $0 == channel }
      for own in keeping?.tenancy.asked(by: channel) ?? [] {
        guard let token = keeping?.tokens[own] else { continue }
        world.send(.kept(token: token, .refused(.notClaimed, "the claim has ended")), on: channel)
      }
      keeping?.tenancy.drop(channel)
      let now = world.now
      keeping?.act { $0.handleSessionClosed(UInt64(channel), now: now) }
      if isClaim {
        keeping?.tenancy.end()
      }
      guard keeping?.tenancy.isEnding == false, let waiting = keeping?.tenancy.deferred else {
        continue
      }
      keeping?.tenancy.deferred = []
      for claim in waiting {
        ask(.claim(holder: claim.holder), token: claim.token, on: claim.channel)
      }
    }
  }
}

// A target that wants to be left, RFC 7143 §11.9.1: what is in flight is finished, nothing new is
// asked, then the session is logged out; whoever asks later, and the owner, hear why.
//
// A mirror's writes are not commands of the session: they end with the leg, which leaves the
// mirror.

import ISCSI
import Logging
import NIOCore

extension InitiatorHandler {
  /// What the target says unasked; `seconds`: its third parameter.
  func take(_ event: AsyncEvent, seconds: Int) {
    switch event {
    case .scsiEvent, .negotiationRequest, .taskTermination:
      logger.notice("the target says", metadata: ["portal": "\(portal)", "event": "\(event)"])
    case .logoutRequest: leave(seconds: seconds)
    case .connectionDrop, .sessionDrop:
      end(departure ?? .lost(portal, "the target drops the session"))
    }
  }

  private func leave(seconds: Int) {
    guard departure == nil, failure == nil, !isLeaving, let context else { return }
    departure = .lost(portal, "the target asked to be left")
    logger.notice("the target asks to be left", metadata: ["portal": "\(portal)"])
    // No later than it says: a second before, or at half time.
    let milliseconds = max(seconds * 1000 - 1000, seconds * 500)
    context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(milliseconds))) {
      [weak self] in self?.logOutAtLast()
    }
  }

  /// Logs out once nothing is in flight, where the target asked for it.
  func leaveWhenIdle() {
    guard departure != nil, requests.isEmpty else { return }
    session.logout()
  }

  private func logOutAtLast() {
    guard failure == nil else { return }
    session.logout()
    send()
  }
}

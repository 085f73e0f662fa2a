// The end of a session, after what is queued was sent, or at once. What runs is waited for, at the
// disks and in the mirror, before anybody is told that it has ended; and how a session is asked to
// end itself.

import ISCSI
import Logging
import NIOCore

/// How far the mirror has let go of a session.
enum HostDeparture: Equatable {
  case none
  /// Mirrored writes of the session may still touch a medium.
  case pending
  case done
}

extension TargetConnection {
  /// Sends what is queued, then ends the connection.
  func endAfterOutput(_ reason: String) {
    guard stage == .open else { return }
    logEnd("connection ends", reason)
    stage = .closing
    commands.dropAll()
    leaveHost()
    callFinished()
    after(serving.limits.drainMilliseconds) { $0.context?.close(promise: nil) }
    settle()
  }

  /// Ends the connection at once.
  func cut(_ reason: String) {
    guard stage != .closed else { return }
    if stage == .open { logEnd("connection cut", reason) }
    stage = .closed
    context?.close(promise: nil)
  }

  func finishOutput() {
    guard let context else { return }
    stage = .lingering
    updateReading()
    context.close(mode: .output, promise: nil)
    after(serving.limits.lingerMilliseconds) { $0.context?.close(promise: nil) }
  }

  /// The mirror forgets the session: what is whole is stored, what is not never will be.
  func leaveHost() {
    guard hostDeparture == .none else { return }
    guard let host = serving.host else {
      hostDeparture = .done
      return
    }
    hostDeparture = .pending
    let port = port
    host.sessionClosed(port.id) { port.visit { $0.hostLeft() } }
  }

  private func hostLeft() {
    hostDeparture = .done
    let waiters = hostWaiters
    hostWaiters = []
    for waiter in waiters { waiter() }
    settle()
  }

  /// Calls `ended` once nothing of the session can touch a medium any more.
  func drainAll(_ ended: @escaping () -> Void) {
    commands.drain(nil) { [self] in
      if hostDeparture == .pending { hostWaiters.append(ended) } else { ended() }
    }
  }

  // RFC 7143 §11.9.1, event 1: the initiator logs out within as many seconds as the third parameter
  // says, and finishes first what it can. It is served until then, also with new commands: to
  // refuse them as waiting for logout is allowed, and would help nobody. Two events are never sent:
  // a SCSI event, since SPC gave that up for unit attentions, which commands report; a negotiation
  // request, since nothing is to be negotiated anew.
  /// Asks the initiator to log out, and drops the session when it does not.
  func askToLogOut(_ reason: String) {
    guard stage == .open else { return }
    guard watch != nil else { return cut(reason) }
    let milliseconds = serving.limits.logoutMilliseconds
    session.sendAsyncMessage(
      .logoutRequest, parameters: (0, 0, UInt16(clamping: (milliseconds + 999) / 1000)))
    settle()
    after(milliseconds) {
      $0.announceDrop(reason, waitSeconds: $0.session.parameters.defaultTime2Wait)
    }
  }

  /// RFC 7143 §11.9.1, event 3: says that the session will be dropped, then drops it. The initiator
  /// may come back after `waitSeconds`, and finds nothing of the session kept.
  func announceDrop(_ reason: String, waitSeconds: Int = 0) {
    guard stage == .open else { return }
    session.sendAsyncMessage(.sessionDrop, parameters: (0, UInt16(clamping: waitSeconds), 0))
    endAfterOutput(reason)
  }
}

// The session's machine has no clock: here is when it is looked at without anything having come.

import ISCSI
import NIOCore

extension TargetConnection {
  /// Sees to it that the session is called at its next deadline.
  func awaitDeadline() {
    guard stage == .open, !isAwaitingDeadline,
      let deadline = session.nextDeadline(now: NIODeadline.now().nanoseconds)
    else { return }
    isAwaitingDeadline = true
    let due = NIODeadline.uptimeNanoseconds(deadline)
    channel.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [weak self] in
      guard let self else { return }
      isAwaitingDeadline = false
      guard stage == .open else { return }
      session.handleTimeout(now: NIODeadline.now().nanoseconds)
      settle()
    }
  }
}

extension NIODeadline {
  fileprivate var nanoseconds: UInt64 { UInt64(uptimeNanoseconds) }
}

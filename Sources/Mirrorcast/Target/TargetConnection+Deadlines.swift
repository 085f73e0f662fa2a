// The session's machine has no clock: here is when it is looked at without anything having come.

import ISCSI
import NIOCore

extension TargetConnection {
  /// A look that is to come.
  struct Look {
    let deadline: UInt64
    let task: Scheduled<Void>
  }

  /// Sees to it that the session is called at its next deadline.
  func awaitDeadline() {
    guard stage == .open,
      let deadline = session.nextDeadline(now: channel.eventLoop.now.uptimeNanoseconds)
    else { return }
    if let look {
      guard deadline < look.deadline else { return }
      look.task.cancel()
    }
    let due = NIODeadline.uptimeNanoseconds(deadline)
    let task = channel.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [weak self] in
      guard let self else { return }
      look = nil
      guard stage == .open else { return }
      session.handleTimeout(now: channel.eventLoop.now.uptimeNanoseconds)
      settle()
    }
    look = Look(deadline: deadline, task: task)
  }
}

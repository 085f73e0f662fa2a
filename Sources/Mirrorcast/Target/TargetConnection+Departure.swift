// How a connection ends: after what is queued was sent, or at once.

import ISCSI
import Logging
import NIOCore

extension TargetConnection {
  /// Sends what is queued, then ends the connection.
  func endAfterOutput(_ reason: String) {
    guard stage == .open else { return }
    logEnd("connection ends", reason)
    stage = .closing
    commands.dropAll()
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
}

// Memory for what sessions at ErrorRecoveryLevel 1 have sent, shared out to all of a daemon.
//
// Each session bounds what it keeps by itself; a thousand of them together would be too much still.
// So whenever one has kept more it takes that much here, and forgets its oldest where there isn't
// as much: who comes late keeps less, and who keeps nothing takes nothing from others. What can't
// be had again is refused (Reject 03h), and its command fails or is retried: nobody waits.
//
// Until it is settled a session may hold what it has sent in one go beyond that; as many do so at
// once as there are event loops.

import ISCSI
import Synchronization

/// How much all sessions keep of what they have sent.
final class RecoveryBudget: Sendable {
  let byteCountMax: Int
  private let kept = Mutex(0)

  init(byteCountMax: Int) {
    self.byteCountMax = byteCountMax
  }

  var taken: Int { kept.withLock { $0 } }

  /// Changes what one session has to what it wants, as far as there is room; what it has then.
  func change(from before: Int, to wanted: Int) -> Int {
    kept.withLock { kept in
      let granted = min(wanted - before, max(0, byteCountMax - kept))
      kept += granted
      return before + granted
    }
  }
}

/// What one connection has of it; touched on its event loop only.
struct RecoveryAccount {
  private let budget: RecoveryBudget
  private var taken = 0
  private var isClosed = false

  init(_ budget: RecoveryBudget) {
    self.budget = budget
  }

  /// Takes what the session has kept since, or has it forget; gives back what it keeps no more.
  mutating func settle(_ session: inout TargetSession) {
    let kept = session.keptByteCount
    guard kept != taken, !isClosed else { return }
    taken = budget.change(from: taken, to: kept)
    guard taken < kept else { return }
    session.forgetSent(downTo: taken)
    taken = budget.change(from: taken, to: session.keptByteCount)
  }

  /// The connection has ended.
  mutating func close() {
    taken = budget.change(from: taken, to: 0)
    isClosed = true
  }
}

import SCSI
import Synchronization

/// A LUN's `MediumGate`, for all threads, and whether the LUN is taken from its target.
package final class MediumChanges: Sendable {
  private let gate = Mutex(MediumGate())
  private let withdrawn = Atomic(false)

  package init() {}

  /// Whether none is under way.
  package var isQuiet: Bool { gate.withLock { $0.isQuiet } }

  /// Whether the one who asks is the only one under way.
  var isAlone: Bool { gate.withLock { $0.isAlone } }

  /// Whether the LUN is taken from its target, so that no mirror may have it any more, and no
  /// SANITIZE begins there.
  var isWithdrawn: Bool { withdrawn.load(ordering: .acquiring) }

  /// Under the lock by which mirrors take LUNs.
  func withdraw() { withdrawn.store(true, ordering: .releasing) }

  /// It stays, after all.
  func restore() { withdrawn.store(false, ordering: .releasing) }

  func begin() { gate.withLock { $0.begin() } }

  func end() { gate.withLock { $0.end() } }
}

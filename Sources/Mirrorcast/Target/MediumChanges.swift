import Synchronization

/// How many ordinary commands are changing one LUN's medium just now.
///
/// A mirror takes a LUN in two steps: it marks the LUN as its own, then waits until this is quiet.
/// A command counts itself first and looks for the mark after: so either the mirror waits for it,
/// or it is refused.
package final class MediumChanges: Sendable {
  private let count = Mutex(0)
  private let withdrawn = Atomic(false)

  package init() {}

  /// Whether none is under way.
  package var isQuiet: Bool { count.withLock { $0 == 0 } }

  /// Whether the LUN is taken from its target, so that no mirror may have it any more, and no
  /// SANITIZE begins there.
  var isWithdrawn: Bool { withdrawn.load(ordering: .acquiring) }

  /// Under the lock by which mirrors take LUNs.
  func withdraw() { withdrawn.store(true, ordering: .releasing) }

  /// It stays, after all.
  func restore() { withdrawn.store(false, ordering: .releasing) }

  func begin() { count.withLock { $0 += 1 } }

  func end() {
    count.withLock { count in
      precondition(count > 0, "a change of the medium ended twice")
      count -= 1
    }
  }
}

import Synchronization

/// How many ordinary commands are changing one LUN's medium just now.
///
/// A mirror takes a LUN in two steps: it marks the LUN as its own, then waits until this is quiet.
/// A command counts itself first and looks for the mark after: so either the mirror waits for it,
/// or it is refused.
package final class MediumChanges: Sendable {
  private let count = Mutex(0)

  package init() {}

  /// Whether none is under way.
  package var isQuiet: Bool { count.withLock { $0 == 0 } }

  func begin() { count.withLock { $0 += 1 } }

  func end() {
    count.withLock { count in
      precondition(count > 0, "a change of the medium ended twice")
      count -= 1
    }
  }
}

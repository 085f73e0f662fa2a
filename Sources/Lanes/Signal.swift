// Wakes a lane that sleeps, and costs one atomic load when it doesn't.
//
// The lane arms the signal, looks at its rings once more, and only then sleeps. Who hands in work
// pushes first and wakes after: with a full fence between the two steps on both sides, either the
// lane's second look finds the work or the waker finds the signal armed.

internal import CDatagram
internal import Synchronization

/// An eventfd that is written only when the owner said that it is about to sleep.
package final class Signal: Sendable {
  package let descriptor: Int32
  private let isArmed = Atomic<Bool>(false)

  package init() throws(SystemError) {
    descriptor = try SystemError.check(mirrorcast_event_open(), "open an event")
  }

  deinit {
    mirrorcast_close(descriptor)
  }

  /// Wakes the owner if it sleeps or is about to; any thread may call it, after handing in work.
  package func wake() {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    guard isArmed.load(ordering: .relaxed) else { return }
    if isArmed.exchange(false, ordering: .acquiringAndReleasing) {
      let result = mirrorcast_event_signal(descriptor)
      precondition(result == 0, "an open event can always be signalled")
    }
  }

  /// The owner says that it will sleep, and must look for work once more before it does.
  package func arm() {
    isArmed.store(true, ordering: .relaxed)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  /// The owner is awake again; whether somebody had woken it.
  @discardableResult
  package func disarm() -> Bool {
    if isArmed.exchange(false, ordering: .acquiringAndReleasing) {
      return false
    }
    // The waker took the arming; its write may be a moment away and then wakes us once for nothing.
    mirrorcast_event_drain(descriptor)
    return true
  }
}

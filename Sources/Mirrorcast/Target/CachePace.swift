// A write to a file or a device ends in the kernel's cache, in microseconds; only when that is full
// of what the disk hasn't taken yet does the kernel make the writer wait, for as long as it likes.
// Linux doesn't say so before (RWF_NOWAIT is for reads alone on most file systems). So a connection
// writes on its own thread while that is prompt, and one write that wasn't sends the disk's writes
// to the workers for a while, twice as long each time that it happens again.

import Lanes
import Synchronization

/// Whether one disk's cache takes writes promptly.
package final class CachePace: Sendable {
  /// A write that took longer has waited for the disk.
  package static let promptNanosecondsMax: UInt64 = 1_000_000
  package static let restNanosecondsMin: UInt64 = 1_000_000_000
  package static let restNanosecondsMax: UInt64 = 64_000_000_000

  private let restEnd = Atomic<UInt64>(0)
  private let nextRest = Atomic<UInt64>(CachePace.restNanosecondsMin)

  package init() {}

  package func isPrompt(now: UInt64) -> Bool { now >= restEnd.load(ordering: .relaxed) }

  /// A write began and ended then; `hasWaited`: its thread slept meanwhile.
  package func noteWrite(
    from began: UInt64, to ended: UInt64, hasWaited: @autoclosure () -> Bool
  ) {
    let rest = nextRest.load(ordering: .relaxed)
    if ended - began > CachePace.promptNanosecondsMax, hasWaited() {
      restEnd.store(ended + rest, ordering: .relaxed)
      nextRest.store(min(rest * 2, CachePace.restNanosecondsMax), ordering: .relaxed)
    } else if rest > CachePace.restNanosecondsMin,
      ended > restEnd.load(ordering: .relaxed) + rest
    {
      // Prompt for as long as it rested.
      nextRest.store(rest / 2, ordering: .relaxed)
      restEnd.store(ended, ordering: .relaxed)
    }
  }
}

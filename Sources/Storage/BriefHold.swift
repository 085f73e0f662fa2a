// Who only looks at a file or device (`mirrorcast check`) has a share of its lock for a moment, or
// has the device for itself: the kernel has no other way to ask. A daemon that starts or reloads
// just then is not to be refused for that, so it asks again for a while before it believes it.

import Glibc

/// How often something that another process has is asked for again.
package enum BriefHold {
  package static let attemptsMax = 21
  private static let pauseMicroseconds: UInt32 = 5_000

  package static func pause() { _ = usleep(pauseMicroseconds) }

  /// Whether `attempt` came true, at once or after a tenth of a second at most.
  package static func outlast(
    pause: () -> Void = BriefHold.pause, _ attempt: () -> Bool
  ) -> Bool {
    for index in 0..<attemptsMax {
      if index > 0 { pause() }
      if attempt() { return true }
    }
    return false
  }
}

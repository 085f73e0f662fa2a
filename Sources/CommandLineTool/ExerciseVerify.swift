// Verifications while an exercise writes: a difference between legs that are in sync is none of the
// exercise's own making, so any is an error.

import Mirrorcast
import Synchronization

/// Verifies a kept mirror again and again, all of it, whatever part is written.
final class ExerciseVerify: Sendable {
  /// What it has found.
  struct Outcome: Sendable {
    /// Ended with all compared.
    var whole: UInt64 = 0
    /// Ended early, as legs left.
    var partial: UInt64 = 0
    var bytes: UInt64 = 0
    var differingRegions: UInt64 = 0
  }

  private let mirror: Mirror
  private let isOver = Atomic<Bool>(false)
  private let outcome = Mutex(Outcome())

  init(_ mirror: Mirror) { self.mirror = mirror }

  var result: Outcome { outcome.withLock { $0 } }

  /// The one that is under way is the last.
  func end() { isOver.store(true, ordering: .relaxed) }

  /// Returns when it was told to end, or the mirror takes no more verifications.
  func perform() async {
    repeat {
      guard let verification = try? await mirror.verify() else { return }
      outcome.withLock {
        if verification.isWhole { $0.whole += 1 } else { $0.partial += 1 }
        $0.bytes += verification.legs.reduce(0) { $0 + $1.comparedBytes }
        $0.differingRegions += UInt64(verification.differingRegions)
      }
      for difference in verification.differences.prefix(4) {
        Console.shared.complain("legs differ: \(difference)", advice: nil)
      }
      if verification.endReason != nil { try? await Task.sleep(for: .milliseconds(100)) }
    } while !isOver.load(ordering: .relaxed)
  }
}

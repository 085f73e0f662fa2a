// Ordinary commands that change a disk's medium, and a mirror that wants the disk for itself.
//
// Law: a mirror takes a disk in two steps: it marks the disk as its own, then waits until no
// ordinary command changes the medium any more. A command counts itself first and looks for the
// mark after. So either the mirror waits for it, or it is refused; and a mirror that has begun to
// write never meets a change that it doesn't know of. A SANITIZE does the same, being counted
// itself: else what a command writes that was let through before would be on the disk after it.

/// The ordinary commands that are changing one disk's medium just now.
package struct MediumGate: Sendable {
  private var underWay = 0

  package init() {}

  /// Whether there is none.
  package var isQuiet: Bool { underWay == 0 }

  /// Whether there is just one, which asks.
  package var isAlone: Bool { underWay == 1 }

  package mutating func begin() { underWay += 1 }

  package mutating func end() {
    precondition(underWay > 0, "a change of the medium ended twice")
    underWay -= 1
  }
}

extension DiskRequest {
  /// Why an ordinary command is not carried out that was counted, if it changes the medium.
  /// - Parameter isMirrored: a mirror has marked the disk, or remembers what is on it.
  package func refusal(isMirrored: Bool) -> CommandResult? {
    isMirrored && operation.changesMedium ? CommandResult(.writeProtected) : nil
  }
}

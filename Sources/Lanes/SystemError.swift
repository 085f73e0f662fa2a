// An errno becomes an error in this one place.

internal import CDatagram

/// A system call that failed: what was being done, and the kernel's errno.
package struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
  package let doing: String
  package let number: Int32

  package init(doing: String, number: Int32) {
    self.doing = doing
    self.number = number
  }

  package var description: String { "\(doing): \(Self.text(of: number))" }

  /// The kernel's words for an errno.
  package static func text(of number: Int32) -> String {
    let room = 128
    // Safe: the call ends the text it writes with a zero inside the room it was given.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: room) { text in
      guard let start = text.baseAddress else { return "error \(number)" }
      unsafe mirrorcast_error_text(number, start, room)
      return unsafe String(cString: start)
    }
  }

  /// The result of a shim's call, or the error that a negative one stands for.
  @discardableResult
  package static func check(
    _ result: Int32, _ doing: @autoclosure () -> String
  ) throws(SystemError) -> Int32 {
    if result < 0 {
      throw SystemError(doing: doing(), number: -result)
    }
    return result
  }
}

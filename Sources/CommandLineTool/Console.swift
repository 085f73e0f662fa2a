// Standard error is for people, standard output for results. A progress bar and other lines share
// the terminal: the bar is wiped before a line and drawn again by the next tick.

import Glibc
import Synchronization

/// The terminal as this program uses it: whole lines, and at most one bar that stays the last line.
final class Console: Sendable {
  static let shared = Console()

  /// Whether standard error is a terminal, so that a bar can be redrawn in place.
  let isTerminal = isatty(STDERR_FILENO) == 1
  private let hasBar = Mutex(false)

  /// One line on standard error.
  func say(_ line: String) {
    hasBar.withLock { hasBar in
      writeAll(STDERR_FILENO, ((hasBar ? "\r\u{1b}[K" : "") + line + "\n").bytes)
      hasBar = false
    }
  }

  /// What users of a mirror should know.
  func note(_ notices: [String]) {
    for notice in notices { say("note: \(notice)") }
  }

  /// An error, and what to do about it, on a line each.
  func complain(_ what: String, advice: String?) {
    let what = what.replacingNewlines
    let stop = what.hasSuffix(".") ? "" : "."
    let advised = advice.map { "\(stop)\n  \($0.replacingNewlines)" } ?? ""
    say("mirrorcast: \(what)\(advised)")
  }

  /// Draws the bar anew; an empty text wipes it.
  func showBar(_ text: String) {
    hasBar.withLock { hasBar in
      guard hasBar || !text.isEmpty else { return }
      writeAll(STDERR_FILENO, "\r\(text)\u{1b}[K".bytes)
      hasBar = !text.isEmpty
    }
  }

  /// Lines of a result on standard output, at once; a result that nobody gets is a failure.
  func result(_ text: String) {
    guard writeAll(STDOUT_FILENO, (text + "\n").bytes) else {
      complain("can't write standard output: \(systemErrorText())", advice: nil)
      exit(1)
    }
  }
}

extension String {
  fileprivate var bytes: ArraySlice<UInt8> { Array(utf8)[...] }
  fileprivate var replacingNewlines: String { split(separator: "\n").joined(separator: " ") }
}

/// Writes all of `bytes`; false with errno set when that failed.
@discardableResult
func writeAll(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) -> Bool {
  var rest = bytes
  while !rest.isEmpty {
    // Safe: the buffer is lent for the call, which reads no more than its count.
    let count = unsafe rest.withUnsafeBytes {
      unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
    }
    if count >= 0 {
      rest = rest.dropFirst(count)
    } else if errno != EINTR {
      return false
    }
  }
  return true
}

/// What errno means, in words; the only place where it is asked.
func systemErrorText(_ code: Int32 = errno) -> String {
  // Safe: strerror returns a string that ends with NUL; it is copied here.
  unsafe String(cString: strerror(code))
}

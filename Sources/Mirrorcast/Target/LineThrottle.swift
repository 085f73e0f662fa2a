// Log lines that a peer can cause. The first few of a kind in a second are written as they are, the
// others are counted, and the count is written when the second is over: a flood makes a line or two
// a second, and none of it is lost without a word.

import Logging
import NIOCore
import Synchronization

/// Tells which lines of one kind to write; a value, times in nanoseconds.
struct LineThrottle: Sendable {
  /// What to do with a line.
  enum Verdict: Equatable, Sendable {
    case write
    /// The first that is not written: at this time all such are to be told.
    case countUntil(UInt64)
    case count
  }

  static let intervalNanoseconds: UInt64 = 1_000_000_000

  let linesMax: Int
  private var beganAt: UInt64?
  private var written = 0
  private var counted = 0

  init(linesMax: Int) {
    self.linesMax = linesMax
  }

  mutating func note(now: UInt64) -> Verdict {
    if counted == 0, beganAt.map({ now >= $0 + Self.intervalNanoseconds }) ?? true {
      beganAt = now
      written = 0
    }
    guard written >= linesMax else {
      written += 1
      return .write
    }
    counted += 1
    return counted == 1 ? .countUntil((beganAt ?? now) + Self.intervalNanoseconds) : .count
  }

  /// How many were not written; a new second begins, with the line that tells it.
  mutating func takeCount(now: UInt64) -> Int {
    defer {
      counted = 0
      written = 1
      beganAt = now
    }
    return counted
  }
}

/// The log of connections that come, go and are refused, from any event loop.
final class ConnectionLog: Sendable {
  /// What happens to connections, in words for the line that counts.
  enum Kind: String, CaseIterable, Sendable {
    case refused = "connections were refused"
    case unfinished = "connections ended before they had logged in"
    case loggedIn = "initiators logged in"
    case ended = "sessions ended"

    fileprivate var linesMax: Int {
      switch self {
      case .refused, .unfinished: 1
      case .loggedIn, .ended: 16
      }
    }
  }

  private let throttles = Mutex(
    Dictionary(
      uniqueKeysWithValues: Kind.allCases.map { ($0, LineThrottle(linesMax: $0.linesMax)) }))
  private let logger: Logger

  init(_ logger: Logger) {
    self.logger = logger
  }

  /// Writes a line by `body`, or counts it; on `loop`.
  func note(_ kind: Kind, on loop: any EventLoop, _ body: () -> Void) {
    let now = loop.now.uptimeNanoseconds
    switch throttles.withLock({ $0[kind]?.note(now: now) }) {
    case .write: body()
    case .countUntil(let time):
      loop.scheduleTask(deadline: .uptimeNanoseconds(time)) { [self] in tell(kind, on: loop) }
    case .count, nil: break
    }
  }

  private func tell(_ kind: Kind, on loop: any EventLoop) {
    let now = loop.now.uptimeNanoseconds
    let count = throttles.withLock { $0[kind]?.takeCount(now: now) } ?? 0
    logger.notice("\(count) more \(kind.rawValue)")
  }
}

// Who waits for an answer about a LUN's record or marks, and how that is handed over.

import Replication

/// The requests of one LUN that are under way. A session has one at a time, so there are never more
/// than sessions.
struct KeepingDesk: Sendable {
  typealias Answer = @Sendable (KeepingAnswer) -> Void

  /// One request.
  struct Asked: Sendable {
    let request: KeepingRequest
    let session: UInt64
    let answer: Answer
    /// The LUN had no record: what ordinary commands change just now comes to its end first.
    var awaitsQuiet = false
  }

  private var asked: [UInt64: Asked] = [:]
  private var lastToken: UInt64 = 0
  /// Claims that wait until the last one has ended.
  private var deferred: [Asked] = []

  /// The token for a request.
  mutating func add(_ one: Asked) -> UInt64 {
    lastToken += 1
    asked[lastToken] = one
    return lastToken
  }

  /// What was asked with the token; nil where its session is gone.
  mutating func take(_ token: UInt64) -> Asked? { asked.removeValue(forKey: token) }

  mutating func postpone(_ one: Asked) { deferred.append(one) }

  mutating func takeDeferred() -> [Asked] {
    defer { deferred = [] }
    return deferred
  }

  /// A session has lost its claim; what it had asked.
  mutating func drop(_ session: UInt64) -> [Asked] {
    let gone = asked.filter { $0.value.session == session }
    for token in gone.keys { asked[token] = nil }
    deferred.removeAll { $0.session == session }
    return Array(gone.values)
  }
}

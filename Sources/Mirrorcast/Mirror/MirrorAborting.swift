// ABORT TASK for writes of a mirror. The caller gives a write a tag; what is aborted is all that
// has it: what waits in a lane is taken out, what is open is fenced at every leg.
import Replication
import Synchronization

/// A caller's name for writes of one mirror, by which they may be aborted.
public final class WriteTag: Sendable {
  private struct State {
    var open = 0
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  public init() {}

  /// Counts a write until it has ended and its caller was told.
  func naming(
    _ completion: @escaping @Sendable (WriteResult) -> Void
  ) -> @Sendable (WriteResult) -> Void {
    state.withLock { $0.open += 1 }
    return { result in
      completion(result)
      self.end()
    }
  }

  private func end() {
    let waiters = state.withLock { state in
      state.open -= 1
      guard state.open == 0 else { return [] as [CheckedContinuation<Void, Never>] }
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  var isOpen: Bool { state.withLock { $0.open > 0 } }

  func ended() async {
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if state.open > 0 { state.waiters.append(continuation) }
        return state.open == 0
      }
      if isOver { continuation.resume() }
    }
  }
}

/// What became of the wish to abort writes.
public enum AbortResult: Sendable {
  /// They have ended, and their callers are told: GOOD where all legs had a write already, else the
  /// result names the legs that were kept from it; the others have stored it.
  case complete
  /// No write of that tag is under way.
  case taskDoesNotExist
  /// A mirror that several initiators share aborts nothing.
  case notSupported
}

extension Mirror {
  /// Ends the writes of a tag as soon as can be (ABORT TASK, SAM-5 §7.2), at all legs; returns when
  /// they have ended.
  ///
  /// A leg that was kept from a write may hold some of its bytes, old and new. A kept mirror makes
  /// its legs equal there, one way or the other. In any other, a write that some legs have and some
  /// haven't leaves them different until the range is written again.
  public func abort(_ tag: WriteTag) async -> AbortResult {
    guard succession == nil, gate == nil else { return .notSupported }
    guard tag.isOpen else { return .taskDoesNotExist }
    // A mirror that ends waits for its writes.
    for part in parts { _ = part.post(.abort(tag)) }
    await tag.ended()
    return .complete
  }
}

extension SenderDuty {
  mutating func abort(_ tag: WriteTag, now: UInt64) {
    // What was handed in before the wish is to be found.
    while let call = newCalls.take() { calls.append(call) }
    submitWaiting(now: now)
    for token in calls.tokens(of: tag) { _ = sender.abort(token: token, now: now) }
    for call in calls.removeWaiting(of: tag) {
      newCalls.ended()
      call.release()
      let failures = legs.flatMap(\.urls).map {
        LegStatus(url: $0, isGood: false, text: LegRecord.abortedWords)
      }
      call.completion(WriteResult(isGood: false, failures: failures))
    }
  }
}

extension CallTable {
  /// The calls of a tag that the machine has.
  fileprivate func tokens(of tag: WriteTag) -> [UInt64] { tokens { $0.tag === tag } }

  fileprivate mutating func removeWaiting(of tag: WriteTag) -> [WriteCall] {
    removeWaiting { $0.tag === tag }
  }
}

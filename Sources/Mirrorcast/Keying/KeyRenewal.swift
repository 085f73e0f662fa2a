// New keys for one part of a mirror: whenever a leg has left, since that one has the old key; long
// before a counter ends; and when somebody asks. A new key is a new epoch of the same members: new
// writes wait for their answers, open ones go on by their own.
import Synchronization

/// One change of epoch at a time in a part: joins, leavings in words, and new keys.
final class EpochTurn: Sendable {
  private struct State {
    var isTaken = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  /// Waits until nobody has it.
  func take() async {
    await withCheckedContinuation { continuation in
      let isMine = state.withLock { state in
        guard state.isTaken else {
          state.isTaken = true
          return true
        }
        state.waiters.append(continuation)
        return false
      }
      if isMine { continuation.resume() }
    }
  }

  func give() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard !state.waiters.isEmpty else {
        state.isTaken = false
        return nil
      }
      return state.waiters.removeFirst()
    }
    next?.resume()
  }
}

/// Whether a part's key is to be renewed, and the task that does it. Asked for from any thread.
final class KeyRenewal: Sendable {
  private struct State {
    var isWanted = false
    /// The mirror ends: nothing is begun any more.
    var isOver = false
    /// What renews the part's key; nil where datagrams go in the clear, or before there is a part.
    var renews: (@Sendable () async -> Void)?
    var task: Task<Void, Never>?
  }

  private let state = Mutex(State())

  /// The part is there, and has keys; what was wanted before is done now.
  func begin(_ renews: @escaping @Sendable () async -> Void) {
    let isWanted = state.withLock { state in
      state.renews = renews
      return state.isWanted
    }
    if isWanted { want() }
  }

  /// Has a new key agreed on, soon; once for all that ask meanwhile. Never waits.
  func want() {
    state.withLock { state in
      guard !state.isOver else { return }
      state.isWanted = true
      guard state.task == nil, let renews = state.renews else { return }
      state.task = Task {
        while self.begins() { await renews() }
      }
    }
  }

  private func begins() -> Bool {
    state.withLock { state in
      guard state.isWanted, !state.isOver else {
        state.task = nil
        return false
      }
      state.isWanted = false
      return true
    }
  }

  /// Begins no more, and waits for what was begun.
  func end() async {
    let task = state.withLock { state in
      state.isOver = true
      return state.task
    }
    await task?.value
  }

  /// Waits until nothing that was asked for is left to be done.
  func whenDone() async {
    while let task = state.withLock({ $0.task }) { await task.value }
  }
}

extension Mirror {
  /// Agrees on new keys with all legs, of which the old ones are of no use then. Writes wait for
  /// that as long as the slowest leg takes to answer, and are not lost. Of a mirror that ends, or
  /// has no leg left, no keys are renewed.
  public func renewKeys() async throws {
    if let current = succession?.current { return try await current.renewKeys() }
    guard options.security != nil else {
      throw MirrorcastError(
        "datagrams go in the clear: there are no keys", advice: "Mirror with --secure.")
    }
    for part in parts { part.renewal.want() }
    for part in parts { await part.renewal.whenDone() }
  }
}

import Synchronization

/// Lets a few tests with daemons run at once. All tests begin together, and each of these has
/// dozens of threads and descriptors: together they were more than a thousand of both, which a
/// process may not have everywhere, and which two cores can't serve in time.
enum Places {
  private struct State {
    var free = 6
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private static let state = Mutex(State())
  @TaskLocal private static var isTaken = false

  /// Runs `body` when there is a place; within another such body at once.
  static func run<Value>(_ body: () async throws -> Value) async throws -> Value {
    if isTaken { return try await body() }
    await withCheckedContinuation { continuation in
      let isFree = state.withLock { state in
        guard state.free > 0 else {
          state.waiting.append(continuation)
          return false
        }
        state.free -= 1
        return true
      }
      if isFree { continuation.resume() }
    }
    defer {
      let next = state.withLock { state in
        if state.waiting.isEmpty { state.free += 1 }
        return state.waiting.isEmpty ? nil : state.waiting.removeFirst()
      }
      next?.resume()
    }
    return try await $isTaken.withValue(true) { try await body() }
  }
}

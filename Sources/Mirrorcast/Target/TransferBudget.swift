// Memory for data in flight, shared out to all connections of a daemon.
//
// Each connection bounds what it holds by itself; a thousand of them together would be too much
// still. So before a WRITE is asked for its data, and before a READ is begun, its bytes are taken
// here, or the connection waits, in line with the others: the first in line is served first, so a
// large one is not starved by many small ones. What comes unasked (immediate data, answers) can't
// wait: it is taken anyway, and its connection is not read while there is too much.
//
// Nothing waits for ever: what was taken is held by data that is on its way from a peer, at a disk,
// or on its way to a peer, and each of these has an end in time.

import Synchronization

/// Who has how much, and who is next; a value.
struct TransferLedger: Sendable {
  private struct Waiter {
    let id: UInt64
    let byteCount: Int
  }

  let byteCountMax: Int
  private(set) var taken = 0
  private var waiting: [Waiter] = []

  init(byteCountMax: Int) {
    self.byteCountMax = byteCountMax
  }

  var isFull: Bool { taken >= byteCountMax || !waiting.isEmpty }

  /// Takes bytes; false where `id` is now in line for them.
  mutating func take(_ byteCount: Int, for id: UInt64) -> Bool {
    guard waiting.isEmpty, fits(byteCount) else {
      waiting.append(Waiter(id: id, byteCount: byteCount))
      return false
    }
    taken += byteCount
    return true
  }

  /// Takes bytes that are here already, however much there is.
  mutating func takeAnyway(_ byteCount: Int) { taken += byteCount }

  mutating func give(_ byteCount: Int) {
    taken -= byteCount
    precondition(taken >= 0, "more given back than was taken")
  }

  /// The connection no longer waits.
  mutating func forget(_ id: UInt64) { waiting.removeAll { $0.id == id } }

  /// The next in line for whom there is room now; the bytes are taken.
  mutating func next() -> (id: UInt64, byteCount: Int)? {
    guard let first = waiting.first, fits(first.byteCount) else { return nil }
    waiting.removeFirst()
    taken += first.byteCount
    return (first.id, first.byteCount)
  }

  // What alone is more than all may have goes when nobody else has anything.
  private func fits(_ byteCount: Int) -> Bool {
    taken == 0 || taken + byteCount <= byteCountMax
  }
}

/// The ledger behind its lock.
final class TransferBudget: Sendable {
  private struct State {
    var ledger: TransferLedger
    /// How those in line hear that they have got their bytes.
    var calls: [UInt64: @Sendable (Int) -> Void] = [:]
  }

  private let state: Mutex<State>

  init(byteCountMax: Int) {
    state = Mutex(State(ledger: TransferLedger(byteCountMax: byteCountMax)))
  }

  var isFull: Bool { state.withLock { $0.ledger.isFull } }
  var taken: Int { state.withLock { $0.ledger.taken } }

  /// Takes bytes; where there is no room now it returns false, and calls `granted` with them later.
  /// One at a time for each `id`.
  func take(
    _ byteCount: Int, for id: UInt64, granted: @escaping @Sendable (Int) -> Void
  ) -> Bool {
    state.withLock { state in
      guard !state.ledger.take(byteCount, for: id) else { return true }
      precondition(state.calls.updateValue(granted, forKey: id) == nil, "in line twice")
      return false
    }
  }

  /// Settles what a connection has to what it needs.
  func change(by byteCount: Int) {
    guard byteCount < 0 else { return state.withLock { $0.ledger.takeAnyway(byteCount) } }
    serve { $0.ledger.give(-byteCount) }
  }

  /// The connection no longer waits; false where it does not, its bytes may be on their way to it.
  func forget(_ id: UInt64) {
    serve { state in
      state.ledger.forget(id)
      state.calls[id] = nil
    }
  }

  private func serve(_ body: (inout sending State) -> Void) {
    let calls = state.withLock { state in
      body(&state)
      var calls: [(@Sendable (Int) -> Void, Int)] = []
      while let (id, byteCount) = state.ledger.next() {
        guard let call = state.calls.removeValue(forKey: id) else {
          preconditionFailure("in line without a call")
        }
        calls.append((call, byteCount))
      }
      return calls
    }
    for (call, byteCount) in calls { call(byteCount) }
  }
}

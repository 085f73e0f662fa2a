import ISCSI

/// Callers' writes that the lane holds: a token for each, and those that wait for one.
struct CallTable {
  private var calls: [WriteCall?] = []
  private var free: [Int] = []
  private var waiting = Fifo<WriteCall>()

  var hasWaiting: Bool { !waiting.isEmpty }

  mutating func append(_ call: WriteCall) { waiting.append(call) }

  /// The oldest that waits, under its token; nil when none waits. It waits on until `take`.
  mutating func next() -> (token: Int, call: WriteCall)? {
    guard let call = waiting.first else { return nil }
    if free.isEmpty {
      free.append(calls.count)
      calls.append(nil)
    }
    return (free[free.count - 1], call)
  }

  /// The oldest is the machine's from now on.
  mutating func take() {
    guard let call = waiting.popFirst(), let token = free.popLast() else {
      preconditionFailure("nothing waits")
    }
    calls[token] = call
  }

  /// Takes a call that doesn't wait with the others; its token.
  mutating func takeAtOnce(_ call: WriteCall) -> UInt64 {
    guard let token = free.popLast() else {
      calls.append(call)
      return UInt64(calls.count - 1)
    }
    calls[token] = call
    return UInt64(token)
  }

  subscript(token: UInt64) -> WriteCall {
    guard let call = calls[Int(token)] else { preconditionFailure("a call that is over") }
    return call
  }

  func tokens(where isWanted: (WriteCall) -> Bool) -> [UInt64] {
    calls.indices.filter { calls[$0].map(isWanted) ?? false }.map(UInt64.init)
  }

  /// Takes calls out that the machine doesn't have.
  mutating func removeWaiting(where isUnwanted: (WriteCall) -> Bool) -> [WriteCall] {
    var removed: [WriteCall] = []
    waiting.removeAll {
      guard isUnwanted($0) else { return false }
      removed.append($0)
      return true
    }
    return removed
  }

  /// A call has ended at every leg, though its caller is not told yet.
  mutating func leaveGate(_ token: UInt64) {
    calls[Int(token)]?.leaveGate()
    calls[Int(token)]?.gate = nil
  }

  /// All of a call's data.
  @unsafe func bytes(of token: UInt64) -> UnsafeRawBufferPointer {
    guard let call = calls[Int(token)] else { preconditionFailure("a call that is over") }
    // Safe: the caller's buffer stays until its completion.
    return unsafe call.bytes
  }

  /// Forgets a call, and frees the copy of its data, where it was one.
  mutating func end(_ token: UInt64) {
    calls[Int(token)]?.release()
    calls[Int(token)] = nil
    free.append(Int(token))
  }
}

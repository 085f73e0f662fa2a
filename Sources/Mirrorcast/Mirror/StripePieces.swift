import Synchronization

/// How a caller's write is cut up for the parts of a mirror: with one part by the longest write
/// from the write's own beginning, with several at the borders of the disk's stripes.
struct StripePieces {
  private let count: Int
  private let length: UInt64
  private let partCount: UInt64
  /// The stripe in which the write begins, and how far in.
  private let first: UInt64
  private let skip: UInt64

  /// - Parameter length: of a stripe, in bytes; at most 16 MiB.
  init(offset: UInt64, count: Int, length: UInt64, partCount: Int) {
    precondition(count > 0 && length > 0 && partCount > 0, "a write of some bytes, in some parts")
    self.count = count
    self.length = length
    self.partCount = UInt64(partCount)
    first = offset / length
    skip = partCount == 1 ? 0 : offset % length
  }

  var pieceCount: Int { Int((skip + UInt64(count) + length - 1) / length) }

  /// A piece's bytes within the write, and the part that it goes to.
  subscript(index: Int) -> (range: Range<Int>, part: Int) {
    precondition(index >= 0 && index < pieceCount, "no such piece")
    let start = index == 0 ? 0 : Int(UInt64(index) * length - skip)
    let end = min(Int(UInt64(index + 1) * length - skip), count)
    return (start..<end, Int((first + UInt64(index)) % partCount))
  }
}

/// A buffer on its way through an async call.
// Safe: the caller of Mirror.write keeps it until the call returns.
@safe struct WritePiece: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) {
    // Safe: kept by the caller, as said above.
    unsafe self.bytes = bytes
  }
}

/// Joins the results of the pieces of one write.
final class WriteGather: Sendable {
  private struct State {
    var left: Int
    var failures: [LegStatus] = []
  }

  private let state: Mutex<State>
  private let done: @Sendable (WriteResult) -> Void

  init(_ pieces: Int, _ done: @escaping @Sendable (WriteResult) -> Void) {
    state = Mutex(State(left: pieces))
    self.done = done
  }

  var completion: @Sendable (WriteResult) -> Void {
    { result in
      let failures = self.state.withLock { state -> [LegStatus]? in
        state.left -= 1
        for failure in result.failures
        where !state.failures.contains(where: { $0.url == failure.url }) {
          state.failures.append(failure)
        }
        return state.left == 0 ? state.failures : nil
      }
      if let failures { self.done(WriteResult(isGood: failures.isEmpty, failures: failures)) }
    }
  }
}

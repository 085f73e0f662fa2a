// Task attributes of a mirror's writes. With one lane its sender orders them; with several an
// ordered write is a barrier for all (OrderBarrier). Head of queue goes before what waits in the
// lanes that the write concerns.
import Replication
import Synchronization

/// How a write stands to the other writes of its mirror (SAM-5 §8.6). Whatever it is, writes that
/// overlap are done one after the other at every leg.
public enum TaskAttribute: String, Sendable, CaseIterable {
  /// In any order with others.
  case simple
  /// It begins when all writes that were submitted before it have ended at every leg, and none that
  /// is submitted after it begins before it has ended; but for those at the head of the queue.
  case ordered
  /// It begins before all that waits, ordered writes, too. What is submitted after it need not wait
  /// for its end.
  case headOfQueue = "head-of-queue"

  var ofSubmission: Submission.Attribute {
    switch self {
    case .simple: .simple
    case .ordered: .ordered
    case .headOfQueue: .headOfQueue
    }
  }
}

/// A write, or a part of one, and the lane that does it.
typealias PlacedCall = (part: Int, call: WriteCall)

extension Mirror {
  /// Hands the pieces of an ordered write to the lanes, between marks in all of them.
  func submitOrdered(_ pieces: [PlacedCall]) {
    // Marks of two writes stand in one order in all lanes, or they would wait for each other.
    let refusal = orderings.withLock { _ in placeOrdered(pieces) }
    guard let refusal else { return }
    // Not under the lock: a completion may submit again.
    for piece in refusal.pieces { parts[piece.part].refuse(piece.call, refusal.words) }
  }

  private func placeOrdered(
    _ pieces: [PlacedCall]
  ) -> (pieces: [PlacedCall], words: String)? {
    let counts = parts.indices.map { part in pieces.count { $0.part == part } }
    for (index, part) in parts.enumerated() {
      guard part.calls.reserve(Self.room(counts[index])) else {
        for (part, count) in zip(parts[..<index], counts) { part.calls.ended(Self.room(count)) }
        return (pieces, MirrorPart.tooManyWords)
      }
    }
    let barrier = OrderBarrier(parts.map(\.inbox.signal), writing: counts.count { $0 > 0 })
    for (index, part) in parts.enumerated() {
      let mark = OrderMark(barrier, .before, until: counts[index] == 0 ? .after : .before)
      guard part.submitReserved(WriteCall(mark)) else {
        let left = counts[index] == 0 ? 0 : counts[index] + 1
        part.calls.ended(left)
        for (part, count) in zip(parts[(index + 1)...], counts[(index + 1)...]) {
          part.calls.ended(Self.room(count))
        }
        for (part, count) in zip(parts[..<index], counts) where count > 0 {
          part.calls.ended(count + 1)
        }
        barrier.giveUp()
        return (pieces, MirrorPart.endedWords)
      }
    }
    var refused: [PlacedCall] = []
    for piece in pieces where !parts[piece.part].submitReserved(piece.call) {
      refused.append(piece)
    }
    for (part, count) in zip(parts, counts) where count > 0 {
      let mark = OrderMark(barrier, .after, until: .after)
      if !part.submitReserved(WriteCall(mark)) { barrier.arrive(at: .after) }
    }
    return refused.isEmpty ? nil : (refused, MirrorPart.endedWords)
  }

  /// What a lane takes for its pieces and the marks around them.
  private static func room(_ pieceCount: Int) -> Int { pieceCount == 0 ? 1 : pieceCount + 2 }
}

extension SenderDuty {
  /// Hands a write or a mark to the machine; false when its queue is full.
  mutating func submit(_ call: WriteCall, as token: UInt64, now: UInt64) -> Bool {
    guard call.mark == nil else { return sender.submitMark(token: token, now: now) }
    // Safe: only the length is read.
    let submission = Submission(
      token: token, byteOffset: call.byteOffset, length: unsafe call.bytes.count,
      forceUnitAccess: call.forceUnitAccess, attribute: call.attribute)
    return sender.submit(submission, now: now)
  }

  /// A mark stands, or is none any more since the mirror has stopped.
  mutating func noteMarked(_ token: UInt64) {
    marks.append(token)
    calls[token].mark?.arrive()
  }

  /// Goes on behind the marks whose barriers are open.
  mutating func passMarks(now: UInt64) {
    guard !marks.isEmpty else { return }
    for token in marks where calls[token].mark?.isPassed ?? true {
      marks.removeAll { $0 == token }
      sender.passMark(token: token, now: now)
      free(token)
    }
  }
}

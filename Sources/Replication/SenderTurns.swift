// Task attributes: whose turn it is among the writes that wait (SAM-5 §8.6).
//
// HEAD OF QUEUE goes before all that wait, past ordered writes, too. An ORDERED write waits at the
// queue's head until no caller's write is open, begins alone, and nothing behind it begins before
// it has ended at all legs. So the legs need not keep an order among writes: what is ordered is
// never open together, whatever the datagrams do, and all legs have the same one.
//
// A mirror of several lanes has as many senders. There a mark stands in each queue for an ordered
// write that concerns another one: it stands when a write would begin alone, and nothing behind it
// begins until the owner passes it.
//
// Copies don't count: they change nothing that a caller could tell. Holds pass ordered writes and
// marks, in their own order: one lane's hold may wait for that of another, which would wait for
// this lane's mark.
import Bytes
import ISCSI

extension Submission {
  /// The task attribute, as it stands in a command (RFC 7143 §11.3.1).
  package enum Attribute: UInt8, Sendable {
    case simple = 1
    case ordered
    case headOfQueue
  }

  /// Nothing behind it begins before it is over.
  var isBarrier: Bool { attribute == .ordered }
}

/// What has a turn of its own.
struct TaskTurns: Sendable {
  /// Ordered writes and marks that are not over, wherever they are.
  var barriers = 0
  /// The mark that stands.
  var standing: UInt64?
  /// Writes that go before all that wait.
  var heads = Fifo<Submission>()

  /// Whether the queue alone says whose turn it is.
  var isIdle: Bool { barriers == 0 && heads.isEmpty }
}

extension Sender {
  /// Asks that no caller's write be open, and that none begin that is submitted later:
  /// `SenderEvent.marked` says when it is so. False when the queue is full.
  package mutating func submitMark(token: UInt64, now: UInt64) -> Bool {
    var mark = Submission(token: token, byteOffset: 0, length: 0, attribute: .ordered)
    mark.kind = .mark
    return enter(mark, now: now)
  }

  /// What is behind a mark that stands may begin.
  package mutating func passMark(token: UInt64, now: UInt64) {
    guard turns.standing == token else { return }
    turns.standing = nil
    turns.barriers -= 1
    admit(now: now)
  }

  /// Takes a write or a mark into the order of those that wait; false when the queue is full.
  mutating func enter(_ submission: Submission, now: UInt64) -> Bool {
    guard !withheld.isStopped else {
      giveUp(submission)
      return true
    }
    let waiting = queue.count + holds.asideCount + turns.heads.count
    guard waiting + withheld.count < configuration.queueMax else { return false }
    switch submission.attribute {
    case .simple: queue.append(submission)
    case .ordered:
      turns.barriers += 1
      letHoldsPass()
      queue.append(submission)
    case .headOfQueue: turns.heads.append(submission)
    }
    admit(now: now)
    return true
  }

  /// Holds leave the queue in their order, so none is ever behind a barrier.
  private mutating func letHoldsPass() {
    guard holds.count > 0 else { return }
    var rest = Fifo<Submission>()
    while let next = queue.popFirst() {
      if next.kind == .hold { holds.stepAside(next) } else { rest.append(next) }
    }
    queue = rest
  }

  /// Whether what is behind the barrier that has its turn must wait.
  var isBarred: Bool {
    guard turns.barriers > 0 else { return false }
    return turns.standing != nil || restarted.contains(where: \.isBarrier)
      || writes.contains { $0.phase != .idle && $0.submission.isBarrier }
  }

  /// Whether no caller's write is open, nor will be before those in the queue.
  private var isClear: Bool {
    holds.asideCount == 0 && !restarted.contains { !$0.isCopy }
      && !writes.contains { $0.phase != .idle && !$0.submission.isCopy }
  }

  /// Whether the queue's head has its turn, as far as attributes go.
  func hasTurn(_ first: Submission) -> Bool {
    turns.barriers == 0 || !isBarred && (!first.isBarrier || isClear)
  }

  /// Takes the mark at the queue's head out when it may stand.
  mutating func standMark() {
    guard let first = queue.first, first.kind == .mark, hasTurn(first) else { return }
    _ = queue.popFirst()
    turns.standing = first.token
    events.append(.marked(token: first.token))
  }
}

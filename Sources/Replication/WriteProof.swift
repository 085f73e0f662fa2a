// What a leg says of the bytes that it has of a write, so that the initiator, which alone has the
// key besides, can tell whether they are its own: a group's key is every leg's, so a leg could send
// others something in the initiator's name.
//
// Not sent along with the write, as a signature for each leg would be: that costs datagrams, and
// has to be repaired. The leg's answer goes by its own connection anyway.
package import Bytes

/// A leg's proof of one write's data.
package struct WriteProof: Sendable, Equatable {
  /// Counts a leg's proofs by one key: no nonce comes twice.
  package var counter: UInt32
  /// The first eight bytes of a tag over the data and where it belongs.
  package var tag: UInt64

  package init(counter: UInt32, tag: UInt64) {
    self.counter = counter
    self.tag = tag
  }

  /// Of a leg that has no key to prove anything by.
  package static let none = WriteProof(counter: 0, tag: 0)
}

/// What a proof is to be made of.
package struct ProvedWrite: Sendable {
  package var number: SerialNumber
  package var epoch: UInt16
  package var byteOffset: UInt64
  package var length: Int
  /// The data is on the medium already, and in no buffer.
  package var isDirect: Bool
}

extension Receiver {
  /// What the owner has to prove next: all of its data is here. Nil where nothing waits for that.
  package mutating func nextUnproven() -> (slot: Int, write: ProvedWrite)? {
    while let slot = unproven.popLast() {
      guard writes[slot].phase == .collecting, writes[slot].proof == nil,
        writes[slot].missing.missingCount == 0
      else { continue }
      return (
        slot,
        ProvedWrite(
          number: writes[slot].number, epoch: writes[slot].epoch,
          byteOffset: writes[slot].byteOffset, length: writes[slot].length,
          isDirect: writes[slot].isDirect)
      )
    }
    return nil
  }

  /// A write is proved, and goes on to the medium.
  package mutating func handleProven(_ slot: Int, _ proof: WriteProof) {
    writes[slot].proof = proof
    settle(slot)
  }
}

extension Sender {
  /// The write that a proof is of, where the leg owes its end: its token, the epoch that it belongs
  /// to, and its place. Nil: it is about nothing.
  package func proved(
    leg: Int, number: SerialNumber
  ) -> (token: UInt64, epoch: UInt16, byteOffset: UInt64)? {
    guard configuration.wantsProof, legs[leg].isActive, let slot = slot(of: number),
      writes[slot].open.contains(LegSet(leg)), !writes[slot].submission.isAborted
    else { return nil }
    let submission = writes[slot].submission
    return (submission.token, writes[slot].epoch, submission.byteOffset)
  }

  /// A leg has told of a write's data: what was written, or something else. Then somebody has sent
  /// it that in the initiator's name, or the caller has changed its buffer.
  package mutating func handleProof(
    leg: Int, number: SerialNumber, isRight: Bool, now: UInt64
  ) {
    guard let slot = slot(of: number), writes[slot].open.contains(LegSet(leg)) else { return }
    guard !isRight else {
      writes[slot].proven.insert(LegSet(leg))
      return
    }
    // An answer may come again.
    guard !writes[slot].doubted.contains(LegSet(leg)) else { return }
    counters.unproven += 1
    legs[leg].counters.unproven += 1
    events.append(.unproven(leg: leg, token: writes[slot].submission.token))
    writes[slot].doubted.insert(LegSet(leg))
  }

  /// A write has ended at all legs, and some have something else of it: it is done anew. Where that
  /// doesn't help and one leg alone is wrong, that leaves; where several are, it is the caller's
  /// doing, for which no leg has to.
  /// - Returns: false where the write has ended by that.
  mutating func settleDoubts(_ slot: Int, now: UInt64) -> Bool {
    let doubted = writes[slot].doubted
    guard !doubted.isEmpty, !writes[slot].isAborting else { return false }
    writes[slot].doubted = []
    if writes[slot].submission.unprovenRestarts < Limits.unprovenRestartsMax {
      writes[slot].submission.unprovenRestarts += 1
    } else if doubted.count > 1 {
      writes[slot].submission.restarts = Limits.restartsMax
    } else {
      doubted.forEach { leg in
        let words = "it has other bytes than were written: datagrams are forged"
        fail(leg, .violation(words), now: now)
        writes[slot].failures.append(LegOutcome(leg: leg, failure: .lost))
      }
      return false
    }
    counters.restarts += 1
    return true
  }
}

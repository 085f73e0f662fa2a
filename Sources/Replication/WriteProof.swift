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
  /// The first eight bytes of a tag over the data.
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
  /// The write that a proof is of, where the leg owes its end: its token, and the epoch that it
  /// belongs to. Nil: it is about nothing.
  package func proved(
    leg: Int, number: SerialNumber
  ) -> (token: UInt64, epoch: UInt16)? {
    guard configuration.wantsProof, legs[leg].isActive, let slot = slot(of: number),
      writes[slot].open.contains(LegSet(leg)), !writes[slot].submission.isAborted
    else { return nil }
    return (writes[slot].submission.token, writes[slot].epoch)
  }

  /// A leg has told of a write's data: what was written, or something else. Then somebody has sent
  /// it that in the initiator's name, or the caller has changed its buffer: the write starts anew,
  /// and where that doesn't help the leg leaves.
  package mutating func handleProof(
    leg: Int, number: SerialNumber, isRight: Bool, now: UInt64
  ) {
    guard let slot = slot(of: number), writes[slot].open.contains(LegSet(leg)) else { return }
    guard !isRight else {
      writes[slot].proven.insert(LegSet(leg))
      return
    }
    counters.unproven += 1
    legs[leg].counters.unproven += 1
    events.append(.unproven(leg: leg, token: writes[slot].submission.token))
    guard writes[slot].phase != .restarting else { return }
    guard writes[slot].submission.restarts < Limits.unprovenRestartsMax else {
      fail(leg, .violation("it has other bytes than were written: datagrams are forged"), now: now)
      return
    }
    restart(slot, now: now)
  }
}

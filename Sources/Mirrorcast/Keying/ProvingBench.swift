// Proofs of writes, on both sides: a leg makes them of what it has, the initiator compares them
// with what it has written. One key for each leg and epoch, which no other leg has.
import Bytes
import Lanes
import Replication
import Sealing
import Storage

/// The keys of one leg, by epoch; owned by a lane.
struct ProvingBench: Sendable {
  private struct Entry {
    let key: SealingKey
    /// Of proofs made; the initiator makes none.
    var last: UInt32 = 0
  }

  private var entries = EpochEntries<Entry>()

  mutating func install(_ key: [UInt8], epoch: UInt16) {
    // A leg that was registered anew in the same epoch has another.
    entries.forget { $0 == epoch }
    _ = entries.install(Entry(key: SealingKey(key)), epoch: epoch)
  }

  /// A leg's proof of what it has; none where it has no key, or has made too many by it.
  mutating func prove(
    _ bytes: UnsafeRawBufferPointer, at byteOffset: UInt64, number: SerialNumber, epoch: UInt16
  ) -> WriteProof {
    guard let index = entries.index(of: epoch), entries.values[index].last < .max else {
      return .none
    }
    entries.values[index].last += 1
    let counter = entries.values[index].last
    // Safe: the caller's bytes, which are read before this returns.
    let tag = unsafe entries.values[index].key.tag(
      of: bytes, and: byteOffset, nonce: Self.nonce(number, epoch, counter))
    return WriteProof(counter: counter, tag: tag)
  }

  /// Whether a leg has proved these bytes, and that it has them there.
  func proves(
    _ proof: WriteProof, _ bytes: UnsafeRawBufferPointer, at byteOffset: UInt64,
    number: SerialNumber, epoch: UInt16
  ) -> Bool {
    guard proof.counter > 0, let index = entries.index(of: epoch) else {
      return false
    }
    // Safe: the caller's bytes, which are read before this returns.
    return unsafe proof.tag
      == entries.values[index].key.tag(
        of: bytes, and: byteOffset, nonce: Self.nonce(number, epoch, proof.counter))
  }

  private static func nonce(
    _ number: SerialNumber, _ epoch: UInt16, _ counter: UInt32
  ) -> SealingNonce {
    SealingNonce(upper: UInt64(epoch) << 32 | UInt64(number.rawValue), lower: counter)
  }
}

extension Registration {
  /// Proves what has become whole: it goes on to the medium then.
  func prove() {
    while let (slot, write) = receiver.nextUnproven() {
      // Safe: all of the write's data lies there, and nothing else writes there before its end.
      let bytes = unsafe places.bytes(of: write, slot: slot)
      let proof = unsafe proving.prove(
        bytes, at: write.byteOffset, number: write.number, epoch: write.epoch)
      receiver.handleProven(slot, proof)
    }
  }
}

extension RegistrationPlaces {
  /// The data of a write that is whole.
  @unsafe func bytes(of write: ProvedWrite, slot: Int) -> UnsafeRawBufferPointer {
    // Safe: the owners compare the ranges with what they have.
    if write.isDirect {
      guard let memory else { preconditionFailure("only memory takes data as it comes") }
      return unsafe UnsafeRawBufferPointer(
        memory.place(at: write.byteOffset, byteCount: write.length))
    }
    return unsafe UnsafeRawBufferPointer(rebasing: slab.slot(slot)[..<write.length])
  }
}

extension SenderDuty {
  /// A leg says what it has of a write.
  mutating func handleProof(_ answer: MirrorAnswer, leg: Int, now: UInt64) {
    guard let write = sender.proved(leg: leg, number: answer.writeNumber) else { return }
    // Safe: the caller's buffer stays until its completion.
    let isRight = unsafe proofs[leg].proves(
      answer.proof, calls.bytes(of: write.token), at: write.byteOffset,
      number: answer.writeNumber, epoch: write.epoch)
    sender.handleProof(leg: leg, number: answer.writeNumber, isRight: isRight, now: now)
  }
}

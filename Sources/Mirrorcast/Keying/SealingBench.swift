// The initiator's side of keyed datagrams, in its lane: each datagram is sealed where it was
// assembled, by the key of its epoch. Writes of an earlier epoch go on by their own key.
import ISCSI
import Replication
import Sealing

/// The keys that one lane seals by; owned by the lane.
struct SealingBench {
  /// One epoch's.
  private struct Entry {
    let key: SealingKey
    let hidesData: Bool
    var counter = SealCounter()
  }

  private var entries = EpochEntries<Entry>()

  /// A key for the datagrams of an epoch; those of epochs long gone are let go.
  mutating func install(_ key: EpochKey, epoch: UInt16) {
    let isNew = entries.install(
      Entry(key: SealingKey(key.bytes), hidesData: key.cipher.hidesData), epoch: epoch)
    precondition(isNew, "an epoch has one key")
  }

  /// Whether the present key has sealed so much that another one is due.
  var isRenewalDue: Bool { entries.newest?.counter.isRenewalDue ?? false }

  /// Seals a clear datagram in place: `byteCount` bytes of `bytes`, behind which there is room for
  /// a tag.
  /// - Returns: its length then; nil where its epoch has no key, or has sealed all that it may.
  mutating func seal(_ bytes: inout MutableRawSpan, byteCount: Int) -> Int? {
    precondition(
      byteCount + SealedTrailer.tagByteCount <= bytes.byteCount, "no room for the tag")
    let epoch = Datagram.epoch(in: bytes.bytes, byteCount: byteCount)
    guard let index = entries.index(of: epoch), let counter = entries.values[index].counter.next()
    else { return nil }
    let trailer = SealedTrailer(preparing: &bytes, byteCount: byteCount, counter: counter)
    let isSealed = entries.values[index].key.seal(
      &bytes, hidden: SealedTrailer.hidden(byteCount, hidesData: entries.values[index].hidesData),
      tagOffset: byteCount, nonce: trailer.nonce)
    return isSealed ? byteCount + SealedTrailer.tagByteCount : nil
  }
}

extension SealedTrailer {
  /// The nonce as it stands in the trailer.
  var nonce: SealingNonce { SealingNonce(upper: nonceUpper, lower: counter) }

  /// What is encrypted of a datagram that has so many bytes before its tag: the data, or nothing;
  /// all before that is signed, and the trailer by the nonce.
  static func hidden(_ byteCount: Int, hidesData: Bool) -> Range<Int> {
    let end = byteCount - Datagram.trailerByteCount
    return (hidesData ? BasicHeaderSegment.byteCount : end)..<end
  }
}

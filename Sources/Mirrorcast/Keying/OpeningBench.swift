// A leg's side of keyed datagrams: whatever comes for a registration that has keys is opened where
// it lies before anything else looks at it. What was not sealed by that registration's initiator,
// in an epoch that it knows, or came before, is counted and dropped: no state is touched, and
// nothing is answered.
import ISCSI
import Replication
import Sealing

/// The keys of one registration; owned by its lane.
struct OpeningBench {
  private struct Entry {
    /// Kept to know the same key of another registration by.
    let told: EpochKey
    let key: SealingKey
    var window = ReplayWindow()
  }

  private var entries = EpochEntries<Entry>()

  /// The key of an epoch. False where that has one already.
  mutating func install(_ key: EpochKey, epoch: UInt16) -> Bool {
    entries.install(Entry(told: key, key: SealingKey(key.bytes)), epoch: epoch)
  }

  func hasKey(of epoch: UInt16) -> Bool { entries.index(of: epoch) != nil }

  /// Lets go the keys of epochs of which nothing can be open any more.
  mutating func forget(where isOver: (UInt16) -> Bool) {
    entries.forget(where: isOver)
  }

  /// Lets in once what another bench has opened, which stands there opened already: by the same
  /// key only.
  mutating func admit(_ sealed: RawSpan, openedBy other: OpeningBench) throws(DatagramFault) {
    let trailer = try SealedTrailer(sealed)
    guard let index = entries.index(of: trailer.epoch),
      let theirs = other.entries.index(of: trailer.epoch),
      other.entries.values[theirs].told == entries.values[index].told
    else { throw .key }
    guard entries.values[index].window.admits(trailer.counter) else { throw .replay }
    entries.values[index].window.note(trailer.counter)
  }

  /// Opens one datagram in place. What stands before its tag is to be read as opened then.
  mutating func open(_ bytes: inout MutableRawSpan) throws(DatagramFault) {
    let trailer = try SealedTrailer(bytes.bytes)
    guard let index = entries.index(of: trailer.epoch) else { throw .key }
    guard entries.values[index].window.admits(trailer.counter) else { throw .replay }
    let end = bytes.byteCount - SealedTrailer.tagByteCount
    guard
      entries.values[index].key.open(
        &bytes,
        hidden: SealedTrailer.hidden(end, hidesData: entries.values[index].told.cipher.hidesData),
        tagOffset: end, nonce: trailer.nonce)
    else { throw .tag }
    entries.values[index].window.note(trailer.counter)
  }
}

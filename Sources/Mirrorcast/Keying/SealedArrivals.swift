// Datagrams of registrations that have keys: each is opened where it lies, by itself, before
// anything else looks at it; those that follow one another are taken together then, as clear ones
// are. What can't be opened is counted, and touches nothing.
//
// Road not taken: to open each into the place of its data. A block would be there before its tag
// was looked at, and the place may be the medium.
import Bytes
import Datagrams
import Lanes
import Replication

extension ReceiverDuty {
  /// Takes the datagrams of a message that are of one registration, which has keys, from `first`
  /// on; the index of the first that is not.
  mutating func takeSealed(
    _ datagrams: ArrivedDatagrams, from first: Int, _ source: Endpoint,
    _ registration: Registration, now: UInt64
  ) -> Int {
    var end = first
    // Safe: the pieces lie in the batch, which is ours until the next receive; the spans end with
    // the statements.
    while unsafe end < datagrams.count {
      let bytes = unsafe datagrams.mutable(end)
      guard unsafe SealedTrailer.registration(in: bytes.bytes) == registration.number else { break }
      do throws(DatagramFault) {
        _ = try unsafe registration.open(bytes)
        end += 1
      } catch {
        drops.count(error)
        unsafe takeOpened(datagrams, first..<end, source, registration, now: now)
        return end + 1
      }
    }
    unsafe takeOpened(datagrams, first..<end, source, registration, now: now)
    return end
  }

  private mutating func takeOpened(
    _ datagrams: ArrivedDatagrams, _ pieces: Range<Int>, _ source: Endpoint,
    _ registration: Registration, now: UInt64
  ) {
    guard !pieces.isEmpty else { return }
    // Safe: the pieces lie in the batch, which stays until the next receive.
    let opened = unsafe datagrams.opened(pieces, tagByteCount: SealedTrailer.tagByteCount)
    for twin in registrations where registration.isTwin(of: twin, source) {
      for piece in unsafe 0..<opened.count {
        unsafe give(
          opened[piece], sealed: datagrams[pieces.lowerBound + piece], to: twin,
          openedBy: registration, now: now)
      }
    }
    var piece = 0
    while unsafe piece < opened.count {
      let next = unsafe registration.take(opened, from: piece, drops: &drops, now: now)
      // The tag was right, and yet it is of another registration: that is nobody's datagram.
      if next == piece { drops.count(.kind) }
      piece = max(next, piece + 1)
    }
  }

  /// To another target of this daemon, which has the same key.
  private mutating func give(
    _ bytes: UnsafeRawBufferPointer, sealed: UnsafeRawBufferPointer, to twin: Registration,
    openedBy registration: Registration, now: UInt64
  ) {
    do throws(DatagramFault) {
      // Safe: the caller's bytes, which stay until the next receive.
      try unsafe twin.admit(sealed.bytes, openedBy: registration)
      let datagram = try unsafe Datagram(bytes.bytes, isOpened: true)
      unsafe twin.deliver(datagram, bytes, isCarried: false, now: now)
    } catch {
      drops.count(error)
    }
  }
}

extension Registration {
  /// Whether datagrams are taken only as they were sealed.
  var isKeyed: Bool { opening != nil }

  /// Whether datagrams of an epoch can be opened.
  func hasKey(of epoch: UInt16) -> Bool { opening?.hasKey(of: epoch) ?? false }

  /// A key for an epoch that is here; false where there is none, or it has one.
  func take(_ keys: LegKeys, epoch: UInt16) -> Bool {
    guard receiver.knows(epoch) else { return false }
    opening?.forget { !receiver.knows($0) }
    guard opening?.install(keys.epoch, epoch: epoch) ?? false else { return false }
    proving.install(keys.proof, epoch: epoch)
    return true
  }

  /// Opens one datagram in place, where there are keys; what is to be read of it then.
  func open(
    _ bytes: UnsafeMutableRawBufferPointer
  ) throws(DatagramFault) -> UnsafeRawBufferPointer {
    guard isKeyed else { return UnsafeRawBufferPointer(bytes) }
    // Safe: the span over the caller's bytes ends with the statement.
    var span = unsafe bytes.mutableBytes
    try opening?.open(&span)
    return unsafe UnsafeRawBufferPointer(
      rebasing: bytes[..<(bytes.count - SealedTrailer.tagByteCount)])
  }

  /// Lets in what another registration has opened by the same key, once.
  func admit(_ sealed: RawSpan, openedBy other: Registration) throws(DatagramFault) {
    guard let theirs = other.opening, opening != nil else { throw .sealing }
    try opening?.admit(sealed, openedBy: theirs)
  }
}

// A sealed datagram: the trailer's checksum gives its place to a counter, and a tag stands behind.
//
// | offset | bits | field |
// | 0, 4, 6, 8 | 32, 16, 16, 32 | registration, epoch, flags, sequence, as in a clear one |
// | 12 | 32 | counter: of what this registration has sealed in this epoch, from 1 on |
// | 16 | 128 | tag |
//
// The twelve bytes from the epoch to the counter are the nonce as they stand: so they are signed
// with all that stands before the trailer, and no nonce is used twice, since the counter isn't. The
// registration is signed by the key, which is its own.
import Bytes
import ISCSI

/// What a sealed datagram says in the clear behind its data, before any of it can be believed.
package struct SealedTrailer: Sendable, Equatable {
  /// Bytes of the tag, behind a trailer as long as a clear one.
  package static let tagByteCount = 16
  /// What a sealed datagram has beside its data.
  package static let overheadByteCount = Datagram.overheadByteCount + tagByteCount

  package let registration: UInt32
  package let epoch: UInt16
  package let flags: Datagram.Flags
  package let sequence: UInt32
  package let counter: UInt32

  /// Reads the trailer of a datagram that came.
  package init(_ bytes: RawSpan) throws(DatagramFault) {
    guard bytes.byteCount >= Self.overheadByteCount else { throw .short }
    let start = bytes.byteCount - Self.tagByteCount - Datagram.trailerByteCount
    registration = bytes.bigEndian32(at: start)
    epoch = bytes.bigEndian16(at: start + 4)
    flags = Datagram.Flags(rawValue: bytes.bigEndian16(at: start + 6))
    sequence = bytes.bigEndian32(at: start + 8)
    counter = bytes.bigEndian32(at: start + 12)
    guard flags.contains(.sealed) else { throw .sealing }
  }

  /// Makes a clear datagram that is to be sealed ready for that: says so in its flags, and puts the
  /// counter in the place of its checksum.
  ///
  /// - Parameter byteCount: the clear datagram's length, at the start of `bytes`.
  /// - Returns: what the trailer says from now on.
  package init(
    preparing bytes: inout MutableRawSpan, byteCount: Int, counter: UInt32
  ) {
    let end = byteCount - Datagram.trailerByteCount
    registration = bytes.bytes.bigEndian32(at: end)
    epoch = bytes.bytes.bigEndian16(at: end + 4)
    flags = Datagram.Flags(rawValue: bytes.bytes.bigEndian16(at: end + 6)).union(.sealed)
    sequence = bytes.bytes.bigEndian32(at: end + 8)
    self.counter = counter
    bytes.storeBigEndian(flags.rawValue, at: end + 6)
    bytes.storeBigEndian(counter, at: end + 12)
  }

  /// The nonce's first eight bytes: epoch, flags, sequence. The other four are the counter.
  package var nonceUpper: UInt64 {
    UInt64(epoch) << 48 | UInt64(flags.rawValue) << 32 | UInt64(sequence)
  }

  /// Which registration a sealed datagram claims, before anything of it was checked but its length;
  /// nil where it doesn't say that it is sealed.
  package static func registration(in bytes: RawSpan) -> UInt32? {
    guard let trailer = try? SealedTrailer(bytes) else { return nil }
    return trailer.registration
  }
}

/// The numbers of what one registration seals by the key of one epoch.
package struct SealCounter: Sendable {
  /// Time for a new epoch, long before the numbers end.
  package static let renewalDue: UInt32 = 1 << 31

  private var last: UInt32 = 0

  package init() {}

  /// The next number, never one that was there before; nil when there is none any more.
  package mutating func next() -> UInt32? {
    guard last < .max else { return nil }
    last += 1
    return last
  }

  /// Whether a new key should be agreed on.
  package var isRenewalDue: Bool { last >= Self.renewalDue }

  /// For tests: as if so many had been given out.
  package init(last: UInt32) { self.last = last }
}

/// Which numbers of an epoch have come: each is let in once, and those that are long past never.
///
/// A leg's own: what another one was sent has numbers of the same key, so numbers it never sees are
/// no loss. Asked first, told once the tag was right: else a forger could move it.
package struct ReplayWindow: Sendable {
  /// How far behind the highest one a number may still come: 131,072. More than what stands in a
  /// queue: a socket's buffer has some 16,000 datagrams, and a connection that lost a segment holds
  /// back no more than 65,536 that it carries.
  package static let byteCount = 1 << 14
  private static let size = UInt32(byteCount * 8)

  private var highest: UInt32 = 0
  // Bit n modulo the window is number n's.
  private var seen = [UInt64](repeating: 0, count: byteCount / 8)

  package init() {}

  /// Whether a number has not come yet, as far as is known.
  package func admits(_ number: UInt32) -> Bool {
    guard number > 0 else { return false }
    guard number <= highest else { return true }
    guard highest - number < Self.size else { return false }
    let place = number % Self.size
    return seen[Int(place / 64)] & 1 << UInt64(place % 64) == 0
  }

  /// A number that was admitted has come, and its datagram is what was sealed.
  package mutating func note(_ number: UInt32) {
    if number > highest {
      forget(from: highest, to: number)
      highest = number
    }
    let place = number % Self.size
    seen[Int(place / 64)] |= 1 << UInt64(place % 64)
  }

  /// The places of numbers that come into the window held those that leave it.
  private mutating func forget(from old: UInt32, to new: UInt32) {
    guard new - old < Self.size else {
      for index in seen.indices { seen[index] = 0 }
      return
    }
    var number = old
    while number < new {
      number += 1
      let place = number % Self.size
      // A whole word at a time where the window moves far.
      if place % 64 == 0, new - number >= 63 {
        seen[Int(place / 64)] = 0
        number += 63
      } else {
        seen[Int(place / 64)] &= ~(1 << UInt64(place % 64))
      }
    }
  }
}

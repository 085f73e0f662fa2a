// A datagram is one unmodified iSCSI PDU and a trailer of 16 bytes.
//
// The digest is computed in two pieces on purpose: header and data first, the trailer after them.
// The first piece is the same whenever a block is sent again (the trailer's sequence isn't), so
// both sides keep it: the sender sees by it that a caller's buffer changed, the leg that somebody
// forged a block.
//
// The write number has no field of its own: the tag has 30 bits of it, and the lowest open number,
// at most a window below it, tells the rest.
package import Bytes
package import ISCSI

/// Why a datagram was dropped before the machine saw it; each has a counter.
package enum DatagramFault: Error, Sendable, Equatable, CaseIterable {
  case short
  case lengthMismatch
  case additionalHeader
  case digest
  case kind
  case flags
  case number
  /// Sealed where the mirror has no keys, or not sealed where it has.
  case sealing
  /// Of an epoch whose key isn't here.
  case key
  /// Not what was sealed: changed on the way, or by somebody without the key.
  case tag
  /// Came before, or so long ago that nobody knows.
  case replay
}

/// The parsed head of a datagram that was whole and intact.
package struct Datagram: Sendable {
  /// What a datagram carries.
  package enum Kind: Sendable { case command, data, probe }

  /// The trailer's flags.
  package struct Flags: OptionSet, Sendable, BitwiseCopyable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    package static let repair = Flags(rawValue: 0x0001)
    package static let dataNotDigested = Flags(rawValue: 0x0002)
    package static let probe = Flags(rawValue: 0x0004)
    /// Sent to one leg's address: its sequence is that of what goes there.
    package static let own = Flags(rawValue: 0x0008)
    /// Of a copy between legs: one that has all that was written leaves it alone.
    package static let copy = Flags(rawValue: 0x0010)
    /// Sealed by its epoch's key: see `SealedTrailer`.
    package static let sealed = Flags(rawValue: 0x0020)
    static let known = Flags(rawValue: 0x003f)
  }

  package static let trailerByteCount = 16
  /// What a datagram has beside its data.
  package static let overheadByteCount = BasicHeaderSegment.byteCount + trailerByteCount

  /// The header as it stood; its fields are below, the whole of it is made when it is asked for.
  let words: SixWords
  package var kind: Kind
  package var registration: UInt32
  package var epoch: UInt16
  package var flags: Flags
  package var writeNumber: SerialNumber
  /// Counts what its registration sends to the group, or to one leg; 0 for none.
  package var sequence: UInt32
  /// Digest of header and data, the same for every sending of a block.
  package var contentDigest: UInt32

  package var dataLength: Int { Int(words.first & 0x00ff_ffff) }
  package var isFinal: Bool { words.first >> 48 & 0x80 != 0 }
  package var lun: UInt64 { words.second }
  package var taskTag: UInt32 { UInt32(truncatingIfNeeded: words.third >> 32) }
  /// The transfer tag of data, the expected length of a command.
  package var word20: UInt32 { UInt32(truncatingIfNeeded: words.third) }
  /// DataSN of data.
  package var word36: UInt32 { UInt32(truncatingIfNeeded: words.fifth) }
  /// Buffer offset of data.
  package var word40: UInt32 { UInt32(truncatingIfNeeded: words.sixth >> 32) }

  /// The lowest write number still open, told along in the place of ExpStatSN.
  package var lowestOpen: SerialNumber {
    SerialNumber(UInt32(truncatingIfNeeded: words.fourth))
  }

  package var header: BasicHeaderSegment {
    var header = BasicHeaderSegment()
    header.setUInt64(words.first, at: 0)
    header.setUInt64(words.second, at: 8)
    header.setUInt64(words.third, at: 16)
    header.setUInt64(words.fourth, at: 24)
    header.setUInt64(words.fifth, at: 32)
    header.setUInt64(words.sixth, at: 40)
    return header
  }

  /// Reads and verifies a whole datagram. The data stands at byte 48, `dataLength` bytes of it.
  ///
  /// - Parameter isOpened: it was sealed, and what the tag said is true: `bytes` is what stands
  ///   before the tag. Its content's digest is the header's alone then.
  package init(_ bytes: RawSpan, isOpened: Bool = false) throws(DatagramFault) {
    guard bytes.byteCount >= Self.overheadByteCount else { throw .short }
    words = bytes.sixWords()
    guard words.first >> 24 & 0xff == 0 else { throw .additionalHeader }
    let padded = (Int(words.first & 0x00ff_ffff) + 3) & ~3
    guard bytes.byteCount == Self.overheadByteCount + padded else { throw .lengthMismatch }
    let trailer = BasicHeaderSegment.byteCount + padded
    let flags = Flags(rawValue: bytes.bigEndian16(at: trailer + 6))
    guard flags.contains(.sealed) == isOpened else { throw .sealing }

    var checksum = Checksum()
    let isHeaderOnly = isOpened || flags.contains(.dataNotDigested)
    let digested = isHeaderOnly ? BasicHeaderSegment.byteCount : trailer
    checksum.update(bytes.extracting(0..<digested))
    let content = checksum.state
    if !isOpened {
      checksum.update(bytes.extracting(trailer..<trailer + 12))
      guard checksum.value == bytes.bigEndian32(at: trailer + 12) else { throw .digest }
    }

    guard flags.isSubset(of: .known) else { throw .flags }
    self.kind = try Self.kind(ofOpcode: UInt8(truncatingIfNeeded: words.first >> 56), flags: flags)
    registration = bytes.bigEndian32(at: trailer)
    epoch = bytes.bigEndian16(at: trailer + 4)
    self.flags = flags
    sequence = bytes.bigEndian32(at: trailer + 8)
    contentDigest = content
    writeNumber = SerialNumber(0)
    guard kind != .probe else { return }
    let lowest = UInt32(truncatingIfNeeded: words.fourth)
    let above = (UInt32(truncatingIfNeeded: words.third >> 32) &- lowest) % Self.taskTagCount
    writeNumber = SerialNumber(lowest &+ above)
    guard taskTag == Self.taskTag(of: writeNumber), above < Limits.writeWindowMax else {
      throw .number
    }
  }

  /// Which registration a datagram claims, before anything of it was checked but its length.
  package static func registration(in bytes: RawSpan) -> UInt32? {
    guard bytes.byteCount >= overheadByteCount else { return nil }
    return bytes.bigEndian32(at: bytes.byteCount - trailerByteCount)
  }

  /// The epoch of a clear datagram that was just assembled.
  package static func epoch(in bytes: RawSpan, byteCount: Int) -> UInt16 {
    bytes.bigEndian16(at: byteCount - trailerByteCount + 4)
  }

  private static func kind(
    ofOpcode opcode: UInt8, flags: Flags
  ) throws(DatagramFault) -> Kind {
    switch opcode {
    case 0x41 where !flags.contains(.probe) && !flags.contains(.dataNotDigested): return .command
    case 0x05 where !flags.contains(.probe): return .data
    case 0x40 where flags.contains(.probe): return .probe
    default: throw .kind
    }
  }

  /// How many tags mirrored tasks have. It divides 2^32, so that writes open on both sides of the
  /// numbers' wrap have different tags.
  static let taskTagCount: UInt32 = 1 << 30

  /// The tag of a mirrored task: of the upper half of the tags, never 0xffffffff.
  package static func taskTag(of number: SerialNumber) -> UInt32 {
    0x8000_0000 | number.rawValue % taskTagCount
  }
}

/// What a trailer says besides the digest.
package struct DatagramTrailer: Sendable {
  package var registration: UInt32
  package var epoch: UInt16
  package var flags: Datagram.Flags
  package var sequence: UInt32

  package init(registration: UInt32, epoch: UInt16, flags: Datagram.Flags, sequence: UInt32) {
    self.registration = registration
    self.epoch = epoch
    self.flags = flags
    self.sequence = sequence
  }

  /// Puts header, data and this trailer into `bytes`.
  /// - Returns: the datagram's length and the digest of header and data.
  package func assemble(
    header: BasicHeaderSegment, data: RawSpan, into bytes: inout MutableRawSpan
  ) -> (byteCount: Int, contentDigest: UInt32) {
    header.store(to: &bytes)
    return assemble(behind: data, into: &bytes)
  }

  /// The same where the header stands in `bytes` already.
  package func assemble(
    behind data: RawSpan, into bytes: inout MutableRawSpan
  ) -> (byteCount: Int, contentDigest: UInt32) {
    let start = BasicHeaderSegment.byteCount
    let count = data.byteCount
    let padded = (count + 3) & ~3
    precondition(
      bytes.byteCount >= Datagram.overheadByteCount + padded, "buffer too small for a datagram")
    var checksum = Checksum()
    checksum.update(bytes.bytes.extracting(0..<start))
    if flags.contains(.dataNotDigested) {
      bytes.copy(data, at: start)
    } else {
      checksum.update(copying: data, into: &bytes, at: start)
    }
    let end = start + padded
    if count < padded {
      for index in count..<padded { bytes.store(UInt8(0), at: start + index) }
      if !flags.contains(.dataNotDigested) {
        checksum.update(bytes.bytes.extracting(start + count..<end))
      }
    }
    let content = checksum.state
    bytes.storeBigEndian(registration, at: end)
    bytes.storeBigEndian(UInt32(epoch) << 16 | UInt32(flags.rawValue), at: end + 4)
    bytes.storeBigEndian(sequence, at: end + 8)
    checksum.update(bytes.bytes.extracting(end..<end + 12))
    bytes.storeBigEndian(checksum.value, at: end + 12)
    return (end + Datagram.trailerByteCount, content)
  }
}

// From a stream of bytes to PDUs.
//
// A header is judged as soon as it is whole, before a byte of what it announces is stored: a peer
// that has not logged in can make us hold 48 + 1020 + 8192 bytes and no more. A PDU that is too
// long is reported with its header and its body is skipped, not stored, so that the session may
// answer and, where it judges the sender sane, go on. Bytes are copied once, from the caller's
// span.
//
//     header ▸ additional ▸ header digest ▸ data ▸ padding ▸ data digest
//
// A header whose digest is wrong ends everything: its lengths can't be trusted, so where there is a
// digest it is read before the length of the data is judged. Data whose digest is wrong comes
// marked as damaged.
import Bytes

/// What a stream's next bytes can't be read for.
package enum FramingError: Error, Sendable {
  /// A PDU announced a data segment longer than the receiver's limit.
  case dataSegmentTooLong(BasicHeaderSegment)
  /// The digest says that a header is not the one that was sent.
  case headerDigest
}

/// Cuts a stream into PDUs: call `next` with what has arrived until it returns nil.
package struct FrameDecoder: Sendable {
  /// The longest data segment taken, in bytes; a session raises it when login has ended.
  package var dataSegmentLengthMax: Int
  /// The digests that follow what is read next; a session turns them on when login has ended.
  package var digests: Digests = []

  private var headerBytes: [UInt8] = []
  private var header: BasicHeaderSegment?
  private var additional: [UInt8] = []
  private var data: [UInt8] = []
  private var additionalMissing = 0
  private var dataMissing = 0
  private var padding: [UInt8] = []
  private var paddingMissing = 0
  /// The digest that is just being read, and how much of each is still to come.
  private var digest: [UInt8] = []
  private var headerDigestMissing = 0
  private var dataDigestMissing = 0
  private var skipMissing = 0

  /// RFC 7143 §13.12: 8192 bytes until something else is declared.
  package init(dataSegmentLengthMax: Int = 8192) {
    self.dataSegmentLengthMax = dataSegmentLengthMax
    headerBytes.reserveCapacity(BasicHeaderSegment.byteCount)
  }

  /// Whether the stream may end here: no PDU is half read.
  package var isBetweenPDUs: Bool {
    headerBytes.isEmpty && header == nil && skipMissing == 0
  }

  /// Memory taken for a PDU that is half read, in bytes.
  package var heldByteCount: Int {
    guard header != nil else { return headerBytes.count }
    return BasicHeaderSegment.byteCount + additional.count + additionalMissing + data.count
      + dataMissing
  }

  /// Takes bytes of `bytes` from `offset` on, which it advances; a PDU when one is whole, nil when
  /// all bytes are used up.
  package mutating func next(
    _ bytes: RawSpan, from offset: inout Int
  ) throws(FramingError) -> PDU? {
    if header == nil {
      guard try readHeader(bytes, from: &offset) else { return nil }
    }
    FrameDecoder.move(bytes, from: &offset, into: &additional, missing: &additionalMissing)
    if headerDigestMissing > 0 {
      FrameDecoder.move(bytes, from: &offset, into: &digest, missing: &headerDigestMissing)
      guard headerDigestMissing == 0 else { return nil }
      try checkHeader()
      try beginData()
    }
    FrameDecoder.move(bytes, from: &offset, into: &data, missing: &dataMissing)
    FrameDecoder.move(bytes, from: &offset, into: &padding, missing: &paddingMissing)
    FrameDecoder.move(bytes, from: &offset, into: &digest, missing: &dataDigestMissing)
    guard
      additionalMissing + dataMissing + paddingMissing + dataDigestMissing == 0,
      let whole = header
    else { return nil }
    var pdu = PDU(header: whole, additional: additional, data: data[...])
    if !digest.isEmpty, digest != dataDigest { pdu.fault = .damaged }
    forgetPDU()
    return pdu
  }

  private mutating func checkHeader() throws(FramingError) {
    var wanted = PDUDigest()
    if let header { wanted.update(header.array) }
    wanted.update(additional)
    guard digest == wanted.bytes else { throw .headerDigest }
    digest.removeAll(keepingCapacity: true)
  }

  private var dataDigest: [UInt8] {
    var digest = PDUDigest()
    digest.update(data)
    digest.update(padding)
    return digest.bytes
  }

  /// Takes bytes of an array: see `next(_:from:)` over a span.
  package mutating func next(
    _ bytes: [UInt8], from offset: inout Int
  ) throws(FramingError) -> PDU? {
    // Safe: the span over the caller's array ends with the call.
    let span = unsafe bytes.span.bytes
    return try next(span, from: &offset)
  }

  /// Whether the header is whole; where no digest follows its length is judged here.
  private mutating func readHeader(
    _ bytes: RawSpan, from offset: inout Int
  ) throws(FramingError) -> Bool {
    skip(bytes, from: &offset)
    guard skipMissing == 0 else { return false }
    var missing = BasicHeaderSegment.byteCount - headerBytes.count
    FrameDecoder.move(bytes, from: &offset, into: &headerBytes, missing: &missing)
    guard missing == 0 else { return false }
    // Safe: the span over our own array ends with the expression.
    guard let whole = unsafe BasicHeaderSegment(headerBytes.span.bytes) else { return false }
    headerBytes.removeAll(keepingCapacity: true)
    header = whole
    additionalMissing = Int(whole.totalAHSLength) * 4
    headerDigestMissing = digests.contains(.header) ? Digests.byteCount : 0
    if headerDigestMissing == 0 { try beginData() }
    return true
  }

  /// Makes room for the data that the header announces, where it may be that long.
  private mutating func beginData() throws(FramingError) {
    guard let whole = header else { return }
    let padded = PDU.padded(whole.dataSegmentLength)
    dataDigestMissing = digests.contains(.data) && padded > 0 ? Digests.byteCount : 0
    guard whole.dataSegmentLength <= dataSegmentLengthMax else {
      skipMissing = additionalMissing + padded + dataDigestMissing
      (additionalMissing, dataDigestMissing) = (0, 0)
      forgetPDU()
      throw .dataSegmentTooLong(whole)
    }
    dataMissing = whole.dataSegmentLength
    paddingMissing = padded - dataMissing
    data.reserveCapacity(dataMissing)
  }

  private mutating func skip(_ bytes: RawSpan, from offset: inout Int) {
    let count = min(skipMissing, bytes.byteCount - offset)
    offset += count
    skipMissing -= count
  }

  private mutating func forgetPDU() {
    header = nil
    additional = []
    data = []
    padding.removeAll(keepingCapacity: true)
    digest.removeAll(keepingCapacity: true)
  }

  private static func move(
    _ bytes: RawSpan, from offset: inout Int, into array: inout [UInt8], missing: inout Int
  ) {
    let count = min(missing, bytes.byteCount - offset)
    guard count > 0 else { return }
    // Safe: the range lies in the span, see `count`; the closure copies and keeps no pointer.
    unsafe bytes.withUnsafeBytes { pointer in
      unsafe array.append(contentsOf: pointer[offset..<offset + count])
    }
    offset += count
    missing -= count
  }
}

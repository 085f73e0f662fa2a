// From a stream of bytes to PDUs.
//
// A header is judged as soon as it is whole, before a byte of what it announces is stored: a peer
// that has not logged in can make us hold 48 + 1020 + 8192 bytes and no more. A PDU that is too
// long is reported with its header and its body is skipped, not stored, so that the session may
// answer and, where it judges the sender sane, go on. Bytes are copied once, from the caller's
// span.
import Bytes

/// A PDU announced a data segment longer than the receiver's limit.
package struct FramingError: Error, Sendable {
  package var header: BasicHeaderSegment
  package var dataSegmentLengthMax: Int

  package init(header: BasicHeaderSegment, dataSegmentLengthMax: Int) {
    self.header = header
    self.dataSegmentLengthMax = dataSegmentLengthMax
  }
}

/// Cuts a stream into PDUs: call `next` with what has arrived until it returns nil.
package struct FrameDecoder: Sendable {
  /// The longest data segment taken, in bytes; a session raises it when login has ended.
  package var dataSegmentLengthMax: Int

  private var headerBytes: [UInt8] = []
  private var header: BasicHeaderSegment?
  private var additional: [UInt8] = []
  private var data: [UInt8] = []
  private var additionalMissing = 0
  private var dataMissing = 0
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

  /// Takes bytes of `bytes` from `offset` on, which it advances; a PDU when one is whole, nil when
  /// all bytes are used up.
  package mutating func next(
    _ bytes: RawSpan, from offset: inout Int
  ) throws(FramingError) -> PDU? {
    if header == nil {
      guard try readHeader(bytes, from: &offset) else { return nil }
    }
    FrameDecoder.move(bytes, from: &offset, into: &additional, missing: &additionalMissing)
    FrameDecoder.move(bytes, from: &offset, into: &data, missing: &dataMissing)
    skip(bytes, from: &offset)
    guard additionalMissing == 0, dataMissing == 0, skipMissing == 0, let whole = header else {
      return nil
    }
    let pdu = PDU(header: whole, additional: additional, data: data[...])
    forgetPDU()
    return pdu
  }

  /// Takes bytes of an array: see `next(_:from:)` over a span.
  package mutating func next(
    _ bytes: [UInt8], from offset: inout Int
  ) throws(FramingError) -> PDU? {
    // Safe: the span over the caller's array ends with the call.
    let span = unsafe bytes.span.bytes
    return try next(span, from: &offset)
  }

  /// Whether the header is whole, its lengths are allowed and the body may be read.
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
    let padded = PDU.padded(whole.dataSegmentLength)
    guard whole.dataSegmentLength <= dataSegmentLengthMax else {
      skipMissing = Int(whole.totalAHSLength) * 4 + padded
      throw FramingError(header: whole, dataSegmentLengthMax: dataSegmentLengthMax)
    }
    header = whole
    additionalMissing = Int(whole.totalAHSLength) * 4
    dataMissing = whole.dataSegmentLength
    skipMissing = padded - dataMissing
    data.reserveCapacity(dataMissing)
    return true
  }

  private mutating func skip(_ bytes: RawSpan, from offset: inout Int) {
    guard additionalMissing == 0, dataMissing == 0 else { return }
    let count = min(skipMissing, bytes.byteCount - offset)
    offset += count
    skipMissing -= count
  }

  private mutating func forgetPDU() {
    header = nil
    additional = []
    data = []
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

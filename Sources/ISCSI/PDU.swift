// A PDU as it crosses a connection: 48 bytes of header, additional header segments, data.
//
// The data is a slice, so that a long answer is cut into many PDUs without copying it, and the two
// length fields of the header are filled in only when the PDU is written: nobody can forget them.
import Bytes

/// Why the data of a PDU that arrived can't be used.
package enum PDUFault: Sendable {
  /// The digest of its data was wrong.
  case damaged
  /// The data segment was longer than allowed, and was skipped.
  case tooLong
}

/// One PDU of a connection: header, additional header segments and data segment, without padding.
package struct PDU: Sendable {
  package var header: BasicHeaderSegment
  package var additional: [UInt8]
  package var data: ArraySlice<UInt8>
  /// The digests to be written with it.
  package var digests: Digests = []
  package var fault: PDUFault?

  package init(
    header: BasicHeaderSegment, additional: [UInt8] = [], data: ArraySlice<UInt8> = []
  ) {
    precondition(additional.count <= 255 * 4, "additional header segments over 1020 bytes")
    precondition(data.count <= 0x00ff_ffff, "data segment over 24 bits")
    self.header = header
    self.additional = additional
    self.data = data
  }

  package init(header: BasicHeaderSegment, data: [UInt8]) {
    self.init(header: header, data: data[...])
  }

  /// The header with its two length fields set.
  package var sealedHeader: BasicHeaderSegment {
    var sealed = header
    sealed.totalAHSLength = UInt8((additional.count + 3) / 4)
    sealed.dataSegmentLength = data.count
    return sealed
  }

  /// How many bytes `encode(into:)` appends.
  package var encodedCount: Int {
    BasicHeaderSegment.byteCount + PDU.padded(additional.count) + PDU.padded(data.count)
      + (digests.contains(.header) ? Digests.byteCount : 0)
      + (digests.contains(.data) && !data.isEmpty ? Digests.byteCount : 0)
  }

  /// The digest behind the header segments, nothing where there is none.
  package var headerDigest: [UInt8] {
    guard digests.contains(.header) else { return [] }
    var digest = PDUDigest()
    digest.update(sealedHeader.array)
    digest.update(additional)
    digest.update(PDU.padding(additional.count))
    return digest.bytes
  }

  /// The digest behind the data, nothing where there is none.
  package var dataDigest: [UInt8] {
    guard digests.contains(.data), !data.isEmpty else { return [] }
    var digest = PDUDigest()
    digest.update(data)
    digest.update(PDU.padding(data.count))
    return digest.bytes
  }

  /// Appends the PDU as it stands on the wire.
  package func encode(into bytes: inout [UInt8]) {
    bytes.append(contentsOf: sealedHeader.array)
    bytes += additional + PDU.padding(additional.count) + headerDigest
    bytes.append(contentsOf: data)
    bytes += PDU.padding(data.count) + dataDigest
  }

  // RFC 7143 §11.1: header segments and data are padded with zeros to four bytes.
  package static func padded(_ count: Int) -> Int { (count + 3) & ~3 }

  private static func padding(_ count: Int) -> [UInt8] {
    [UInt8](repeating: 0, count: padded(count) - count)
  }
}

extension ArraySlice<UInt8> {
  /// Its first bytes; a copy where they are a part of more: what is kept for an initiator that may
  /// ask again is counted, and a slice keeps all that it is a part of.
  func copiedPrefix(_ countMax: Int) -> ArraySlice<UInt8> {
    startIndex == 0 && count <= countMax ? self : Array(prefix(countMax))[...]
  }
}

// A PDU as it crosses a connection: 48 bytes of header, additional header segments, data.
//
// The data is a slice, so that a long answer is cut into many PDUs without copying it, and the two
// length fields of the header are filled in only when the PDU is written: nobody can forget them.
import Bytes

/// One PDU of a connection: header, additional header segments and data segment, without padding.
package struct PDU: Sendable {
  package var header: BasicHeaderSegment
  package var additional: [UInt8]
  package var data: ArraySlice<UInt8>

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
  }

  /// Appends the PDU as it stands on the wire.
  package func encode(into bytes: inout [UInt8]) {
    bytes.append(contentsOf: sealedHeader.array)
    bytes.append(contentsOf: additional)
    PDU.pad(additional.count, &bytes)
    bytes.append(contentsOf: data)
    PDU.pad(data.count, &bytes)
  }

  // RFC 7143 §11.1: header segments and data are padded with zeros to four bytes.
  package static func padded(_ count: Int) -> Int { (count + 3) & ~3 }

  private static func pad(_ count: Int, _ bytes: inout [UInt8]) {
    for _ in count..<padded(count) { bytes.append(0) }
  }
}

import ISCSI
import NIOCore

extension ByteBuffer {
  /// Appends a PDU as it stands on the wire, digests included.
  mutating func write(_ pdu: PDU) {
    let header = pdu.sealedHeader
    for offset in stride(from: 0, to: BasicHeaderSegment.byteCount, by: 8) {
      writeInteger(header.uint64(at: offset))
    }
    writePadded(pdu.additional[...])
    writeBytes(pdu.headerDigest)
    writePadded(pdu.data)
    writeBytes(pdu.dataDigest)
  }

  // RFC 7143 §11.1: header segments and data are padded with zeros to four bytes.
  private mutating func writePadded(_ bytes: ArraySlice<UInt8>) {
    writeBytes(bytes)
    writeRepeatingByte(0, count: PDU.padded(bytes.count) - bytes.count)
  }
}

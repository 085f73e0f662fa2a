// From PDUs to bytes of the connection.
//
// Data stays in the caller's array, as slices, until the socket has room for it; then it is copied
// once, with the headers, into one buffer of known size. So a write of 16 MiB costs a batch of
// memory, not 16 MiB, and one system call a batch.

import ISCSI
import NIOCore

/// PDUs that go out in one piece.
struct OutputBatch {
  /// A batch is closed when it has so many bytes; the last PDU may exceed it.
  static let byteCountMax = 256 << 10

  private var pdus: [PDU] = []
  private(set) var byteCount = 0

  var isEmpty: Bool { pdus.isEmpty }
  var isFull: Bool { byteCount >= Self.byteCountMax }

  mutating func append(_ pdu: PDU) {
    byteCount += pdu.encodedCount
    pdus.append(pdu)
  }

  /// The batch as it stands on the wire.
  func encode(_ allocator: ByteBufferAllocator) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: byteCount)
    for pdu in pdus {
      let header = pdu.sealedHeader
      for index in 0..<6 { buffer.writeInteger(header.uint64(at: index * 8)) }
      buffer.writePadded(pdu.additional[...])
      buffer.writePadded(pdu.data)
    }
    return buffer
  }
}

extension ByteBuffer {
  // RFC 7143 §11.1: header segments and data are padded with zeros to four bytes.
  fileprivate mutating func writePadded(_ bytes: ArraySlice<UInt8>) {
    writeBytes(bytes)
    writeRepeatingByte(0, count: PDU.padded(bytes.count) - bytes.count)
  }
}

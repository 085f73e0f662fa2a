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
    for pdu in pdus { buffer.write(pdu) }
    return buffer
  }
}

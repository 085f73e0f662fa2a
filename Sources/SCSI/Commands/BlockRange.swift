// The one place where block addresses become byte offsets. The check is made in blocks: an address
// of 2^63 shifted first would wrap to a valid offset.

/// Blocks as a command names them: not yet compared with any disk.
package struct BlockRange: Equatable, Sendable, BitwiseCopyable {
  package var address: UInt64
  package var count: UInt32

  package init(address: UInt64, count: UInt32) {
    self.address = address
    self.count = count
  }
}

/// Bytes of a disk, known to lie on it.
package struct ByteRange: Equatable, Sendable, BitwiseCopyable {
  package var offset: UInt64
  package var length: UInt64

  package init(offset: UInt64, length: UInt64) {
    self.offset = offset
    self.length = length
  }

  package var end: UInt64 { offset + length }
}

/// How large a disk is, and in what blocks.
package struct BlockGeometry: Equatable, Sendable, BitwiseCopyable {
  package let blockLength: UInt32
  package let blockCount: UInt64

  /// Nil when the blocks are none, not a power of two from 512 to 65536 bytes, or over 2^63 bytes.
  package init?(blockLength: UInt32 = 512, blockCount: UInt64) {
    guard blockLength.nonzeroBitCount == 1, (512...65536).contains(blockLength) else { return nil }
    let bytes = blockCount.multipliedReportingOverflow(by: UInt64(blockLength))
    guard blockCount > 0, !bytes.overflow, bytes.partialValue <= UInt64(Int64.max) else {
      return nil
    }
    self.blockLength = blockLength
    self.blockCount = blockCount
  }

  /// Nil when `byteCount` isn't a whole number of blocks, or no disk.
  package init?(blockLength: UInt32 = 512, byteCount: UInt64) {
    guard blockLength > 0, byteCount % UInt64(blockLength) == 0 else { return nil }
    self.init(blockLength: blockLength, blockCount: byteCount / UInt64(blockLength))
  }

  package var byteCount: UInt64 { blockCount * UInt64(blockLength) }

  /// The bytes of those blocks; throws the sense of an address off the disk.
  package func bytes(of blocks: BlockRange) throws(SenseData) -> ByteRange {
    guard blocks.address <= blockCount, UInt64(blocks.count) <= blockCount - blocks.address else {
      throw SenseData(
        .illegalRequest, .blockAddressOutOfRange,
        information: Swift.max(blocks.address, blockCount))
    }
    return ByteRange(
      offset: blocks.address * UInt64(blockLength),
      length: UInt64(blocks.count) * UInt64(blockLength))
  }
}

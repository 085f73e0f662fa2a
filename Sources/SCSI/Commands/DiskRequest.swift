/// What a command comes down to: one operation on the bytes of a backing.
package enum DiskOperation: Equatable, Sendable {
  /// Bytes of the backing into the caller's buffer.
  case read(ByteRange)
  /// The caller's buffer to the backing; `isForced`: answered only once the medium has it.
  case write(ByteRange, isForced: Bool)
  /// As a forced write, then read back and compared.
  case writeAndCompare(ByteRange)
  /// The backing compared with the caller's buffer.
  case compare(ByteRange)
  /// The backing read through, to see that it can be.
  case verify(ByteRange)
  /// The block in the caller's buffer, over and over.
  case fill(ByteRange)
  /// Zeros, the space given back where the backing can.
  case zero([ByteRange])
  /// Everything written so far to the medium.
  case flush
}

/// An operation to be run, and how its command counts bytes on the wire.
package struct DiskRequest: Equatable, Sendable {
  package let operation: DiskOperation
  /// Bytes of data that must have come from the initiator before the operation can run; those past
  /// the operation's range are a broken block and are dropped.
  package let dataOutLength: Int
  /// Bytes that the command asked to move, for the residual.
  package let expectedTransfer: Int

  package init(_ operation: DiskOperation, dataOutLength: Int = 0, expectedTransfer: Int = 0) {
    self.operation = operation
    self.dataOutLength = dataOutLength
    self.expectedTransfer = expectedTransfer
  }
}

/// How a backing failed, in words that sense data can carry.
package enum DiskFailure: Equatable, Sendable {
  case readError(offset: UInt64)
  case writeError(offset: UInt64)
  case noSpace
  case readOnly
  /// What was compared differs first at that byte of the operation.
  case differs(offset: UInt64)
  case stopped
}

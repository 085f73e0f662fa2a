/// What a command comes down to: one operation on the bytes of a backing.
package enum DiskOperation: Equatable, Sendable {
  /// Bytes of the backing into the caller's buffer.
  case read(ByteRange)
  /// The caller's buffer to the backing; `isForced`: answered only once the medium has it.
  case write(ByteRange, isForced: Bool)
  /// As `write`, and nobody sees a part of it.
  case writeAtomic(ByteRange, isForced: Bool)
  /// The caller's buffer ORed into the backing, nothing coming between.
  case orWrite(ByteRange, isForced: Bool)
  /// The second half of the buffer to the backing where the first half is there now, nothing coming
  /// between.
  case compareAndWrite(ByteRange, isForced: Bool)
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
  /// A hint that the range will be read.
  case prefetch(ByteRange)
  /// What of the range has space, as GET LBA STATUS tells it, into the caller's buffer.
  case allocation(ByteRange, blockLength: UInt32)
  /// Everything written so far to the medium.
  case flush
}

extension DiskOperation {
  /// Whether it may leave other bytes on the medium than before.
  package var changesMedium: Bool {
    switch self {
    case .write, .writeAtomic, .orWrite, .compareAndWrite, .writeAndCompare, .fill, .zero: true
    case .read, .compare, .verify, .prefetch, .allocation, .flush: false
    }
  }

  /// Whether it uses the initiator's data.
  package var takesData: Bool {
    switch self {
    case .write, .writeAtomic, .orWrite, .compareAndWrite, .writeAndCompare, .fill, .compare: true
    case .read, .verify, .zero, .prefetch, .allocation, .flush: false
    }
  }
}

/// An operation to be run, and how its command counts bytes on the wire.
package struct DiskRequest: Equatable, Sendable {
  package let operation: DiskOperation
  /// Bytes of data that must have come from the initiator before the operation can run; those past
  /// the operation's range are a broken block and are dropped.
  package let dataOutLength: Int
  /// Bytes that the operation leaves in the buffer, to be sent.
  package let dataInLength: Int
  /// Bytes that the command asked to move, for the residual; nil: those that it left in the buffer.
  package let expectedTransfer: Int?

  package init(
    _ operation: DiskOperation, dataOutLength: Int = 0, dataInLength: Int = 0,
    expectedTransfer: Int? = 0
  ) {
    self.operation = operation
    self.dataOutLength = dataOutLength
    self.dataInLength = dataInLength
    self.expectedTransfer = expectedTransfer
  }
}

extension DiskRequest {
  // SBC-3 §6.4.5: without WCE a write is GOOD once the medium has it.
  /// The same, answered only once the medium has what it writes of the initiator's data.
  var forced: DiskRequest {
    let forced: DiskOperation
    switch operation {
    case .write(let range, _): forced = .write(range, isForced: true)
    case .writeAtomic(let range, _): forced = .writeAtomic(range, isForced: true)
    case .orWrite(let range, _): forced = .orWrite(range, isForced: true)
    case .compareAndWrite(let range, _): forced = .compareAndWrite(range, isForced: true)
    default: return self
    }
    return DiskRequest(
      forced, dataOutLength: dataOutLength, dataInLength: dataInLength,
      expectedTransfer: expectedTransfer)
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

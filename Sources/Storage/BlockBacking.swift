package import SCSI

/// Where a LUN's bytes are: a file, a block device, memory. Any thread may call at any time; what
/// two overlapping writes leave behind is some mixture of both, as with any disk.
package protocol BlockBacking: AnyObject, Sendable {
  var byteCount: UInt64 { get }
  /// Whether zeros give their space back.
  var isThin: Bool { get }
  /// Whether an operation never waits for a device, so that it may run on the caller's thread.
  var isInline: Bool { get }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError)
  func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError)
  /// All that was written before is on the medium when this returns.
  func flush() throws(StorageError)
  /// The range reads as zeros afterwards; its space is given back where that can be.
  func zero(_ range: ByteRange) throws(StorageError)
}

extension BlockBacking {
  /// Our own bug, not the initiator's: block addresses are compared with the disk long before.
  func requireInside(_ offset: UInt64, _ length: Int) {
    precondition(
      offset <= byteCount && UInt64(length) <= byteCount - offset, "bytes outside the backing")
  }
}

package import SCSI

/// Where a LUN's bytes are: a file, a block device, memory. Any thread may call at any time; what
/// two overlapping writes leave behind is some mixture of both, as with any disk.
package protocol BlockBacking: AnyObject, Sendable {
  var byteCount: UInt64 { get }
  /// What keeps operations apart that must not overlap.
  var exclusion: RangeExclusion { get }
  /// Whether zeros give their space back.
  var isThin: Bool { get }
  /// Whether an operation never waits for a device, so that it may run on the caller's thread.
  var isInline: Bool { get }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError)
  /// Reads what can be had without waiting for a device; false, and nothing of use in the buffer,
  /// where not all can.
  func readAtHand(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Bool
  func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError)
  /// All that was written before is on the medium when this returns.
  func flush() throws(StorageError)
  /// The range reads as zeros afterwards; its space is given back where that can be.
  func zero(_ range: ByteRange) throws(StorageError)
  /// A hint that the range will be read.
  func prefetch(_ range: ByteRange)
  /// What of the range has space, from its start on; may end early, but tells something.
  func extents(of range: ByteRange, countMax: Int) throws(StorageError) -> [BackingExtent]
}

/// A stretch of a backing that has space, or has none and reads as zeros.
package struct BackingExtent: Equatable, Sendable {
  package let length: UInt64
  package let isMapped: Bool

  package init(length: UInt64, isMapped: Bool) {
    self.length = length
    self.isMapped = isMapped
  }
}

extension BlockBacking {
  package func readAtHand(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) -> Bool { false }

  package func prefetch(_ range: ByteRange) {}

  /// Without a map of its own a backing has space for everything.
  package func extents(
    of range: ByteRange, countMax: Int
  ) throws(StorageError) -> [BackingExtent] {
    [BackingExtent(length: range.length, isMapped: true)]
  }

  /// Our own bug, not the initiator's: block addresses are compared with the disk long before.
  func requireInside(_ offset: UInt64, _ length: Int) {
    precondition(
      offset <= byteCount && UInt64(length) <= byteCount - offset, "bytes outside the backing")
  }
}

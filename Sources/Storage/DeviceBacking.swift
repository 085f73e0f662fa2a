import CStorage
import Glibc
package import SCSI

/// A LUN on a block device, opened so that nobody can mount it or serve it a second time.
package final class DeviceBacking: BlockBacking {
  // linux/fs.h: _IOR(0x12, 114, size_t) and _IO(0x12, 127).
  private static let sizeRequest: UInt = 0x8008_1272
  private static let zeroOutRequest: UInt = 0x127f

  package let byteCount: UInt64
  package let exclusion = RangeExclusion()
  /// A device may keep old data in what it discards: it is asked for zeros, which it makes by
  /// discarding where it knows that they read so. Whether space is given back, the operator says.
  package let isThin: Bool
  package let isInline = false
  private let device: FileDescriptor

  package init(
    path: String, isThin: Bool = false, isReadOnly: Bool = false
  ) throws(BackingRefusal) {
    self.isThin = isThin
    device = try Self.open(path, (isReadOnly ? O_RDONLY : O_RDWR) | O_EXCL)
    guard device.status.st_mode & S_IFMT == S_IFBLK else {
      throw BackingRefusal(path, "is not a block device: say file:\(path)")
    }
    byteCount = try Self.byteCount(of: device.number, path)
  }

  private static func open(
    _ path: String, _ flags: Int32
  ) throws(BackingRefusal) -> FileDescriptor {
    for attempt in 0..<BriefHold.attemptsMax {
      if attempt > 0 { BriefHold.pause() }
      do throws(FileDescriptor.OpenFailure) {
        return try FileDescriptor(opening: path, flags)
      } catch {
        guard error.errno == EBUSY else { throw BackingRefusal(path, errno: error.errno) }
      }
    }
    throw BackingRefusal(path, "is in use: unmount it, or stop what else serves it")
  }

  /// The bytes of an open device, where they make a disk.
  static func byteCount(of descriptor: Int32, _ path: String) throws(BackingRefusal) -> UInt64 {
    var count: UInt64 = 0
    // Safe: the kernel stores eight bytes, the size of `count`.
    guard unsafe ioctl(descriptor, sizeRequest, &count) == 0 else {
      throw BackingRefusal(path, errno: errno)
    }
    guard count > 0, count % 512 == 0 else {
      throw BackingRefusal(path, "has \(count) bytes, which makes no disk")
    }
    return count
  }

  package func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(StorageError) {
    requireInside(offset, buffer.count)
    // Safe: the caller's buffer, passed on.
    try unsafe device.read(into: buffer, at: offset)
  }

  package func readAtHand(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) -> Bool {
    requireInside(offset, buffer.count)
    // Safe: the caller's buffer, passed on.
    return unsafe device.readAtHand(into: buffer, at: offset)
  }

  package func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
    requireInside(offset, buffer.count)
    // Safe: the caller's buffer, passed on.
    try unsafe device.write(buffer, at: offset)
  }

  package func flush() throws(StorageError) {
    try device.flush()
  }

  package func prefetch(_ range: ByteRange) {
    _ = posix_fadvise(
      device.number, off_t(range.offset), off_t(range.length), POSIX_FADV_WILLNEED)
  }

  package func zero(_ range: ByteRange) throws(StorageError) {
    requireInside(range.offset, Int(range.length))
    guard range.length > 0 else { return }
    // Zeros that cost no space: refused where the device can't promise both. BLKZEROOUT promises
    // the zeros alone, and keeps the space.
    let isGivenBack = mirrorcast_punch_hole(
      device.number, Int64(range.offset), Int64(range.length))
    guard isGivenBack != 0 else { return }
    var bounds: InlineArray<2, UInt64> = [range.offset, range.length]
    // Safe: the kernel reads two 64-bit numbers.
    if unsafe ioctl(device.number, Self.zeroOutRequest, &bounds) != 0 { try writeZeros(range) }
  }
}

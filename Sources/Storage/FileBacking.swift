// A sparse file. Its holes are the disk's zeros: discarding punches one, by an ioctl that the
// kernel has had for every file system since 5.6, or else by writing zeros.

import Glibc
package import SCSI

/// A LUN in a file, locked so that no second daemon serves it.
package final class FileBacking: BlockBacking {
  package let byteCount: UInt64
  package let exclusion = RangeExclusion()
  package let isThin: Bool
  package let isInline = false
  private let file: FileDescriptor

  /// Opens the file; where there is none, or an empty one, makes it `size` bytes of zeros.
  /// - Parameter beforeMaking: called before that: what is known of a disk there is another's.
  package init(
    path: String, size: UInt64? = nil, isThin: Bool = true, isReadOnly: Bool = false,
    beforeMaking: () throws(BackingRefusal) -> Void = {}
  ) throws(BackingRefusal) {
    self.isThin = isThin
    file = try Self.open(path, creates: size != nil, isReadOnly: isReadOnly)
    let status = file.status
    guard status.st_mode & S_IFMT == S_IFREG else {
      let isDevice = status.st_mode & S_IFMT == S_IFBLK
      throw BackingRefusal(
        path, isDevice ? "is a block device: say device:\(path)" : "is not a regular file")
    }
    guard file.lock() else {
      throw BackingRefusal(path, "is served by another process (its lock is held): stop that first")
    }
    let existing = UInt64(file.status.st_size)
    if existing == 0, let size {
      guard !isReadOnly else { throw BackingRefusal(path, "is empty, and is to be read only") }
      try beforeMaking()
      guard let length = off_t(exactly: size), ftruncate(file.number, length) == 0 else {
        throw BackingRefusal(path, "can't be made \(size) bytes long: \(words(of: errno))")
      }
      Self.flushDirectory(of: path)
    } else if let size, size != existing {
      throw BackingRefusal(
        path, "has \(existing) bytes already, not \(size): leave size= out, or name another file")
    }
    byteCount = existing == 0 ? size ?? 0 : existing
    guard byteCount > 0 else {
      throw BackingRefusal(path, "is empty: add ,size=SIZE to make it a disk")
    }
    guard byteCount % 512 == 0 else {
      throw BackingRefusal(
        path, "has \(byteCount) bytes, not a multiple of 512: lengthen it with truncate --size=%512"
      )
    }
  }

  private static func open(
    _ path: String, creates: Bool, isReadOnly: Bool
  ) throws(BackingRefusal) -> FileDescriptor {
    do throws(FileDescriptor.OpenFailure) {
      // Nothing can be made where nothing may be written, but a size may still be compared.
      let flags = isReadOnly ? O_RDONLY : O_RDWR | (creates ? O_CREAT : 0)
      return try FileDescriptor(opening: path, flags)
    } catch {
      guard error.errno == ENOENT, !creates || isReadOnly else {
        throw BackingRefusal(path, errno: error.errno)
      }
      guard !isReadOnly else {
        throw BackingRefusal(path, "does not exist, and is to be read only")
      }
      throw BackingRefusal(path, "does not exist: add ,size=SIZE to create it")
    }
  }

  /// A new name is on the medium only once its directory is.
  static func flushDirectory(of path: String) { try? JournalFile.flushFolder(of: path) }

  package func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(StorageError) {
    requireInside(offset, buffer.count)
    // Safe: the caller's buffer, passed on.
    try unsafe file.read(into: buffer, at: offset)
  }

  package func readAtHand(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) -> Bool {
    requireInside(offset, buffer.count)
    // Safe: the caller's buffer, passed on.
    return unsafe file.readAtHand(into: buffer, at: offset)
  }

  package func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
    requireInside(offset, buffer.count)
    // Safe: the caller's buffer, passed on.
    try unsafe file.write(buffer, at: offset)
  }

  package func flush() throws(StorageError) {
    try file.flush()
  }

  package func zero(_ range: ByteRange) throws(StorageError) {
    requireInside(range.offset, Int(range.length))
    guard range.length > 0, !punchHole(range) else { return }
    try writeZeros(range)
  }

  package func prefetch(_ range: ByteRange) {
    _ = posix_fadvise(
      file.number, off_t(range.offset), off_t(range.length), POSIX_FADV_WILLNEED)
  }

  /// The file system's own map, hole by hole.
  package func extents(
    of range: ByteRange, countMax: Int
  ) throws(StorageError) -> [BackingExtent] {
    var extents: [BackingExtent] = []
    var offset = range.offset
    var isData = try file.seek(offset, toHole: false) == offset
    while offset < range.end, extents.count < countMax {
      let next = try file.seek(offset, toHole: isData) ?? range.end
      let end = min(max(next, offset), range.end)
      extents.append(BackingExtent(length: end - offset, isMapped: isData))
      offset = end
      isData.toggle()
    }
    return extents
  }

  /// Makes the range a hole; false when this file system, or this kernel, has no holes to punch.
  private func punchHole(_ range: ByteRange) -> Bool {
    var reservation = SpaceReservation(start: Int64(range.offset), length: Int64(range.length))
    // Safe: the kernel reads the 48 bytes that the request's number names.
    return unsafe ioctl(file.number, SpaceReservation.punchRequest, &reservation) == 0
  }
}

/// `struct space_resv` of linux/falloc.h, as FS_IOC_UNRESVSP64 takes it.
private struct SpaceReservation {
  static let punchRequest: UInt = 0x4030_582b
  var type: Int16 = 0
  /// SEEK_SET.
  var whence: Int16 = 0
  var start: Int64
  var length: Int64
  var systemID: Int32 = 0
  var processID: UInt32 = 0
  var padding: (Int64, Int64) = (0, 0)

  init(start: Int64, length: Int64) {
    self.start = start
    self.length = length
  }
}

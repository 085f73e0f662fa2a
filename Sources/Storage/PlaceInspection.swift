import Glibc
import SCSI

/// What a LUN's place is just now, looked at without opening it for good or making anything.
package struct PlaceInspection: Equatable, Sendable {
  /// A file or device, whatever its path.
  package struct Identity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64
  }

  /// Bytes of the disk that it makes, or would make.
  package var byteCount: UInt64
  /// There is a disk; else one is made at the start.
  package var isThere = true
  /// Another process, a daemon probably, has it.
  package var isInUse = false
  /// Nil for memory, and for what is not there.
  package var identity: Identity?
}

extension LogicalUnitSpecification {
  /// Looks whether the LUN could be served; throws why not. That another process has it is told,
  /// not thrown: it may be the very daemon that is to read the configuration again.
  package func inspect() throws(BackingRefusal) -> PlaceInspection {
    let found: PlaceInspection
    switch place {
    case .memory(let size): found = PlaceInspection(byteCount: size)
    case .file(let path, let size): found = try inspectFile(path, size)
    case .device(let path): found = try inspectDevice(path)
    }
    guard
      BlockGeometry(blockLength: options.blockLength, byteCount: found.byteCount) != nil
    else {
      throw BackingRefusal(
        path ?? "memory",
        "has \(found.byteCount) bytes, which make no disk of blocks of \(options.blockLength)")
    }
    return found
  }

  private func inspectFile(
    _ path: String, _ size: UInt64?
  ) throws(BackingRefusal) -> PlaceInspection {
    guard let file = try openToLook(path, 0) else {
      guard let size else {
        throw BackingRefusal(path, "does not exist: add ,size=SIZE to create it")
      }
      guard !options.isReadOnly else {
        throw BackingRefusal(path, "does not exist, and is to be read only")
      }
      try checkFolder(of: path)
      return PlaceInspection(byteCount: size, isThere: false)
    }
    let status = file.status
    guard status.st_mode & S_IFMT == S_IFREG else {
      let isDevice = status.st_mode & S_IFMT == S_IFBLK
      throw BackingRefusal(
        path, isDevice ? "is a block device: say device:\(path)" : "is not a regular file")
    }
    try checkAccess(path)
    let existing = UInt64(status.st_size)
    if let size, existing != 0, existing != size {
      throw BackingRefusal(
        path, "has \(existing) bytes already, not \(size): leave size= out, or name another file")
    }
    guard existing > 0 || size != nil else {
      throw BackingRefusal(path, "is empty: add ,size=SIZE to make it a disk")
    }
    var found = PlaceInspection(byteCount: existing > 0 ? existing : size ?? 0)
    found.isInUse = !file.mayShareLock()
    found.identity = .init(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    return found
  }

  private func inspectDevice(_ path: String) throws(BackingRefusal) -> PlaceInspection {
    var isInUse = false
    var device = try openToLook(path, O_EXCL, busy: &isInUse)
    if isInUse { device = try openToLook(path, 0) }
    guard let device else { throw BackingRefusal(path, errno: ENOENT) }
    let status = device.status
    guard status.st_mode & S_IFMT == S_IFBLK else {
      throw BackingRefusal(path, "is not a block device: say file:\(path)")
    }
    try checkAccess(path)
    var found = PlaceInspection(byteCount: try DeviceBacking.byteCount(of: device.number, path))
    found.isInUse = isInUse
    found.identity = .init(device: UInt64(status.st_rdev), inode: 0)
    return found
  }

  /// Nil where there is nothing; a pipe is not waited for.
  private func openToLook(
    _ path: String, _ flags: Int32
  ) throws(BackingRefusal) -> FileDescriptor? {
    var isBusy = false
    let file = try openToLook(path, flags, busy: &isBusy)
    guard !isBusy else { throw BackingRefusal(path, errno: EBUSY) }
    return file
  }

  private func openToLook(
    _ path: String, _ flags: Int32, busy: inout Bool
  ) throws(BackingRefusal) -> FileDescriptor? {
    do throws(FileDescriptor.OpenFailure) {
      return try FileDescriptor(opening: path, O_RDONLY | O_NONBLOCK | flags)
    } catch {
      if error.errno == ENOENT { return nil }
      busy = error.errno == EBUSY
      if busy { return nil }
      throw BackingRefusal(path, errno: error.errno)
    }
  }

  private func checkAccess(_ path: String) throws(BackingRefusal) {
    // Safe: the path's bytes are lent for the call.
    guard unsafe access(path, options.isReadOnly ? R_OK : R_OK | W_OK) == 0 else {
      throw BackingRefusal(path, errno: errno)
    }
  }

  private func checkFolder(of path: String) throws(BackingRefusal) {
    let folder = path.lastIndex(of: "/").map { path[..<$0] }
    let name = folder.map { $0.isEmpty ? "/" : String($0) } ?? "."
    // Safe: the path's bytes are lent for the call.
    guard unsafe access(name, W_OK | X_OK) == 0 else {
      throw BackingRefusal(path, "can't be made: \(name): \(words(of: errno))")
    }
  }
}

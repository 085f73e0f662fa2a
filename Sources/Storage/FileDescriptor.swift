// The system calls of this room: each loops over EINTR and short counts, and turns errno into a
// typed error, once.

import CStorage
import Glibc

/// An open file or device, closed with its last owner.
struct FileDescriptor: ~Copyable, Sendable {
  /// What a failed `open` left in errno.
  struct OpenFailure: Error {
    let errno: Int32
  }

  let number: Int32

  init(opening path: String, _ flags: Int32) throws(OpenFailure) {
    while true {
      // Safe: the path's bytes are lent for the call.
      let result = unsafe open(path, flags | O_CLOEXEC | O_NOCTTY, 0o600)
      if result >= 0 {
        number = result
        return
      }
      if errno != EINTR { throw OpenFailure(errno: errno) }
    }
  }

  deinit {
    // A child that another thread is just starting may hold a copy for a moment, and the lock with
    // it: so the lock is given up by name.
    _ = flock(number, LOCK_UN)
    _ = close(number)
  }

  var status: stat {
    var status = stat()
    // Safe: the system fills the structure that the pointer lends for the call.
    let result = unsafe fstat(number, &status)
    precondition(result == 0, "fstat of an open descriptor failed")
    return status
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) {
    var done = 0
    while done < buffer.count {
      let position = offset + UInt64(done)
      // Safe: the slice is what is left of the caller's buffer; the loop ends with it.
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = unsafe pread(number, rest.baseAddress, rest.count, off_t(position))
      if count > 0 {
        done += count
      } else if count == 0 {
        // Somebody has truncated the file under us.
        throw .readFailed(offset: position, errno: EIO)
      } else if errno != EINTR {
        throw .readFailed(offset: position, errno: errno)
      }
    }
  }

  /// Reads what the page cache has; false where it hasn't all, or can't be asked.
  func readAtHand(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Bool {
    // Safe: the caller's buffer, lent for the call.
    let count = unsafe mirrorcast_read_at_hand(
      number, buffer.baseAddress, buffer.count, Int64(offset))
    return count == Int64(buffer.count)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
    var done = 0
    while done < buffer.count {
      let position = offset + UInt64(done)
      // Safe: the slice is what is left of the caller's buffer; the loop ends with it.
      let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[done...])
      let count = unsafe pwrite(number, rest.baseAddress, rest.count, off_t(position))
      if count > 0 {
        done += count
      } else if count == 0 {
        throw .writeFailed(offset: position, errno: EIO)
      } else if errno != EINTR {
        throw StorageError(writing: position, errno: errno)
      }
    }
  }

  func flush() throws(StorageError) {
    while fdatasync(number) != 0 {
      if errno != EINTR { throw StorageError(writing: 0, errno: errno) }
    }
  }

  /// The first byte from `offset` on that lies in data, or in a hole; nil past the last one.
  func seek(_ offset: UInt64, toHole: Bool) throws(StorageError) -> UInt64? {
    // linux/fs.h: SEEK_DATA and SEEK_HOLE. The position that this moves is nobody's.
    while true {
      let found = lseek(number, off_t(offset), toHole ? 4 : 3)
      if found >= 0 { return UInt64(found) }
      if errno == ENXIO { return nil }
      if errno != EINTR { throw .readFailed(offset: offset, errno: errno) }
    }
  }

  /// Whether nobody else has the lock for itself alone; takes a share of it until it is closed.
  func mayShareLock() -> Bool {
    while flock(number, LOCK_SH | LOCK_NB) != 0 {
      if errno != EINTR { return false }
    }
    return true
  }

  /// Takes the advisory lock of the whole file; false when another holds it, and not for a moment.
  func lock() -> Bool {
    let number = number
    return BriefHold.outlast {
      while flock(number, LOCK_EX | LOCK_NB) != 0 {
        if errno != EINTR { return false }
      }
      return true
    }
  }
}

import Glibc
package import SCSI

/// How an operation on a backing failed.
package enum StorageError: Error, Equatable, Sendable {
  case readFailed(offset: UInt64, errno: Int32)
  case writeFailed(offset: UInt64, errno: Int32)
  case noSpace
  case readOnly
  /// What was compared differs first at that byte of the operation.
  case differs(offset: UInt64)

  /// The one place where a failed write gets its name.
  init(writing offset: UInt64, errno: Int32) {
    switch errno {
    case ENOSPC, EDQUOT, EFBIG: self = .noSpace
    case EROFS, EPERM: self = .readOnly
    default: self = .writeFailed(offset: offset, errno: errno)
    }
  }

  /// The same in the words that sense data can carry.
  package var diskFailure: DiskFailure {
    switch self {
    case .readFailed(let offset, _): .readError(offset: offset)
    case .writeFailed(let offset, _): .writeError(offset: offset)
    case .noSpace: .noSpace
    case .readOnly: .readOnly
    case .differs(let offset): .differs(offset: offset)
    }
  }
}

extension StorageError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .readFailed(let offset, let errno): "read failed at byte \(offset): \(words(of: errno))"
    case .writeFailed(let offset, let errno): "write failed at byte \(offset): \(words(of: errno))"
    case .noSpace: "no space left where the LUN is stored"
    case .readOnly: "the LUN's store is read-only"
    case .differs(let offset): "data differs at byte \(offset) of the comparison"
    }
  }
}

/// Why a backing can't be opened, in words that say what to do.
package struct BackingRefusal: Error, Equatable, Sendable, CustomStringConvertible {
  package let description: String

  init(_ path: String, _ words: String) {
    description = "\(path): \(words)"
  }

  init(_ path: String, errno: Int32) {
    self.init(path, words(of: errno))
  }
}

/// What the system calls that error number.
func words(of errno: Int32) -> String {
  var text = [CChar](repeating: 0, count: 128)
  // Safe: the buffer is ours, and its true length is told.
  let result = unsafe strerror_r(errno, &text, text.count)
  guard result == 0 else { return "error \(errno)" }
  let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
  return String(decoding: bytes, as: UTF8.self)
}

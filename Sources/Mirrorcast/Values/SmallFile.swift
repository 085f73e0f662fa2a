// Files that people write and this program reads whole: secrets, configurations. They are short,
// and whatever else stands at their path (a pipe, a device, a disk's image) is not read.

import Glibc

/// A short text file, read at once.
struct SmallFile {
  let bytes: [UInt8]
  /// Whether anybody but its owner may read or write it.
  let isOpenToOthers: Bool

  init(path: String, byteCountMax: Int) throws(SmallFileError) {
    guard !path.utf8.contains(0) else { throw .unreadable(ENOENT) }
    // Safe: the path's bytes are lent for the call.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
    guard descriptor >= 0 else { throw .unreadable(errno) }
    defer { close(descriptor) }
    var status = stat()
    // Safe: the system fills the structure that the pointer lends for the call.
    guard unsafe fstat(descriptor, &status) == 0 else { throw .unreadable(errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .noFile }
    guard status.st_size <= byteCountMax else { throw .tooLong(byteCountMax) }
    isOpenToOthers = status.st_mode & 0o077 != 0
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    // Safe: at most the array's own bytes are filled; a file's read is whole or at its end.
    let count = unsafe Glibc.read(descriptor, &bytes, bytes.count)
    guard count >= 0 else { throw .unreadable(errno) }
    self.bytes = Array(bytes.prefix(count))
  }
}

/// Why a short file can't be read.
enum SmallFileError: Error {
  case unreadable(Int32)
  case noFile
  case tooLong(Int)

  func words(_ path: String) -> String {
    switch self {
    case .unreadable(let number):
      // Safe: the text is the C library's own, ends with a zero and is copied at once.
      let words = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
      return "can't read '\(path)': \(words)"
    case .noFile: return "'\(path)' is no file"
    case .tooLong(let max): return "'\(path)' is longer than \(max) bytes"
    }
  }
}

// The bytes that a mirror is made from. A file or block device has a length and can be read again
// at any place; standard input, a pipe or a character device is a stream: read once, in order.

import Glibc
import Mirrorcast

/// An image opened for reading: a file, a block device, or a stream.
final class ImageSource: Sendable {
  /// The name as given; `-` is standard input.
  let name: String
  /// The length in bytes; nil for a stream.
  let byteCount: UInt64?
  private let descriptor: Int32

  init(opening path: String) throws(MirrorcastError) {
    // Safe: the string outlives the call that reads it.
    let descriptor = path == "-" ? STDIN_FILENO : unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw MirrorcastError(
        "can't open image '\(path)': \(systemErrorText())",
        advice: "Give a file or block device that you may read, or - for standard input.")
    }
    var status = stat()
    // Safe: fstat fills the structure lent for the call.
    let kind = unsafe fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
    name = path
    self.descriptor = descriptor
    if kind == S_IFDIR {
      throw MirrorcastError(
        "image '\(path)' is a directory", advice: "Make a disk image of it: mke2fs -d DIRECTORY.")
    }
    guard path != "-", kind == S_IFREG || kind == S_IFBLK else {
      byteCount = nil
      return
    }
    // The end of a block device is found by seeking; its st_size is 0.
    let end = lseek(descriptor, 0, SEEK_END)
    guard end > 0 else {
      throw MirrorcastError("image '\(path)' is empty", advice: "There is nothing to mirror in it.")
    }
    byteCount = UInt64(end)
    _ = posix_fadvise(descriptor, 0, 0, Int32(POSIX_FADV_SEQUENTIAL))
  }

  deinit {
    if descriptor != STDIN_FILENO { close(descriptor) }
  }

  /// Reads until `buffer` is full or the image ends, and returns the number of bytes. A stream has
  /// no places: it is read on from where it stands, and `offset` only names errors.
  @unsafe
  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(MirrorcastError) -> Int {
    var filled = 0
    while filled < buffer.count {
      // Safe: the rest of the caller's buffer, by its own count.
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
      // Safe: the calls write no more than the rest's count into it.
      let count =
        byteCount == nil
        ? unsafe Glibc.read(descriptor, rest.baseAddress, rest.count)
        : unsafe pread(descriptor, rest.baseAddress, rest.count, off_t(offset) + filled)
      if count == 0 { break }
      if count > 0 {
        filled += count
      } else if errno != EINTR {
        throw MirrorcastError(
          "can't read image '\(name)' at byte \(offset + UInt64(filled)): \(systemErrorText())",
          advice: "The disks have the image's beginning only; mirror it again.")
      }
    }
    return filled
  }
}

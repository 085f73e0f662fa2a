// What a disk keeps over a restart, in a small file: whole and old, or whole and new, whatever
// happens while it is written.
//
//     "MIRRSTAT"  version (2)  length (4)  the bytes  CRC32C of all before (4)

import CDigest
import Glibc

/// A few bytes that outlast the daemon, read at start and replaced as one.
package struct StateFile: Sendable {
  package static let byteCountMax = 1 << 20
  private static let magic = Array("MIRRSTAT".utf8)
  private static let version: UInt16 = 1
  private static let headerByteCount = 14

  package let path: String

  package init(path: String) {
    self.path = path
  }

  /// What was kept last; nil when nothing was. Throws where it can't be read, or is not whole.
  package func load() throws(BackingRefusal) -> [UInt8]? {
    guard let file = try open(O_RDONLY, path) else { return nil }
    let size = Int(file.status.st_size)
    guard size <= Self.byteCountMax else { throw damaged }
    // Safe: the buffer is ours until the end of this function, and as long as it says.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { unsafe buffer.deallocate() }
    do throws(StorageError) {
      try unsafe file.read(into: buffer, at: 0)
    } catch {
      throw BackingRefusal(path, "\(error)")
    }
    return try payload(unsafe [UInt8](buffer))
  }

  /// Nil where there is no such file.
  private func open(
    _ flags: Int32, _ path: String
  ) throws(BackingRefusal) -> FileDescriptor? {
    do throws(FileDescriptor.OpenFailure) {
      return try FileDescriptor(opening: path, flags)
    } catch {
      if error.errno == ENOENT { return nil }
      throw BackingRefusal(path, errno: error.errno)
    }
  }

  /// Its bytes are whole, but whoever kept them can't read them.
  package var unreadable: BackingRefusal { damaged }

  private var damaged: BackingRefusal {
    BackingRefusal(
      path, "is damaged: it told who has reservations; take it away to start without any")
  }

  private func payload(_ bytes: [UInt8]) throws(BackingRefusal) -> [UInt8] {
    let header = Self.headerByteCount
    guard bytes.count >= header + 4, Array(bytes.prefix(8)) == Self.magic,
      Self.number(bytes[8..<10]) == UInt32(Self.version),
      Int(Self.number(bytes[10..<14])) == bytes.count - header - 4,
      Self.number(bytes.suffix(4)) == Self.digest(bytes.dropLast(4))
    else { throw damaged }
    return Array(bytes[header..<bytes.count - 4])
  }

  /// Replaces what was kept; it is on the medium when this returns.
  package func store(_ payload: [UInt8]) throws(BackingRefusal) {
    precondition(payload.count <= Self.byteCountMax - 18, "more state than a state file takes")
    var bytes = Self.magic + Self.bytes(UInt32(Self.version), 2)
    bytes += Self.bytes(UInt32(payload.count), 4) + payload
    bytes += Self.bytes(Self.digest(bytes[...]), 4)
    let draft = path + ".new"
    guard let file = try open(O_WRONLY | O_CREAT | O_TRUNC, draft) else {
      throw BackingRefusal(draft, errno: ENOENT)
    }
    // Safe: the buffer is ours until the end of this function, and filled before it is read.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    defer { unsafe buffer.deallocate() }
    unsafe buffer.copyBytes(from: bytes)
    do throws(StorageError) {
      try unsafe file.write(UnsafeRawBufferPointer(buffer), at: 0)
      try file.flush()
    } catch {
      throw BackingRefusal(draft, "\(error)")
    }
    // Safe: both paths' bytes are lent for the call.
    guard unsafe rename(draft, path) == 0 else { throw BackingRefusal(path, errno: errno) }
    FileBacking.flushDirectory(of: path)
  }

  private static func digest(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    // Safe: the slice's own bytes, within the closure.
    unsafe bytes.withUnsafeBytes { unsafe ~mirrorcast_crc32c(.max, $0.baseAddress, $0.count) }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func bytes(_ number: UInt32, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * UInt32(count - 1 - $0))) }
  }
}

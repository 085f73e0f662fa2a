// Where a leg's journal is: a small file beside its LUN, or memory for a LUN that is memory.
//
// A file is made whole before it has its name: as a draft of its full length, so that a full disk
// is met then and not in the middle of a mirror's life, and named with the first flush. A crash
// before that leaves no journal, and nobody has been told of one.
//
// It is opened once and stays open: a kernel tells a failed write-back once to each open file, and
// one that is opened anew might never hear of it.

import Glibc
import Synchronization

/// The bytes of a leg's journal, and how they come to their medium; on threads that may wait.
package final class JournalFile: Sendable {
  /// Where a journal is kept.
  package enum Place: Sendable, Equatable {
    case file(path: String)
    /// As long as the process lives, like the LUN itself.
    case memory
    /// Nowhere, for this reason.
    case none(String)
  }

  /// The bytes as they are just now.
  private struct Contents: ~Copyable {
    /// Nil where there is no file.
    var file: FileDescriptor?
    /// The file has no name yet.
    var isDraft = false
    /// Of a journal in memory; of one that was removed, what it was, so that whoever goes on
    /// writing it finds what it wrote.
    var bytes: [UInt8] = []
  }

  package let place: Place
  private let byteCount: Int
  private let isReadOnly: Bool
  private let contents: Mutex<Contents>

  /// - Parameter byteCount: its full length.
  package init(_ place: Place, byteCount: Int, isReadOnly: Bool = false) {
    self.place = place
    self.byteCount = byteCount
    self.isReadOnly = isReadOnly
    contents = Mutex(Contents())
  }

  /// What was kept; nil where nothing was. Throws where it can't be read, or another process has
  /// it.
  package func load() throws(BackingRefusal) -> [UInt8]? {
    guard case .file(let path) = place else { return nil }
    let file: FileDescriptor
    do throws(FileDescriptor.OpenFailure) {
      file = try FileDescriptor(opening: path, isReadOnly ? O_RDONLY : O_RDWR)
    } catch {
      if error.errno == ENOENT { return nil }
      throw BackingRefusal(path, errno: error.errno)
    }
    guard file.lock() else {
      throw BackingRefusal(path, "is another process's (its lock is held): stop that first")
    }
    guard file.status.st_mode & S_IFMT == S_IFREG, Int(file.status.st_size) <= byteCount else {
      throw BackingRefusal(path, "is no journal of this disk: its length is another's")
    }
    let bytes: [UInt8]
    do throws(StorageError) {
      bytes = try Self.read(file)
    } catch {
      throw BackingRefusal(path, "\(error)")
    }
    hold(file)
    return bytes
  }

  private func hold(_ file: consuming FileDescriptor) {
    var taken: FileDescriptor? = consume file
    contents.withLock { contents in contents.file = taken.take() }
  }

  private static func read(_ file: borrowing FileDescriptor) throws(StorageError) -> [UInt8] {
    let size = Int(file.status.st_size)
    // Safe: the buffer is ours until the end of this function, and as long as it says.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { unsafe buffer.deallocate() }
    try unsafe file.read(into: buffer, at: 0)
    return unsafe [UInt8](buffer)
  }

  /// Puts bytes there, in a file that is made where there is none.
  package func write(_ bytes: [UInt8], at offset: Int) throws(StorageError) {
    precondition(offset >= 0 && offset + bytes.count <= byteCount, "bytes outside the journal")
    let failure = contents.withLock { contents -> StorageError? in
      do throws(StorageError) {
        try write(bytes, at: offset, &contents)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  private func write(
    _ bytes: [UInt8], at offset: Int, _ contents: inout Contents
  ) throws(StorageError) {
    guard !isReadOnly else { throw .readOnly }
    switch place {
    case .none: throw .readOnly
    case .memory:
      fill(&contents.bytes)
      contents.bytes.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    case .file(let path):
      if contents.file == nil {
        contents.file = try draft(path, contents.bytes)
        contents.isDraft = true
      }
      try contents.file?.write(bytes, at: offset)
    }
  }

  private func fill(_ bytes: inout [UInt8]) {
    if bytes.isEmpty { bytes = [UInt8](repeating: 0, count: byteCount) }
  }

  private func draft(
    _ path: String, _ bytes: [UInt8]
  ) throws(StorageError) -> FileDescriptor {
    let draft = path + ".new"
    let file: FileDescriptor
    do throws(FileDescriptor.OpenFailure) {
      file = try FileDescriptor(opening: draft, O_RDWR | O_CREAT | O_TRUNC)
    } catch {
      throw StorageError(writing: 0, errno: error.errno)
    }
    guard file.lock() else { throw .writeFailed(offset: 0, errno: EBUSY) }
    let result = posix_fallocate(file.number, 0, off_t(byteCount))
    do throws(StorageError) {
      if result != 0 { throw StorageError(writing: 0, errno: result) }
      if !bytes.isEmpty { try file.write(bytes, at: 0) }
      return file
    } catch {
      // Safe: the path's bytes are lent for the call.
      _ = unsafe unlink(draft)
      throw error
    }
  }

  /// All that was written before is on the medium when this returns.
  package func flush() throws(StorageError) {
    guard case .file(let path) = place else { return }
    let failure = contents.withLock { contents -> StorageError? in
      do throws(StorageError) {
        // What was written before it was removed is nowhere any more.
        guard contents.file != nil || contents.bytes.isEmpty else {
          throw .writeFailed(offset: 0, errno: EIO)
        }
        try contents.file?.flush()
        guard contents.isDraft else { return nil }
        // Safe: both paths' bytes are lent for the call.
        guard unsafe rename(path + ".new", path) == 0 else {
          throw StorageError(writing: 0, errno: errno)
        }
        try Self.flushFolder(of: path)
        contents.isDraft = false
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  /// The journal is gone. What it was is remembered as long as the process lives.
  package func remove() throws(StorageError) {
    guard case .file(let path) = place else { return }
    let failure = contents.withLock { contents -> StorageError? in
      do throws(StorageError) {
        guard let file = contents.file.take() else { return nil }
        contents.bytes = try Self.read(file)
        // Safe: the path's bytes are lent for the call.
        guard unsafe unlink(contents.isDraft ? path + ".new" : path) == 0 else {
          throw StorageError(writing: 0, errno: errno)
        }
        contents.isDraft = false
        try Self.flushFolder(of: path)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  /// A name that comes or goes has done so on the medium, too.
  static func flushFolder(of path: String) throws(StorageError) {
    let folder: String
    switch path.lastIndex(of: "/") {
    case nil: folder = "."
    case path.startIndex: folder = "/"
    case let slash?: folder = String(path[..<slash])
    }
    do throws(FileDescriptor.OpenFailure) {
      let entries = try FileDescriptor(opening: folder, O_RDONLY | O_DIRECTORY)
      while fsync(entries.number) != 0 {
        if errno != EINTR { throw FileDescriptor.OpenFailure(errno: errno) }
      }
    } catch {
      throw StorageError(writing: 0, errno: error.errno)
    }
  }
}

extension JournalFile.Place {
  /// A journal that is there is none any more, under another name, and durably: it was of a disk
  /// that is gone, and a new one that went by it would count as one that has everything.
  package func setAside() throws(BackingRefusal) {
    // Safe: the paths' bytes are lent for the calls.
    guard case .file(let path) = self, unsafe access(path, F_OK) == 0 else { return }
    let names = (1...99).map { path + ($0 == 1 ? ".old" : ".old\($0)") }
    guard let free = names.first(where: { unsafe access($0, F_OK) != 0 }) else {
      throw BackingRefusal(path, "is of a disk that is gone, as many before it: take them away")
    }
    guard unsafe rename(path, free) == 0 else { throw BackingRefusal(path, errno: errno) }
    do throws(StorageError) {
      try JournalFile.flushFolder(of: path)
    } catch {
      throw BackingRefusal(path, "\(error)")
    }
  }
}

extension FileDescriptor {
  /// As `write` of a buffer.
  fileprivate func write(_ bytes: [UInt8], at offset: Int) throws(StorageError) {
    var failure: StorageError?
    // Safe: the array's own bytes, lent for the call.
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(StorageError) {
        try unsafe write(buffer, at: UInt64(offset))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }
}

extension BackingRefusal {
  /// A journal was read, and what stands in it can't be believed.
  package init(journal path: String, _ words: String) {
    self.init(
      path,
      "\(words); restore it, or take it away to forget that this disk belonged to a mirror: then"
        + " it is a new member, and copied anew")
  }
}

import Glibc
import Storage
import Testing

struct JournalFileTests {
  let directory = Directory()
  private static let length = 66 << 10

  private var path: String { directory.file("disk.img.mirror") }
  private var draft: String { path + ".new" }

  private func journal(isReadOnly: Bool = false) -> JournalFile {
    JournalFile(.file(path: path), byteCount: Self.length, isReadOnly: isReadOnly)
  }

  private func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }

  @Test func `a disk that is made anew has nothing of the one that was there`() throws {
    let path = directory.file("disk")
    let specification = try LogicalUnitSpecification("0=file:\(path),size=1M")
    let place = specification.journalPlace(in: nil, named: "x")
    func journal() throws -> [UInt8]? {
      try JournalFile(place, byteCount: 4096).load().map { Array($0.prefix(512)) }
    }
    do {
      _ = try specification.open(journal: place)
      let journal = JournalFile(place, byteCount: 4096)
      try journal.write(pattern(512), at: 0)
      try journal.flush()
    }
    _ = try specification.open(journal: place)
    #expect(try journal() == pattern(512))
    #expect(unlink(path) == 0)
    _ = try specification.open(journal: place)
    #expect(try journal() == nil)
    let old = try JournalFile(.file(path: path + ".mirror.old"), byteCount: 4096).load()
    #expect(old?.prefix(512) == pattern(512)[...])
  }

  @Test func `has its name only when all of it is on the medium`() throws {
    var whole = pattern(Self.length)
    do {
      let journal = journal()
      #expect(try journal.load() == nil)
      try journal.flush()
      #expect(!isThere(path) && !isThere(draft))
      try journal.write(whole, at: 0)
      #expect(!isThere(path) && isThere(draft))
      try journal.flush()
      #expect(isThere(path) && !isThere(draft))
      whole.replaceSubrange(512..<1024, with: pattern(512).reversed())
      try journal.write(Array(whole[512..<1024]), at: 512)
      try journal.flush()
    }
    let isSame = try journal().load() == whole
    #expect(isSame)
  }

  @Test func `a draft that a crash has left is none`() throws {
    do {
      let journal = journal()
      try journal.write(pattern(4096), at: 0)
    }
    #expect(isThere(draft))
    let journal = journal()
    #expect(try journal.load() == nil)
    try journal.write([7], at: 9)
    try journal.flush()
    let bytes = try #require(try JournalFileTests.read(path))
    #expect(bytes.count == Self.length && bytes[9] == 7)
    #expect(bytes.filter { $0 != 0 }.count == 1)
  }

  static func read(_ path: String) throws -> [UInt8]? {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&buffer, 1, buffer.count, file)
    return Array(buffer.prefix(count))
  }

  @Test func `one that was removed goes on as it was`() throws {
    let journal = journal()
    let whole = pattern(Self.length)
    try journal.write(whole, at: 0)
    try journal.flush()
    try journal.remove()
    #expect(!isThere(path))
    // What was written to it before is nowhere.
    #expect(throws: StorageError.self) { try journal.flush() }
    try journal.write([1, 2, 3], at: 0)
    try journal.flush()
    let isSame = try Self.read(path) == [1, 2, 3] + whole.dropFirst(3)
    #expect(isSame)
    try journal.remove()
    try journal.remove()
    #expect(!isThere(path))
  }

  @Test func `what can't be is told`() throws {
    let nowhere = JournalFile(.file(path: directory.file("a/b")), byteCount: Self.length)
    #expect(try nowhere.load() == nil)
    #expect(throws: StorageError.writeFailed(offset: 0, errno: ENOENT)) {
      try nowhere.write([1], at: 0)
    }
    #expect(throws: StorageError.readOnly) { try journal(isReadOnly: true).write([1], at: 0) }
    #expect(throws: StorageError.readOnly) {
      try JournalFile(.none("no place"), byteCount: Self.length).write([1], at: 0)
    }
    #expect(mkdir(path, 0o700) == 0)
    #expect(throws: BackingRefusal.self) { try journal().load() }
    rmdir(path)
    let file = try #require(fopen(path, "w"))
    let long = pattern(Self.length + 1)
    fwrite(long, 1, long.count, file)
    fclose(file)
    let error = #expect(throws: BackingRefusal.self) { try journal().load() }
    #expect(error?.description.hasSuffix("its length is another's") == true)
  }

  @Test func `a full disk is met when it is made`() throws {
    // A file system that is full whoever asks: no need to have one.
    let full = JournalFile(.file(path: directory.file("x")), byteCount: .max / 2)
    #expect(throws: StorageError.noSpace) { try full.write([1], at: 0) }
    #expect(!isThere(directory.file("x.new")))
  }

  @Test func `two can't have it`() throws {
    let first = journal()
    try first.write([1], at: 0)
    try first.flush()
    let error = #expect(throws: BackingRefusal.self) { try journal().load() }
    #expect(error?.description.contains("another process") == true)
    withExtendedLifetime(first) {}
  }

  @Test func `memory keeps it as long as the object lives`() throws {
    let journal = JournalFile(.memory, byteCount: Self.length)
    try journal.write([1, 2], at: Self.length - 2)
    try journal.flush()
    #expect(try journal.load() == nil)
  }

  @Test func `each kind of LUN has its place`() throws {
    func place(_ text: String, _ folder: String? = nil) throws -> JournalFile.Place {
      try LogicalUnitSpecification("0=" + text).journalPlace(in: folder, named: "serial")
    }
    #expect(try place("file:disks/disk.img") == .file(path: "disks/disk.img.mirror"))
    #expect(try place("file:disks/disk.img", "kept") == .file(path: "kept/serial.mirror"))
    #expect(try place("device:/dev/sdb", "kept") == .file(path: "kept/serial.mirror"))
    #expect(try place("memory:1M", "kept") == .memory)
    guard case .none(let words) = try place("device:/dev/sdb") else {
      Issue.record("a device without a folder has a place")
      return
    }
    #expect(words.contains("state folder"))
  }
}

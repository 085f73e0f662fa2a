import Glibc
import Storage
import Testing

struct StateFileTests {
  let directory = Directory()

  func bytes(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = fread(&buffer, 1, buffer.count, file)
    return Array(buffer.prefix(count))
  }

  func put(_ bytes: [UInt8], _ path: String) throws {
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    fwrite(bytes, 1, bytes.count, file)
  }

  @Test func `what was kept last is read, and there is none at first`() throws {
    let state = StateFile(path: directory.file("state"))
    #expect(try state.load() == nil)
    for payload in [[], [1, 2, 3], pattern(1000), [9]] as [[UInt8]] {
      try state.store(payload)
      #expect(try state.load() == payload)
    }
    #expect(access(state.path + ".new", F_OK) != 0)
  }

  @Test func `a file that isn't whole is refused in words`() throws {
    let state = StateFile(path: directory.file("state"))
    try state.store([1, 2, 3])
    let whole = try bytes(state.path)
    for count in 0..<whole.count {
      try put(Array(whole.prefix(count)), state.path)
      #expect(throws: BackingRefusal.self) { try state.load() }
    }
    for index in whole.indices {
      var changed = whole
      changed[index] ^= 1
      try put(changed, state.path)
      #expect(throws: BackingRefusal.self) { try state.load() }
    }
    try put(whole, state.path)
    #expect(try state.load() == [1, 2, 3])
  }

  @Test func `a folder that isn't there is told`() {
    let state = StateFile(path: directory.file("absent/state"))
    #expect(throws: BackingRefusal.self) { try state.store([1]) }
  }

  @Test func `a read-only file is never opened to be written`() throws {
    let path = directory.file("disk")
    _ = try FileBacking(path: path, size: 4096)
    #expect(chmod(path, 0o400) == 0)
    let backing = try FileBacking(path: path, isReadOnly: true)
    #expect(try backing.bytes(0, 512) == [UInt8](repeating: 0, count: 512))
    #expect(throws: StorageError.self) { try backing.put([1], at: 0) }
    #expect(throws: BackingRefusal.self) {
      try FileBacking(path: directory.file("none"), size: 512, isReadOnly: true)
    }
  }
}

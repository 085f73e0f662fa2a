import Glibc
import SCSI
import Storage
import Testing

struct FileBackingTests {
  let directory = Directory()

  func blocks(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_blocks) : -1
  }

  @Test func `a new file is sparse, and grows only by what is written`() throws {
    let path = directory.file("sparse")
    let backing = try FileBacking(path: path, size: 1 << 40)
    #expect(backing.byteCount == 1 << 40)
    try backing.put(pattern(65536), at: (1 << 40) - 65536)
    try backing.flush()
    #expect((128...1024).contains(blocks(path)))
    _ = try backing.perform(.zero([ByteRange(offset: 0, length: 1 << 40)]))
    #expect(blocks(path) < 128)
    #expect(try backing.bytes((1 << 40) - 512, 512) == [UInt8](repeating: 0, count: 512))
  }

  @Test func `data outlives the backing`() throws {
    let path = directory.file("kept")
    do {
      let backing = try FileBacking(path: path, size: 1 << 20)
      _ = try backing.perform(
        .write(ByteRange(offset: 512, length: 4096), isForced: true), pattern(4096))
    }
    for size in [nil, 1 << 20] as [UInt64?] {
      let again = try FileBacking(path: path, size: size)
      #expect(try again.bytes(512, 4096) == pattern(4096))
    }
  }

  @Test func `another size is refused, and the file left alone`() throws {
    let path = directory.file("sized")
    do { try FileBacking(path: path, size: 1 << 20).put(pattern(512), at: 0) }
    for size in [512, 1 << 21] as [UInt64] {
      let words = refusal { try FileBacking(path: path, size: size) }
      #expect(words.contains("has 1048576 bytes already, not \(size)"))
    }
    #expect(try FileBacking(path: path).bytes(0, 512) == pattern(512))
  }

  @Test func `a lock that somebody has for a moment is asked for again`() {
    for others in [0, 1, BriefHold.attemptsMax - 1] {
      var (attempts, pauses) = (0, 0)
      let isHad = BriefHold.outlast(pause: { pauses += 1 }) {
        attempts += 1
        return attempts > others
      }
      #expect(isHad)
      #expect(attempts == others + 1 && pauses == others)
    }
    var attempts = 0
    let isHad = BriefHold.outlast(pause: {}) {
      attempts += 1
      return false
    }
    #expect(!isHad && attempts == BriefHold.attemptsMax)
  }

  @Test func `a file is served once`() throws {
    let path = directory.file("locked")
    do {
      let first = try FileBacking(path: path, size: 1 << 20)
      #expect(refusal { try FileBacking(path: path) }.contains("served by another process"))
      // A refused opening must not give the first one's lock away.
      #expect(run("flock", "-n", path, "true").status == 1)
      #expect(first.byteCount == 1 << 20)
    }
    #expect(refusal { try FileBacking(path: path) } == "opened, 1048576 bytes")
  }

  @Test func `what is no disk is refused with what to do`() throws {
    let missing = directory.file("missing")
    #expect(refusal { try FileBacking(path: missing) }.contains("add ,size=SIZE to create it"))
    #expect(access(missing, F_OK) != 0)
    #expect(
      refusal { try FileBacking(path: directory.file("no/such"), size: 512) }
        .contains("No such file or directory"))
    #expect(refusal { try FileBacking(path: directory.path) }.contains("Is a directory"))
    #expect(refusal { try FileBacking(path: "/dev/null") }.contains("not a regular file"))
    let odd = directory.file("odd")
    #expect(run("truncate", "-s", "1000", odd).status == 0)
    #expect(refusal { try FileBacking(path: odd) }.contains("not a multiple of 512"))
    let empty = directory.file("empty")
    #expect(run("truncate", "-s", "0", empty).status == 0)
    #expect(refusal { try FileBacking(path: empty) }.contains("is empty: add ,size=SIZE"))
    #expect(refusal { try FileBacking(path: empty, size: 1024) } == "opened, 1024 bytes")
  }

  @Test func `a file truncated under us is a read error, not a trap`() throws {
    let path = directory.file("cut")
    let backing = try FileBacking(path: path, size: 1 << 20)
    #expect(truncate(path, 4096) == 0)
    #expect(throws: StorageError.readFailed(offset: 4096, errno: EIO)) {
      try backing.bytes(0, 8192)
    }
  }

  @Test(.enabled(if: Machine.mountsTmpfs, "nothing may be mounted here"))
  func `a full file system is no space, and what was there stays`() throws {
    let mount = directory.file("small")
    try #require(mkdir(mount, 0o700) == 0)
    let mounted = run("mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", mount)
    try #require(mounted.status == 0, "\(mounted.output)")
    defer { _ = run("umount", "--lazy", mount) }
    do {
      let backing = try FileBacking(path: mount + "/disk", size: 8 << 20)
      try backing.put(pattern(65536), at: 0)
      #expect(throws: StorageError.noSpace) {
        try backing.put([UInt8](repeating: 7, count: 2 << 20), at: 1 << 20)
      }
      #expect(StorageError.noSpace.diskFailure == .noSpace)
      #expect(try backing.bytes(0, 65536) == pattern(65536))
      _ = try backing.perform(.zero([ByteRange(offset: 0, length: 8 << 20)]))
      try backing.put(pattern(65536), at: 1 << 20)
    }
  }

  @Test(.enabled(if: Machine.mountsRamfs, "nothing may be mounted here"))
  func `a file system without holes gets zeros written`() throws {
    // ramfs has no fallocate: the ioctl fails there, as on an old kernel.
    let mount = directory.file("ram")
    try #require(mkdir(mount, 0o700) == 0)
    let mounted = run("mount", "-t", "ramfs", "ramfs", mount)
    try #require(mounted.status == 0, "\(mounted.output)")
    defer { _ = run("umount", "--lazy", mount) }
    do {
      let backing = try FileBacking(path: mount + "/disk", size: 1 << 20)
      try backing.put([UInt8](repeating: 7, count: 1 << 20), at: 0)
      _ = try backing.perform(.zero([ByteRange(offset: 1000, length: 700_000)]))
      #expect(try backing.bytes(1000, 700_000).allSatisfy { $0 == 0 })
      #expect(try backing.bytes(999, 1) != [0])
      #expect(try backing.bytes(701_000, 1) != [0])
    }
  }
}

import Glibc
import SCSI
import Storage
import Testing

/// A directory of a test's own, removed with everything in it.
final class Directory {
  let path: String

  init() {
    var template = Array("/tmp/mirrorcast-storage-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "no temporary directory")
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = run("rm", "-rf", path) }

  func file(_ name: String) -> String { path + "/" + name }

  /// A loop device over a new file of 4 MiB.
  func loopDevice() throws -> String {
    let path = file("loop")
    try #require(run("truncate", "-s", "4M", path).status == 0)
    let made = run("losetup", "--find", "--show", path)
    try #require(made.status == 0 && made.output.hasPrefix("/dev/"), "\(made.output)")
    return made.output
  }
}

/// What this machine lets a test do, tried once.
enum Machine {
  static let hasLoopDevices: Bool = {
    let directory = Directory()
    guard let device = try? directory.loopDevice() else { return false }
    return run("losetup", "--detach", device).status == 0
  }()
  static let mountsTmpfs = mounts("tmpfs")
  static let mountsRamfs = mounts("ramfs")

  private static func mounts(_ kind: String) -> Bool {
    let directory = Directory()
    guard run("mount", "-t", kind, kind, directory.path).status == 0 else { return false }
    return run("umount", directory.path).status == 0
  }
}

/// Runs a program and waits for it: its exit status and what it printed.
func run(_ arguments: String...) -> (status: Int32, output: String) {
  var ends: [Int32] = [0, 0]
  precondition(pipe(&ends) == 0, "no pipe")
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
  var pointers = arguments.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  var child = pid_t()
  let result = posix_spawnp(&child, arguments[0], &actions, nil, &pointers, environ)
  close(ends[1])
  defer { close(ends[0]) }
  guard result == 0 else { return (127, "\(arguments[0]): not found") }
  var output: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = read(ends[0], &chunk, chunk.count)
    guard count > 0 else { break }
    output += chunk[..<count]
  }
  var status: Int32 = 0
  waitpid(child, &status, 0)
  let text = String(decoding: output, as: UTF8.self)
  return (status & 0x7f == 0 ? status >> 8 & 0xff : -1, text.filter { $0 != "\n" })
}

extension BlockBacking {
  func bytes(_ offset: UInt64, _ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xee, count: count)
    try bytes.withUnsafeMutableBytes { try read(into: $0, at: offset) }
    return bytes
  }

  func put(_ bytes: [UInt8], at offset: UInt64) throws {
    try bytes.withUnsafeBytes { try write($0, at: offset) }
  }

  func perform(_ operation: DiskOperation, _ bytes: [UInt8] = []) throws -> [UInt8] {
    var bytes = bytes
    try bytes.withUnsafeMutableBytes { try perform(operation, $0) }
    return bytes
  }
}

/// Bytes that repeat only after a prime number of them, so that no two blocks look alike.
func pattern(_ count: Int) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + prime.count)
  while bytes.count < count { bytes += prime }
  return Array(bytes.prefix(count))
}

private let prime = (0..<65521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

/// Whether the words are those of a refusal to open.
func refusal(_ open: () throws -> some BlockBacking) -> String {
  do {
    let backing = try open()
    return "opened, \(backing.byteCount) bytes"
  } catch {
    return "\(error)"
  }
}

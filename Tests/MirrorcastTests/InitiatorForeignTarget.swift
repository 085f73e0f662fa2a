// A target of another make, tgt, as a child process with a disk in a temporary file.

import Foundation

/// A running tgtd with one disk, LUN 1, behind one portal; `end` ends it.
final class ForeignTarget {
  /// Starts one; a port that was free may be taken by another before tgtd has it.
  static func start(host: String = "127.0.0.1", byteCount: Int) throws -> ForeignTarget {
    // One at a time: several that start at once get in each other's way now and then.
    try starting.withLock {
      for _ in 0..<9 {
        if let target = try? ForeignTarget(host: host, byteCount: byteCount) { return target }
      }
      return try ForeignTarget(host: host, byteCount: byteCount)
    }
  }

  private static let starting = NSLock()

  static let program = "/usr/sbin/tgtd"
  static let isThere =
    FileManager.default.isExecutableFile(atPath: program)
    && FileManager.default.isExecutableFile(atPath: "/usr/sbin/tgtadm") && geteuid() == 0

  let name = "iqn.2025-01.org.example:foreign"
  let port: Int
  let host: String
  let path: String
  private let control = Int.random(in: 1000...32767)
  private let daemon = Process()

  private init(host: String, byteCount: Int) throws {
    self.host = host
    port = try freePort()
    path = NSTemporaryDirectory() + "mirrorcast-foreign-\(UUID().uuidString).img"
    _ = FileManager.default.createFile(atPath: path, contents: nil)
    guard truncate(path, off_t(byteCount)) == 0 else { throw Failure("can't size \(path)") }
    let shown = host.contains(":") ? "[\(host)]" : host
    daemon.executableURL = URL(fileURLWithPath: Self.program)
    daemon.arguments = ["-f", "-C", "\(control)", "--iscsi", "portal=\(shown):\(port)"]
    daemon.standardOutput = FileHandle.nullDevice
    daemon.standardError = FileHandle.nullDevice
    try daemon.run()
    do {
      try configure()
    } catch {
      end()
      throw error
    }
  }

  var portal: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  func url(lun: Int) -> String { "iscsi://\(portal)/\(name)/\(lun)" }

  func end() {
    if daemon.isRunning { kill(daemon.processIdentifier, SIGKILL) }
    daemon.waitUntilExit()
    unlink(path)
  }

  private func configure() throws {
    // tgtd says nothing when it listens for its administrator: ask until it answers.
    let limit = Date().addingTimeInterval(120)
    while !admin(["--mode", "target", "--op", "new", "--tid", "1", "--targetname", name]) {
      guard daemon.isRunning, Date() < limit else { throw Failure("tgtd does not start") }
      usleep(20_000)
    }
    guard
      admin(["--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", path]),
      admin(["--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL"])
    else { throw Failure("tgtd can't be configured") }
  }

  private func admin(_ arguments: [String]) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/sbin/tgtadm")
    process.arguments = ["-C", "\(control)", "--lld", "iscsi"] + arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}

/// Why a test's own surroundings could not be made.
struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A TCP port of loopback that nobody listens on just now.
func freePort() throws -> Int {
  let listener = try Listener()
  defer { listener.close() }
  return listener.port
}

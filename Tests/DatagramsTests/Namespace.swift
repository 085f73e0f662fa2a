// Linux routes no IPv6 group over loopback unless told to, and the machine's own routes are none of
// a test's business: IPv6 is tested in a network namespace of the test's own.

import Foundation
import Testing

@testable import Datagrams

enum Namespace {
  /// The families that can be tested: IPv6 groups need root, for the namespace.
  static let families: [Endpoint.Family] = isPossible ? [.v4, .v6] : [.v4]
  /// Root of a container often may not have one.
  static let isPossible: Bool = {
    guard geteuid() == 0, let before = leave() else { return false }
    comeBack(to: before)
    return true
  }()

  private typealias Unshare = @convention(c) (Int32) -> Int32
  private typealias SetNamespace = @convention(c) (Int32, Int32) -> Int32
  private static let newNetwork: Int32 = 0x4000_0000

  /// Runs a body on this thread, in a network where the family's groups are routed over loopback.
  static func run(for family: Endpoint.Family, _ body: () throws -> Void) throws {
    guard family == .v6 else { return try body() }
    try runAlone {
      try tool("ip", "-6", "route", "add", "local", "ff00::/8", "dev", "lo", "table", "local")
      try tool("ip", "-6", "address", "add", "fd77::2/128", "dev", "lo", "nodad")
      try body()
    }
  }

  /// Runs a body on this thread, in a network of its own that has nothing but loopback.
  static func runAlone(_ body: () throws -> Void) throws {
    let before = try #require(leave())
    defer { comeBack(to: before) }
    try tool("ip", "link", "set", "lo", "up")
    try body()
  }

  /// Takes this thread to a new network; the old one's descriptor, nil where that may not be.
  private static func leave() -> Int32? {
    guard let call = dlsym(nil, "unshare") else { return nil }
    let before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard before >= 0 else { return nil }
    guard unsafeBitCast(call, to: Unshare.self)(newNetwork) == 0 else {
      close(before)
      return nil
    }
    return before
  }

  private static func comeBack(to before: Int32) {
    let call = dlsym(nil, "setns").map { unsafeBitCast($0, to: SetNamespace.self) }
    guard call?(before, newNetwork) == 0 else { fatalError("lost in a namespace") }
    close(before)
  }

  // Not by Foundation's Process, which needs a run loop, and other threads to be free.
  static func tool(_ name: String, _ arguments: String...) throws {
    var words = ([name] + arguments).map { strdup($0) } + [nil]
    defer { words.forEach { free($0) } }
    var process: pid_t = 0
    try #require(posix_spawnp(&process, name, nil, nil, &words, environ) == 0)
    var status: Int32 = -1
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    try #require(status == 0, "\(name) \(arguments)")
  }
}

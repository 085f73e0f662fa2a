// A daemon for the length of a test, on a free port of the loopback.

import Glibc
import ISCSI
import Logging
import Testing

@testable import Mirrorcast

/// A running daemon as a test sees it.
struct TargetScene: Sendable {
  static let name = "iqn.2026-01.test:target"
  static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  /// Of the first portal.
  var port: Int { ports[0] }
  let ports: [Int]
  let daemon: TargetDaemon

  /// Serves `units` while `body` runs, then stops; throws what either throws.
  @discardableResult
  static func serving<Value: Sendable>(
    _ units: [String], limits: TargetLimits = TargetLimits(), host: (any MirrorHost)? = nil,
    _ body: @Sendable (TargetScene) async throws -> Value
  ) async throws -> Value {
    var configuration = try TargetConfiguration(
      portal: PortalAddress(parsing: "127.0.0.1:0"), targetName: name, logicalUnits: units)
    configuration.limits = limits
    // Clients of tests answer no request to log out.
    configuration.limits.logoutMilliseconds = min(limits.logoutMilliseconds, 200)
    return try await serving(configuration, host: host, body)
  }

  /// Serves what the configuration says while `body` runs.
  @discardableResult
  static func serving<Value: Sendable>(
    _ configuration: Mirrorcast.TargetConfiguration, host: (any MirrorHost)? = nil,
    _ body: @Sendable (TargetScene) async throws -> Value
  ) async throws -> Value {
    try await Places.run { try await play(configuration, host: host, body) }
  }

  private static func play<Value: Sendable>(
    _ configuration: Mirrorcast.TargetConfiguration, host: (any MirrorHost)?,
    _ body: @Sendable (TargetScene) async throws -> Value
  ) async throws -> Value {
    let (portals, told) = AsyncStream<String>.makeStream()
    let daemon = try TargetDaemon(
      configuration, logger: logger, makeHost: { _, _ in host }, onReady: { told.yield($0) })
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { told.finish() }
        try await daemon.run()
      }
      var arrivals = portals.makeAsyncIterator()
      var ports: [Int] = []
      for _ in configuration.portals {
        let portal = try #require(await arrivals.next())
        ports.append(try #require(portal.split(separator: ":").last.flatMap { Int($0) }))
      }
      let scene = TargetScene(ports: ports, daemon: daemon)
      let result: Result<Value, any Error>
      do {
        result = .success(try await body(scene))
      } catch {
        result = .failure(error)
      }
      group.cancelAll()
      try await group.waitForAll()
      return try result.get()
    }
  }

  /// A client that has logged in.
  func client(
    _ initiator: String = "iqn.2026-01.test:client", isid: UInt64 = 1, at target: String = name
  ) throws -> TargetClient {
    let client = try TargetClient(port: port)
    #expect(try client.logIn(target, initiator: initiator, isid: isid) == 0)
    return client
  }
}

/// A directory that is gone at the end.
final class ScratchDirectory: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/mirrorcast-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TargetClientError(words: "mkdtemp") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    for name in ["disk.img", "disk.img.mirror", "disk.img.mirror.new"] { unlink("\(path)/\(name)") }
    rmdir(path)
  }

  func bytes(_ name: String) -> [UInt8] {
    let descriptor = open("\(path)/\(name)", O_RDONLY)
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 64 << 20)
    let count = read(descriptor, &bytes, bytes.count)
    return Array(bytes.prefix(max(count, 0)))
  }
}

/// Bytes that differ by place and by `seed`.
func pattern(_ count: Int, _ seed: UInt8) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) ^ seed }
}

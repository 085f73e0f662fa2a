// The stage of the mirror's tests: real daemons on loopback, in this process, each with disks of
// its own; a group that no other test uses; and an end for everything, however a test ends.

import Foundation
import ISCSI
import Logging
import Synchronization

@testable import Mirrorcast

/// A daemon of a test.
struct SceneTarget {
  let name: String
  let portal: String
  let daemon: TargetDaemon
  private let task: Task<Void, any Error>

  /// - Parameter isForeign: a target that knows nothing of mirrors, as any other make.
  static func start(
    _ units: [String], name: String, faults: Faults = .none, isForeign: Bool = false,
    lanes: Int = 1, connectionsMax: Int = 64
  ) async throws -> SceneTarget {
    var configuration = try Mirrorcast.TargetConfiguration(
      portal: PortalAddress(parsing: "127.0.0.1:0"), targetName: name, logicalUnits: units)
    configuration.interface = "lo"
    configuration.faults = faults
    configuration.limits.sessionsMax = connectionsMax
    configuration.lanes.placements = Array(repeating: "any", count: lanes)
    return try await start(configuration, isForeign: isForeign)
  }

  /// The first target of that daemon, at its first portal.
  static func start(
    _ configuration: Mirrorcast.TargetConfiguration, isForeign: Bool = false
  ) async throws -> SceneTarget {
    let name = configuration.targets[0].name
    let (portals, told) = AsyncStream<String>.makeStream()
    let ready: @Sendable (String) -> Void = {
      told.yield($0)
      told.finish()
    }
    let daemon =
      isForeign
      ? try TargetDaemon(
        configuration, logger: logger, makeHost: { _, _ in nil }, onReady: ready)
      : try TargetDaemon(configuration, logger: logger, onReady: ready)
    let task = Task {
      defer { told.finish() }
      try await daemon.run()
    }
    var arrivals = portals.makeAsyncIterator()
    guard let portal = await arrivals.next() else {
      try await task.value
      throw Failure("the daemon ended before it was ready")
    }
    return SceneTarget(name: name, portal: portal, daemon: daemon, task: task)
  }

  func url(_ lun: Int, through portal: String? = nil) throws -> LogicalUnitURL {
    try LogicalUnitURL(parsing: "iscsi://\(portal ?? self.portal)/\(name)/\(lun)")
  }

  /// Ends the daemon as a signal would, and waits until it has ended.
  func stop() async throws {
    task.cancel()
    try await task.value
  }
}

/// Daemons, and mirrors over them, that end with the test.
final class MirrorScene: Sendable {
  private static let groups = Atomic<UInt32>(UInt32.random(in: 0..<0x00ff_0000))

  let targets: [SceneTarget]
  /// Where no other test is.
  let group: GroupAddress
  let endings = Mutex<[@Sendable () async -> Void]>([])

  private init(_ targets: [SceneTarget], _ group: GroupAddress) {
    self.targets = targets
    self.group = group
  }

  /// Runs `body` with one daemon for each list of LUNs; all have ended when it returns.
  static func run(
    _ units: [[String]], faults: Faults = .none, lanes: Int = 1,
    _ body: (MirrorScene) async throws -> Void
  ) async throws {
    try await Places.run { try await play(units, faults: faults, lanes: lanes, body) }
  }

  private static func play(
    _ units: [[String]], faults: Faults, lanes: Int, _ body: (MirrorScene) async throws -> Void
  ) async throws {
    var targets: [SceneTarget] = []
    do {
      for (index, units) in units.enumerated() {
        var faults = faults
        faults.seed += UInt64(index)
        targets.append(
          try await .start(
            units, name: "iqn.2025-01.org.example:scene-\(index)", faults: faults,
            lanes: lanes))
      }
      let scene = MirrorScene(targets, try newGroup())
      let outcome: Result<Void, any Error>
      do {
        try await body(scene)
        outcome = .success(())
      } catch {
        outcome = .failure(error)
      }
      for ending in scene.endings.withLock({ $0.reversed() }) { await ending() }
      for target in targets { try? await target.stop() }
      try outcome.get()
    } catch {
      for target in targets { try? await target.stop() }
      throw error
    }
  }

  /// The same with LUN 0 of `size` in memory at each of `count` targets.
  static func run(
    legs count: Int, size: String = "8M", faults: Faults = .none, lanes: Int = 1,
    _ body: (MirrorScene) async throws -> Void
  ) async throws {
    try await run(
      [[String]](repeating: ["0=memory:\(size)"], count: count), faults: faults, lanes: lanes,
      body)
  }

  static func newGroup() throws -> GroupAddress {
    let number = groups.add(1, ordering: .relaxed).newValue
    return try GroupAddress(
      parsing: "239.\(number >> 16 & 0xff).\(number >> 8 & 0xff).\(number & 0xff)"
        + ":\(20_000 + Int(number % 10_000))")
  }

  /// LUN 0 of every target.
  var legs: [LogicalUnitURL] {
    get throws { try targets.map { try $0.url(0) } }
  }

  func options(_ legs: [LogicalUnitURL]? = nil) throws -> MirrorOptions {
    var options = MirrorOptions(legs: try legs ?? self.legs, group: group)
    options.interface = "lo"
    options.identity.name = initiator
    // A wire in between carries the sessions alone.
    options.answersByStream = try (legs ?? self.legs) == self.legs
    // Long: a test that isn't about the deadline must not meet it on a busy machine.
    options.deadlineSeconds = 60
    return options
  }

  /// A mirror that ends before the daemons do, when the test has not ended it.
  func mirror(_ options: MirrorOptions? = nil) async throws -> Mirrorcast.Mirror {
    let mirror = try await Mirror.establish(try options ?? self.options(), logger: logger)
    endings.withLock { $0.append { _ = await mirror.terminate() } }
    return mirror
  }

  func endLater(_ ending: @escaping @Sendable () async -> Void) {
    endings.withLock { $0.append(ending) }
  }
}

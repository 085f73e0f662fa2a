import Logging
import Replication
import Synchronization
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `A mirror of several lanes` {
  static let weather = Faults(drop: 0.1, duplicate: 0.05, reorder: 0.1, seed: 71)
  static let stripe = 64 << 10

  private func options(_ scene: MirrorScene, lanes: Int) throws -> MirrorOptions {
    var options = try scene.options()
    options.lanes.placements = Array(repeating: "any", count: lanes)
    options.writeLength = Self.stripe
    return options
  }

  /// As many lanes at both ends, fewer at the targets, more there.
  @Test(arguments: [(2, 2), (3, 3), (3, 2), (2, 1), (2, 3), (1, 3)])
  func `leaves the last one's bytes where writes overlap`(lanes: Int, targetLanes: Int) async throws
  {
    try await MirrorScene.run(
      legs: 3, size: "2M", faults: Self.weather, lanes: targetLanes
    ) { scene in
      let mirror = try await scene.mirror(try options(scene, lanes: lanes))
      var random = Seeded(UInt64(lanes * 10 + targetLanes))
      var image = [UInt8](repeating: 0, count: 2 << 20)
      var open: [Task<WriteResult, Never>] = []
      for _ in 0..<150 {
        // Up to four stripes long, in a quarter of the disk, so that most overlap something.
        let start = Int.random(in: 0..<700, using: &random) * 512
        let bytes = random.bytes(Int.random(in: 1...400, using: &random) * 512)
        open.append(mirror.start(bytes, at: start))
        image.replaceSubrange(start..<start + bytes.count, with: bytes)
      }
      for write in open { #expect(await write.value.isGood) }
      let statistics = mirror.statistics()
      #expect(statistics.lanes.count == lanes)
      #expect(statistics.legs.map(\.servedBy) == ["udp", "udp", "udp"])
      #expect(statistics.legs.allSatisfy { $0.lostBlocks > 0 && $0.repairedBlocks > 0 })
      #expect(mirror.notices.count { $0.contains("not authenticated") } == 1)
      #expect(await mirror.flush().bad == [])
      let ends = await mirror.terminate()
      #expect(ends.map(\.url) == (try scene.legs) && ends.bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test(arguments: [2, 3]) func `is the same at all legs, however many write at once`(
    lanes: Int
  ) async throws {
    try await MirrorScene.run(legs: 3, size: "1M", faults: Self.weather, lanes: lanes) { scene in
      let mirror = try await scene.mirror(try options(scene, lanes: lanes))
      await withTaskGroup(of: Void.self) { group in
        for submitter in 1...4 {
          group.addTask {
            var random = Seeded(UInt64(submitter))
            for _ in 0..<40 {
              let start = Int.random(in: 0..<1500, using: &random) * 512
              let count = Int.random(in: 1...400, using: &random) * 512
              let bytes = [UInt8](repeating: UInt8(submitter), count: count)
              let result = await mirror.write(bytes, at: start)
              #expect(result.isGood, "\(result.failures)")
            }
          }
        }
      }
      let first = try await content(of: try scene.legs[0])
      #expect(Set(first).isSubset(of: [0, 1, 2, 3, 4]) && first.contains(1))
      try await expect(try scene.legs, hold: first)
    }
  }

  @Test(arguments: [true, false]) func `loses a leg from all of them, and names it once`(
    oneSessionOnly: Bool
  ) async throws {
    try await MirrorScene.run(legs: 3, size: "2M", faults: Self.weather, lanes: 2) { scene in
      let wire = try scene.wire(to: scene.targets[1])
      var options = try options(scene, lanes: 3)
      options.legs[1] = try scene.targets[1].url(0, through: wire.portal)
      let lost = options.legs[1]
      let log = RecordedLog()
      let mirror = try await Mirror.establish(options, logger: log.logger)
      scene.endLater { _ = await mirror.terminate() }
      #expect(await mirror.write(randomBytes(1 << 20), at: 0).isGood)
      if oneSessionOnly { wire.cutOldest() } else { wire.cut() }
      // It is the first part that hears of it, and every part that has to let the leg go.
      while await mirror.write([UInt8](repeating: 1, count: 512), at: 0).isGood {}
      var image = randomBytes(2 << 20)
      var texts = Set<String>()
      for start in stride(from: 0, to: image.count, by: Self.stripe / 2) {
        let result = await mirror.write(
          Array(image[start..<start + Self.stripe / 2]), at: start)
        #expect(result.failures.map(\.url) == [lost])
        texts.formUnion(result.failures.map(\.text))
      }
      #expect(texts.count == 1 && texts.first?.contains("connection lost") == true, "\(texts)")
      #expect(log.lines.count { $0.contains("leg left the mirror") } == 1, "\(log.lines)")
      // Without it the mirror is good again, in all lanes.
      try await mirror.dropLeg(lost)
      image.replaceSubrange(0..<1 << 20, with: [UInt8](repeating: 9, count: 1 << 20))
      #expect(await mirror.write(Array(image[..<(1 << 20)]), at: 0).isGood)
      #expect(await mirror.terminate().filter { !$0.isGood }.map(\.url) == [lost])
      try await expect([try scene.legs[0], try scene.legs[2]], hold: image)
    }
  }

  @Test func `takes legs in, and lets them go, in all of them`() async throws {
    try await MirrorScene.run(legs: 3, size: "1M", faults: Self.weather, lanes: 2) { scene in
      let legs = try scene.legs
      var options = try options(scene, lanes: 2)
      options.legs = Array(legs[..<2])
      let mirror = try await scene.mirror(options)
      let before = randomBytes(1 << 20), after = randomBytes(1 << 20), last = randomBytes(1 << 20)
      #expect(await mirror.write(before, at: 0).isGood)
      try await mirror.addLeg(legs[2])
      #expect(await mirror.write(after, at: 0).isGood)
      try await expect(legs, hold: after)
      try await mirror.dropLeg(legs[0])
      #expect(await mirror.write(last, at: 0).isGood)
      try await expect(Array(legs[1...]), hold: last)
      try await expect([legs[0]], hold: after)
      // It may come back.
      try await mirror.addLeg(legs[0])
      #expect(await mirror.write(before, at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
      try await expect(legs, hold: before)
    }
  }

  @Test func `takes in no leg that can't be had in each of them`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M", lanes: 2) { scene in
      let mirror = try await scene.mirror(try options(scene, lanes: 2))
      let narrow = try await SceneTarget.start(
        ["0=memory:1M"], name: "iqn.2025-01.org.example:narrow", connectionsMax: 1)
      scene.endLater { try? await narrow.stop() }
      await #expect(throws: MirrorcastError.self) { try await mirror.addLeg(try narrow.url(0)) }
      let image = randomBytes(1 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      #expect(mirror.statistics().legs.map(\.url) == (try scene.legs))
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `goes on without a leg that joined one lane and is refused in another`() async throws {
    try await MirrorScene.run(legs: 3, size: "1M", faults: Self.weather, lanes: 2) { scene in
      let legs = try scene.legs
      var options = try options(scene, lanes: 2)
      options.legs = Array(legs[..<2])
      let mirror = try await scene.mirror(options)
      let image = randomBytes(1 << 20)
      // Somebody has the second part of this very mirror at the third target.
      let session = try await plainSession(legs[2], offersMirror: true)
      scene.endLater { await session.close() }
      var part = mirror.parts[1].membership.withLock { $0.request }
      part.registration &+= 1
      _ = try await session.register(part, [legs[2]], within: 20, key: nil)
      let open = stride(from: 0, to: image.count, by: 32 << 10).map {
        mirror.start(Array(image[$0..<$0 + (32 << 10)]), at: $0)
      }
      for _ in 0..<2 {
        await #expect {
          try await mirror.addLeg(legs[2])
        } throws: { "\($0)".contains("part 1 of this mirror is here already") }
        #expect(await mirror.write(Array(image[..<4096]), at: 0).isGood)
      }
      for write in open { #expect(await write.value.isGood) }
      #expect(mirror.statistics().legs.map(\.url) == Array(legs[..<2]))
      try await expect([legs[2]], hold: [UInt8](repeating: 0, count: 1 << 20))
      // The first lane's part of it was taken back: nothing is in the way when the other is gone.
      try await session.terminate(part, [legs[2]], within: 20)
      try await mirror.addLeg(legs[2])
      #expect(await mirror.write(image, at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
      try await expect(legs, hold: image)
    }
  }

  @Test func `shares its LUNs with nobody`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M", lanes: 2) { scene in
      let mirror = try await scene.mirror(try options(scene, lanes: 2))
      for lanes in [1, 2] {
        var other = try options(scene, lanes: lanes)
        other.identity.name = initiator + "-2"
        other.virtualLUN = 77
        other.group = try MirrorScene.newGroup()
        await #expect {
          _ = try await Mirror.establish(other, logger: logger)
        } throws: { "\($0)".contains("busy") }
      }
      #expect(await mirror.write(randomBytes(1 << 20), at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
      let again = try await scene.mirror(try options(scene, lanes: 2))
      #expect(await again.write(randomBytes(1 << 20), at: 0).isGood)
    }
  }
}

/// Log lines, kept for a test to look at.
final class RecordedLog: Sendable {
  private let kept = Mutex<[String]>([])

  var lines: [String] { kept.withLock { $0 } }
  var logger: Logger {
    Logger(label: "recorded") { _ in Handler(log: self) }
  }

  private struct Handler: LogHandler {
    let log: RecordedLog
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      log.kept.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
    }
  }
}

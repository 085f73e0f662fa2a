import Replication
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `A secured mirror` {
  private static let weather = Faults(drop: 0.1, duplicate: 0.05, reorder: 0.1, seed: 7)

  private func establishingFailure(_ body: () async throws -> Void) async -> MirrorcastError? {
    do {
      try await body()
      return nil
    } catch {
      return error as? MirrorcastError
    }
  }

  private func secured(
    _ scene: MirrorScene, _ security: MirrorSecurity = .aes128GCM
  ) throws -> MirrorOptions {
    var options = try scene.options()
    options.security = security
    return options
  }

  @Test(arguments: MirrorSecurity.allCases, Mirrorcast.RecoveryMode.allCases)
  func `stores what is written, whatever is lost, comes twice or late`(
    security: MirrorSecurity, recovery: Mirrorcast.RecoveryMode
  ) async throws {
    try await MirrorScene.run(legs: 3, size: "2M", faults: Self.weather) { scene in
      var options = try secured(scene, security)
      options.recovery = recovery
      options.faults = Faults(drop: 0.05, duplicate: 0.1, reorder: 0.1, seed: 99)
      let mirror = try await scene.mirror(options)
      #expect(mirror.blockLength % 16 == 0)
      let image = randomBytes(2 << 20)
      let result = await mirror.write(image, at: 0)
      #expect(result.isGood, "\(result.failures)")
      let statistics = mirror.statistics()
      #expect(statistics.legs.map(\.servedBy) == ["udp", "udp", "udp"])
      #expect(statistics.repairDatagrams > 0)
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `takes what the connection carries sealed, too`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      var options = try secured(scene)
      // Nothing comes by datagram.
      options.faults = Faults(drop: 1, duplicate: 0, reorder: 0, seed: 3)
      let mirror = try await scene.mirror(options)
      let image = randomBytes(1 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      #expect(mirror.statistics().legs.map(\.servedBy) == ["tcp", "tcp"])
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `says nothing of datagrams that anybody could have sent`() async throws {
    try await MirrorScene.run(legs: 1) { scene in
      let clear = try await scene.mirror(try scene.options())
      #expect(clear.notices.contains { $0.contains("not authenticated") })
      _ = await clear.terminate()
      let signed = try await scene.mirror(try secured(scene, .authenticate))
      #expect(signed.notices.contains { $0.contains("signed, not encrypted") })
      _ = await signed.terminate()
      let hidden = try await scene.mirror(try secured(scene))
      #expect(hidden.notices.isEmpty, "\(hidden.notices)")
    }
  }

  @Test(arguments: [false, true]) func `takes and lets go of legs, each time with new keys`(
    isKept: Bool
  ) async throws {
    try await MirrorScene.run(legs: 3, size: "1M", faults: Self.weather) { scene in
      let legs = try scene.legs
      var options = try secured(scene)
      options.legs = Array(legs[..<2])
      if isKept {
        options.name = "vault"
        options.keeping.areEqual = true
      }
      let mirror = try await scene.mirror(options)
      let first = mirror.parts[0].membership.withLock { $0.request.epoch }
      let image = randomBytes(1 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      try await mirror.addLeg(legs[2])
      #expect(mirror.parts[0].membership.withLock { $0.request.epoch } > first)
      let other = randomBytes(1 << 20)
      #expect(await mirror.write(other, at: 0).isGood)
      if isKept {
        await mirror.whenInSync()
      } else {
        try await mirror.dropLeg(legs[0])
        let last = randomBytes(4096)
        #expect(await mirror.write(last, at: 0).isGood)
        try await expect([legs[1], legs[2]], hold: last + other.dropFirst(4096))
      }
      #expect(await mirror.terminate().bad == [])
      if isKept { try await expect(legs, hold: other) }
    }
  }

  @Test func `renews its keys when it is asked to, and when a leg has left`() async throws {
    try await MirrorScene.run(legs: 3, size: "1M", faults: Self.weather) { scene in
      let mirror = try await scene.mirror(try secured(scene))
      func epoch() -> UInt16 { mirror.parts[0].membership.withLock { $0.request.epoch } }
      let first = epoch()
      var image = [UInt8](repeating: 0, count: 1 << 20)
      var open: [Task<WriteResult, Never>] = []
      for round in 0..<40 {
        let bytes = randomBytes(16 << 10)
        open.append(mirror.start(bytes, at: round * (16 << 10)))
        image.replaceSubrange(round * (16 << 10)..<(round + 1) * (16 << 10), with: bytes)
        if round % 8 == 0 { try await mirror.renewKeys() }
      }
      for write in open { #expect(await write.value.isGood) }
      #expect(epoch() == first + 5)
      try await expect(try scene.legs, hold: image)
      // The leg goes without a word; the others get another key than it had.
      try await scene.targets[2].stop()
      _ = await mirror.write(randomBytes(512), at: 0)
      await mirror.parts[0].renewal.whenDone()
      #expect(epoch() > first + 5)
      let last = randomBytes(4096)
      _ = await mirror.write(last, at: 0)
      image.replaceSubrange(0..<4096, with: last)
      _ = await mirror.terminate()
      try await expect(Array(try scene.legs.prefix(2)), hold: image)
    }
  }

  @Test func `keeps several lanes apart, each with its own key`() async throws {
    try await MirrorScene.run(legs: 2, size: "4M", faults: Self.weather, lanes: 2) { scene in
      var options = try secured(scene)
      options.lanes.placements = ["any", "any"]
      options.writeLength = 256 << 10
      let mirror = try await scene.mirror(options)
      #expect(mirror.parts.count == 2)
      let image = randomBytes(4 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      try await mirror.renewKeys()
      #expect(await mirror.write(image.reversed(), at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image.reversed())
    }
  }

  @Test func `is all that a target takes which wants it so`() async throws {
    try await Places.run {
      var configuration = try TargetConfiguration(
        portal: PortalAddress(parsing: "127.0.0.1:0"), targetName: "iqn.2026-01.test:strict",
        logicalUnits: ["0=memory:1M"])
      configuration.interface = "lo"
      configuration.requiresSecurity = true
      let target = try await SceneTarget.start(configuration)
      do {
        var options = MirrorOptions(
          legs: [try target.url(0)], group: try MirrorScene.newGroup())
        options.interface = "lo"
        let error = await establishingFailure {
          _ = try await Mirror.establish(options, logger: logger)
        }
        #expect(error?.what.contains("(not-secure)") == true, "\(error as Any)")
        #expect(error?.advice?.contains("--secure") == true)
        options.security = .authenticate
        let mirror = try await Mirror.establish(options, logger: logger)
        #expect(await mirror.write([UInt8](repeating: 7, count: 512), at: 0).isGood)
        #expect(await mirror.terminate().bad == [])
      } catch {
        try? await target.stop()
        throw error
      }
      try await target.stop()
    }
  }

  @Test func `has no leg of another make`() async throws {
    try await Places.run {
      let foreign = try await SceneTarget.start(
        ["0=memory:1M"], name: "iqn.2026-01.test:foreign", isForeign: true)
      var options = MirrorOptions(legs: [try foreign.url(0)], group: try MirrorScene.newGroup())
      options.interface = "lo"
      options.security = .aes256GCM
      let error = await establishingFailure {
        _ = try await Mirror.establish(options, logger: logger)
      }
      try await foreign.stop()
      #expect(error?.what.contains("can't be secured") == true, "\(error as Any)")
    }
  }
}

import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Legs of another make` {
  static let weather = Faults(drop: 0.1, duplicate: 0.05, reorder: 0.1, seed: 61)

  @Test func `are written by plain iSCSI beside ours`() async throws {
    try await MirrorScene.run(legs: 2, size: "4M", faults: Self.weather) { scene in
      let foreign = try await foreignTarget(scene, ["0=memory:4M", "1=memory:4M"])
      let urls = [try foreign.url(0), try foreign.url(1)] + (try scene.legs)
      let mirror = try await scene.mirror(try scene.options(urls))
      let image = randomBytes(4 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      let legs = mirror.statistics().legs
      #expect(legs.map(\.servedBy) == ["iscsi", "iscsi", "udp", "udp"])
      #expect(mirror.notices.count { $0.contains("another make") } == 2)
      #expect(await mirror.flush().bad == [])
      #expect(await mirror.terminate().bad == [])
      try await expect(urls, hold: image)
    }
  }

  @Test func `alone make a mirror, too`() async throws {
    try await MirrorScene.run([]) { scene in
      let foreign = try await foreignTarget(scene, ["3=memory:1M"])
      let mirror = try await scene.mirror(try scene.options([try foreign.url(3)]))
      let image = randomBytes(1 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      #expect(mirror.statistics().dataDatagrams == 0)
      #expect(await mirror.terminate().bad == [])
      try await expect([try foreign.url(3)], hold: image)
    }
  }

  @Test func `that overlap, come late and die are like any other`() async throws {
    try await MirrorScene.run(legs: 1, size: "1M", faults: Self.weather) { scene in
      let foreign = try await foreignTarget(scene, ["0=memory:1M"])
      let mirror = try await scene.mirror()
      try await mirror.addLeg(try foreign.url(0))
      var random = Seeded(4)
      var image = [UInt8](repeating: 0, count: 1 << 20)
      var open: [Task<WriteResult, Never>] = []
      for _ in 0..<60 {
        let start = Int.random(in: 0..<400, using: &random) * 512
        let bytes = random.bytes(Int.random(in: 1...60, using: &random) * 512)
        open.append(mirror.start(bytes, at: start))
        image.replaceSubrange(start..<start + bytes.count, with: bytes)
      }
      for write in open { #expect(await write.value.isGood) }
      try await expect([try scene.legs[0], try foreign.url(0)], hold: image)
      try await foreign.stop()
      let result = await mirror.write(image, at: 0)
      #expect(result.failures.map(\.url) == [try foreign.url(0)])
      #expect(result.failures.first?.text.contains("lost") == true, "\(result.failures)")
      try await mirror.dropLeg(try foreign.url(0))
      #expect(await mirror.write(image, at: 0).isGood)
    }
  }

  @Test(
    .enabled(if: ForeignTarget.isThere, "tgtd is missing, or this is not root: apt install tgt"))
  func `served by tgt hold the same bytes`() async throws {
    let tgt = try ForeignTarget.start(byteCount: 4 << 20)
    defer { tgt.end() }
    try await MirrorScene.run(legs: 2, size: "4M", faults: Self.weather) { scene in
      let urls = [try LogicalUnitURL(parsing: tgt.url(lun: 1))] + (try scene.legs)
      let mirror = try await scene.mirror(try scene.options(urls))
      let image = randomBytes(4 << 20)
      #expect(await mirror.write(image, at: 0, forceUnitAccess: true).isGood)
      #expect(await mirror.terminate().bad == [])
      try await expect(urls, hold: image)
    }
  }

  private func foreignTarget(_ scene: MirrorScene, _ units: [String]) async throws -> SceneTarget {
    let target = try await SceneTarget.start(
      units, name: "iqn.2025-01.org.example:other-make", isForeign: true)
    scene.endLater { try? await target.stop() }
    return target
  }
}

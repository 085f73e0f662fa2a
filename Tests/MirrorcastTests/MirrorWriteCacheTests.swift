import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `The legs' write caches` {
  /// The caching page at one leg, from a session of its own.
  private func hasCache(_ target: SceneTarget) throws -> Bool? {
    let client = try target.client()
    // What it may have to say of an earlier session.
    _ = try client.run(.testUnitReady)
    let data = try client.run(.senseCaching, expected: Int(CachingPage.answerMax)).data
    return CachingPage(modeSense6: data.span.bytes)?.hasWriteCache
  }

  private func select(_ isOn: Bool, _ target: SceneTarget) throws {
    let client = try target.client()
    let list: [UInt8] = [0, 0, 0, 0, 8, 18, isOn ? 4 : 0] + [UInt8](repeating: 0, count: 17)
    #expect(try client.run(.modeSelect6(parameterListLength: 24), data: list).status == 0)
  }

  @Test(arguments: [1, 2]) func `are set alike, and told`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 2, lanes: lanes) { scene in
      var options = try scene.options()
      options.lanes.placements = Array(repeating: "any", count: lanes)
      let mirror = try await scene.mirror(options)
      #expect(try await mirror.writeCache())
      try await mirror.setWriteCache(false)
      #expect(try await !mirror.writeCache())
      #expect(try scene.targets.map(hasCache) == [false, false])
      // The legs tell all other sessions; a write is done again for that.
      let image = randomBytes(1 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      try await mirror.setWriteCache(true)
      #expect(try await mirror.writeCache())
      #expect(await mirror.write(image, at: 1 << 20).isGood)
      #expect(await mirror.terminate().bad == [])
    }
  }

  @Test func `that differ are named`() async throws {
    try await MirrorScene.run(legs: 2) { scene in
      let mirror = try await scene.mirror()
      try select(false, scene.targets[1])
      let error = await #expect(throws: MirrorcastError.self) { try await mirror.writeCache() }
      let legs = try scene.legs
      #expect(error?.what.contains("\(legs[0]) on, \(legs[1]) off") == true, "\(error?.what ?? "")")
      try await mirror.setWriteCache(false)
      #expect(try await !mirror.writeCache())
    }
  }

  @Test func `of a leg that comes later are set before it is a member`() async throws {
    try await MirrorScene.run(legs: 2) { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror(try scene.options([legs[0]]))
      try await mirror.setWriteCache(false)
      try await mirror.addLeg(legs[1])
      #expect(try scene.targets.map(hasCache) == [false, false])
      #expect(await mirror.write([UInt8](repeating: 7, count: 4096), at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
    }
  }

  @Test func `of a kept mirror hold for a leg that comes back`() async throws {
    try await MirrorScene.run(legs: 2, size: "8M") { scene in
      let (wires, legs) = try scene.wires()
      let mirror = try await scene.mirror(try scene.keptOptions(legs))
      try await mirror.setWriteCache(false)
      wires[1].cut()
      try await mirror.wait(legs[1], is: .absent)
      // As a daemon that has started anew.
      try select(true, scene.targets[1])
      #expect(await mirror.write([UInt8](repeating: 7, count: 4096), at: 0).isGood)
      wires[1].mend()
      try await mirror.wait(legs[1], is: .inSync)
      #expect(try await !mirror.writeCache())
      #expect(try scene.targets.map(hasCache) == [false, false])
      #expect(await mirror.terminate().bad == [])
    }
  }
}

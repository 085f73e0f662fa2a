import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `A reset through the mirror` {
  @Test(arguments: [false, true], [1, 2])
  func `reaches each leg, and open writes are done again`(
    isKept: Bool, lanes: Int
  ) async throws {
    try await MirrorScene.run(legs: 2, size: "4M", lanes: lanes) { scene in
      var options = isKept ? try scene.keptOptions() : try scene.options()
      options.lanes.placements = Array(repeating: "any", count: lanes)
      let mirror = try await scene.mirror(options)
      try await mirror.setWriteCache(false)
      let others = try scene.targets.map { try $0.client() }
      let image = randomBytes(4 << 20)
      let step = 64 << 10
      var open: [Task<WriteResult, Never>] = []
      for (index, start) in stride(from: 0, to: image.count, by: step).enumerated() {
        open.append(mirror.start(Array(image[start..<start + step]), at: start))
        guard index % 16 == 7 else { continue }
        let answers = await mirror.resetLogicalUnit()
        #expect(answers.map(\.url) == (try scene.legs))
        #expect(answers.bad == [], "\(answers)")
      }
      for write in open {
        let result = await write.value
        #expect(result.isGood, "\(result.failures)")
      }
      // Each hears of it, and what the mirror has set is set again.
      for other in others { #expect(try other.run(.testUnitReady).words == [6, 0x29, 3]) }
      #expect(try await !mirror.writeCache())
      // A new one may still be comparing.
      if isKept { for leg in try scene.legs { try await mirror.wait(leg, is: .inSync) } }
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `names a leg that is gone, and resets the others`() async throws {
    try await MirrorScene.run(legs: 2) { scene in
      let (wires, legs) = try scene.wires()
      let mirror = try await scene.mirror(try scene.options(legs))
      wires[0].cut()
      while await mirror.write([UInt8](repeating: 1, count: 512), at: 0).failures.isEmpty {}
      let answers = await mirror.resetLogicalUnit()
      #expect(answers.map(\.isGood) == [false, true])
      let other = try scene.targets[1].client()
      #expect(try other.run(.testUnitReady).status == 0)
      _ = await mirror.resetLogicalUnit()
      #expect(try other.run(.testUnitReady).words == [6, 0x29, 3])
    }
  }

  @Test func `reaches a leg of another make`() async throws {
    try await MirrorScene.run(legs: 1) { scene in
      let foreign = try await SceneTarget.start(
        ["0=memory:8M"], name: "iqn.2025-01.org.example:other-make", isForeign: true)
      scene.endLater { try? await foreign.stop() }
      let urls = try scene.legs + [try foreign.url(0)]
      let mirror = try await scene.mirror(try scene.options(urls))
      let image = randomBytes(2 << 20)
      let step = 64 << 10
      let open = stride(from: 0, to: image.count, by: step).map {
        mirror.start(Array(image[$0..<$0 + step]), at: $0)
      }
      let answers = await mirror.resetLogicalUnit()
      #expect(answers.bad == [], "\(answers)")
      for write in open {
        let result = await write.value
        #expect(result.isGood, "\(result.failures)")
      }
      #expect(await mirror.terminate().bad == [])
      for url in urls {
        let bytes = try await content(of: url)
        let isSame = Array(bytes[..<image.count]) == image
        #expect(isSame)
      }
    }
  }
}

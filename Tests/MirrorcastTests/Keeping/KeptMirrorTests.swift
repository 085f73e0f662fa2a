import Foundation
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `A kept mirror` {
  @Test(arguments: [1, 2])
  func `is opened, written, ended, and opened again`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 3, size: "12M", lanes: lanes) { scene in
      let told = ToldEvents()
      var options = try scene.keptOptions(told: told)
      options.lanes.placements = Array(repeating: "any", count: lanes)
      var image = [UInt8](repeating: 0, count: 12 << 20)
      for turn in 1...2 {
        let mirror = try await scene.mirror(options)
        let bytes = randomBytes(3 << 20)
        image.replaceSubrange(turn << 20..<(turn + 3) << 20, with: bytes)
        #expect(await mirror.write(bytes, at: turn << 20).isGood)
        await mirror.whenInSync()
        #expect(mirror.keptLegs.allSatisfy { $0.state == .inSync && $0.isHere })
        #expect(await mirror.flush().bad == [])
        #expect(await mirror.terminate().bad == [])
      }
      #expect(told.all.first == .opened(generation: 3, isNew: true))
      #expect(told.all.last == .closed(failures: []))
      // Those that were ended in order may be read by anybody.
      try await expect(try scene.legs, hold: image)
      for leg in try scene.legs {
        let own = try await LegSelfDescription.read(
          leg, identity: .init(name: initiator), logger: logger)
        #expect(own.record?.mirrorName == "vault")
        #expect(own.record?.isClosed == true)
        #expect(own.record?.members.map(\.state) == [.inSync, .inSync, .inSync])
        #expect(own.markedRegions == 0)
      }
    }
  }

  @Test func `of legs that hold different bytes makes them equal`() async throws {
    try await MirrorScene.run(legs: 2, size: "9M") { scene in
      let legs = try scene.legs
      let other = try await scene.mirror(try scene.options([legs[1]]))
      #expect(await other.write(randomBytes(2 << 20), at: 5 << 20).isGood)
      _ = await other.terminate()
      let mirror = try await scene.mirror(try scene.keptOptions())
      #expect(mirror.keptLegs.map(\.state) == [.inSync, .unequal])
      let bytes = randomBytes(1 << 20)
      #expect(await mirror.write(bytes, at: 1 << 20).isGood)
      await mirror.whenInSync()
      #expect(mirror.keptLegs.map(\.state) == [.inSync, .inSync])
      #expect(await mirror.terminate().bad == [])
      var image = [UInt8](repeating: 0, count: 9 << 20)
      image.replaceSubrange(1 << 20..<2 << 20, with: bytes)
      try await expect(legs, hold: image)
    }
  }

  @Test(arguments: [1, 2])
  func `goes on without a leg that is lost, and brings it up to date`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 3, size: "16M", lanes: lanes) { scene in
      let (wires, legs) = try scene.wires()
      let told = ToldEvents()
      var options = try scene.keptOptions(legs, told: told)
      options.keeping.areEqual = true
      options.lanes.placements = Array(repeating: "any", count: lanes)
      let mirror = try await scene.mirror(options)
      let image = randomBytes(16 << 20)
      let starts = Array(stride(from: 0, to: image.count, by: 256 << 10))
      func write(_ starts: some Sequence<Int>) -> [Task<WriteResult, Never>] {
        starts.map { mirror.start(Array(image[$0..<$0 + (256 << 10)]), at: $0) }
      }
      let before = write(starts[..<8])
      #expect(await before[2].value.isGood)
      wires[1].cut()
      let meanwhile = write(starts[8..<40])
      // Nothing of the loss is seen by who writes.
      for one in before + meanwhile {
        let result = await one.value
        #expect(result.isGood, "\(result.failures)")
      }
      try await mirror.wait(legs[1], is: .absent)
      #expect(told.reason(legs[1], .absent)?.contains("lost") == true, "\(told.all)")
      wires[1].mend()
      // It comes back while writes go on.
      let after = write(starts[40...])
      for one in after { #expect(await one.value.isGood) }
      try await mirror.wait(legs[1], is: .inSync)
      #expect(told.reason(legs[1], .stale) != nil)
      #expect(await mirror.terminate().bad == [])
      try await expect(legs, hold: image)
    }
  }

  @Test func `waits for legs where too few are left, and stops when none comes`() async throws {
    try await MirrorScene.run(legs: 3, size: "4M") { scene in
      let (wires, legs) = try scene.wires()
      let told = ToldEvents()
      var options = try scene.keptOptions(legs, told: told)
      options.keeping.areEqual = true
      options.keeping.patienceSeconds = 60
      let mirror = try await scene.mirror(options)
      let image = randomBytes(4 << 20)
      wires[1].cut()
      wires[2].cut()
      let waiting = mirror.start(Array(image[..<(1 << 20)]), at: 0)
      try await mirror.wait(legs[1], is: .absent)
      try await mirror.wait(legs[2], is: .absent)
      #expect(told.all.contains { if case .suspended = $0 { true } else { false } })
      wires[2].mend()
      try await mirror.wait(legs[2], is: .inSync)
      #expect(await waiting.value.isGood)
      #expect(told.all.contains(.resumed))
      _ = await mirror.terminate()
      // Two of three are enough, and those two have it.
      var options2 = options
      options2.keeping.patienceSeconds = 0.5
      let again = try await scene.mirror(options2)
      #expect(await again.write(Array(image[(1 << 20)...]), at: 1 << 20).isGood)
      wires[0].cut()
      wires[2].cut()
      let lost = await again.write([UInt8](repeating: 1, count: 512), at: 0)
      #expect(!lost.isGood)
      #expect(await again.terminate().contains { !$0.isGood })
      #expect(told.all.contains { if case .stopped = $0 { true } else { false } })
    }
  }

  @Test func `whose initiator vanished is made equal by the next one`() async throws {
    try await MirrorScene.run(legs: 3, size: "16M") { scene in
      let (wires, legs) = try scene.wires()
      var options = try scene.keptOptions(legs)
      options.keeping.areEqual = true
      options.keeping.patienceSeconds = 0.2
      let mirror = try await scene.mirror(options)
      let image = randomBytes(16 << 20)
      #expect(await mirror.write(Array(image[..<(4 << 20)]), at: 0).isGood)
      let open = stride(from: 4 << 20, to: image.count, by: 256 << 10).map {
        mirror.start(Array(image[$0..<$0 + (256 << 10)]), at: $0)
      }
      #expect(await open[0].value.isGood)
      for wire in wires { wire.cut() }
      var good: Set<Int> = []
      for (index, one) in open.enumerated() where await one.value.isGood { good.insert(index) }
      _ = await mirror.terminate()
      // By other ways: a leg is known by its record, not by its address.
      let direct = try scene.legs
      let next = try await scene.mirror(try scene.keptOptions(direct))
      await next.whenInSync()
      #expect(next.keptLegs.allSatisfy { $0.state == .inSync }, "\(next.keptLegs)")
      #expect(await next.terminate().bad == [])
      let contents = try await content(of: direct[0])
      try await expect(direct, hold: contents)
      let isThere = contents[..<(4 << 20)] == image[..<(4 << 20)]
      #expect(isThere)
      for index in good {
        let range = (4 << 20) + index * (256 << 10)..<(4 << 20) + (index + 1) * (256 << 10)
        let isSame = contents[range] == image[range]
        #expect(isSame, "the acknowledged write at \(range)")
      }
    }
  }

  @Test func `gives up a leg that says nothing at all`() async throws {
    try await MirrorScene.run(legs: 3, size: "4M") { scene in
      let (wires, legs) = try scene.wires()
      let told = ToldEvents()
      var options = try scene.keptOptions(legs, told: told)
      options.keeping.areEqual = true
      options.keeping.silenceSeconds = 2
      options.answersByStream = false
      let mirror = try await scene.mirror(options)
      #expect(await mirror.write(randomBytes(4096), at: 0).isGood)
      wires[2].fallSilent()
      #expect(await mirror.write(randomBytes(4096), at: 4096).isGood)
      try await mirror.wait(legs[2], is: .absent)
      #expect(
        told.reason(legs[2], .absent)?.contains("said nothing for 2.0 s") == true, "\(told.all)")
      wires[2].cut()
      _ = await mirror.terminate()
    }
  }
}

import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `The opening of a kept mirror` {
  @Test func `is refused while another initiator has it`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      let mirror = try await scene.mirror(try scene.keptOptions())
      var other = try scene.keptOptions()
      other.identity.name = "iqn.2026-01.test:other"
      other.group = try MirrorScene.newGroup()
      let error = await refusal { _ = try await scene.mirror(other) }
      #expect(error?.what.contains("(held)") == true, "\(error as Any)")
      #expect(error?.advice != nil)
      // Ordinary writers are refused, too; before, one leg was not ready even.
      await mirror.whenInSync()
      let plain = await refusal { _ = try await scene.mirror(try scene.options()) }
      #expect(plain?.what.contains("vault") == true, "\(plain as Any)")
      #expect(await mirror.write([UInt8](repeating: 5, count: 512), at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
    }
  }

  @Test func `is refused after a split brain, with a line for each leg, until it is resolved`()
    async throws
  {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      let (wires, legs) = try scene.wires()
      var options = try scene.keptOptions(legs)
      options.keeping.areEqual = true
      let both = try await scene.mirror(options)
      wires[1].cut()
      let first = [UInt8](repeating: 1, count: 4096)
      #expect(await both.write(first, at: 0).isGood)
      _ = await both.terminate()
      // The other one alone: it can't know, unless somebody says that it is right.
      let direct = try scene.targets[1].url(0)
      var alone = try scene.keptOptions([direct])
      let unnamed = await refusal { _ = try await scene.mirror(alone) }
      #expect(unnamed?.what.contains("(unnamed)") == true, "\(unnamed as Any)")
      #expect(unnamed?.what.contains("\(legs[0])") == true, "\(unnamed as Any)")
      alone.keeping.kept = direct
      let half = try await scene.mirror(alone)
      #expect(await half.write([UInt8](repeating: 2, count: 4096), at: 8192).isGood)
      _ = await half.terminate()
      wires[1].mend()
      let split = await refusal { _ = try await scene.mirror(options) }
      #expect(split?.what.contains("(split-brain)") == true, "\(split as Any)")
      #expect(split?.details.count == 2, "\(split as Any)")
      #expect(split?.advice?.contains("resolve") == true)
      options.keeping.kept = legs[0]
      let resolved = try await scene.mirror(options)
      await resolved.whenInSync()
      #expect(resolved.keptLegs.map(\.state) == [.inSync, .inSync])
      #expect(await resolved.terminate().bad == [])
      try await expect(legs, hold: first + [UInt8](repeating: 0, count: (1 << 20) - 4096))
    }
  }

  @Test func `takes one more leg, which is free again when it is released`() async throws {
    try await MirrorScene.run(legs: 3, size: "5M") { scene in
      let legs = try scene.legs
      let bytes = randomBytes(3 << 20)
      let first = try await scene.mirror(try scene.keptOptions(Array(legs[..<2])))
      #expect(await first.write(bytes, at: 0).isGood)
      try await first.addLeg(legs[2])
      let again = await refusal { try await first.addLeg(legs[2]) }
      #expect(again?.what.contains("already") == true, "\(again as Any)")
      await first.whenInSync()
      #expect(first.keptLegs.map(\.state) == [.inSync, .inSync, .inSync])
      #expect(await first.terminate().bad == [])
      let image = bytes + [UInt8](repeating: 0, count: 2 << 20)
      try await expect(legs, hold: image)
      let blank = await refusal { _ = try await scene.mirror(try scene.options([legs[2]])) }
      #expect(blank?.what.contains("vault") == true, "\(blank as Any)")
      let was = try await LegSelfDescription.release(
        legs[2], identity: .init(name: initiator), logger: logger)
      #expect(was.record?.mirrorName == "vault")
      let now = try await LegSelfDescription.read(
        legs[2], identity: .init(name: initiator), logger: logger)
      #expect(now.record == nil)
      // Another's leg, as any LUN; and to this mirror it is one that isn't here.
      let plain = try await scene.mirror(try scene.options([legs[2]]))
      #expect(await plain.write([UInt8](repeating: 9, count: 512), at: 0).isGood)
      _ = await plain.terminate()
      let away = await refusal { _ = try await scene.mirror(try scene.keptOptions()) }
      #expect(away?.what.contains("(missing)") == true, "\(away as Any)")
      var options = try scene.keptOptions()
      options.keeping.added = [legs[2]]
      // The member that it was could have gone on alone, for all that the others know.
      let missing = await refusal { _ = try await scene.mirror(options) }
      #expect(missing?.what.contains("(missing)") == true, "\(missing as Any)")
      options.keeping.kept = legs[0]
      let taken = try await scene.mirror(options)
      await taken.whenInSync()
      #expect(await taken.terminate().bad == [])
      try await expect(legs, hold: image)
    }
  }

  @Test func `refuses what can't be kept`() async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M"], ["0=memory:1M"]]) { scene in
      let legs = try [scene.targets[0].url(0), scene.targets[0].url(1)]
      let one = await refusal { _ = try await scene.mirror(try scene.keptOptions(legs)) }
      #expect(one?.what.contains("one target") == true, "\(one as Any)")
      var options = try scene.keptOptions([legs[0]])
      options.status = .none
      let deaf = await refusal { _ = try await scene.mirror(options) }
      #expect(deaf?.what.contains("status") == true, "\(deaf as Any)")
      var named = try scene.keptOptions([legs[0]])
      named.keeping.kept = legs[1]
      let stranger = await refusal { _ = try await scene.mirror(named) }
      #expect(stranger?.what.contains("none of the legs") == true, "\(stranger as Any)")
      named.keeping.kept = nil
      named.name = ""
      #expect(await refusal { _ = try await scene.mirror(named) } != nil)
      let lonely = try await scene.mirror(try scene.keptOptions([legs[0]]))
      #expect(await refusal { try await lonely.dropLeg(legs[0]) } != nil)
      #expect(await lonely.terminate().bad == [])
    }
  }

  private func refusal(_ body: () async throws -> Void) async -> MirrorcastError? {
    do {
      try await body()
    } catch {
      return error as? MirrorcastError ?? MirrorcastError("\(error)")
    }
    return nil
  }
}

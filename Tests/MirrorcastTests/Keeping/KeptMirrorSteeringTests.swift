import Foundation
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `A kept mirror that is open` {
  private var steersman: MirrorOperator {
    MirrorOperator(identity: .init(name: "iqn.2026-01.test:steersman"), logger: logger)
  }

  /// The words that an order is refused by; none where it isn't.
  private func refusal(_ order: () async throws(MirrorcastError) -> Void) async -> String {
    do throws(MirrorcastError) {
      try await order()
      return ""
    } catch {
      return error.what
    }
  }

  @Test func `lets a leg go by its owner's order, and takes it back`() async throws {
    try await MirrorScene.run(legs: 3, size: "8M") { scene in
      let legs = try scene.legs
      var options = try scene.keptOptions()
      options.keeping.areEqual = true
      let mirror = try await scene.mirror(options)
      var image = randomBytes(8 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      try await mirror.detach(legs[1])
      #expect(mirror.keptLegs.map(\.state) == [.inSync, .absent, .inSync])
      #expect(mirror.keptLegs[1].isDetached)
      #expect(mirror.keptLegs[1].reason == "detached by order")
      let bytes = randomBytes(1 << 20)
      image.replaceSubrange(4 << 20..<5 << 20, with: bytes)
      #expect(await mirror.write(bytes, at: 4 << 20).isGood)
      #expect(
        await refusal { () throws(MirrorcastError) in try await mirror.detach(legs[0]) } != "")
      try await mirror.attach(legs[1])
      await mirror.whenInSync()
      #expect(mirror.keptLegs.map(\.state) == [.inSync, .inSync, .inSync])
      #expect(await mirror.terminate().bad == [])
      try await expect(legs, hold: image)
    }
  }

  @Test func `is seen and steered through any of its legs`() async throws {
    try await MirrorScene.run(legs: 4, size: "8M") { scene in
      let legs = try scene.legs
      let first = Array(legs.prefix(3))
      var options = try scene.keptOptions(first)
      options.answersByStream = true
      options.keeping.areEqual = true
      let mirror = try await scene.mirror(options)
      let image = randomBytes(8 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      let seen = try await steersman.find(through: legs[2])
      #expect(seen.name == "vault")
      #expect(seen.isWhole && !seen.isSuspended && !seen.isClosing)
      #expect(seen.legs.map(\.label) == first.map { "\($0)" })
      #expect(seen.legs.allSatisfy { $0.isHere && $0.servedBy == "udp" })
      // Ordered through another leg than the one that goes.
      try await steersman.order(.detach(legs[2]), of: seen)
      let without = try await steersman.look(at: seen)
      #expect(without.leg(legs[2])?.isDetached == true)
      // That one leads to the others by its record.
      guard case .resting(let own, let elsewhere) = try await steersman.look(through: legs[2])
      else {
        Issue.record("a detached leg is held")
        return
      }
      #expect(own.record?.mirrorName == "vault")
      #expect(elsewhere?.name == "vault")
      try await steersman.order(.add(legs[3]), of: without)
      await mirror.whenInSync()
      try await steersman.order(.forget(legs[2]), of: without)
      let three = try await steersman.look(at: seen)
      #expect(three.isWhole)
      #expect(three.legs.map(\.label) == [legs[0], legs[1], legs[3]].map { "\($0)" })
      #expect(mirror.keptLegs.map(\.url) == [legs[0], legs[1], legs[3]])
      // Its record is the mirror's still: it is refused as it is.
      let words = await refusal { () throws(MirrorcastError) in
        try await steersman.order(.add(legs[2]), of: three)
      }
      #expect(words.contains("release it, then add it"), "\(words)")
      _ = try await LegSelfDescription.release(
        legs[2], identity: .init(name: initiator), logger: logger)
      try await steersman.order(.add(legs[2]), of: three)
      await mirror.whenInSync()
      #expect(mirror.keptLegs.map(\.state) == Array(repeating: .inSync, count: 4))
      #expect(await mirror.terminate().bad == [])
      try await expect(legs, hold: image)
    }
  }

  @Test func `answers many at once, and nobody when it has ended`() async throws {
    try await MirrorScene.run(legs: 2, size: "8M") { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror(try scene.keptOptions())
      await mirror.whenInSync()
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for index in 0..<12 {
          group.addTask { try await steersman.find(through: legs[index % 2]).isWhole }
        }
        for try await isWhole in group { #expect(isWhole) }
      }
      let open = try await steersman.find(through: legs[0])
      _ = await mirror.terminate()
      let words = await refusal { () throws(MirrorcastError) in
        try await steersman.order(.detach(legs[1]), of: open)
      }
      #expect(words.contains("nobody has the mirror 'vault' open"), "\(words)")
      let closed = await refusal { () throws(MirrorcastError) in
        _ = try await steersman.find(through: legs[0])
      }
      #expect(closed.contains("is open nowhere"), "\(closed)")
    }
  }

  @Test func `without a name takes no orders`() async throws {
    try await MirrorScene.run(legs: 2, size: "8M") { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror()
      let words = await refusal { () throws(MirrorcastError) in try await mirror.detach(legs[0]) }
      #expect(words == "the mirror is not kept")
    }
  }
}

import Testing

@testable import Mirrorcast

/// What a guest of a shared mirror had begun when the initiator that leads it went.
@Suite(.timeLimit(.minutes(10)))
struct `A guest whose leader is gone` {
  private static let stripe = 64 << 10
  private static let byteCount = 2 << 20

  private func options(_ scene: MirrorScene, lanes: Int) throws -> MirrorOptions {
    var options = try scene.keptOptions()
    options.keeping.areEqual = true
    options.keeping.isShared = true
    options.keeping.patienceSeconds = 60
    options.lanes.placements = Array(repeating: "any", count: lanes)
    options.writeLength = Self.stripe
    return options
  }

  /// Its process is gone for the others, whichever mirror of its line it has by now.
  private func kill(_ leader: Mirrorcast.Mirror) {
    (leader.succession?.current ?? leader).keeping?.end()
  }

  /// Each round the guest writes, much of it over what it has open, and its leader goes in the
  /// midst; a new guest comes, and the former one leads it.
  @Test(arguments: [1, 2])
  func `does again what was not told as ended, in its order`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 2, size: "2M", lanes: lanes) { scene in
      var leader = try await scene.mirror(try options(scene, lanes: lanes))
      var random = Seeded(UInt64(lanes))
      var image = [UInt8](repeating: 0, count: Self.byteCount)
      for round in 0..<6 {
        let guest = try await scene.mirror(try options(scene, lanes: lanes))
        var open: [Task<WriteResult, Never>] = []
        let goesAt = Int.random(in: 10..<190, using: &random)
        for index in 0..<200 {
          if index == goesAt { kill(leader) }
          // A third of the disk, up to four stripes at once: most overlap something.
          let start = Int.random(in: 0..<1000, using: &random) * 512
          let bytes = random.bytes(Int.random(in: 1...500, using: &random) * 512)
          open.append(guest.start(bytes, at: start))
          image.replaceSubrange(start..<start + bytes.count, with: bytes)
          // Now and then some have ended.
          if index % 23 == 0 { _ = await open[index / 2].value }
        }
        for write in open {
          let result = await write.value
          #expect(result.isGood, "round \(round): \(result.failures)")
        }
        await guest.whenInSync()
        #expect(guest.keptLegs.allSatisfy { $0.state == .inSync }, "\(guest.keptLegs)")
        try await expect(try scene.legs, hold: image)
        _ = await leader.terminate()
        leader = guest
      }
      #expect(await leader.flush().bad == [])
      _ = await leader.terminate()
      try await expect(try scene.legs, hold: image)
    }
  }
}

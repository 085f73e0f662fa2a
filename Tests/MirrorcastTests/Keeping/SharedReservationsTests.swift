import SCSI
import Testing

@testable import Mirrorcast

/// Reservations of a mirror of several initiators, while these and legs come and go.
@Suite(.timeLimit(.minutes(10)))
struct `Reservations of shared mirrors` {
  private typealias Mirror = Mirrorcast.Mirror

  private func options(_ scene: MirrorScene, _ legs: [LogicalUnitURL]? = nil) throws
    -> MirrorOptions
  {
    var options = try scene.keptOptions(legs)
    options.keeping.areEqual = true
    options.keeping.isShared = true
    options.keeping.patienceSeconds = 60
    return options
  }

  private func expectAllInSync(_ mirror: Mirror) {
    #expect(mirror.keptLegs.allSatisfy { $0.state == .inSync && $0.isHere }, "\(mirror.keptLegs)")
  }

  /// Waits until all legs tell it, or two minutes.
  private func wait(
    _ mirror: Mirror, until isRight: (MirrorReservation) -> Bool
  ) async throws {
    var last: MirrorReservation?
    for _ in 0..<2400 {
      last = try? await mirror.reservation()
      if let last, isRight(last) { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw Failure("it is \(last?.description ?? "not told")")
  }

  /// Writes until one is good, or for two minutes.
  private func writeUntilGood(_ mirror: Mirror, _ byte: UInt8) async throws {
    for _ in 0..<2400 {
      if await mirror.writeBytes(byte).isGood { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw Failure("no write is good")
  }

  @Test func `keep another initiator from writing, and hurt no leg`() async throws {
    try await MirrorScene.run(legs: 3, size: "8M") { scene in
      let one = try await scene.mirror(try options(scene))
      let other = try await scene.mirror(try options(scene))
      for (holder, guest) in [(one, other), (other, one)] {
        #expect(await guest.writeBytes(1).isGood)
        try await holder.register(key: 0xa)
        try await holder.reserve(.writeExclusiveRegistrantsOnly)
        #expect(await guest.writeBytes(2).isConflict(legs: 3))
        #expect(await guest.flush().allSatisfy { !$0.isGood })
        #expect(await holder.writeBytes(3, at: 1 << 20).isGood)
        expectAllInSync(one)
        expectAllInSync(other)
        try await guest.register(key: 0xb)
        #expect(await guest.writeBytes(4).isGood)
        #expect(await guest.flush().bad == [])
        expectAllInSync(one)
        try await guest.register(key: 0)
        try await holder.register(key: 0)
        #expect(try await guest.reservation() == MirrorReservation())
      }
      _ = await other.terminate()
      _ = await one.terminate()
      try await expectEqual(try scene.legs)
    }
  }

  private func expectEqual(_ legs: [LogicalUnitURL]) async throws {
    let image = try await content(of: legs[0])
    for leg in legs.dropFirst() {
      let isSame = try await content(of: leg) == image
      #expect(isSame, "\(leg) differs")
    }
  }

  @Test func `at once are one's at all legs`() async throws {
    try await MirrorScene.run(legs: 3, size: "1M") { scene in
      let mirrors = [
        try await scene.mirror(try options(scene)), try await scene.mirror(try options(scene)),
      ]
      try await mirrors[0].register(key: 1)
      try await mirrors[1].register(key: 2)
      for _ in 0..<20 {
        async let first = refusal { try await mirrors[0].reserve(.exclusiveAccessRegistrantsOnly) }
        async let second = refusal { try await mirrors[1].reserve(.exclusiveAccessRegistrantsOnly) }
        let outcomes = [await first, await second]
        #expect(Set(outcomes) == [nil, .conflict])
        let winner = outcomes[0] == nil ? 0 : 1
        #expect(
          try await mirrors[0].reservation()
            == MirrorReservation(
              keys: [1, 2], kind: .exclusiveAccessRegistrantsOnly,
              holderKey: UInt64(winner) + 1))
        try await mirrors[winner].release()
      }
      expectAllInSync(mirrors[0])
    }
  }

  /// Writes go on while reservations change leg by leg: some are refused at some legs.
  @Test func `that change while another writes cost no leg`() async throws {
    try await MirrorScene.run(legs: 3, size: "8M") { scene in
      let one = try await scene.mirror(try options(scene))
      let other = try await scene.mirror(try options(scene))
      try await one.register(key: 1)
      for turn in 0..<10 {
        let writes = (0..<64).map {
          other.start([UInt8](repeating: UInt8(turn + $0), count: 4096), at: $0 * 4096)
        }
        try await one.reserve(.writeExclusiveRegistrantsOnly)
        try await one.release()
        for write in writes { _ = await write.value }
      }
      #expect(await other.writeBytes(5).isGood)
      await one.whenInSync()
      #expect(one.keptLegs.allSatisfy { $0.isHere }, "\(one.keptLegs)")
      for leg in try scene.legs { try await one.wait(leg, is: .inSync) }
      _ = await other.terminate()
      _ = await one.terminate()
      try await expectEqual(try scene.legs)
    }
  }

  @Test(arguments: [1, 2])
  func `are brought to a leg that comes back`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 3, size: "8M", lanes: lanes) { scene in
      let (wires, legs) = try scene.wires()
      var options = try options(scene, legs)
      options.lanes.placements = Array(repeating: "any", count: lanes)
      let one = try await scene.mirror(options)
      let other = try await scene.mirror(options)
      try await other.register(key: 0xb)
      try await other.reserve(.writeExclusiveRegistrantsOnly)
      let held = try await one.reservation()
      #expect(held.holderKey == 0xb)
      for index in [2, 0] {
        wires[index].cut()
        #expect(await other.writeBytes(1, at: 2 << 20).isGood)
        try await one.wait(legs[index], is: .absent)
        // It is forgotten there altogether, as by a daemon that was started anew; or is not.
        if index == 2 {
          let stranger = try scene.targets[index].client()
          try forget(stranger)
        }
        wires[index].mend()
        try await one.wait(legs[index], is: .inSync)
        #expect(try await other.reservation() == held)
        #expect(try await one.reservation() == held)
        #expect(await one.writeBytes(2).isConflict(legs: 3))
        #expect(await other.writeBytes(3).isGood)
      }
      // Only its present sessions are registered.
      let stranger = try scene.targets[0].client()
      let keys = try stranger.run(
        .persistentReserveIn(.readKeys, allocationLength: 256), expected: 256)
      #expect(keys.data.count == 8 + 8 * lanes)
      // What was taken away meanwhile is not brought back.
      wires[1].cut()
      try await one.wait(legs[1], is: .absent)
      try await one.register(key: 0xa)
      try await one.preempt(key: 0xb)
      try await one.release()
      wires[1].mend()
      try await one.wait(legs[1], is: .inSync)
      #expect(try await one.reservation() == MirrorReservation(keys: [0xa]))
    }
  }

  /// All registrations go.
  private func forget(_ client: TargetClient) throws {
    let words = PersistentReserveWords(key: 0, actionKey: 5).bytes
    let clear = PersistentReserveWords(key: 5, actionKey: 0).bytes
    #expect(
      try client.run(
        .persistentReserveOut(.registerAndIgnoreExistingKey), data: words
      ).status == 0)
    #expect(try client.run(.persistentReserveOut(.clear), data: clear).status == 0)
  }

  @Test func `of a guest that vanishes are nobody's`() async throws {
    try await MirrorScene.run(legs: 3, size: "8M") { scene in
      let leader = try await scene.mirror(try options(scene))
      let guest = try await scene.mirror(try options(scene))
      try await guest.register(key: 0xb)
      try await guest.reserve(.exclusiveAccessRegistrantsOnly)
      #expect(await leader.writeBytes(1).isConflict(legs: 3))
      await vanish(guest)
      try await writeUntilGood(leader, 2)
      try await wait(leader) { $0 == MirrorReservation() }
      // The legs are made equal where it may have left a write half done.
      await leader.whenInSync()
      expectAllInSync(leader)
    }
  }

  /// The guest's process is gone for the leader.
  private func vanish(_ guest: Mirror) async {
    _ = await guest.succession?.end()
    guest.keeping?.sharing?.leader?.close()
  }

  @Test func `outlast the initiator that leads the mirror, whose own don't`() async throws {
    try await MirrorScene.run(legs: 3, size: "8M") { scene in
      let leader = try await scene.mirror(try options(scene))
      let guest = try await scene.mirror(try options(scene))
      let third = try await scene.mirror(try options(scene))
      try await guest.register(key: 0xb)
      try await leader.register(key: 0xa)
      try await guest.reserve(.writeExclusiveRegistrantsOnly)
      #expect(try await guest.reservation().keys == [0xa, 0xb])
      // Its process is gone.
      leader.keeping?.end()
      try await writeUntilGood(guest, 2)
      try await wait(guest) {
        $0
          == MirrorReservation(
            keys: [0xb], kind: .writeExclusiveRegistrantsOnly, holderKey: 0xb)
      }
      #expect(await third.writeBytes(3).isConflict(legs: 3))
      try await guest.release()
      #expect(await third.writeBytes(3).isGood)
    }
  }
}

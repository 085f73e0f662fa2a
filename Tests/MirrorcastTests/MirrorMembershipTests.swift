import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `The members of a mirror` {
  static let weather = Faults(drop: 0.1, duplicate: 0.05, reorder: 0.1, seed: 31)

  @Test func `a leg that is added takes the writes from then on`() async throws {
    try await MirrorScene.run(legs: 3, size: "2M", faults: Self.weather) { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror(try scene.options(Array(legs[..<2])))
      let before = (0..<32).map { start(mirror, $0, fill: 1) }
      try await mirror.addLeg(legs[2])
      let after = (16..<48).map { start(mirror, $0, fill: 2) }
      for write in before + after { #expect(await write.value.isGood) }
      #expect(mirror.statistics().legs.map(\.url) == legs)
      #expect(await mirror.terminate().bad == [])
      try await expect(Array(legs[..<2]), hold: image((0..<16, 1), (16..<48, 2)))
      // What was written before is not there: a write belongs to the members of its epoch.
      let added = try await content(of: legs[2])
      #expect(added[16 << 15..<48 << 15].allSatisfy { $0 == 2 })
      #expect(added[(48 << 15)...].allSatisfy { $0 == 0 })
    }
  }

  @Test func `a leg that is dropped is written no more, and free`() async throws {
    try await MirrorScene.run(legs: 3, size: "2M", faults: Self.weather) { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror()
      let before = (0..<32).map { start(mirror, $0, fill: 1) }
      for write in before { #expect(await write.value.isGood) }
      try await mirror.dropLeg(legs[1])
      let after = (16..<48).map { start(mirror, $0, fill: 2) }
      for write in after { #expect(await write.value.isGood) }
      // Its LUN takes ordinary writes, and another mirror.
      let session = try await plainSession(legs[1])
      let lun = try #require(LogicalUnitNumber(0))
      let outcome = try await written(
        session, lun, [UInt8](repeating: 9, count: 512)[...], at: 0
      ).get()
      #expect(outcome.isGood, "\(outcome.text)")
      await session.close()
      let other = try await scene.mirror(try otherGroup(try scene.options([legs[1]])))
      #expect(await other.write([UInt8](repeating: 8, count: 512), at: 512).isGood)
      _ = await other.terminate()
      #expect(await mirror.terminate().bad == [])
      try await expect([legs[0], legs[2]], hold: image((0..<16, 1), (16..<48, 2)))
      var dropped = image((0..<32, 1))
      dropped.replaceSubrange(0..<512, with: [UInt8](repeating: 9, count: 512))
      dropped.replaceSubrange(512..<1024, with: [UInt8](repeating: 8, count: 512))
      try await expect([legs[1]], hold: dropped)
    }
  }

  @Test func `a leg may be dropped while its writes are open`() async throws {
    try await MirrorScene.run(legs: 3, size: "2M", faults: Self.weather) { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror()
      let before = (0..<32).map { start(mirror, $0, fill: 1) }
      try await mirror.dropLeg(legs[1])
      let after = (0..<16).map { start(mirror, $0, fill: 2) }
      for write in before + after { #expect(await write.value.isGood) }
      try await expect([legs[0], legs[2]], hold: image((0..<16, 2), (16..<32, 1)))
      let dropped = try await content(of: legs[1])
      #expect(!dropped.contains(2))
    }
  }

  @Test func `who left may come back, and again`() async throws {
    try await MirrorScene.run(legs: 2, size: "2M", faults: Self.weather) { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror()
      for turn in 1...4 {
        try await mirror.dropLeg(legs[1])
        let alone = start(mirror, 0, fill: UInt8(turn))
        #expect(await alone.value.isGood)
        try await mirror.addLeg(legs[1])
        let both = start(mirror, turn, fill: UInt8(turn))
        #expect(await both.value.isGood)
      }
      #expect(await mirror.terminate().bad == [])
      var image = image((0..<1, 4), (1..<2, 1), (2..<3, 2), (3..<4, 3), (4..<5, 4))
      try await expect([legs[0]], hold: image)
      image.replaceSubrange(0..<1 << 15, with: [UInt8](repeating: 0, count: 1 << 15))
      try await expect([legs[1]], hold: image)
    }
  }

  @Test func `a change that can't be is refused, and the mirror goes on`() async throws {
    try await MirrorScene.run(
      [["0=memory:1M"], ["0=memory:2M", "7=memory:1M"], ["0=memory:1M", "1=memory:1M"]]
    ) { scene in
      let legs = try [scene.targets[0].url(0), scene.targets[2].url(0)]
      var options = try scene.options(legs)
      options.virtualLUN = 7
      let mirror = try await scene.mirror(options)
      let open = (0..<16).map { start(mirror, $0, fill: 3) }
      try await refused("bytes") { try await mirror.addLeg(try scene.targets[1].url(0)) }
      try await refused("virtual LUN 7") { try await mirror.addLeg(try scene.targets[1].url(7)) }
      try await refused("not there") { try await mirror.addLeg(try scene.targets[0].url(9)) }
      try await refused("leg already") { try await mirror.addLeg(legs[0]) }
      try await refused("no leg") { try await mirror.dropLeg(try scene.targets[1].url(0)) }
      // The target has this virtual LUN in the same mirror: a second LUN comes with the leg.
      try await refused("busy") { try await mirror.addLeg(try scene.targets[2].url(1)) }
      for write in open { #expect(await write.value.isGood) }
      try await mirror.dropLeg(legs[0])
      try await refused("last leg") { try await mirror.dropLeg(legs[1]) }
      #expect(await start(mirror, 16, fill: 4).value.isGood)
      #expect(await mirror.terminate().filter { $0.url == legs[1] }.bad == [])
      try await refused("ended") { try await mirror.addLeg(legs[0]) }
    }
  }

  /// Starts a write of 32 KiB that are all `fill`, in the place of that number.
  private func start(
    _ mirror: Mirrorcast.Mirror, _ place: Int, fill: UInt8
  ) -> Task<WriteResult, Never> {
    mirror.start([UInt8](repeating: fill, count: 1 << 15), at: place << 15)
  }

  /// A disk of 2 MiB with these places filled so.
  private func image(_ fills: (places: Range<Int>, byte: UInt8)...) -> [UInt8] {
    var image = [UInt8](repeating: 0, count: 2 << 20)
    for (places, byte) in fills {
      for index in places.lowerBound << 15..<places.upperBound << 15 { image[index] = byte }
    }
    return image
  }

  private func otherGroup(_ options: MirrorOptions) throws -> MirrorOptions {
    var options = options
    options.group = try MirrorScene.newGroup()
    return options
  }

  private func refused(
    _ words: String, location: SourceLocation = #_sourceLocation,
    _ change: () async throws -> Void
  ) async throws {
    do {
      try await change()
      Issue.record("no refusal", sourceLocation: location)
    } catch let error as MirrorcastError {
      #expect(error.what.contains(words), "\(error.what)", sourceLocation: location)
    }
  }
}

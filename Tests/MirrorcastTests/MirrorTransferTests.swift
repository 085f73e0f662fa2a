import Foundation
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Writes of a mirror` {
  static let weather = Faults(drop: 0.15, duplicate: 0.05, reorder: 0.1, seed: 7)

  @Test(arguments: [RecoveryMode.group, .target, .blocks], [1, 3])
  func `arrive whole at every leg, however many datagrams are lost`(
    recovery: RecoveryMode, legCount: Int
  ) async throws {
    try await MirrorScene.run(legs: legCount, faults: Self.weather) { scene in
      var options = try scene.options()
      options.recovery = recovery
      options.faults = Faults(drop: 0.1, duplicate: 0.1, reorder: 0.1, seed: 99)
      let mirror = try await scene.mirror(options)
      var random = Seeded(3)
      var image = [UInt8](repeating: 0, count: 8 << 20)
      var offset = 0
      // One sector, one block, a block and one sector more, odd counts, several writes in one call.
      for sectors in [1, 2, 3, 8, 16, 127, 128, 1001, 4096, 5000] {
        let bytes = random.bytes(sectors * 512)
        let result = await mirror.write(bytes, at: offset)
        #expect(result.isGood, "\(result.failures)")
        image.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        offset += bytes.count
      }
      let statistics = mirror.statistics()
      #expect(statistics.repairDatagrams > 0)
      #expect(statistics.legs.allSatisfy { $0.status.isGood && $0.lostBlocks > 0 })
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `without faults nothing is sent twice`() async throws {
    try await MirrorScene.run(legs: 3) { scene in
      let mirror = try await scene.mirror()
      let image = randomBytes(8 << 20)
      let result = await mirror.write(image, at: 0)
      #expect(result.isGood)
      let statistics = mirror.statistics()
      #expect(statistics.bytes == 8 << 20)
      // Their length is what the legs have room for.
      let length = mirror.writeLengthMax
      #expect(statistics.writes == UInt64(((8 << 20) + length - 1) / length))
      #expect(statistics.legs.map(\.servedBy) == ["udp", "udp", "udp"])
      // A kernel that is short of room may drop some: what can't be is a second copy of everything.
      #expect(statistics.repairDatagrams < statistics.dataDatagrams / 2)
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test(arguments: [RecoveryMode.group, .target, .blocks])
  func `that overlap leave the last one's bytes, on every leg`(
    recovery: RecoveryMode
  ) async throws {
    try await MirrorScene.run(legs: 3, size: "1M", faults: Self.weather) { scene in
      var options = try scene.options()
      options.recovery = recovery
      options.writeLength = 64 << 10
      let mirror = try await scene.mirror(options)
      var random = Seeded(11)
      var image = [UInt8](repeating: 0, count: 1 << 20)
      var open: [Task<WriteResult, Never>] = []
      for _ in 0..<200 {
        // In a quarter of the disk, so that most overlap something.
        let start = Int.random(in: 0..<400, using: &random) * 512
        let bytes = random.bytes(Int.random(in: 1...120, using: &random) * 512)
        open.append(mirror.start(bytes, at: start))
        image.replaceSubrange(start..<start + bytes.count, with: bytes)
      }
      for write in open { #expect(await write.value.isGood) }
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `many in flight all come back`() async throws {
    try await MirrorScene.run(legs: 2, size: "4M", faults: Self.weather) { scene in
      let mirror = try await scene.mirror()
      var random = Seeded(5)
      let image = random.bytes(4 << 20)
      var open: [Task<WriteResult, Never>] = []
      for start in stride(from: 0, to: image.count, by: 4096).shuffled(using: &random) {
        open.append(mirror.start(Array(image[start..<start + 4096]), at: start))
      }
      for write in open { #expect(await write.value.isGood) }
      #expect(mirror.statistics().writes == 1024)
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `that don't fit the disk or its blocks are refused in words`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      let mirror = try await scene.mirror()
      let size = 1 << 20
      for (count, offset) in [
        (0, 0), (511, 0), (512, 1), (1024, size - 512), (512, size), (512, Int.max & ~511),
        (size + 512, 0),
      ] {
        let result = await mirror.write([UInt8](repeating: 1, count: count), at: offset)
        #expect(!result.isGood)
        #expect(result.failures.map(\.url) == (try scene.legs))
        #expect(result.failures.allSatisfy { $0.text.contains("\(count) bytes at \(offset)") })
      }
      // The last sector is a sector like any other.
      let last = await mirror.write([UInt8](repeating: 9, count: 512), at: size - 512)
      #expect(last.isGood)
      var image = [UInt8](repeating: 0, count: size)
      image.replaceSubrange(size - 512..<size, with: [UInt8](repeating: 9, count: 512))
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `forced or flushed are in the files`() async throws {
    let directory = NSTemporaryDirectory() + "mirrorcast-flush-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let paths = (0..<2).map { "\(directory)/disk-\($0).img" }
    let image = randomBytes(1 << 20)
    try await MirrorScene.run(
      paths.map { ["0=file:\($0),size=1M"] }, faults: Self.weather
    ) { scene in
      let mirror = try await scene.mirror()
      let forced = await mirror.write(
        Array(image[..<512_000]), at: 0, forceUnitAccess: true)
      #expect(forced.isGood)
      let rest = mirror.start(Array(image[512_000...]), at: 512_000)
      // A flush waits for what was submitted before it.
      #expect(await mirror.flush().bad == [])
      #expect(await rest.value.isGood)
      for path in paths {
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data(image))
      }
    }
  }
}

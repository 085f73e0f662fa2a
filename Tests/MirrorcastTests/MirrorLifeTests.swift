import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `The life of a mirror` {
  static let weather = Faults(drop: 0.15, duplicate: 0.05, reorder: 0.1, seed: 51)

  @Test func `its LUNs take no ordinary writes until it ends`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      let lun = try #require(LogicalUnitNumber(0))
      let session = try await plainSession(try scene.legs[0])
      let sector = [UInt8](repeating: 1, count: 512)
      let before = try await written(session, lun, sector[...], at: 0).get()
      #expect(before.isGood, "\(before.text)")
      let mirror = try await scene.mirror()
      let during = try await written(session, lun, sector[...], at: 512).get()
      #expect(during.status == .checkCondition)
      #expect(during.sense?.key == .dataProtect)
      #expect(during.sense?.additional == AdditionalSense(0x27, 0x00))
      #expect(await mirror.write([UInt8](repeating: 2, count: 512), at: 1024).isGood)
      // Reads are for everybody, and see what the mirror wrote.
      let bytes = try await content(of: try scene.legs[0])
      #expect(bytes[..<512].allSatisfy { $0 == 1 })
      #expect(bytes[512..<1024].allSatisfy { $0 == 0 })
      #expect(bytes[1024..<1536].allSatisfy { $0 == 2 })
      _ = await mirror.terminate()
      let after = try await written(session, lun, sector[...], at: 512).get()
      #expect(after.isGood, "\(after.text)")
      await session.close()
    }
  }

  @Test func `without status, buffers may be used again at once`() async throws {
    try await MirrorScene.run(legs: 3, size: "4M", faults: Self.weather) { scene in
      var options = try scene.options()
      options.status = .none
      options.writeLength = 64 << 10
      let mirror = try await scene.mirror(options)
      let image = randomBytes(4 << 20)
      let buffer = Buffer([UInt8](repeating: 0, count: 64 << 10))
      for start in stride(from: 0, to: image.count, by: 64 << 10) {
        buffer.bytes.copyBytes(from: image[start..<start + (64 << 10)])
        let result = await mirror.write(UnsafeRawBufferPointer(buffer.bytes), at: UInt64(start))
        #expect(result.isGood)
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0xee)
      }
      let ends = await mirror.terminate()
      #expect(ends.bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test(arguments: RecoveryMode.allCases)
  func `a buffer that changes under way is the same on all legs at last`(
    recovery: RecoveryMode
  ) async throws {
    try await MirrorScene.run(legs: 3, size: "1M", faults: Self.weather) { scene in
      var options = try scene.options()
      options.recovery = recovery
      let mirror = try await scene.mirror(options)
      let buffer = Buffer([UInt8](repeating: 0, count: 512 << 10))
      let (results, told) = AsyncStream<WriteResult>.makeStream()
      mirror.submit(UnsafeRawBufferPointer(buffer.bytes), at: 0) {
        told.yield($0)
        told.finish()
      }
      // What a program must not do: it writes into the buffer of an open write, for a while.
      var turn: UInt8 = 0
      while mirror.statistics().repairDatagrams < 200, turn < 250 {
        turn += 1
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: turn)
        await Task.yield()
      }
      var iterator = results.makeAsyncIterator()
      let result = try #require(await iterator.next())
      guard result.isGood else {
        #expect(result.failures.allSatisfy { $0.text.contains("changed again and again") })
        return
      }
      let first = try await content(of: try scene.legs[0])
      try await expect(try scene.legs, hold: first)
    }
  }

  @Test func `its end may be asked for twice, and nothing is written afterwards`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      let mirror = try await scene.mirror()
      async let first = mirror.terminate()
      async let second = mirror.terminate()
      #expect(await (first + second).bad == [])
      #expect(await mirror.terminate().count == 2)
      let late = await mirror.write([UInt8](repeating: 1, count: 512), at: 0)
      #expect(!late.isGood)
      #expect(late.failures.map(\.url) == (try scene.legs))
      #expect(late.failures.allSatisfy { $0.text.contains("ended") })
      // A flush of what has ended has nothing to wait for.
      #expect(await mirror.flush().count == 2)
      try await expect(try scene.legs, hold: [UInt8](repeating: 0, count: 1 << 20))
    }
  }

  @Test func `writes that meet its end come back, all`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      for _ in 0..<10 {
        let mirror = try await scene.mirror()
        let writes = Task.detached {
          var ended = 0
          while await mirror.write([UInt8](repeating: 1, count: 512), at: 0).isGood { ended += 1 }
          return ended
        }
        #expect(await mirror.write([UInt8](repeating: 2, count: 512), at: 512).isGood)
        _ = await mirror.terminate()
        _ = await writes.value
      }
    }
  }

  @Test func `its statistics only grow, and tell what was done`() async throws {
    try await MirrorScene.run(legs: 2, size: "4M", faults: Self.weather) { scene in
      let mirror = try await scene.mirror()
      var last = mirror.statistics()
      #expect(last.writes == 0 && last.bytes == 0)
      for index in 0..<32 {
        let result = await mirror.write(randomBytes(64 << 10), at: index * (64 << 10))
        #expect(result.isGood)
        let next = mirror.statistics()
        #expect(next.writes == UInt64(index + 1))
        #expect(next.bytes == UInt64(index + 1) * (64 << 10))
        #expect(next.dataDatagrams > last.dataDatagrams)
        #expect(next.repairDatagrams >= last.repairDatagrams)
        #expect(next.wireBytes > last.wireBytes + 64 << 10)
        for (leg, before) in zip(next.legs, last.legs) {
          #expect(leg.lostBlocks >= before.lostBlocks && leg.reports >= before.reports)
          #expect(leg.repairedBlocks >= before.repairedBlocks)
        }
        last = next
      }
      _ = await mirror.terminate()
      #expect(mirror.statistics().writes == 32)
    }
  }

  @Test func `a mirror that is forgotten does no harm`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      do {
        let mirror = try await Mirror.establish(try scene.options(), logger: logger)
        #expect(await mirror.write([UInt8](repeating: 1, count: 512), at: 0).isGood)
      }
      try await expect(
        try scene.legs,
        hold: [UInt8](repeating: 1, count: 512) + [UInt8](repeating: 0, count: (1 << 20) - 512))
    }
  }
}

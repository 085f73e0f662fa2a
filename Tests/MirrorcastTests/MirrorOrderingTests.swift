import Synchronization
import Testing

@testable import Mirrorcast

/// Writes in the order in which their callers were told.
private final class Endings: Sendable {
  let ended = Mutex<[Int]>([])

  /// Starts a write; the task ends with it.
  func start(
    _ number: Int, _ content: [UInt8], at offset: Int, _ attribute: TaskAttribute,
    _ mirror: Mirrorcast.Mirror
  ) -> Task<WriteResult, Never> {
    let (results, told) = AsyncStream<WriteResult>.makeStream()
    let buffer = Buffer(content)
    mirror.submit(
      UnsafeRawBufferPointer(buffer.bytes), at: UInt64(offset), attribute: attribute
    ) { result in
      self.ended.withLock { $0.append(number) }
      withExtendedLifetime(buffer) { _ = told.yield(result) }
      told.finish()
    }
    return Task {
      for await result in results { return result }
      return WriteResult(isGood: false, failures: [])
    }
  }
}

@Suite(.timeLimit(.minutes(10)))
struct `Task attributes through the mirror` {
  static let stripe = 64 << 10

  private func options(_ scene: MirrorScene, lanes: Int, isKept: Bool) throws -> MirrorOptions {
    var options = isKept ? try scene.keptOptions() : try scene.options()
    options.lanes.placements = Array(repeating: "any", count: lanes)
    options.writeLength = Self.stripe
    return options
  }

  /// Where a write of the test goes: some cross stripes, so that they concern several lanes.
  private func place(_ random: inout Seeded) -> (start: Int, count: Int) {
    (Int.random(in: 0..<3000, using: &random) * 512, Int.random(in: 1...300, using: &random) * 512)
  }

  @Test(arguments: [1, 2, 3], [false, true])
  func `an ordered write comes after all before it and before all behind it`(
    lanes: Int, isKept: Bool
  ) async throws {
    let weather = `A mirror of several lanes`.weather
    try await MirrorScene.run(legs: 3, size: "2M", faults: weather, lanes: lanes) { scene in
      let mirror = try await scene.mirror(try options(scene, lanes: lanes, isKept: isKept))
      var random = Seeded(UInt64(lanes))
      var image = [UInt8](repeating: 0, count: 2 << 20)
      let endings = Endings()
      var open: [Task<WriteResult, Never>] = []
      var ordered: [Int] = []
      for number in 0..<120 {
        let (start, count) = place(&random)
        let bytes = random.bytes(count)
        let isOrdered = number % 7 == 3 || number % 40 == 4
        if isOrdered { ordered.append(number) }
        open.append(
          endings.start(number, bytes, at: start, isOrdered ? .ordered : .simple, mirror))
        image.replaceSubrange(start..<start + count, with: bytes)
      }
      for write in open {
        let result = await write.value
        #expect(result.isGood, "\(result.failures)")
      }
      let ended = endings.ended.withLock { $0 }
      for number in ordered {
        let place = try #require(ended.firstIndex(of: number))
        #expect(place == number, "\(number) was told as number \(place)")
        #expect(ended[..<place].allSatisfy { $0 < number })
      }
      // A new one may still be comparing.
      if isKept { for leg in try scene.legs { try await mirror.wait(leg, is: .inSync) } }
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test(arguments: [1, 2]) func `ordered writes of many callers wait for each other, not for ever`(
    lanes: Int
  ) async throws {
    try await MirrorScene.run(legs: 2, size: "2M", lanes: lanes) { scene in
      let (wires, legs) = try scene.wires()
      var options = try scene.options(legs)
      options.lanes.placements = Array(repeating: "any", count: lanes)
      options.writeLength = Self.stripe
      let mirror = try await scene.mirror(options)
      await withTaskGroup(of: Void.self) { group in
        for caller in 1...4 {
          group.addTask {
            var random = Seeded(UInt64(caller))
            for round in 0..<30 {
              let count = Int.random(in: 1...300, using: &random) * 512
              let start = Int.random(in: 0..<3000, using: &random) * 512
              let attribute = TaskAttribute.allCases[round % 3]
              let buffer = Buffer([UInt8](repeating: UInt8(caller), count: count))
              let result = await mirror.write(
                UnsafeRawBufferPointer(buffer.bytes), at: UInt64(start), attribute: attribute)
              // A leg is lost in the midst: the others' writes go on.
              #expect(result.failures.allSatisfy { $0.url == legs[1] })
              if caller == 1, round == 10 { wires[1].cut() }
            }
          }
        }
      }
      let ends = await mirror.terminate()
      #expect(ends.map(\.isGood) == [true, false])
      // What comes after the end is refused, and nothing waits for it.
      let late = await mirror.write([1], at: 0, attribute: .ordered)
      #expect(!late.isGood)
    }
  }

  @Test func `more ordered writes than may be under way are refused`() async throws {
    try await MirrorScene.run(legs: 2, size: "2M") { scene in
      let (wires, legs) = try scene.wires()
      var options = try scene.options(legs)
      options.lanes.placements = ["any", "any"]
      options.writeLength = Self.stripe
      let mirror = try await scene.mirror(options)
      // Nothing ends as long as nobody knows that it is gone.
      wires[1].fallSilent()
      let endings = Endings()
      let block = [UInt8](repeating: 1, count: 512)
      let writes = (0..<3000).map { endings.start($0, block, at: 0, .ordered, mirror) }
      let refused = endings.ended.withLock { $0.count }
      // Each takes room for itself and two marks.
      #expect(refused >= 3000 - 4096 / 3 - 1)
      wires[1].cut()
      for (number, write) in writes.enumerated() {
        let result = await write.value
        guard number >= 3000 - refused else { continue }
        #expect(result.failures.map(\.text).contains("more than 4096 writes under way"))
      }
      // All that was taken for them is free again.
      let last = await mirror.write(
        [UInt8](repeating: 2, count: 200 << 10), at: 0, attribute: .ordered)
      #expect(last.failures.map(\.url) == [legs[1]])
      #expect(await mirror.terminate().map(\.isGood) == [true, false])
    }
  }

  @Test(arguments: [TaskAttribute.ordered, .headOfQueue])
  func `a mirror of several initiators does simple writes only, and says so`(
    attribute: TaskAttribute
  ) async throws {
    try await MirrorScene.run(legs: 2) { scene in
      var options = try scene.keptOptions()
      options.keeping.areEqual = true
      options.keeping.isShared = true
      let mirror = try await scene.mirror(options)
      let block = [UInt8](repeating: 1, count: 512)
      let result = await mirror.write(block, at: 0, attribute: attribute)
      let words = "\(attribute.rawValue): a shared mirror does simple writes only"
      #expect(result.failures.map(\.text) == [words, words])
      #expect(await mirror.write(block, at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
    }
  }

  @Test(arguments: TaskAttribute.allCases) func `a leg of another make does them all`(
    attribute: TaskAttribute
  ) async throws {
    try await MirrorScene.run(legs: 1) { scene in
      let foreign = try await SceneTarget.start(
        ["0=memory:8M"], name: "iqn.2025-01.org.example:other-make", isForeign: true)
      scene.endLater { try? await foreign.stop() }
      let mirror = try await scene.mirror(
        try scene.options(try scene.legs + [try foreign.url(0)]))
      var image = [UInt8](repeating: 0, count: 8 << 20)
      for start in stride(from: 0, to: 1 << 20, by: 128 << 10) {
        let bytes = randomBytes(128 << 10)
        #expect(await mirror.write(bytes, at: start, attribute: attribute).isGood)
        image.replaceSubrange(start..<start + bytes.count, with: bytes)
      }
      #expect(await mirror.terminate().bad == [])
      try await expect([try scene.legs[0], try foreign.url(0)], hold: image)
    }
  }
}

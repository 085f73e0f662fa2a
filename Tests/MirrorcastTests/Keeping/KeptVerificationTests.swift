import Foundation
import Synchronization
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `A kept mirror that is verified` {
  /// Legs that are taken for equal, though the second has other bytes in two places.
  private func soil(_ scene: MirrorScene) async throws -> [LogicalUnitURL] {
    let legs = try scene.legs
    let other = try await scene.mirror(try scene.options([legs[1]]))
    #expect(await other.write(randomBytes(512), at: 300 << 10).isGood)
    #expect(await other.write(randomBytes(4096), at: 9 << 20).isGood)
    _ = await other.terminate()
    return legs
  }

  @Test(arguments: [1, 2])
  func `names the ranges that differ, and the leg, while writes go on`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 3, size: "12M", lanes: lanes) { scene in
      let legs = try await soil(scene)
      let told = ToldEvents()
      var options = try scene.keptOptions(told: told)
      options.keeping.areEqual = true
      options.lanes.placements = Array(repeating: "any", count: lanes)
      let mirror = try await scene.mirror(options)
      // Everywhere but in these two places.
      let writing = Task {
        var count = 0
        while !Task.isCancelled {
          let place = 1 << 20 + (count % 7) << 20
          guard await mirror.write(randomBytes(256 << 10), at: place).isGood else { return false }
          count += 1
        }
        return count > 0
      }
      let steps = Mutex<[UInt64]>([])
      let found = try await mirror.verify { progress in
        steps.withLock { $0.append(progress.doneBytes) }
      }
      writing.cancel()
      #expect(await writing.value)
      let pieces: [Range<UInt64>] = [256 << 10..<512 << 10, 9 << 20..<9 << 20 + 256 << 10]
      #expect(found.differences.map(\.bytes) == pieces)
      #expect(found.differences.allSatisfy { $0.odd == [legs[1]] && !$0.isRepaired })
      #expect(found.isWhole)
      #expect(!found.isEqual)
      #expect(found.differingRegions == 2)
      #expect(steps.withLock { $0.last } == 12 << 20)
      #expect(told.all.contains { if case .differing = $0 { true } else { false } })

      let repaired = try await mirror.verify(repairing: .from(legs[0]))
      #expect(repaired.isEqual, "\(repaired)")
      #expect("\(repaired)".contains("2 pieces differed in 2 regions, all repaired"))
      let again = try await mirror.verify()
      #expect(again.isEqual, "\(again)")
      #expect(mirror.keptLegs.allSatisfy { $0.state == .inSync })
      #expect(await mirror.terminate().bad == [])
    }
  }

  @Test func `is refused what can't be, and given up with its caller`() async throws {
    try await MirrorScene.run(legs: 2, size: "9M") { scene in
      var options = try scene.keptOptions()
      options.keeping.areEqual = true
      let mirror = try await scene.mirror(options)
      await #expect(throws: MirrorcastError.self) {
        _ = try await mirror.verify(range: 0..<(10 << 20))
      }
      let stranger = try LogicalUnitURL(parsing: "iscsi://127.0.0.1/iqn.2026-01.org.example:x/0")
      await #expect(throws: MirrorcastError.self) {
        _ = try await mirror.verify(repairing: .from(stranger))
      }
      let task = Task {
        withUnsafeCurrentTask { $0?.cancel() }
        return try await mirror.verify()
      }
      #expect(try await task.value.isEqual == false)
      #expect(await mirror.terminate().bad == [])
      await #expect(throws: MirrorcastError.self) { _ = try await mirror.verify() }
    }
  }
}

import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Mirrored writes and what protects a LUN` {
  private func client(_ target: SceneTarget) throws -> TargetClient {
    let port = target.portal.split(separator: ":").last.flatMap { Int($0) }
    let client = try TargetClient(port: try #require(port))
    #expect(try client.logIn(target.name, initiator: "iqn.2026-01.test:other") == 0)
    return client
  }

  private func write(_ mirror: Mirrorcast.Mirror, _ byte: UInt8) async -> WriteResult {
    await mirror.write([UInt8](repeating: byte, count: 64 << 10), at: 0)
  }

  /// A file takes stores, memory has its blocks placed: both must obey.
  @Test(arguments: ["memory:1M", "file"])
  func `another's reservation is obeyed at its leg, and nothing stored`(
    kind: String
  ) async throws {
    let scratch = try ScratchDirectory()
    let place = kind == "file" ? "file:\(scratch.path)/disk.img,size=1M" : kind
    try await MirrorScene.run([["0=\(place)"], ["0=memory:1M"]]) { scene in
      let mirror = try await scene.mirror()
      #expect(await write(mirror, 1).isGood)
      let other = try client(scene.targets[0])
      #expect(try other.run(CommandDescriptorBlock(.reserve6)).status == 0)
      let refused = await write(mirror, 2)
      let leg = try scene.legs[0]
      #expect(refused.failures.map(\.url) == [leg])
      #expect(refused.failures.first?.text.contains("RESERVATION CONFLICT") == true)
      #expect(try other.read(512, at: 0).data == [UInt8](repeating: 1, count: 512))
      #expect(try other.run(CommandDescriptorBlock(.release6)).status == 0)
    }
  }

  @Test func `a LUN that is mirrored keeps its medium, and is not sanitized`() async throws {
    try await MirrorScene.run([["0=memory:1M,removable"]]) { scene in
      let mirror = try await scene.mirror()
      #expect(await write(mirror, 1).isGood)
      let other = try client(scene.targets[0])
      var eject = CommandDescriptorBlock(.startStopUnit)
      eject[4] = 2
      #expect(try other.run(eject).words == [5, 0x53, 2])
      var erase = CommandDescriptorBlock(.sanitize)
      erase[1] = 2
      #expect(try other.run(erase).words == [7, 0x27, 0])
      #expect(await write(mirror, 2).isGood)
      _ = await mirror.terminate()
      #expect(try other.run(eject).status == 0)
      #expect(try other.run(.testUnitReady).words == [2, 0x3a, 0])
    }
  }

  @Test func `software write protection is obeyed`()
    async throws
  {
    try await MirrorScene.run([["0=memory:1M"]]) { scene in
      let mirror = try await scene.mirror()
      #expect(await write(mirror, 1).isGood)
      let other = try client(scene.targets[0])
      var select = CommandDescriptorBlock(.modeSelect6)
      select[1] = 0x10
      select[4] = 16
      let page: [UInt8] = [0x0a, 0x0a, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 0]
      #expect(try other.run(select, data: [0, 0, 0, 0] + page).status == 0)
      let refused = await write(mirror, 2)
      #expect(refused.failures.first?.text.contains("write protected") == true)
      #expect(try other.read(512, at: 0).data == [UInt8](repeating: 1, count: 512))
    }
  }

  @Test func `blocks of 4096 bytes are mirrored as others are`() async throws {
    let size = ["0=memory:1M,block=4096"]
    try await MirrorScene.run([size, size]) { scene in
      let mirror = try await scene.mirror()
      #expect(await write(mirror, 3).isGood)
      let other = try client(scene.targets[1])
      let read = try other.run(
        .read16(BlockRange(address: 0, count: 1)), expected: 4096)
      #expect(read.data == [UInt8](repeating: 3, count: 4096))
    }
  }
}

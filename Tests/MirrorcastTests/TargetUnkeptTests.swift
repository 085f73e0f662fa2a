import Bytes
import Glibc
import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

/// The state of a disk whose file can't be written: CHECK CONDITION means that nothing has changed.
@Suite struct `Reservations that can't be kept` {
  private static func out(
    _ client: TargetClient, _ action: UInt8, _ key: UInt64, _ new: UInt64 = 0
  ) -> PDU {
    var data: [UInt8] = []
    data.appendBigEndian(key)
    data.appendBigEndian(new)
    data += [0, 0, 0, 0, 1, 0, 0, 0]
    var block = CommandDescriptorBlock(.persistentReserveOut)
    block[1] = action
    block[2] = 5
    block[8] = 24
    return client.command(block, data: data)
  }

  private static func run(
    _ client: TargetClient, _ action: UInt8, _ key: UInt64, _ new: UInt64 = 0
  ) throws -> PDU {
    try client.send(out(client, action, key, new).encoded)
    return try #require(try client.receive())
  }

  /// READ KEYS, READ RESERVATION and READ FULL STATUS.
  private static func seen(_ client: TargetClient) throws -> [[UInt8]] {
    try ([0, 1, 3] as [UInt8]).map { action in
      var block = CommandDescriptorBlock(.persistentReserveIn)
      block[1] = action
      block[7] = 1
      return try client.run(block, expected: 256).data
    }
  }

  /// Sense data comes behind its length.
  private static func words(_ answer: PDU) -> [UInt8] {
    answer.data.count > 15
      ? [answer.data[answer.data.startIndex + 4] & 15]
        + answer.data.dropFirst(14).prefix(2) : []
  }

  @Test func `fail and change nothing, for nobody`() async throws {
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    let draft = path + ".mirrorcast.new"
    defer { unlink(path + ".mirrorcast") }
    defer { rmdir(draft) }
    try await TargetScene.serving(["0=file:\(path),size=1M"]) { scene in
      let clients = try (1...3).map { try scene.client("iqn.2026-01.test:host\($0)") }
      let (one, two, three) = (clients[0], clients[1], clients[2])
      for (client, key) in [(one, 1), (two, 2)] as [(TargetClient, UInt64)] {
        #expect(try Self.run(client, 0, 0, key).header.byte3 == 0)
      }
      func expectNothing(
        _ rows: [(client: TargetClient, action: UInt8, key: UInt64, new: UInt64)]
      ) throws {
        let before = try Self.seen(three)
        #expect(mkdir(draft, 0o755) == 0)
        for row in rows {
          let answer = try Self.run(row.client, row.action, row.key, row.new)
          #expect(answer.header.byte3 == 2 && Self.words(answer) == [4, 0x44, 0], "\(row.action)")
        }
        #expect(try Self.seen(three) == before)
        for client in clients { #expect(try client.run(.testUnitReady).status == 0) }
        #expect(rmdir(draft) == 0)
      }
      try expectNothing([(one, 1, 1, 0)])
      #expect(try three.write(pattern(512, 1), at: 0).status == 0)
      #expect(try Self.run(one, 1, 1).header.byte3 == 0)
      try expectNothing([
        (three, 6, 0, 3), (two, 4, 2, 1), (two, 5, 2, 1), (two, 3, 2, 0), (one, 2, 1, 0),
        (one, 0, 1, 0),
      ])
      #expect(try three.write(pattern(512, 1), at: 0).status == 0x18)
      #expect(try two.write(pattern(512, 1), at: 0).status == 0)
      #expect(try Self.run(two, 4, 2, 1).header.byte3 == 0)
      #expect(try one.run(.testUnitReady).words == [6, 0x2a, 5])
      #expect(try one.write(pattern(512, 1), at: 0).status == 0x18)
    }
    try await TargetScene.serving(["0=file:\(path)"]) { scene in
      let two = try scene.client("iqn.2026-01.test:host2")
      let one = try scene.client("iqn.2026-01.test:host1")
      #expect(try two.write(pattern(512, 1), at: 0).status == 0)
      #expect(try one.write(pattern(512, 1), at: 0).status == 0x18)
    }
  }

  @Test func `and those that can go one after another, as they came`() async throws {
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    defer { unlink(path + ".mirrorcast") }
    try await TargetScene.serving(["0=file:\(path),size=1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:host1")
      let two = try scene.client("iqn.2026-01.test:host2")
      // Each needs what the one before it has done.
      var bytes: [UInt8] = []
      for key: UInt64 in 0..<8 { bytes += Self.out(one, 0, key, key + 1).encoded }
      bytes += Self.out(one, 1, 8).encoded
      try one.send(bytes)
      for _ in 0..<9 { #expect(try one.receive()?.header.byte3 == 0) }
      #expect(try Self.run(two, 0, 0, 9).header.byte3 == 0)
      // Each preempts the other, at once: one of them is there no more.
      try one.send(Self.out(one, 4, 8, 9).encoded)
      try two.send(Self.out(two, 4, 9, 8).encoded)
      let statuses = try [one, two].map { try $0.receive()?.header.byte3 }
      #expect(statuses.count { $0 == 0 } == 1)
      let keys = try Self.seen(statuses[0] == 0 ? one : two)[0]
      #expect(keys.count == 16)
    }
  }
}

import SCSI
import Testing

@testable import Mirrorcast

@Suite struct `A session that another replaces` {
  /// RFC 7143 §6.3.5: whoever has its login answered may count on what is on the disk.
  @Test func `has ended its writes when the login is answered`() async throws {
    let scratch = try ScratchDirectory()
    // A disk in memory would be waited for by the connection itself.
    try await TargetScene.serving(["0=file:\(scratch.path)/disk.img,size=1M"]) { scene in
      let running = try #require(scene.daemon.running.withLock { $0?.serving.directory })
      let unit = try #require(running.target(named: TargetScene.name)?.units[0])
      let other = try scene.client("iqn.2026-01.test:other")
      let old = try scene.client(isid: 5)
      let gate = DiskGate(unit)
      defer { gate.open() }
      let blocks = BlockRange(address: 0, count: 8)
      try old.send(old.command(.write16(blocks), data: pattern(4096, 1)).encoded)
      // A command behind it is answered: it is at the disk.
      #expect(try old.run(.testUnitReady).status == 0)
      let new = try TargetClient(port: scene.port)
      let login = TargetClient.loginRequest(
        TargetScene.name, initiator: "iqn.2026-01.test:client", isid: 5)
      try new.send(login.encoded + new.command(.testUnitReady).encoded)
      try old.expectEnd()
      #expect(scene.daemon.connections.replaced == 1)
      // Each event loop has had its turn by now.
      for isid in 10..<14 as Range<UInt64> {
        #expect(
          try scene.client("iqn.2026-01.test:other", isid: isid).run(.testUnitReady).status == 0)
      }
      #expect(!new.hasInput)
      #expect(try other.read(512, at: 8).data == [UInt8](repeating: 0, count: 512))
      gate.open()
      let answer = try #require(try new.receive())
      #expect(answer.header.opcode == .loginResponse && answer.header.loginStatusCode == 0)
      #expect(try other.read(4096, at: 0).data == pattern(4096, 1))
      #expect(try new.receive()?.header.opcode == .scsiResponse)
    }
  }
}

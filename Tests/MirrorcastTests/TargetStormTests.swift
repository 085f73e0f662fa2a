import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

@Suite struct `Many logins of one initiator port` {
  /// RFC 7143 §6.3.5: each ends the session before it.
  @Test func `at once: the last one stays, and nothing of the others`() async throws {
    var limits = TargetLimits()
    limits.loginsOfAddressMax = 1000
    limits.connectionsOfAddressMax = 1000
    limits.loginsMax = 1000
    try await TargetScene.serving(["0=memory:1M"], limits: limits) { scene in
      let other = try scene.client("iqn.2026-01.test:other")
      for round in 0..<3 {
        let clients = try (0..<200).map { _ in try TargetClient(port: scene.port) }
        let login = TargetClient.loginRequest(
          TargetScene.name, initiator: "iqn.2026-01.test:storm", isid: 5
        ).encoded
        // All are on their way before one is answered; each has a write behind its login.
        for client in clients {
          // SPC-4 §5.14.7: who comes back hears that its nexus was lost.
          let attention = client.command(.testUnitReady)
          let write = client.command(
            .write16(BlockRange(address: 0, count: 8)), data: pattern(4096, UInt8(round)))
          try client.send(login + attention.encoded + write.encoded)
        }
        try await eventually {
          let now = scene.daemon.connections
          return now.sessionsNow == 2 && now.loginsNow == 0
        }
        let alive = clients.filter { client in
          // The login's answer and both commands'; then a command: who was replaced has ended.
          guard (try? client.receive())??.header.opcode == .loginResponse,
            (try? client.receive())??.header.opcode == .scsiResponse,
            (try? client.receive())??.header.opcode == .scsiResponse
          else { return false }
          return (try? client.run(.testUnitReady))?.status == 0
        }
        #expect(alive.count == 1)
        #expect(try alive.first?.read(4096, at: 0).data == pattern(4096, UInt8(round)))
      }
      #expect(try other.run(.testUnitReady).status == 0)
      #expect(scene.daemon.connections.replaced >= 3 * 199)
      try await eventually { scene.daemon.connections.sessionsNow == 1 }
    }
  }
}

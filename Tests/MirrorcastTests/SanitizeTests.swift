import Glibc
import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

/// SBC-3 §4.11: at its end nothing of before is on the medium, whoever was writing meanwhile.
@Suite struct `A SANITIZE among others` {
  private static func sanitize(_ action: UInt8) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.sanitize)
    block[1] = action
    return block
  }

  private static let inProgress: [UInt8] = [2, 0x04, 0x1b]

  @Test func `waits for what is at the disk, and lets nothing more through`() async throws {
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    defer { unlink(path + ".mirrorcast") }
    try await TargetScene.serving(["0=file:\(path),size=1M"]) { scene in
      let running = try #require(scene.daemon.running.withLock { $0?.serving.directory })
      let unit = try #require(running.target(named: TargetScene.name)?.units[0])
      let writer = try scene.client("iqn.2026-01.test:writer")
      let eraser = try scene.client("iqn.2026-01.test:eraser")
      let other = try scene.client("iqn.2026-01.test:other")
      let data = pattern(4096, 1)
      #expect(try writer.write(data, at: 1000).status == 0)
      // One write's data is still to come, another is at the disk, where it has to wait.
      let late = writer.write(4096)
      try writer.send(late.encoded)
      let request = try #require(try writer.receive()).header
      #expect(request.opcode == .readyToTransfer)
      let gate = DiskGate(unit)
      defer { gate.open() }
      let blocks = BlockRange(address: 0, count: 8)
      try writer.send(writer.command(.write16(blocks), data: data).encoded)
      #expect(try writer.run(.testUnitReady).status == 0)

      try eraser.send(eraser.command(Self.sanitize(2)).encoded)
      try await eventually { unit.device.with { $0.isSanitizing } }
      #expect(try other.run(.testUnitReady).words == Self.inProgress)
      #expect(try other.read(512, at: 0).words == Self.inProgress)
      var segment = BasicHeaderSegment(opcode: .dataOut, flags: 0x80)
      segment.initiatorTaskTag = request.initiatorTaskTag
      segment.word20 = request.word20
      try writer.send(PDU(header: segment, data: data).encoded)
      let refused = try #require(try writer.receive())
      #expect(refused.header.initiatorTaskTag == request.initiatorTaskTag)
      #expect(refused.header.byte3 == 2)
      #expect(try other.write(data, at: 0).words == Self.inProgress)
      #expect(!eraser.hasInput)

      gate.open()
      let written = try #require(try writer.receive())
      #expect(written.header.opcode == .scsiResponse && written.header.byte3 == 0)
      let erased = try #require(try eraser.receive())
      #expect(erased.header.opcode == .scsiResponse && erased.header.byte3 == 0)
      let after = try other.read(1 << 20, at: 0)
      let isErased = after.data.count == 1 << 20 && after.data.allSatisfy { $0 == 0 }
      #expect(isErased)
      #expect(try writer.write(data, at: 0).status == 0)
    }
  }

  /// Its commands had been let through, and were queued behind others, when the SANITIZE began.
  @Test func `refuses what was let through and has not begun`() async throws {
    var limits = TargetLimits()
    limits.diskCommandsMax = 1
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    defer { unlink(path + ".mirrorcast") }
    try await TargetScene.serving(["0=file:\(path),size=1M"], limits: limits) { scene in
      let running = try #require(scene.daemon.running.withLock { $0?.serving.directory })
      let unit = try #require(running.target(named: TargetScene.name)?.units[0])
      let writer = try scene.client("iqn.2026-01.test:writer")
      let eraser = try scene.client("iqn.2026-01.test:eraser")
      let holder = try scene.client("iqn.2026-01.test:holder")
      let (gate, other) = (DiskGate(unit), DiskGate(unit, at: 1 << 19))
      defer { for gate in [gate, other] { gate.open() } }
      let writes: [(TargetClient, UInt64)] = [(holder, 1024), (writer, 0), (writer, 100)]
      for (client, address) in writes {
        let blocks = BlockRange(address: address, count: 64)
        try client.send(client.command(.write16(blocks), data: pattern(32_768, 1)).encoded)
      }
      for client in [holder, writer] { #expect(try client.run(.testUnitReady).status == 0) }
      try eraser.send(eraser.command(Self.sanitize(2)).encoded)
      try await eventually { unit.device.with { $0.isSanitizing } }
      gate.open()
      #expect(try #require(try writer.receive()).header.byte3 == 0)
      let second = try #require(try writer.receive())
      #expect(second.header.byte3 == 2)
      #expect(Array(second.data.dropFirst(2))[12...13] == [0x04, 0x1b])
      other.open()
      #expect(try #require(try holder.receive()).header.byte3 == 0)
      #expect(try #require(try eraser.receive()).header.byte3 == 0)
      let after = try eraser.read(1 << 20, at: 0)
      let isErased = after.data.count == 1 << 20 && after.data.allSatisfy { $0 == 0 }
      #expect(isErased)
    }
  }
}

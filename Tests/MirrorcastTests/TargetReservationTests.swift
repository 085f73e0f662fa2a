import Bytes
import Glibc
import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

@Suite struct `Reservations at a target daemon` {
  private static func parameters(_ key: UInt64, _ new: UInt64, flags: UInt8 = 0) -> [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(key)
    data.appendBigEndian(new)
    return data + [0, 0, 0, 0, flags, 0, 0, 0]
  }

  private static func out(_ action: UInt8, type: UInt8 = 0) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.persistentReserveOut)
    block[1] = action
    block[2] = type
    block[8] = 24
    return block
  }

  @Test func `of a session are free when it has logged out, or is lost`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let other = try scene.client("iqn.2026-01.test:other")
      for isLoggedOut in [true, false] {
        let holder = try scene.client("iqn.2026-01.test:holder")
        #expect(try holder.run(CommandDescriptorBlock(.reserve6)).status == 0)
        #expect(try other.read(512, at: 0).status == 0x18)
        #expect(try holder.run(.testUnitReady).status == 0)
        if isLoggedOut {
          try holder.send(holder.request(.logoutRequest, flags: 0x80).encoded)
          let answer = try #require(try holder.receive())
          #expect(answer.header.opcode == .logoutResponse)
          #expect(try other.read(512, at: 0).status == 0)
        } else {
          holder.close()
          var status: UInt8 = 0x18
          while status == 0x18 { status = try other.read(512, at: 0).status }
          #expect(status == 0)
          // It comes back and hears that it was away, once.
          let again = try scene.client("iqn.2026-01.test:holder")
          #expect(try again.run(.testUnitReady).words == [6, 0x29, 7])
          #expect(try again.run(.testUnitReady).status == 0)
        }
      }
    }
  }

  @Test func `made with APTPL outlast the daemon, others don't`() async throws {
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    defer { unlink(path + ".mirrorcast") }
    for isKept in [true, false] {
      try await TargetScene.serving(["0=file:\(path),size=1M"]) { scene in
        let one = try scene.client("iqn.2026-01.test:one", isid: 7)
        let data = Self.parameters(0, 5, flags: isKept ? 1 : 0)
        #expect(try one.run(Self.out(6), data: data).status == 0)
        let reserve = try one.run(Self.out(1, type: 3), data: Self.parameters(5, 0))
        #expect(reserve.status == 0)
      }
      try await TargetScene.serving(["0=file:\(path)"]) { scene in
        let one = try scene.client("iqn.2026-01.test:one", isid: 7)
        let other = try scene.client("iqn.2026-01.test:one", isid: 8)
        #expect(try one.read(512, at: 0).status == 0)
        #expect(try other.read(512, at: 0).status == (isKept ? 0x18 : 0))
      }
    }
  }

  @Test func `that can't be read keep their LUN from being served`() async throws {
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    defer { unlink(path + ".mirrorcast") }
    try await TargetScene.serving(["0=file:\(path),size=1M"]) { _ in }
    let file = fopen(path + ".mirrorcast", "w")
    fputs("nonsense", file)
    fclose(file)
    await #expect(throws: MirrorcastError.self) {
      try await TargetScene.serving(["0=file:\(path)"]) { _ in }
    }
  }

  @Test func `that are preempted end their holder's rights at once`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let two = try scene.client("iqn.2026-01.test:two")
      for (client, key) in [(one, 1), (two, 2)] as [(TargetClient, UInt64)] {
        #expect(try client.run(Self.out(0), data: Self.parameters(0, key)).status == 0)
      }
      #expect(try one.run(Self.out(1, type: 1), data: Self.parameters(1, 0)).status == 0)
      #expect(try two.write(pattern(512, 1), at: 0).status == 0x18)
      #expect(try two.run(Self.out(5, type: 1), data: Self.parameters(2, 1)).status == 0)
      #expect(try two.write(pattern(512, 1), at: 0).status == 0)
      #expect(try one.run(.testUnitReady).words == [6, 0x2a, 5])
      #expect(try one.write(pattern(512, 1), at: 0).status == 0x18)
    }
  }
}

@Suite struct `Long commands at a target daemon` {
  /// A client that outlasts its daemon.
  private final class Kept: @unchecked Sendable {
    var client: TargetClient?
  }

  @Test func `a copy goes from LUN to LUN, and not where it may not write`() async throws {
    let scratch = try ScratchDirectory()
    try await TargetScene.serving(
      ["0=memory:1M", "1=file:\(scratch.path)/disk.img,size=1M"]
    ) { scene in
      let client = try scene.client()
      let other = try scene.client("iqn.2026-01.test:other")
      let data = pattern(8192, 5)
      #expect(try client.write(data, at: 4, lun: lunField(0)).status == 0)
      var targets: [UInt8] = []
      for lun in [0, 1] {
        let page = try client.run(
          .inquiry(page: 0x83), lun: lunField(lun), expected: 255
        ).data
        targets += [0xe4, 0, 0, 0, 1, 3, 0, 8] + page[8..<16]
        targets += [UInt8](repeating: 0, count: 16)
      }
      var list: [UInt8] = [1, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0] + targets
      list += [2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 16]
      list.appendBigEndian(4 as UInt64)
      list.appendBigEndian(100 as UInt64)
      var copy = CommandDescriptorBlock(.extendedCopy)
      copy.setBigEndian(UInt32(list.count), at: 10)
      #expect(try client.run(copy, data: list).status == 0)
      #expect(try client.read(8192, at: 100, lun: lunField(1)).data == data)
      // Another session reserves the destination: the copy is no way round that.
      #expect(
        try other.run(CommandDescriptorBlock(.reserve6), lun: lunField(1)).status == 0)
      #expect(try client.run(copy, data: list).words.first == 0x0a)
    }
  }

  @Test func `a SANITIZE outlives its session and a restart`() async throws {
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    defer { unlink(path + ".mirrorcast") }
    // After its first piece it rests for a minute.
    var slow = TargetLimits()
    slow.sanitizeBytesPerSecondMax = 64 << 10
    try await TargetScene.serving(["0=file:\(path),size=16M"], limits: slow) { scene in
      let client = try scene.client()
      #expect(try client.write(pattern(512, 1), at: 30_000).status == 0)
      var sanitize = CommandDescriptorBlock(.sanitize)
      sanitize[1] = 0x81
      sanitize[8] = 5
      #expect(try client.run(sanitize, data: [1, 0, 0, 1, 0x5a]).status == 0)
      client.close()
      let next = try scene.client("iqn.2026-01.test:next")
      #expect(try next.read(512, at: 0).words == [2, 0x04, 0x1b])
    }
    // The daemon stopped long before the end; the next one begins anew.
    try await TargetScene.serving(["0=file:\(path)"], limits: slow) { scene in
      let client = try scene.client()
      #expect(try client.run(.testUnitReady).words == [2, 0x04, 0x1b])
    }
    try await TargetScene.serving(["0=file:\(path)"]) { scene in
      let client = try scene.client()
      while try client.run(.testUnitReady).status != 0 { usleep(20_000) }
      let bytes = try client.read(512, at: 30_000).data
      #expect(bytes == [UInt8](repeating: 0x5a, count: 512))
    }
    try await TargetScene.serving(["0=file:\(path)"]) { scene in
      let client = try scene.client()
      #expect(try client.run(.testUnitReady).status == 0)
    }
  }

  @Test func `a daemon that stops says so to its sessions`() async throws {
    let kept = Kept()
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      kept.client = try scene.client()
    }
    let client = try #require(kept.client)
    // First that it should log out, then that it is dropped.
    for event in [AsyncEvent.logoutRequest, .sessionDrop] {
      let message = try #require(try client.receive())
      #expect(message.header.opcode == .asyncMessage)
      #expect(message.header.word36 >> 24 == UInt32(event.rawValue))
    }
    try client.expectEnd()
  }
}

import ISCSI
import Replication
import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `The patent's text` {
  @Test func `registers, adds LUNs, and ends a mirror that anybody can write`() async throws {
    let size = 1 << 20
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M", "2=memory:1M"]]) { scene in
      let host = scene.group.address
      let (answers, told) = AsyncStream<PDU>.makeStream()
      // Reports are not the patent's: they come where this machine is slow between two datagrams.
      let session = try await session(scene) {
        if $0.header.opcode != .mirrorAnswer { told.yield($0) }
      }
      var arrivals = answers.makeAsyncIterator()
      let granted = try await session.text(
        register("Command", "register", group: ("multicast_group_ip ", " \(host)"), "(0,5)"))
      expectDefaults(granted, size: size)

      let sender = try PlainSender()
      let maker = DatagramMaker(registration: 0x504c_0005, virtualLUN: 5)
      let small = [UInt8](repeating: 0x11, count: 512)
      sender.send(maker.command(0, block: 3, small), to: host, port: 5000)
      try good(await arrivals.next(), 0)
      let large = randomBytes(8192)
      sender.send(maker.command(1, block: 100, large), to: host, port: 5000)
      let ready = try #require(await arrivals.next())
      #expect(ready.header.opcode == .readyToTransfer)
      #expect(ready.header.initiatorTaskTag == 0x8000_0001)
      #expect(ready.header.word20 == ready.header.initiatorTaskTag)
      for datagram in maker.data(1, large) { sender.send(datagram, to: host, port: 5000) }
      try good(await arrivals.next(), 1)

      // The second text adds LUNs; the patent's own parentheses don't balance.
      let added = try await session.text(
        register("command", "REGISTER", group: ("multicast_group_ip", host), "(1,2),5)"))
      #expect(added["X-org.mirrorcast.result"] == "registered", "\(added)")
      #expect(added["X-org.mirrorcast.lun_sizes"] == "\(size),\(size),\(size)")
      let all = [UInt8](repeating: 0x33, count: 1024)
      sender.send(maker.command(2, block: 0, all), to: host, port: 5000)
      try good(await arrivals.next(), 2)

      let ended = try await session.text(
        TextKeys([.init("command", "terminate"), .init("virtual_lun", "5")]))
      #expect(ended["X-org.mirrorcast.result"] == "terminated", "\(ended)")
      // Nothing of it is heard any more; the mirror behind it tells when that was seen.
      sender.send(maker.command(3, block: 0, small), to: host, port: 5000)
      let other = try await session.text(
        register("command", "register", group: ("multicast_group_ip", host), "(2,6)"))
      #expect(other["X-org.mirrorcast.result"] == "registered", "\(other)")
      sender.send(maker.command(3, block: 0, small), to: host, port: 5000)
      let next = DatagramMaker(registration: 0x504c_0006, virtualLUN: 6)
      sender.send(next.command(0, block: 9, small), to: host, port: 5000)
      try good(await arrivals.next(), 0)

      let bare = [UInt8](repeating: 0, count: size)
      let second = bare.with(all, at: 0)
      try await expect([try scene.targets[0].url(1)], hold: second)
      let first = second.with(small, at: 3 * 512).with(large, at: 51200)
      try await expect([try scene.targets[0].url(0)], hold: first)
      try await expect([try scene.targets[0].url(2)], hold: second.with(small, at: 9 * 512))
      await session.close()
    }
  }

  private func register(
    _ key: String, _ word: String, group: (key: String, value: String), _ map: String
  ) -> TextKeys {
    TextKeys([.init(key, word), .init(group.key, group.value), .init("lun_map", map)])
  }

  /// What the patent's text leaves open is told back.
  private func expectDefaults(_ granted: TextKeys, size: Int) {
    #expect(granted["X-org.mirrorcast.result"] == "registered", "\(granted)")
    #expect(granted["X-org.mirrorcast.registration"] == "0x504c0005")
    #expect(granted["X-org.mirrorcast.port"] == "5000")
    #expect(granted["X-org.mirrorcast.epoch"] == "1")
    #expect(granted["X-org.mirrorcast.first_write"] == "0")
    #expect(granted["X-org.mirrorcast.block_length"] == "1408")
    #expect(granted["X-org.mirrorcast.lun_sizes"] == "\(size)")
  }

  @Test func `that asks for what can't be is refused plainly`() async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:2M"]]) { scene in
      let session = try await session(scene) { _ in }
      let group = scene.group.address
      for (address, map, result) in [
        ("128.12.15.3", "(0,5)", "not-multicast"), (group, "(7,5)", "no-such-lun"),
        (group, "(0,0)", "lun-taken"), (group, "(0,1)", "lun-taken"),
        (group, "(0,1,5)", "sizes-differ"), (group, "(0)", "bad-request"),
        (group, "(0,,5)", "bad-request"), (group, "(x,5)", "bad-request"),
        (group, "(0,99999)", "bad-request"), ("ff15::1", "(0,5)", "bad-request"),
        ("nowhere", "(0,5)", "bad-request"), ("", "(0,5)", "bad-request"),
      ] {
        let answer = try await session.text(
          TextKeys([
            .init("Command", "register"), .init("multicast_group_ip", address),
            .init("lun_map", map),
          ]))
        #expect(answer["X-org.mirrorcast.result"] == result, "\(address) \(map): \(answer)")
        #expect(answer["X-org.mirrorcast.reason"]?.isEmpty == false)
      }
      for (keys, result) in [
        (TextKeys([.init("command", "dance")]), "bad-request"),
        (TextKeys([.init("command", "register")]), "bad-request"),
        (TextKeys([.init("command", "terminate")]), "bad-request"),
        (
          TextKeys([.init("command", "terminate"), .init("virtual_lun", "5")]),
          "unknown-registration"
        ),
      ] {
        let answer = try await session.text(keys)
        #expect(answer["X-org.mirrorcast.result"] == result, "\(keys): \(answer)")
      }
      await session.close()
      // None of it has left anything behind.
      let mirror = try await scene.mirror(try scene.options([try scene.targets[0].url(0)]))
      #expect(await mirror.write([UInt8](repeating: 1, count: 512), at: 0).isGood)
    }
  }

  private func session(
    _ scene: MirrorScene, _ onMirrored: @escaping @Sendable (PDU) -> Void
  ) async throws -> InitiatorConnection {
    let url = try scene.targets[0].url(0)
    return try await InitiatorConnection.open(
      host: url.host, port: url.port,
      login: InitiatorLoginRequest(
        // Without the offer our own initiator takes a mirror's answers for a violation.
        identity: .init(name: initiator), targetName: url.targetName, offersMirror: true),
      logger: logger, hooks: ConnectionHooks(onMirrored: onMirrored))
  }

  private func good(
    _ pdu: PDU?, _ number: UInt32, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let header = try #require(pdu?.header, sourceLocation: location)
    #expect(header.opcode == .scsiResponse, sourceLocation: location)
    #expect(header.initiatorTaskTag == 0x8000_0000 + number, sourceLocation: location)
    #expect(header.byte3 == 0, sourceLocation: location)
  }
}

extension [UInt8] {
  /// The same with other bytes from `offset` on.
  fileprivate func with(_ bytes: [UInt8], at offset: Int) -> [UInt8] {
    var copy = self
    copy.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    return copy
  }
}

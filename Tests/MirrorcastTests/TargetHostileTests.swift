import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

@Suite struct `A target daemon among bad peers` {
  /// Bytes that begin no session, and how they look.
  enum Opening: String, CaseIterable, Sendable {
    case noise, http, commandFirst, longLogin, unknownTarget, badVersion, badText, headersOnly

    var bytes: [UInt8] {
      var login = TargetClient.loginRequest(
        TargetScene.name, initiator: "iqn.2026-01.test:bad", isid: 9)
      switch self {
      case .noise: return pattern(4096, 0xa5)
      case .http:
        return Array("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n".utf8)
      case .commandFirst:
        return PDU(header: BasicHeaderSegment(opcode: .scsiCommand)).encoded
      case .longLogin:
        login.data = pattern(100_000, 1)[...]
        return login.encoded
      case .unknownTarget:
        return TargetClient.loginRequest(
          "iqn.2026-01.test:nobody", initiator: "iqn.2026-01.test:bad", isid: 9
        ).encoded
      case .badVersion:
        login.header.byte3 = 7
        return login.encoded
      case .badText:
        login.data = Array("no equals sign\0\u{1}=\u{2}\0".utf8)[...]
        return login.encoded
      case .headersOnly:
        login.additional = [UInt8](repeating: 0xff, count: 1020)
        return login.encoded
      }
    }
  }

  @Test(arguments: Opening.allCases)
  func `ends what begins wrong and serves the next`(opening: Opening) async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let bad = try TargetClient(port: scene.port)
      try bad.send(opening.bytes)
      try bad.expectEnd()
      #expect(try scene.client().read(512, at: 0).status == 0)
    }
  }

  @Test func `the same initiator port again and again leaves one session`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let beside = try scene.client("iqn.2026-01.test:beside")
      var old: [TargetClient] = []
      for _ in 0..<40 { old.append(try scene.client("iqn.2026-01.test:storm", isid: 5)) }
      let last = old.removeLast()
      #expect(try last.run(.testUnitReady).words == [6, 0x29, 7])
      #expect(try last.write(pattern(512, 3), at: 0).status == 0)
      for client in old { try client.expectEnd() }
      #expect(try beside.read(512, at: 0).data == pattern(512, 3))
      #expect(try last.read(512, at: 0).data == pattern(512, 3))
    }
  }

  @Test func `a login cut off anywhere leaves nothing behind`() async throws {
    var limits = TargetLimits()
    limits.sessionsMax = 4
    try await TargetScene.serving(["0=memory:1M"], limits: limits) { scene in
      let login = TargetClient.loginRequest(
        TargetScene.name, initiator: "iqn.2026-01.test:cut", isid: 9
      ).encoded
      for length in stride(from: 0, to: login.count, by: 7) {
        let client = try TargetClient(port: scene.port)
        // Refused while the places of those before are not free again: that is right, too.
        try? client.send(Array(login[..<length]))
        client.close()
      }
      try await eventually {
        (try? TargetClient(port: scene.port).logIn(TargetScene.name)) == 0
      }
    }
  }

  @Test(arguments: [0, 20, 60])
  func `a connection that does not log in is ended at the deadline`(sent: Int) async throws {
    var limits = TargetLimits()
    limits.loginMilliseconds = 100
    try await TargetScene.serving(["0=memory:1M"], limits: limits) { scene in
      let good = try await scene.clientAtLast()
      let slow = try TargetClient(port: scene.port)
      let login = TargetClient.loginRequest(
        TargetScene.name, initiator: "iqn.2026-01.test:slow", isid: 9)
      try slow.send(Array(login.encoded[..<sent]))
      try slow.expectEnd()
      #expect(try good.read(512, at: 0).status == 0)
    }
  }

  @Test func `connections over the limit are refused, and let in when there is a place`()
    async throws
  {
    var limits = TargetLimits()
    limits.sessionsMax = 2
    try await TargetScene.serving(["0=memory:1M"], limits: limits) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let two = try scene.client("iqn.2026-01.test:two")
      let refused = try TargetClient(port: scene.port)
      // The initiator is told why: out of resources.
      #expect(try refused.logIn(TargetScene.name) == 0x0302)
      one.close()
      try await eventually {
        (try? TargetClient(port: scene.port).logIn(TargetScene.name)) == 0
      }
      #expect(try two.read(512, at: 0).status == 0)
    }
  }

  @Test(arguments: [0, 1])
  func `a client killed in mid-write changes nothing and is forgotten`(lun: Int) async throws {
    let scratch = try ScratchDirectory()
    let units = ["0=memory:2M", "1=file:\(scratch.path)/disk.img,size=2M"]
    var limits = TargetLimits()
    limits.sessionsMax = 1
    try await TargetScene.serving(units, limits: limits) { scene in
      let victim = try scene.client()
      let blocks = BlockRange(address: 0, count: 2048)
      let command = victim.command(
        .write16(blocks), lun: lunField(lun), expected: 1 << 20, isWrite: true)
      try victim.send(command.encoded)
      let request = try #require(try victim.receive())
      #expect(request.header.opcode == .readyToTransfer)
      var data = BasicHeaderSegment(opcode: .dataOut, flags: 0)
      data.lun = lunField(lun)
      data.initiatorTaskTag = command.header.initiatorTaskTag
      data.word20 = request.header.word20
      try victim.send(PDU(header: data, data: pattern(65_536, 3)).encoded.dropLast(1000))
      victim.close()
      let next = try await scene.clientAtLast()
      #expect(try next.run(.testUnitReady, lun: lunField(lun)).words == [6, 0x29, 7])
      let read = try next.read(1 << 20, at: 0, lun: lunField(lun)).data
      // Compared by hand: a difference in a megabyte takes for ever to be told.
      let isUntouched = read.count == 1 << 20 && read.allSatisfy { $0 == 0 }
      #expect(isUntouched)
    }
  }

  @Test(arguments: [0, 1])
  func `data beyond what a command asks for is dropped`(lun: Int) async throws {
    let scratch = try ScratchDirectory()
    let units = ["0=memory:1M", "1=file:\(scratch.path)/disk.img,size=1M"]
    try await TargetScene.serving(units) { scene in
      let client = try scene.client()
      var same = CommandDescriptorBlock(.writeSame10)
      same.setBigEndian(8 as UInt16, at: 7)
      let data = pattern(512, 1) + pattern(512, 2)
      // WRITE SAME takes one block, and refuses more.
      #expect(try client.run(same, lun: lunField(lun), data: data).status == 2)
      #expect(
        try client.read(4096, at: 0, lun: lunField(lun)).data
          == [UInt8](repeating: 0, count: 4096))
      let short = CommandDescriptorBlock.write16(BlockRange(address: 100, count: 1))
      #expect(try client.run(short, lun: lunField(lun), data: data).status == 0)
      let after = try client.read(1024, at: 100, lun: lunField(lun)).data
      #expect(after == pattern(512, 1) + [UInt8](repeating: 0, count: 512))
    }
  }

}

extension TargetScene {
  /// A client that has logged in, which may take several tries: where the places are taken still,
  /// or where the deadline of a login is short for a busy machine.
  fileprivate func clientAtLast() async throws -> TargetClient {
    try await eventually {
      let client = try TargetClient(port: port)
      return (try? client.logIn(Self.name)) == 0 ? UncheckedBox(client) : nil
    }.value
  }
}

/// Tries until it is so; gives up after a minute.
func eventually(_ isSo: @Sendable () async throws -> Bool) async throws {
  _ = try await eventually { try await isSo() ? true : nil }
}

@discardableResult
func eventually<Value: Sendable>(_ body: @Sendable () async throws -> Value?) async throws -> Value
{
  let clock = ContinuousClock()
  let end = clock.now + .seconds(60)
  while clock.now < end {
    if let value = try await body() { return value }
    await Task.yield()
  }
  throw TargetClientError(words: "it did not become so")
}

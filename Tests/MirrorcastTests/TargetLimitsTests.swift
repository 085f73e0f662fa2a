import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

/// That what a daemon is told to bound is bounded: none of these limits is the default.
@Suite struct `A target daemon's limits` {
  private func serving(
    _ set: (inout TargetLimits) -> Void, _ body: @Sendable (TargetScene) async throws -> Void
  ) async throws {
    var limits = TargetLimits()
    set(&limits)
    try await TargetScene.serving(["0=memory:4M"], limits: limits, body)
  }

  /// A login whose text goes on, so many bytes of it.
  private func unfinished(_ byteCount: Int) -> [UInt8] {
    var login = TargetClient.loginRequest(
      TargetScene.name, initiator: "iqn.2026-01.test:greedy", isid: 9)
    login.header.flags = 0x44
    login.data = ArraySlice(repeating: 0x41, count: byteCount)
    return login.encoded
  }

  // MARK: Texts

  @Test func `end a login whose text is longer`() async throws {
    try await serving({ $0.textBytesMax = 8192 }) { scene in
      let client = try TargetClient(port: scene.port)
      try client.send(unfinished(8192))
      #expect(try #require(try client.receive()).header.loginStatusCode == 0)
      try client.send(unfinished(1))
      #expect(try #require(try client.receive()).header.loginStatusCode == 0x0200)
      try client.expectEnd()
    }
  }

  @Test func `refuse a text request that is longer`() async throws {
    try await serving({ $0.textBytesMax = 8192 }) { scene in
      let client = try scene.client()
      var request = client.request(
        .textRequest, flags: 0x40, data: [UInt8](repeating: 0x41, count: 8192))
      try client.send(request.encoded)
      let answer = try #require(try client.receive())
      #expect(answer.header.opcode == .textResponse)
      request.header.word20 = answer.header.word20
      request.data = [0x41]
      try client.send(request.encoded)
      let end = try #require(try client.receive())
      #expect(end.header.opcode == .reject && end.header.byte2 == 9)
      #expect(try client.read(512, at: 0).status == 0)
    }
  }

  /// Above `loginBytesMax` the one that holds the most is cut, and no other.
  @Test func `cut the greediest of those that log in`() async throws {
    try await serving({ $0.loginBytesMax = 65_536 }) { scene in
      let beside = try scene.client("iqn.2026-01.test:beside")
      let (modest, greedy) = (
        try TargetClient(port: scene.port), try TargetClient(port: scene.port)
      )
      func hold(_ client: TargetClient, _ count: Int) throws {
        for _ in 0..<count {
          try client.send(unfinished(8192))
          #expect(try #require(try client.receive()).header.loginStatusCode == 0)
        }
      }
      try hold(modest, 3)
      try hold(greedy, 4)
      #expect(scene.daemon.connections.evictedForMemory == 0)
      // With the next 8 KiB it would be all of it, and a header more.
      try greedy.send(unfinished(8192))
      try await eventually { scene.daemon.connections.evictedForMemory == 1 }
      try greedy.expectEnd()
      try hold(modest, 1)
      try await eventually { scene.daemon.connections.loginBytesNow == 4 * 8192 }
      #expect(scene.daemon.connections.evictedForMemory == 1)
      #expect(try beside.read(512, at: 0).status == 0)
      #expect(try scene.client().read(512, at: 0).status == 0)
    }
  }

  // MARK: Commands

  @Test func `are the width of the command window`() async throws {
    try await serving({ $0.commandsMax = 3 }) { scene in
      let client = try scene.client()
      try client.send((0..<5).flatMap { _ in client.write(4096).encoded })
      try client.send(client.request(.nopOut).encoded)
      // Two of the writes came from outside of the window: ignored.
      #expect(try client.told(4) == ["R2T", "R2T", "R2T", "ping"])
      let ping = client.request(.nopOut)
      try client.send(ping.encoded)
      let header = try #require(try client.receive()).header
      #expect(header.word32 &+ 1 == header.word28, "the window is full")
    }
  }

  @Test func `are all immediate commands that there may be`() async throws {
    try await serving({ $0.immediateCommandsMax = 2 }) { scene in
      let client = try scene.client()
      let blocks = BlockRange(address: 0, count: 8)
      for _ in 0..<3 {
        try client.send(
          client.command(.write16(blocks), expected: 4096, isWrite: true, isImmediate: true)
            .encoded)
      }
      #expect(try client.told(3).sorted() == ["R2T", "R2T", "reject 6"])
    }
  }

  @Test func `are what a session is asked to send at once`() async throws {
    try await serving({ $0.transferBytesMax = 65_536 }) { scene in
      let client = try scene.client()
      try client.send((0..<2).flatMap { _ in client.write(65_536).encoded })
      try client.send(client.request(.nopOut).encoded)
      #expect(try client.told(2) == ["R2T", "ping"])
    }
  }

  @Test func `are what is kept of what was sent`() async throws {
    try await serving({ $0.recoveryBytesMax = 65_536 }) { scene in
      let client = try TargetClient(port: scene.port)
      let keys = ["ErrorRecoveryLevel=1", "MaxRecvDataSegmentLength=65536"]
      #expect(try client.logIn(TargetScene.name, keys: keys) == 0)
      let blocks = BlockRange(address: 0, count: 96)
      var sent: [(data: BasicHeaderSegment, status: BasicHeaderSegment)] = []
      for _ in 0..<2 {
        try client.send(client.command(.read16(blocks), expected: 49_152).encoded)
        let data = try #require(try client.receive()).header
        sent.append((data, try #require(try client.receive()).header))
        #expect(data.opcode == .dataIn && sent.last?.status.opcode == .scsiResponse)
      }
      for (read, isKept) in zip(sent, [false, true]) {
        var snack = client.request(.snackRequest)
        snack.header.initiatorTaskTag = read.data.initiatorTaskTag
        snack.header.word28 = sent[0].status.word24
        try client.send(snack.encoded)
        let again = try #require(try client.receive()).header
        #expect(again.opcode == (isKept ? .dataIn : .reject))
        if !isKept { #expect(again.byte2 == RejectReason.snackReject.rawValue) }
      }
    }
  }

  // MARK: Answers

  /// A mirror's answers are asked for by datagrams, and only its own connection can take them away.
  @Test func `cut a session that takes no answers`() throws {
    for isTaking in [true, false] {
      var limits = TargetLimits()
      limits.answerBytesMax = 65_536
      let target = try VirtualTarget(limits)
      #expect(try target.logIn() == 0)
      target.plug.isShut = !isTaking
      let answer = BasicHeaderSegment(opcode: .mirrorAnswer, flags: 0x82)
      let whole = 65_536 / PDU(header: answer).encodedCount
      for _ in 0..<whole { target.connection.perform { $0.sendMirrorAnswer(answer) } }
      #expect(target.isOpen)
      target.connection.perform { $0.sendMirrorAnswer(answer) }
      #expect(target.isOpen == isTaking)
    }
  }
}

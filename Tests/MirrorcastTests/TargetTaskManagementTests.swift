import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

@Suite struct `Task management at a target daemon` {
  /// Asks for a function; the response.
  private func manage(
    _ client: TargetClient, _ function: TaskManagementFunction, lun: Int = 0,
    tag: UInt32 = reservedTag, owed: BasicHeaderSegment? = nil
  ) throws -> UInt8? {
    var request = client.request(
      .taskManagementRequest, flags: 0x80 | function.rawValue, lun: lunField(lun))
    request.header.word20 = tag
    try client.send(request.encoded)
    // RFC 7143 §4.2.3.3: what was asked for is sent before a set of tasks has ended.
    if let owed { try sendData(client, for: owed) }
    guard let answer = try client.receive() else { return nil }
    #expect(answer.header.opcode == .taskManagementResponse)
    return answer.header.byte2
  }

  /// Begins a write at block 0 whose data is still to come; its R2T.
  private func beginWrite(_ client: TargetClient, lun: Int = 0) throws -> BasicHeaderSegment {
    let blocks = BlockRange(address: 0, count: 8)
    try client.send(
      client.command(.write16(blocks), lun: lunField(lun), expected: 4096, isWrite: true).encoded)
    let request = try #require(try client.receive()).header
    #expect(request.opcode == .readyToTransfer)
    return request
  }

  private func sendData(_ client: TargetClient, for request: BasicHeaderSegment) throws {
    var data = BasicHeaderSegment(opcode: .dataOut, flags: 0x80)
    data.lun = request.lun
    data.initiatorTaskTag = request.initiatorTaskTag
    data.word20 = request.word20
    try client.send(PDU(header: data, data: pattern(4096, 4)).encoded)
  }

  private func answerToData(_ client: TargetClient, for request: BasicHeaderSegment) throws -> PDU {
    try sendData(client, for: request)
    return try #require(try client.receive())
  }

  @Test func `a cleared task set is everybody's, and those who lost commands hear of it`()
    async throws
  {
    try await TargetScene.serving(["0=memory:1M", "1=memory:1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let loser = try scene.client("iqn.2026-01.test:loser")
      let idle = try scene.client("iqn.2026-01.test:idle")
      let elsewhere = try beginWrite(loser, lun: 1)
      let lost = try beginWrite(loser)
      #expect(try manage(one, .clearTaskSet) == 0)
      try sendData(loser, for: lost)
      #expect(try answerToData(loser, for: elsewhere).header.byte3 == 0)
      #expect(try loser.run(.testUnitReady).words == [6, 0x2f, 0])
      for client in [one, loser, idle] {
        #expect(try client.run(.testUnitReady).status == 0)
        #expect(try client.run(.testUnitReady, lun: lunField(1)).status == 0)
      }
      #expect(try one.read(4096, at: 0).data == [UInt8](repeating: 0, count: 4096))
    }
  }

  /// SAM-5 §4.7.3: 4001h is LUN 1 by flat space addressing.
  @Test func `a disk is reset by each form of its number`() async throws {
    try await TargetScene.serving(["0=memory:1M", "1=memory:1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let two = try scene.client("iqn.2026-01.test:two")
      for number in [1, 0x4001] {
        #expect(try manage(one, .logicalUnitReset, lun: number) == 0)
        for client in [one, two] {
          #expect(try client.run(.testUnitReady, lun: lunField(1)).words == [6, 0x29, 3])
          #expect(try client.run(.testUnitReady, lun: lunField(1)).status == 0)
          #expect(try client.run(.testUnitReady).status == 0)
        }
      }
    }
  }

  @Test func `an aborted task set is the session's own`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let other = try scene.client("iqn.2026-01.test:other")
      let own = try beginWrite(one)
      let others = try beginWrite(other)
      #expect(try manage(one, .abortTaskSet, owed: own) == 0)
      #expect(try answerToData(other, for: others).header.byte3 == 0)
      for client in [one, other] { #expect(try client.run(.testUnitReady).status == 0) }
    }
  }

  @Test(arguments: [TaskManagementFunction.logicalUnitReset, .targetWarmReset])
  func `a reset ends everybody's tasks and is told to all`(function: TaskManagementFunction)
    async throws
  {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let other = try scene.client("iqn.2026-01.test:other")
      let lost = [try beginWrite(one), try beginWrite(other)]
      #expect(try manage(one, function, owed: lost[0]) == 0)
      // What is on its way of a task that another session ended is dropped without a word.
      try sendData(other, for: lost[1])
      for client in [one, other] {
        #expect(try client.run(.testUnitReady).words == [6, 0x29, 3])
        #expect(try client.run(.testUnitReady).status == 0)
      }
    }
  }

  @Test func `an initiator that sends nothing more is not waited for long`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try scene.client()
      let request = try beginWrite(client)
      #expect(try manage(client, .logicalUnitReset) == 0)
      #expect(try answerToData(client, for: request).header.opcode == .reject)
      #expect(try client.run(.testUnitReady).words == [6, 0x29, 3])
    }
  }

  @Test func `a cold reset ends all sessions, and they come back`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let other = try scene.client("iqn.2026-01.test:other")
      _ = try beginWrite(other)
      #expect(try manage(one, .targetColdReset) == 0)
      for client in [one, other] {
        let message = try #require(try client.receive())
        #expect(message.header.opcode == .asyncMessage)
        #expect(UInt8(message.header.word36 >> 24) == AsyncEvent.sessionDrop.rawValue)
        try client.expectEnd()
      }
      let again = try scene.client("iqn.2026-01.test:one")
      #expect(try again.run(.testUnitReady).words == [6, 0x29, 7])
      #expect(try again.read(512, at: 0).status == 0)
    }
  }

  @Test func `what can't be done is said so`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try scene.client()
      for function in [
        TaskManagementFunction.abortTaskSet, .clearTaskSet, .logicalUnitReset,
      ] {
        #expect(try manage(client, function, lun: 9) == 2)
      }
      #expect(try manage(client, .clearACA) == 5)
      #expect(try manage(client, .taskReassign, tag: 1) == 4)
      // Of a task that has been answered, and of one that never was.
      #expect(try client.read(512, at: 0).status == 0)
      for tag: UInt32 in 1...20 { #expect(try manage(client, .abortTask, tag: tag) == 1) }
      #expect(try client.read(512, at: 0).status == 0)
    }
  }

  @Test func `a write that is aborted is gone, its number isn't`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try scene.client()
      let request = try beginWrite(client)
      #expect(try manage(client, .abortTask, tag: request.initiatorTaskTag) == 0)
      #expect(try manage(client, .abortTask, tag: request.initiatorTaskTag) == 1)
      #expect(try answerToData(client, for: request).header.opcode == .reject)
      #expect(try client.read(4096, at: 0).data == [UInt8](repeating: 0, count: 4096))
    }
  }
}

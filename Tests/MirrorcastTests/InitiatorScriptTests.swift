import Foundation
import ISCSI
import Logging
import SCSI
import Synchronization
import Testing

@testable import Mirrorcast

@Suite struct `An initiator with a target that misbehaves` {
  private func open(_ target: ScriptedTarget) async throws -> LogicalUnitSession {
    try await LogicalUnitSession.open(
      try LogicalUnitURL(parsing: target.url), identity: .init(name: initiator), logger: logger)
  }

  @Test func `unit attentions are cleared and BUSY is waited out`() async throws {
    let bad = Mutex([
      CommandCompletion(status: 0x02, sense: attention), CommandCompletion(status: 0x08),
      CommandCompletion(status: 0x02, sense: attention), CommandCompletion(status: 0x28),
    ])
    let target = try ScriptedTarget { event, session in
      guard case .command(let task) = event else { return .goOn }
      let answer =
        task.commandDescriptorBlock[0] == 0x12 ? nil : bad.withLock { $0.popLast() }
      session.completeCommand(task.handle, answer ?? ordinaryAnswer(task))
      return .goOn
    }
    defer { target.end() }
    let session = try await open(target)
    #expect(bad.withLock { $0.isEmpty })
    #expect(session.byteCount == 1 << 20)
    #expect(try await session.read(at: 0, count: 1024) == [UInt8](repeating: 7, count: 1024))
    await session.close()
  }

  @Test func `a unit attention that never ends is a failure with its sense`() async throws {
    let target = try ScriptedTarget { event, session in
      guard case .command(let task) = event else { return .goOn }
      let isInquiry = task.commandDescriptorBlock[0] == 0x12
      session.completeCommand(
        task.handle,
        isInquiry ? ordinaryAnswer(task) : CommandCompletion(status: 0x02, sense: attention))
      return .goOn
    }
    defer { target.end() }
    let error = await #expect(throws: MirrorcastError.self) { try await open(target) }
    #expect(error?.what.contains("power on or reset (29/00)") == true, "\(error?.what ?? "")")
  }

  @Test func `a connection that is cut fails every command in flight, once`() async throws {
    let reads = Mutex(0)
    let target = try ScriptedTarget { event, session in
      guard case .command(let task) = event else { return .goOn }
      guard task.commandDescriptorBlock[0] == 0x88 else {
        session.completeCommand(task.handle, ordinaryAnswer(task))
        return .goOn
      }
      return reads.withLock {
        $0 += 1; return $0
      } == 5 ? .hangUp : .goOn
    }
    defer { target.end() }
    let session = try await open(target)
    let words = await withTaskGroup(of: String.self) { group in
      for index in 0..<5 {
        group.addTask {
          do {
            _ = try await session.read(at: UInt64(index) * 512, count: 512)
            return "read"
          } catch { return "\(error)" }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(words.count == 5)
    #expect(words.allSatisfy { $0.contains("connection to 127.0.0.1:\(target.port) lost") })
    await session.close()
  }

  @Test func `the owner is told of a loss, and not of its own close`() async throws {
    let target = try ScriptedTarget { event, session in
      guard case .command = event else { return .goOn }
      return .hangUp
    }
    defer { target.end() }
    let (losses, told) = AsyncStream<String>.makeStream()
    let lun = try #require(LogicalUnitNumber(0))
    for isCut in [false, true] {
      let connection = try await InitiatorConnection.open(
        host: "127.0.0.1", port: target.port,
        login: InitiatorLoginRequest(
          identity: .init(name: initiator), targetName: ScriptedTarget.name),
        logger: logger, hooks: ConnectionHooks(onClosed: { told.yield($0) }))
      if isCut {
        await #expect(throws: MirrorcastError.self) {
          try await connection.command(lun: lun, .testUnitReady)
        }
      }
      await connection.close()
    }
    told.finish()
    let all = await losses.reduce(into: []) { $0.append($1) }
    #expect(all.count == 1)
    #expect(all.first?.contains("the target closed it") == true)
  }

  @Test func `keys are answered, and a mirror's PDUs reach their hook`() async throws {
    let target = try ScriptedTarget { event, session in
      guard case .text(let keys, let reply) = event else { return .goOn }
      var answer = BasicHeaderSegment(opcode: .mirrorAnswer, flags: 0x82)
      answer.word36 = 77
      session.sendMirrorAnswer(answer)
      session.respondText(reply, keys)
      return .goOn
    }
    defer { target.end() }
    let (pdus, told) = AsyncStream<PDU>.makeStream()
    let connection = try await InitiatorConnection.open(
      host: "127.0.0.1", port: target.port,
      login: InitiatorLoginRequest(
        identity: .init(name: initiator), targetName: ScriptedTarget.name, offersMirror: true),
      logger: logger, hooks: ConnectionHooks(onMirrored: { told.yield($0) }))
    #expect(connection.isMirrorcast)
    let keys = TextKeys([.init("X-org.mirrorcast.op", "register")])
    #expect(try await connection.text(keys) == keys)
    var arrivals = pdus.makeAsyncIterator()
    #expect(await arrivals.next()?.header.word36 == 77)
    await connection.close()
    await #expect(throws: MirrorcastError.self) { try await connection.text(keys) }
  }

  @Test func `a host that nobody listens at, or that is nobody, is told`() async throws {
    let nobody = try Listener(listens: false)
    defer { nobody.close() }
    let port = nobody.port
    for (host, words) in [
      ("127.0.0.1", "127.0.0.1:\(port) refuses the connection"),
      ("nobody.invalid", "there is no host 'nobody.invalid'"),
    ] {
      let error = await #expect(throws: MirrorcastError.self) {
        try await InitiatorConnection.open(
          host: host, port: port,
          login: InitiatorLoginRequest(identity: .init(name: initiator), targetName: "iqn.x:a"),
          logger: logger)
      }
      #expect(error?.what == words)
      #expect(error?.advice?.isEmpty == false)
    }
  }

  @Test func `a peer that is no iSCSI target is told`() async throws {
    let listener = try Listener()
    defer { listener.close() }
    Thread.detachNewThread {
      let descriptor = listener.accept()
      let words = [UInt8]("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".utf8)
      _ = words.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, 0) }
      close(descriptor)
    }
    let error = await #expect(throws: MirrorcastError.self) {
      try await InitiatorConnection.open(
        host: "127.0.0.1", port: listener.port,
        login: InitiatorLoginRequest(identity: .init(name: initiator), targetName: "iqn.x:a"),
        logger: logger)
    }
    #expect(error?.what.contains("127.0.0.1:\(listener.port)") == true)
  }
}

/// CHECK CONDITION's sense: UNIT ATTENTION, power on or reset.
private let attention: [UInt8] = SenseData(.unitAttention, .powerOnOrReset).fixedFormat

@Test func `retries have an end`() {
  var retry = CommandRetry()
  var waited = 0
  while case .again(let milliseconds) = retry.decide(.busy, nil) { waited += milliseconds }
  #expect((5_000...15_000).contains(waited))
  #expect(CommandRetry().decided(.good, nil) == .end)
  let hard = SenseData(.mediumError, .unrecoveredReadError)
  #expect(CommandRetry().decided(.checkCondition, hard) == .end)
}

extension CommandRetry {
  fileprivate func decided(_ status: Status, _ sense: SenseData?) -> Decision {
    var copy = self
    return copy.decide(status, sense)
  }
}

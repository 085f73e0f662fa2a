import ISCSI
import NIOCore
import Testing

@testable import Mirrorcast

/// All in virtual time; limits are the defaults.
@Suite struct `A daemon and its silent peers` {
  @Test func `an idle session is pinged, and lives as long as it answers`() throws {
    let target = try VirtualTarget()
    #expect(try target.logIn() == 0)
    for _ in 0..<10 {
      target.pass(14_999)
      #expect(try target.received().isEmpty)
      target.pass(1)
      let ping = try #require(try target.received().first)
      // RFC 7143 §11.19: no task tag, since no task asked; a transfer tag, since it is to be
      // answered; StatSN is the next, and stays it.
      #expect(ping.header.opcode == .nopIn && ping.header.initiatorTaskTag == reservedTag)
      #expect(ping.header.word20 != reservedTag)
      target.pass(29_000)
      var answer = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
      answer.initiatorTaskTag = reservedTag
      answer.word20 = ping.header.word20
      try target.send(PDU(header: answer))
      #expect(try target.received().isEmpty)
    }
    #expect(target.isOpen && target.register.statistics.silent == 0)
  }

  @Test func `a session that answers nothing is cut, and its place is free`() throws {
    let target = try VirtualTarget()
    #expect(try target.logIn() == 0)
    target.pass(15_000 + 29_999)
    #expect(target.isOpen && target.register.statistics.sessionsNow == 1)
    target.pass(1)
    #expect(!target.isOpen)
    let statistics = target.register.statistics
    #expect(statistics.silent == 1 && statistics.sessionsNow == 0)
  }

  @Test func `a command is a sign of life, too`() throws {
    let target = try VirtualTarget()
    #expect(try target.logIn() == 0)
    for tag in 1...10 as ClosedRange<UInt32> {
      target.pass(14_000)
      try target.read(blocks: 8, tag: tag)
      let answer = try target.received()
      #expect(answer.map(\.header.opcode) == [.dataIn])
    }
    #expect(target.isOpen)
  }

  @Test func `who does not log in is not pinged, and has until the deadline from the accept`()
    throws
  {
    let target = try VirtualTarget()
    let login = TargetClient.loginRequest(
      VirtualTarget.name, initiator: "iqn.2026-01.test:slow", isid: 1)
    for byte in login.encoded.prefix(7) {
      target.pass(1000)
      try target.send([byte])
    }
    target.pass(999)
    #expect(target.isOpen && target.register.statistics.loginBytesNow == 7)
    target.pass(1)
    #expect(!target.isOpen)
    #expect(try target.received().isEmpty)
    let statistics = target.register.statistics
    #expect(statistics.cutAtDeadline == 1 && statistics.loginsNow == 0)
    #expect(statistics.loginBytesNow == 0)
  }

  @Test func `discovery is no way to stay`() throws {
    let target = try VirtualTarget()
    #expect(try target.logIn(nil) == 0)
    #expect(target.register.statistics.sessionsNow == 0)
    target.pass(59_999)
    #expect(target.isOpen)
    #expect(try target.received().isEmpty, "not pinged: it has a deadline")
    target.pass(1)
    #expect(!target.isOpen && target.register.statistics.loginsNow == 0)
  }

  @Test func `who takes nothing is cut, who takes little is not`() throws {
    for isSlow in [true, false] {
      let target = try VirtualTarget()
      #expect(try target.logIn() == 0)
      target.plug.isShut = true
      for tag in 1...20 as ClosedRange<UInt32> { try target.read(blocks: 1, tag: tag) }
      #expect(target.plug.heldCount > 5)
      #expect(target.serving.reads.taken > 0)
      let context = try target.channel.pipeline.syncOperations.context(handler: target.plug)
      for _ in 0..<5 {
        target.pass(29_000)
        guard isSlow else { continue }
        target.plug.takeOne(context)
        // It is alive, and says so.
        try target.send(PDU(header: ping()))
      }
      #expect(target.isOpen == isSlow)
      #expect(target.register.statistics.stuck == (isSlow ? 0 : 1))
      if !isSlow { #expect(target.serving.reads.taken == 0) }
    }
  }

  private func ping() -> BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    header.initiatorTaskTag = reservedTag
    header.word20 = reservedTag
    return header
  }
}

@Suite struct `An initiator and its silent target` {
  @Test func `a ping of the target's is answered`() throws {
    let initiator = try VirtualInitiator()
    initiator.target.sendPing(tag: 9)
    initiator.heard = []
    try initiator.settle()
    #expect(initiator.heard == [.nopOut])
  }

  @Test func `an idle session is pinged, and lives as long as it is answered`() throws {
    let initiator = try VirtualInitiator()
    for _ in 0..<10 {
      initiator.heard = []
      initiator.pass(5_000)
      try initiator.settle()
      #expect(initiator.heard == [.nopOut])
    }
    #expect(initiator.isOpen && initiator.closed == nil)
  }

  @Test(arguments: [false, true])
  func `a target that vanished is given up, with or without a command`(hasCommand: Bool) throws {
    let initiator = try VirtualInitiator()
    let end = hasCommand ? initiator.submit() : nil
    initiator.pass(5_000)
    try initiator.settle(isDeaf: true)
    initiator.pass(24_999)
    #expect(initiator.isOpen && end?.words == nil)
    initiator.pass(1)
    #expect(!initiator.isOpen)
    let words = "nothing came for 30 s, not even the answer to a ping"
    #expect(initiator.closed == "connection to virtual lost: \(words)")
    if hasCommand { #expect(end?.words == initiator.closed) }
    let late = initiator.submit()
    #expect(late.words == initiator.closed)
  }

  @Test func `a discovery is not pinged, and given up only where it awaits an answer`() throws {
    let initiator = try VirtualInitiator(target: nil)
    initiator.heard = []
    initiator.pass(120_000)
    try initiator.settle()
    #expect(initiator.heard.isEmpty && initiator.isOpen)
    initiator.handler.sendText(TextKeys([.init("SendTargets", "All")])) { _ in }
    try initiator.settle(isDeaf: true)
    #expect(initiator.heard == [.textRequest])
    initiator.pass(60_000)
    #expect(!initiator.isOpen)
    #expect(initiator.closed == "connection to virtual lost: nothing came for 30 s")
  }

  @Test func `a command that takes long is waited for, as long as pings are answered`() throws {
    let initiator = try VirtualInitiator()
    let end = initiator.submit()
    for _ in 0..<60 {
      initiator.pass(5_000)
      try initiator.settle()
    }
    #expect(initiator.isOpen && end.words == nil)
    initiator.target.completeCommand(initiator.commands[0].handle, CommandCompletion(status: 0))
    try initiator.settle()
    #expect(end.words == "GOOD")
  }
}

import ISCSI
import NIOCore
import Synchronization
import Testing

@testable import Mirrorcast

@Suite struct `The end of a session` {
  /// A mirror that says when its writes have ended.
  private final class SlowHost: MirrorHost {
    let ends = Mutex<[@Sendable () -> Void]>([])

    func text(
      _ keys: TextKeys, initiator: MirrorInitiator, of target: ServedTarget, session: SessionPort,
      reply: TaskHandle
    ) {}
    func request(_ pdu: PDU, session: SessionPort) {}
    func abort(_ task: MirroredTask, session: SessionPort, reply: TaskHandle) {}
    func sessionClosed(_ id: UInt64, ended: @escaping @Sendable () -> Void) {
      ends.withLock { $0.append(ended) }
    }
    func isMirrored(_ unit: ServedUnit) -> Bool { true }

    /// The last mirrored write is stored.
    func finish() { for end in ends.withLock({ $0 }) { end() } }
  }

  @Test func `a logout is answered when no mirrored write can touch the medium any more`() throws {
    let host = SlowHost()
    let target = try VirtualTarget(host: host)
    #expect(try target.logIn() == 0)
    try target.logOut()
    target.pass(100)
    #expect(try target.received().isEmpty)
    #expect(host.ends.withLock { $0.count } == 1)
    host.finish()
    #expect(try target.received().map(\.header.opcode) == [.logoutResponse])
    target.pass(1_000)
    #expect(!target.isOpen)
    #expect(host.ends.withLock { $0.count } == 1, "asked once")
  }

  @Test func `a connection that is lost keeps its place until then`() throws {
    let host = SlowHost()
    let target = try VirtualTarget(host: host)
    #expect(try target.logIn() == 0)
    try target.channel.close().wait()
    target.pass(1)
    #expect(target.register.statistics.sessionsNow == 1)
    host.finish()
    #expect(target.register.statistics.sessionsNow == 0)
  }

  @Test func `a target that is taken away waits for the mirror, too`() throws {
    let host = SlowHost()
    let target = try VirtualTarget(host: host)
    #expect(try target.logIn() == 0)
    target.serving.directory.change(targets: [], discovery: nil)
    let isDone = Mutex(false)
    target.connection.adoptChanges { isDone.withLock { $0 = true } }
    target.pass(1)
    let early = isDone.withLock { $0 }
    #expect(!early, "a mirrored write may touch the medium still")
    #expect(host.ends.withLock { $0.count } == 1)
    host.finish()
    target.pass(1)
    let late = isDone.withLock { $0 }
    #expect(late)
  }

  @Test func `a login anew is answered when nothing of the old session can run any more`() throws {
    let host = SlowHost()
    let old = try VirtualTarget(host: host)
    #expect(try old.logIn() == 0)
    let other = try VirtualTarget(besides: old)
    #expect(try other.logIn() == nil)
    #expect(!old.isOpen && other.isOpen)
    // Neither the deadline of logins nor the next login makes it come sooner.
    other.pass(60_000)
    #expect(try other.received().isEmpty)
    #expect(other.isOpen)
    let last = try VirtualTarget(besides: old)
    #expect(try last.logIn() == nil)
    try last.read(blocks: 1, tag: 1)
    last.pass(1)
    #expect(!other.isOpen && last.isOpen)
    #expect(try last.received().isEmpty)
    host.finish()
    last.pass(1)
    let answers = try last.received()
    #expect(answers.first?.header.opcode == .loginResponse)
    #expect(answers.first?.header.loginStatusCode == 0)
    // What was sent behind the login: the old session's loss is told of first.
    #expect(answers.dropFirst().map(\.header.opcode) == [.scsiResponse])
    #expect(answers.last?.header.byte3 == 2)
    try last.read(blocks: 1, tag: 2)
    #expect(try last.received().map(\.header.opcode) == [.dataIn])
    #expect(last.register.statistics.sessionsNow == 1)
  }

  @Test func `who may not log in any more when the old session has ended is refused`() throws {
    let host = SlowHost()
    let old = try VirtualTarget(host: host)
    #expect(try old.logIn() == 0)
    let other = try VirtualTarget(besides: old)
    #expect(try other.logIn() == nil)
    old.serving.directory.change(targets: [], discovery: nil)
    // This host is asked about whoever leaves, the old one and then the one that is refused.
    for _ in 0..<3 {
      host.finish()
      other.pass(1)
    }
    let statuses = try other.received().map(\.header.loginStatusCode)
    #expect(statuses == [0x0204])
    other.pass(2_000)
    #expect(!other.isOpen)
  }

  @Test func `a mirror that does not end keeps nobody for ever`() throws {
    let host = SlowHost()
    let target = try VirtualTarget(host: host)
    #expect(try target.logIn() == 0)
    try target.logOut()
    target.pass(4_999)
    #expect(target.isOpen)
    target.pass(1)
    #expect(!target.isOpen)
    #expect(try target.received().isEmpty, "a logout that is not true is not answered")
    host.finish()
  }
}

@Suite struct `A login that is refused` {
  @Test func `leaves no target with its connection`() throws {
    var limits = TargetLimits()
    limits.sessionsMax = 0
    let target = try VirtualTarget(limits)
    // RFC 7143 §11.13.5: 0302h, out of resources.
    #expect(try target.logIn() == 0x0302)
    #expect(target.connection.target == nil)
  }
}

@Suite struct `A daemon that stops` {
  @Test func `asks sessions to log out, serves them until then, and drops who stays`() throws {
    let target = try VirtualTarget()
    #expect(try target.logIn() == 0)
    target.askToLogOut()
    let request = try #require(try target.received().first?.header)
    #expect(request.opcode == .asyncMessage && request.initiatorTaskTag == reservedTag)
    // Event 1, and three seconds in the third parameter.
    #expect(request.array[36] == 1 && request.array[42...43] == [0, 3])
    target.pass(2_999)
    try target.read(blocks: 1, tag: 1)
    #expect(try target.received().map(\.header.opcode) == [.dataIn])
    target.pass(1)
    let drop = try #require(try target.received().first?.header)
    // Event 3; back after two seconds, and nothing is retained.
    #expect(drop.array[36] == 3 && drop.array[40...43] == [0, 2, 0, 0])
    #expect(drop.word24 == request.word24 + 2, "each has a StatSN of its own")
    target.pass(1_000)
    #expect(!target.isOpen)
  }

  @Test func `lets go who logs out, and cuts who has not logged in`() throws {
    let target = try VirtualTarget()
    #expect(try target.logIn() == 0)
    target.askToLogOut()
    _ = try target.received()
    try target.logOut()
    #expect(try target.received().map(\.header.opcode) == [.logoutResponse])
    target.pass(1_000)
    #expect(!target.isOpen)
    let other = try VirtualTarget()
    other.askToLogOut()
    other.pass(1)
    #expect(!other.isOpen)
    #expect(try other.received().isEmpty)
  }
}

@Suite struct `An initiator whose target wants to be left` {
  private static let words = "connection to virtual lost: the target asked to be left"

  @Test func `finishes what is in flight, asks nothing new, and logs out`() throws {
    let initiator = try VirtualInitiator()
    let first = initiator.submit()
    try initiator.settle()
    initiator.target.sendAsyncMessage(.logoutRequest, parameters: (0, 0, 5))
    initiator.heard = []
    try initiator.settle()
    let late = initiator.submit()
    #expect(late.words == Self.words)
    #expect(initiator.isOpen && initiator.heard.isEmpty && first.words == nil)
    initiator.target.completeCommand(initiator.commands[0].handle, CommandCompletion(status: 0))
    try initiator.settle()
    #expect(first.words == "GOOD")
    #expect(initiator.heard == [.logoutRequest])
    #expect(!initiator.isOpen && initiator.closed == Self.words)
  }

  @Test func `goes in time, also from commands that do not end`() throws {
    let initiator = try VirtualInitiator()
    let stuck = initiator.submit()
    try initiator.settle()
    initiator.target.sendAsyncMessage(.logoutRequest, parameters: (0, 0, 5))
    try initiator.settle()
    initiator.heard = []
    initiator.pass(3_999)
    try initiator.settle()
    #expect(initiator.heard.isEmpty)
    initiator.pass(1)
    try initiator.settle()
    #expect(initiator.heard == [.logoutRequest])
    #expect(stuck.words == Self.words && !initiator.isOpen)
  }

  @Test(arguments: [AsyncEvent.connectionDrop, .sessionDrop])
  func `hears that it is dropped`(event: AsyncEvent) throws {
    let initiator = try VirtualInitiator()
    let command = initiator.submit()
    try initiator.settle()
    initiator.target.sendAsyncMessage(event)
    try initiator.settle()
    let words = "connection to virtual lost: the target drops the session"
    #expect(!initiator.isOpen && command.words == words && initiator.closed == words)
  }
}

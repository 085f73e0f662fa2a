import Bytes
import Datagrams
import Foundation
import ISCSI
import Lanes
import Replication
import Testing

@testable import Mirrorcast

/// A target's answer port, with a lane's list of what is ready.
private struct PortScene: ~Copyable {
  let log = RecordedLog()
  var port: AnswerPort
  var ready = WaitList()
  let endpoint: Endpoint

  init() throws {
    port = AnswerPort(logger: log.logger)
    let offered = port.endpoint(beside: try Endpoint("127.0.0.1:0"))
    endpoint = try #require(offered)
  }

  /// Waits until something is ready; whether something was.
  mutating func look() throws -> Bool {
    ready.removeAll()
    port.fileDescriptors(into: &ready)
    return try ready.wait(nanoseconds: 5_000_000_000) > 0
  }

  /// One cycle; what was attached, by registration and word.
  mutating func work(now: UInt64) -> (work: Int, attached: [UInt64]) {
    var attached: [UInt64] = []
    let work = port.work(ready: &ready, now: now) { registration, token, _ in
      attached.append(UInt64(registration) << 32 | token)
      return true
    }
    return (work, attached)
  }

  /// How many descriptors the port wants to be looked at.
  var watchedCount: Int {
    var list = WaitList()
    port.fileDescriptors(into: &list)
    return list.count
  }

  func connected() throws -> StreamSocket { try StreamSocket(connectingTo: endpoint) }
}

extension StreamSocket {
  fileprivate func say(registration: UInt32, token: UInt64) throws {
    let header = MirrorRequest.attach(registration: registration, token: token)
    var list = WaitList()
    list.append(descriptor, wantsWrite: true)
    try list.wait(nanoseconds: 5_000_000_000)
    #expect(finishConnecting() == .moved(1))
    let isTaken = append(header.array.span.bytes)
    #expect(isTaken)
    #expect(flush() == .moved(BasicHeaderSegment.byteCount))
  }
}

@Suite(.timeLimit(.minutes(3)))
struct `The port for answer streams` {
  @Test func `without descriptors left it lets its listeners be for a while`() async {
    // In a process of its own, where nobody else wants a descriptor.
    await #expect(processExitsWith: .success) {
      var scene = try PortScene()
      let client = try scene.connected()
      // Far above what it may have been given by tests that had sockets open just then.
      var limit = rlimit()
      try #require(getrlimit(__rlimit_resource_t(7), &limit) == 0)
      limit.rlim_cur = min(limit.rlim_max, 4096)
      try #require(setrlimit(__rlimit_resource_t(7), &limit) == 0)
      var taken: [Int32] = []
      while case let number = dup(2), number >= 0 { taken.append(number) }
      try #require(errno == EMFILE && taken.count > 8)

      #expect(try scene.look())
      #expect(scene.work(now: 1000).work == 0)
      #expect(scene.port.acceptFailures == 1)
      // Nothing to look at, until a time: a lane can sleep.
      #expect(scene.watchedCount == 0)
      let until = 1000 + AnswerPort.pauseNanoseconds
      #expect(scene.port.nextDeadline == until)
      #expect(scene.work(now: until - 1).work == 0)
      #expect(scene.port.acceptFailures == 1)

      // No better then: counted once more, and not said again.
      #expect(scene.work(now: until).work == 0)
      #expect(scene.port.nextDeadline == nil)
      #expect(try scene.look())
      #expect(scene.work(now: until).work == 0)
      #expect(scene.port.acceptFailures == 2)
      #expect(scene.log.lines.count == 1, "\(scene.log.lines)")
      for number in taken { close(number) }
      let later = until + AnswerPort.pauseNanoseconds
      #expect(scene.work(now: later).work == 0)
      #expect(try scene.look())
      #expect(scene.work(now: later).work > 0)
      #expect(scene.watchedCount == 2 && scene.port.acceptFailures == 2)
      withExtendedLifetime(client) {}
    }
  }

  @Test func `hears a stream when it has said something, not in every cycle`() throws {
    var scene = try PortScene()
    let client = try scene.connected()
    #expect(try scene.look())
    #expect(scene.work(now: 1000).work == 1)
    try client.say(registration: 7, token: 9)
    // It is there, but nobody has looked.
    for _ in 0..<100 { #expect(scene.work(now: 2000) == (0, [])) }
    #expect(try scene.look())
    #expect(scene.work(now: 3000) == (1, [7 << 32 | 9]))
    #expect(scene.watchedCount == 1 && scene.port.nextDeadline == nil)
  }

  @Test func `has room for a few that say nothing, and for a short time`() throws {
    var scene = try PortScene()
    var clients: [StreamSocket] = []
    for count in 1...AnswerPort.strangersMax + 1 {
      clients.append(try scene.connected())
      #expect(try scene.look())
      #expect(scene.work(now: UInt64(count)).work == 1)
    }
    #expect(scene.port.refused == 1)
    #expect(scene.watchedCount == 1 + AnswerPort.strangersMax)
    #expect(scene.watchedCount <= AnswerPort.descriptorsMax)
    // The first has its time over before the others.
    let due = 1 + AnswerPort.strangerNanosecondsMax
    #expect(scene.port.nextDeadline == due)
    _ = scene.work(now: due - 1)
    #expect(scene.port.refused == 1)
    _ = scene.work(now: due)
    #expect(scene.port.refused == 2 && scene.port.nextDeadline == due + 1)
    _ = scene.work(now: due + 100)
    #expect(scene.port.refused == UInt64(clients.count) && scene.watchedCount == 1)
    // There is room again for one that knows its word.
    let good = try scene.connected()
    #expect(try scene.look())
    _ = scene.work(now: due + 200)
    try good.say(registration: 1, token: 2)
    #expect(try scene.look())
    #expect(scene.work(now: due + 300).attached == [1 << 32 | 2])
  }
}

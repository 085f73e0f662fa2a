import Foundation
import ISCSI
import SCSI
import Synchronization
import Testing

@testable import Mirrorcast

@Suite struct `A target daemon and its mirror service` {
  /// Answers texts on another thread, and says which LUN is mirrored.
  private final class Host: MirrorHost {
    let closed = Mutex<[UInt64]>([])
    let stopped = Mutex(false)
    let last = Mutex(LastSession())

    struct LastSession {
      weak var port: SessionPort?
    }

    func text(
      _ keys: TextKeys, initiator: MirrorInitiator, of target: ServedTarget, session: SessionPort,
      reply: TaskHandle
    ) {
      last.withLock { $0.port = session }
      let place = "\(session.localAddress)-\(session.remoteAddress)"
      // No task: the clients of tests block the threads that would run it.
      Thread.detachNewThread {
        session.perform {
          $0.respondText(reply, TextKeys([.init("X-org.mirrorcast.reason", place)]))
        }
      }
    }
    func request(_ pdu: PDU, session: SessionPort) {}
    func abort(_ task: MirroredTask, session: SessionPort, reply: TaskHandle) {
      session.perform { $0.completeTaskManagement(reply, .complete) }
    }
    func sessionClosed(_ id: UInt64, ended: @escaping @Sendable () -> Void) {
      closed.withLock { $0.append(id) }
      ended()
    }
    func isMirrored(_ unit: ServedUnit) -> Bool { unit.number.value == 1 }
    func stop() async { stopped.withLock { $0 = true } }
  }

  private static let register = Array("Command=register\0".utf8)

  @Test func `texts and aborts reach it, and its answers the session`() async throws {
    let host = Host()
    try await TargetScene.serving(["1=memory:1M"], host: host) { scene in
      let client = try scene.client()
      try client.send(client.request(.textRequest, data: Self.register).encoded)
      let answer = try #require(try client.receive())
      let text = String(decoding: answer.data, as: UTF8.self)
      #expect(text == "X-org.mirrorcast.reason=127.0.0.1-127.0.0.1\0")
      var abort = client.request(.taskManagementRequest, flags: 0x81)
      abort.header.word20 = 0x8000_0001
      try client.send(abort.encoded)
      #expect(try client.receive()?.header.byte2 == 0)
      client.close()
    }
    #expect(host.closed.withLock { $0.count } == 1)
    #expect(host.stopped.withLock { $0 })
    // Nothing of a session outlives it.
    try await eventually { host.last.withLock { $0.port == nil } }
  }

  @Test func `ordinary commands do not change a mirrored LUN`() async throws {
    try await TargetScene.serving(["0=memory:1M", "1=memory:1M"], host: Host()) { scene in
      let client = try scene.client()
      let refused = try client.write(pattern(512, 1), at: 0, lun: lunField(1))
      #expect(refused.words == [7, 0x27, 0])
      #expect(try client.write(pattern(512, 1), at: 0, lun: lunField(0)).status == 0)
      let read = try client.read(512, at: 0, lun: lunField(1))
      #expect(read.data == [UInt8](repeating: 0, count: 512))
      #expect(try client.run(.synchronizeCache16, lun: lunField(1)).status == 0)
    }
  }

  @Test func `without one a registration is refused in words`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try scene.client()
      try client.send(client.request(.textRequest, data: Self.register).encoded)
      let answer = try #require(try client.receive())
      let text = String(decoding: answer.data, as: UTF8.self)
      #expect(text.hasPrefix("X-org.mirrorcast.result=bad-request\0"))
    }
  }
}

@Suite struct `What stops a target daemon from starting` {
  private func start(_ portal: String, _ units: [String]) async throws {
    let configuration = try TargetConfiguration(
      portal: PortalAddress(parsing: portal), targetName: TargetScene.name, logicalUnits: units)
    let daemon = try TargetDaemon(
      configuration, logger: TargetScene.logger, makeHost: { _, _ in nil }, onReady: { _ in })
    try await daemon.run()
  }

  @Test func `is told with what to do about it`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let error = await #expect(throws: MirrorcastError.self) {
        try await start("127.0.0.1:\(scene.port)", ["0=memory:1M"])
      }
      #expect(error?.what.contains("port is in use") == true)
      #expect(error?.advice != nil)
    }
    let cases: [(String, [String], String)] = [
      ("192.0.2.1:0", ["0=memory:1M"], "no such address"),
      ("no.such.host.invalid:0", ["0=memory:1M"], "no such host"),
      ("127.0.0.1:0", ["0=file:no-such-file"], "no-such-file"),
      ("127.0.0.1:0", ["0=memory:1M", "0=memory:2M"], "twice"),
      ("127.0.0.1:0", ["0=memory:100"], "512"),
      ("127.0.0.1:0", [], "no LUN"),
    ]
    for (portal, units, words) in cases {
      let error = await #expect(throws: MirrorcastError.self) { try await start(portal, units) }
      #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
    #expect(throws: MirrorcastError.self) {
      try TargetConfiguration(
        portal: PortalAddress(parsing: "127.0.0.1:0"), targetName: "store one",
        logicalUnits: ["0=memory:1M"])
    }
  }
}

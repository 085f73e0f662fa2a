import ISCSI
import Logging
import SCSI
import Testing

@testable import Mirrorcast

let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
let initiator = "iqn.2025-01.org.example:initiator"

@Suite struct `An initiator with our own target` {
  @Test(arguments: ["127.0.0.1", "[::1]"])
  func `what is written is read back and listed`(host: String) async throws {
    let name = "iqn.2025-01.org.example:own"
    try await serving(host, name, ["0=memory:16M", "7=memory:1M"]) { portal in
      let place = try PortalAddress(parsing: portal)
      let connection = try await InitiatorConnection.open(
        host: place.host, port: place.port,
        login: InitiatorLoginRequest(
          identity: .init(name: initiator), targetName: name, offersMirror: true),
        logger: logger)
      #expect(connection.isMirrorcast)
      let lun = try #require(LogicalUnitNumber(0))
      let image = randomBytes(8 << 20)
      for start in [0, 5 << 20] {
        let end = start == 0 ? 5 << 20 : image.count
        let outcome = await written(connection, lun, image[start..<end], at: start)
        #expect((try? outcome.get())?.isGood == true, "\(outcome)")
      }
      #expect(try await connection.logicalUnitNumbers().map(\.value) == [0, 7])
      await connection.close()

      let session = try await LogicalUnitSession.open(
        try LogicalUnitURL(parsing: "iscsi://\(portal)/\(name)/0"),
        identity: .init(name: initiator),
        logger: logger)
      #expect(try await session.read(at: 0, count: image.count) == image)
      #expect(try await session.read(at: 15 << 20, count: 512) == [UInt8](repeating: 0, count: 512))
      await session.close()

      let found = try await Discovery.list(
        portal: place, identity: .init(name: initiator), logger: logger)
      #expect(found.map(\.name) == [name])
      #expect(found[0].portals.allSatisfy { $0.hasPrefix(portal) })
      #expect(found[0].luns.map(\.lun) == [0, 7])
      #expect(found[0].luns.map(\.byteCount) == [16 << 20, 1 << 20])
    }
  }

  @Test func `a daemon that stops ends its sessions in words`() async throws {
    let name = "iqn.2025-01.org.example:own"
    let session = try await serving("127.0.0.1", name, ["0=memory:1M"]) { portal in
      try await LogicalUnitSession.open(
        try LogicalUnitURL(parsing: "iscsi://\(portal)/\(name)/0"),
        identity: .init(name: initiator),
        logger: logger)
    }
    let error = await #expect(throws: MirrorcastError.self) {
      try await session.read(at: 0, count: 512)
    }
    #expect(error?.what.contains("lost") == true, "\(error?.what ?? "")")
    await session.close()
  }

  /// Runs a daemon while `body` runs.
  private func serving<Value: Sendable>(
    _ host: String, _ name: String, _ units: [String],
    _ body: @Sendable (String) async throws -> Value
  ) async throws -> Value {
    let (portals, told) = AsyncStream<String>.makeStream()
    let daemon = try TargetDaemon(
      TargetConfiguration(
        portal: PortalAddress(parsing: "\(host):0"), targetName: name, logicalUnits: units),
      logger: logger,
      onReady: {
        told.yield($0)
        told.finish()
      })
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { told.finish() }
        try await daemon.run()
      }
      var arrivals = portals.makeAsyncIterator()
      guard let portal = await arrivals.next() else {
        try await group.next()
        throw Failure("the daemon ended before it was ready")
      }
      let value = try await body(portal)
      group.cancelAll()
      return value
    }
  }
}

/// The end of one write.
func written(
  _ connection: InitiatorConnection, _ lun: LogicalUnitNumber, _ bytes: ArraySlice<UInt8>,
  at offset: Int
) async -> Result<CommandOutcome, MirrorcastError> {
  let blocks = BlockRange(address: UInt64(offset / 512), count: UInt32(bytes.count / 512))
  return await withCheckedContinuation { continuation in
    connection.submitWrite(lun: lun, .write16(blocks), data: bytes) {
      continuation.resume(returning: $0)
    }
  }
}

/// Bytes without a pattern, the same at every call.
func randomBytes(_ count: Int) -> [UInt8] {
  var state: UInt64 = 0x9e37_79b9_7f4a_7c15
  return [UInt8](unsafeUninitializedCapacity: count) { buffer, initializedCount in
    for start in stride(from: 0, to: count, by: 8) {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      let end = min(start + 8, count)
      withUnsafeBytes(of: state) {
        UnsafeMutableRawBufferPointer(buffer)[start..<end].copyBytes(from: $0[..<(end - start)])
      }
    }
    initializedCount = count
  }
}

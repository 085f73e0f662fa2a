import Foundation
import ISCSI
import Logging
import SCSI
import Testing

@testable import Mirrorcast

@Suite(
  .enabled(if: ForeignTarget.isThere, "tgtd is missing, or this is not root: apt install tgt"))
struct `An initiator with a target of another make` {
  @Test(arguments: ["127.0.0.1", "::1"])
  func `what is written over many bursts is read back, by us and by others`(
    host: String
  ) async throws {
    let target = try ForeignTarget.start(host: host, byteCount: 16 << 20)
    defer { target.end() }
    let url = try LogicalUnitURL(parsing: target.url(lun: 1))
    let image = randomBytes(8 << 20)
    let connection = try await InitiatorConnection.open(
      host: url.host, port: url.port,
      login: InitiatorLoginRequest(
        identity: .init(name: initiator), targetName: url.targetName, offersMirror: true),
      logger: logger)
    #expect(!connection.isMirrorcast)
    #expect(connection.remoteAddress == host)
    #expect(connection.localPort > 0)
    #expect(connection.session.parameters.sendDataSegmentLengthMax == 8192)
    #expect(connection.session.parameters.initialR2T)
    let lun = try #require(LogicalUnitNumber(1))
    // Three writes in flight, the second of several MiB.
    let bounds = [0, 1 << 20, 7 << 20, 8 << 20]
    await withTaskGroup(of: Void.self) { group in
      for (start, end) in zip(bounds, bounds.dropFirst()) {
        group.addTask {
          let outcome = await written(connection, lun, image[start..<end], at: start)
          #expect((try? outcome.get())?.isGood == true, "\(outcome)")
        }
      }
    }
    let flushed = try await connection.command(lun: lun, .synchronizeCache16)
    #expect(flushed.isGood, "\(flushed.text)")
    await connection.close()

    let session = try await LogicalUnitSession.open(
      url, identity: .init(name: initiator), logger: logger)
    #expect(session.byteCount == 16 << 20)
    #expect(session.blockSize == 512)
    #expect(try await session.read(at: 0, count: image.count) == image)
    #expect(try await session.read(at: 513, count: 1000) == Array(image[513..<1513]))
    #expect(try await session.read(at: 16 << 20, count: 0).isEmpty)
    await #expect(throws: MirrorcastError.self) {
      try await session.read(at: (16 << 20) - 1, count: 2)
    }
    await session.close()
    #expect(try othersRead(target.url(lun: 1), byteCount: image.count) == image)
  }

  @Test func `many reads in flight each get their own bytes`() async throws {
    let target = try ForeignTarget.start(byteCount: 4 << 20)
    defer { target.end() }
    let image = randomBytes(4 << 20)
    try Data(image).write(to: URL(fileURLWithPath: target.path))
    let session = try await LogicalUnitSession.open(
      try LogicalUnitURL(parsing: target.url(lun: 1)), identity: .init(name: initiator),
      logger: logger)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<64 {
        group.addTask {
          let start = index * 65536
          let bytes = try await session.read(at: UInt64(start), count: 65536)
          #expect(bytes == Array(image[start..<start + 65536]))
        }
      }
      try await group.waitForAll()
    }
    await session.close()
  }

  @Test func `discovery lists the disk and not the controller`() async throws {
    let target = try ForeignTarget.start(byteCount: 3 << 20)
    defer { target.end() }
    let found = try await Discovery.list(
      portal: try PortalAddress(parsing: target.portal), identity: .init(name: initiator),
      logger: logger)
    #expect(found.map(\.name) == [target.name])
    #expect(found[0].portals == ["\(target.portal),1"])
    #expect(found[0].luns.count == 1)
    #expect(found[0].luns[0].lun == 1)
    #expect(found[0].luns[0].byteCount == 3 << 20)
    #expect(found[0].luns[0].blockSize == 512)
    #expect(found[0].luns[0].vendor == "IET")
    #expect(found[0].luns[0].product == "VIRTUAL-DISK")
  }

  @Test func `what is not there is named, with what to do`() async throws {
    let target = try ForeignTarget.start(byteCount: 1 << 20)
    defer { target.end() }
    for (url, what) in [
      (target.url(lun: 9), "LUN 9 of \(target.name) at \(target.portal) is not there"),
      (target.url(lun: 0), "LUN 0 at \(target.portal) is no disk (device type 12)"),
      ("iscsi://\(target.portal)/iqn.2025-01.org.example:none/1", "has no target"),
    ] {
      let error = await #expect(throws: MirrorcastError.self) {
        try await LogicalUnitSession.open(
          try LogicalUnitURL(parsing: url), identity: .init(name: initiator), logger: logger)
      }
      #expect(error?.what.contains(what) == true, "\(error?.what ?? "")")
      #expect(error?.advice?.contains("mirrorcast ls \(target.portal)") == true)
    }
  }

  @Test func `a target that dies fails what is in flight, and names itself`() async throws {
    let target = try ForeignTarget.start(byteCount: 64 << 20)
    let session = try await LogicalUnitSession.open(
      try LogicalUnitURL(parsing: target.url(lun: 1)), identity: .init(name: initiator),
      logger: logger)
    await withTaskGroup(of: MirrorcastError?.self) { group in
      for _ in 0..<8 {
        group.addTask {
          do {
            while true { _ = try await session.read(at: 0, count: 64 << 20) }
          } catch { return error as? MirrorcastError }
        }
      }
      target.end()
      for await error in group {
        #expect(error?.what.contains("connection to \(target.portal) lost") == true)
      }
    }
    await #expect(throws: MirrorcastError.self) { try await session.read(at: 0, count: 512) }
    await session.close()
  }
}

/// The disk's first bytes as libiscsi reads them, by way of qemu-img.
private func othersRead(_ url: String, byteCount: Int) throws -> [UInt8] {
  let path = NSTemporaryDirectory() + "mirrorcast-read-\(UUID().uuidString).img"
  defer { unlink(path) }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/qemu-img")
  process.arguments = ["convert", "-O", "raw", url, path]
  try process.run()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else { throw Failure("qemu-img can't read \(url)") }
  return Array(try Data(contentsOf: URL(fileURLWithPath: path)).prefix(byteCount))
}

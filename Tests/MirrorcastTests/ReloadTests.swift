import Foundation
import ISCSI
import NIOEmbedded
import SCSI
import Storage
import Testing

@testable import Mirrorcast

/// A daemon that is told something else while it serves.
@Suite(.timeLimit(.minutes(10))) struct `A daemon that reloads` {
  static let store = "iqn.2026-01.test:store"
  static let archive = "iqn.2026-01.test:archive"

  /// Targets by name, each with its LUNs; all at one portal.
  static func configuration(
    _ targets: KeyValuePairs<String, [String]>, portals: [String] = ["127.0.0.1:0"],
    addresses: [String]? = nil, initiators: Set<String>? = nil
  ) throws -> Mirrorcast.TargetConfiguration {
    try Mirrorcast.TargetConfiguration(
      portals: portals.map(PortalAddress.init(parsing:)),
      targets: targets.map { name, units in
        var target = try TargetDefinition(name: name, logicalUnits: units)
        target.access.initiators = initiators
        target.access.addresses = try addresses?.map(AddressRange.init(parsing:))
        return target
      })
  }

  private static let changed: [UInt8] = [6, 0x3f, 0x0e]
  private static let absent: [UInt8] = [5, 0x25, 0]

  @Test func `serves what is added, and tells the sessions of that target`() async throws {
    let old = try Self.configuration([
      Self.store: ["0=memory:1M"], Self.archive: ["0=memory:1M"],
    ])
    try await TargetScene.serving(old) { scene in
      let one = try scene.client(isid: 1, at: Self.store)
      let asking = try scene.client(isid: 2, at: Self.store)
      let other = try scene.client(at: Self.archive)
      #expect(try one.write(pattern(512, 1), at: 0).status == 0)
      let outcome = try await scene.daemon.reload(
        try Self.configuration([
          Self.store: ["0=memory:1M", "7=memory:2M"], Self.archive: ["0=memory:1M"],
          "iqn.2026-01.test:new": ["0=memory:1M"],
        ]))
      #expect(outcome.changes.count == 2)
      #expect(outcome.remarks == [])
      #expect(try one.run(.testUnitReady).words == Self.changed)
      #expect(try one.run(.testUnitReady).status == 0)
      // Who asks which disks there are has heard of it.
      let list = try asking.run(.reportLUNs(allocationLength: 64), expected: 64)
      #expect(Array(list.data.prefix(4)) == [0, 0, 0, 16])
      #expect(try asking.run(.testUnitReady).status == 0)
      #expect(try asking.write(pattern(512, 7), at: 4000, lun: lunField(7)).status == 0)
      #expect(try one.read(512, at: 0).data == pattern(512, 1))
      #expect(try other.run(.testUnitReady).status == 0)
      #expect(try scene.client(at: "iqn.2026-01.test:new").run(.testUnitReady).status == 0)
      #expect(
        try await scene.daemon.reload(
          Self.configuration([
            Self.store: ["0=memory:1M", "7=memory:2M"], Self.archive: ["0=memory:1M"],
            "iqn.2026-01.test:new": ["0=memory:1M"],
          ])
        ).changes == [])
      #expect(try one.run(.testUnitReady).status == 0)
    }
  }

  @Test func `lets a disk go when its commands have ended, with all data on the medium`()
    async throws
  {
    let scratch = try ScratchDirectory()
    let file = "file:\(scratch.path)/disk.img,size=8M"
    let old = try Self.configuration([Self.store: ["0=memory:1M", "1=\(file)"]])
    try await TargetScene.serving(old) { scene in
      let client = try scene.client(at: Self.store)
      var bytes: [UInt8] = []
      var writes: [UInt32: Int] = [:]
      for index in 0..<32 {
        let blocks = BlockRange(address: UInt64(index * 128), count: 128)
        let command = client.command(
          .write16(blocks), lun: lunField(1), data: pattern(65_536, UInt8(index)))
        writes[command.header.initiatorTaskTag] = index
        bytes += command.encoded
      }
      try client.send(bytes)
      // So that some at least are there.
      var answers = try client.statuses(1)
      #expect(answers.first?.status == 0)
      try await scene.daemon.reload(Self.configuration([Self.store: ["0=memory:1M"]]))
      // Nobody has the file any more.
      let backing = try FileBacking(path: "\(scratch.path)/disk.img")
      answers += try client.statuses(31)
      let stored = scratch.bytes("disk.img")
      // What was refused is answered before what was on its way.
      for answer in answers where answer.status == 0 {
        let index = try #require(writes[answer.tag])
        let piece = Array(stored[index * 65_536..<(index + 1) * 65_536])
        let isThere = piece == pattern(65_536, UInt8(index))
        #expect(isThere, "write \(index)")
      }
      #expect(try client.run(.testUnitReady, lun: lunField(1)).words == Self.absent)
      #expect(try client.run(.testUnitReady).words == Self.changed)
      #expect(try client.read(512, at: 0).status == 0)
      // It is refused while somebody has it, and added under another number after.
      let again = try Self.configuration([Self.store: ["0=memory:1M", "4=\(file)"]])
      let error = await #expect(throws: MirrorcastError.self) {
        try await scene.daemon.reload(again)
      }
      #expect(error?.what.contains("served by another process") == true)
      #expect(try client.run(.testUnitReady, lun: lunField(4)).words == Self.absent)
      withExtendedLifetime(backing) {}
    }
  }

  @Test func `takes a file from one LUN to another in two steps`() async throws {
    let scratch = try ScratchDirectory()
    let file = "file:\(scratch.path)/disk.img,size=1M"
    let first = try Self.configuration([Self.store: ["0=memory:1M", "1=\(file)"]])
    let second = try Self.configuration([Self.store: ["0=memory:1M", "2=\(file)"]])
    try await TargetScene.serving(first) { scene in
      let error = await #expect(throws: MirrorcastError.self) {
        try await scene.daemon.reload(second)
      }
      #expect(error?.what.contains("is another LUN still") == true, "\(error?.what ?? "")")
      for round in 1...10 as ClosedRange<UInt64> {
        // Another port each time: one that comes back hears first that its session was lost.
        let client = try scene.client(isid: round, at: Self.store)
        #expect(try client.write(pattern(512, 5), at: 1, lun: lunField(1)).status == 0)
        try await scene.daemon.reload(Self.configuration([Self.store: ["0=memory:1M"]]))
        try await scene.daemon.reload(second)
        #expect(try client.read(512, at: 1, lun: lunField(2)).words == Self.changed)
        #expect(try client.read(512, at: 1, lun: lunField(2)).data == pattern(512, 5))
        try await scene.daemon.reload(Self.configuration([Self.store: ["0=memory:1M"]]))
        try await scene.daemon.reload(first)
      }
    }
  }

  @Test func `ends the sessions of a target that is taken away, and tells them`() async throws {
    let old = try Self.configuration([
      Self.store: ["0=memory:1M"], Self.archive: ["0=memory:1M"],
    ])
    try await TargetScene.serving(old) { scene in
      let gone = try scene.client(at: Self.archive), stays = try scene.client(at: Self.store)
      let discovery = try TargetClient(port: scene.port)
      #expect(try discovery.logIn(nil) == 0)
      #expect(try discovery.sendTargets().contains("TargetName=\(Self.archive)"))
      let outcome = try await scene.daemon.reload(
        Self.configuration([Self.store: ["0=memory:1M"]]))
      try gone.expectDrop()
      #expect(outcome.changes == ["target \(Self.archive) is taken away"])
      #expect(try stays.run(.testUnitReady).status == 0)
      // A discovery that is there already hears of it when it asks.
      #expect(try !discovery.sendTargets().contains("TargetName=\(Self.archive)"))
      #expect(try TargetClient(port: scene.port).logIn(Self.archive) == 0x0203)
    }
  }

  @Test func `ends sessions that are not admitted any more`() async throws {
    let old = try Self.configuration([Self.store: ["0=memory:1M"]])
    let one = "iqn.2026-01.test:one", other = "iqn.2026-01.test:other"
    try await TargetScene.serving(old) { scene in
      let stays = try scene.client(one, at: Self.store)
      let goes = try scene.client(other, at: Self.store)
      let listed = try Self.configuration([Self.store: ["0=memory:1M"]], initiators: [one])
      let outcome = try await scene.daemon.reload(listed)
      try goes.expectDrop()
      #expect(outcome.changes == ["who may use \(Self.store) is changed"])
      #expect(try stays.run(.testUnitReady).status == 0)
      #expect(try TargetClient(port: scene.port).logIn(Self.store, initiator: other) == 0x0202)
      let elsewhere = try Self.configuration(
        [Self.store: ["0=memory:1M"]], addresses: ["127.0.0.9"])
      try await scene.daemon.reload(elsewhere)
      try stays.expectDrop()
      let there = try TargetClient(port: scene.port, from: 0x7f00_0009)
      #expect(try there.logIn(Self.store, initiator: other) == 0)
    }
  }

  @Test func `changes nothing where anything can't be`() async throws {
    let old = try Self.configuration([Self.store: ["0=memory:1M", "1=memory:1M"]])
    let held = try HeldPort()
    let free = held.number
    defer { withExtendedLifetime(held) {} }
    try await TargetScene.serving(old) { scene in
      let client = try scene.client(at: Self.store)
      for (targets, portals) in [
        (["0=memory:1M", "2=file:/var/no/such/file"], ["127.0.0.1:0", "127.0.0.1:\(free)"]),
        (["0=memory:1M", "2=memory:1M"], ["127.0.0.1:\(free)", "127.0.0.1:\(scene.port)"]),
        (["0=memory:1M"], ["127.0.0.1:0", "192.0.2.1:3260"]),
      ] {
        let new = try Self.configuration(
          [Self.store: targets, Self.archive: ["0=memory:1M"]], portals: portals)
        await #expect(throws: MirrorcastError.self) { try await scene.daemon.reload(new) }
        #expect(try client.run(.testUnitReady, lun: lunField(1)).status == 0)
        #expect(try client.run(.testUnitReady, lun: lunField(2)).words == Self.absent)
        #expect(try TargetClient(port: scene.port).logIn(Self.archive) == 0x0203)
        #expect(throws: TargetClientError.self) { try TargetClient(port: free) }
      }
      #expect(try await scene.daemon.reload(old).changes == [])
    }
  }

  @Test func `opens and closes portals, and the sessions of closed ones go on`() async throws {
    let held = [try HeldPort(), try HeldPort()]
    let ports = held.map(\.number)
    defer { withExtendedLifetime(held) {} }
    @Sendable func at(_ portals: String...) throws -> Mirrorcast.TargetConfiguration {
      try Self.configuration([Self.store: ["0=memory:1M"]], portals: portals)
    }
    try await TargetScene.serving(try at("127.0.0.1:\(ports[0])")) { scene in
      let client = try scene.client(at: Self.store)
      try await scene.daemon.reload(at("127.0.0.1:\(ports[1])"))
      #expect(try client.run(.testUnitReady).status == 0)
      #expect(throws: TargetClientError.self) { try TargetClient(port: ports[0]) }
      let second = try TargetClient(port: ports[1])
      #expect(try second.logIn(Self.store, isid: 2) == 0)
      // One that is in the way of another is closed first, and is open again where that fails.
      await #expect(throws: MirrorcastError.self) {
        try await scene.daemon.reload(at("0.0.0.0:\(ports[1])", "192.0.2.1:1"))
      }
      #expect(try TargetClient(port: ports[1]).logIn(nil) == 0)
      try await scene.daemon.reload(at("0.0.0.0:\(ports[1])", "[::1]:\(ports[1])"))
      let discovery = try TargetClient(port: ports[1])
      #expect(try discovery.logIn(nil) == 0)
      #expect(
        try discovery.sendTargets() == [
          "TargetName=\(Self.store)", "TargetAddress=127.0.0.1:\(ports[1]),1",
          "TargetAddress=[::1]:\(ports[1]),1",
        ])
      #expect(try client.run(.testUnitReady).status == 0)
      #expect(try second.run(.testUnitReady).status == 0)
    }
  }

  @Test func `opens a portal that was lost when it is told again`() throws {
    let configuration = try Self.configuration(
      [Self.store: ["0=memory:1M"]], portals: ["127.0.0.1:1", "127.0.0.2:1"])
    let target = try VirtualTarget()
    func portal(_ index: Int) -> Portal {
      Portal(address: configuration.portals[index], channel: EmbeddedChannel())
    }
    var running = TargetDaemon.Running(
      serving: target.serving, group: target.channel.embeddedEventLoop,
      portals: [portal(0), portal(1)], configuration: configuration)
    let again = portal(1)
    running.reopened(configuration.portals[0], as: nil)
    running.reopened(configuration.portals[1], as: again)
    #expect(running.portals.map(\.address) == [configuration.portals[1]])
    #expect(running.portals.first?.channel === again.channel)
    let plan = try ReloadPlan(from: running.configuration, to: configuration, served: [])
    #expect(plan.comingPortals == [configuration.portals[0]])
    #expect(plan.leavingPortals == [])
  }

  @Test func `leaves a LUN as it is that is described otherwise`() async throws {
    let old = try Self.configuration([Self.store: ["0=memory:1M", "1=memory:1M,thick"]])
    try await TargetScene.serving(old) { scene in
      let client = try scene.client(at: Self.store)
      #expect(try client.write(pattern(512, 3), at: 0).status == 0)
      var new = try Self.configuration([Self.store: ["0=memory:2M", "1=memory:1024K,thick"]])
      new.interface = "lo"
      (new.limits.sessionsMax, new.requiresSecurity) = (3, true)
      let outcome = try await scene.daemon.reload(new)
      #expect(outcome.changes == [])
      #expect(outcome.remarks.count == 4, "\(outcome.remarks)")
      #expect(outcome.remarks[0].hasPrefix("LUN 0 of \(Self.store) stays memory:1048576:"))
      #expect(try client.run(.testUnitReady).status == 0)
      #expect(try client.read(512, at: 0).data == pattern(512, 3))
      #expect(try client.read(512, at: 3000).words == [5, 0x21, 0])
      // It is said again while the file says so.
      #expect(try await scene.daemon.reload(new).remarks == outcome.remarks)
      #expect(try await scene.daemon.reload(old).remarks == [])
    }
  }
}

extension TargetClient {
  /// The statuses of the next answers, as many as that, in the order they came.
  func statuses(_ count: Int) throws -> [(tag: UInt32, status: UInt8)] {
    var found: [(tag: UInt32, status: UInt8)] = []
    while found.count < count, let pdu = try receive() {
      guard pdu.header.opcode == .scsiResponse else { continue }
      found.append((pdu.header.initiatorTaskTag, pdu.header.byte3))
    }
    return found
  }

  /// An asynchronous message that the session will be dropped, and the end.
  func expectDrop() throws {
    let message = try receive()
    guard message?.header.opcode == .asyncMessage,
      message.map({ $0.header.word36 >> 24 }) == 3
    else { throw TargetClientError(words: "no word of a drop: \(String(describing: message))") }
    try expectEnd()
    close()
  }
}

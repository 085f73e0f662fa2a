import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

/// Several targets, several portals, and who may see and use which.
@Suite struct `A daemon with several targets` {
  static let store = "iqn.2026-01.test:store"
  static let archive = "iqn.2026-01.test:archive"
  static let owner = "iqn.2026-01.test:owner"
  static let guest = "iqn.2026-01.test:guest"

  static func target(
    _ name: String, _ units: [String] = ["0=memory:1M"], initiators: Set<String>? = nil,
    addresses: [String]? = nil
  ) throws -> TargetDefinition {
    var target = try TargetDefinition(name: name, logicalUnits: units)
    target.access.initiators = initiators
    target.access.addresses = try addresses?.map(AddressRange.init(parsing:))
    return target
  }

  static func configuration(
    _ portals: [String] = ["127.0.0.1:0"], _ targets: TargetDefinition...
  ) throws -> Mirrorcast.TargetConfiguration {
    try Mirrorcast.TargetConfiguration(
      portals: portals.map(PortalAddress.init(parsing:)), targets: targets)
  }

  @Test func `gives each its own disks under the same numbers`() async throws {
    let configuration = try Self.configuration(
      Self.target(Self.store, ["0=memory:1M", "1=memory:1M"]),
      Self.target(Self.archive, ["0=memory:2M", "5=memory:1M"]))
    try await TargetScene.serving(configuration) { scene in
      let one = try scene.client(at: Self.store), other = try scene.client(at: Self.archive)
      #expect(try one.write(pattern(512, 1), at: 0).status == 0)
      #expect(try other.write(pattern(512, 2), at: 0).status == 0)
      #expect(try one.read(512, at: 0).data == pattern(512, 1))
      #expect(try other.read(512, at: 0).data == pattern(512, 2))
      // The same number is another disk, of another size, and has another name.
      #expect(try one.read(512, at: 3000).words == [5, 0x21, 0])
      #expect(try other.read(512, at: 3000).status == 0)
      let names = try [one, other].map {
        try $0.run(.inquiry(page: 0x83, allocationLength: 255), expected: 255).data
      }
      #expect(names[0] != names[1])
      #expect(try one.run(.testUnitReady, lun: lunField(5)).words == [5, 0x25, 0])
      let list = try other.run(.reportLUNs(allocationLength: 64), expected: 64)
      #expect(
        Array(list.data.prefix(24)) == [0, 0, 0, 16] + [UInt8](repeating: 0, count: 13)
          + [5] + [UInt8](repeating: 0, count: 6))
    }
  }

  @Test func `resets and ends the tasks of one target alone`() async throws {
    let configuration = try Self.configuration(
      Self.target(Self.store), Self.target(Self.archive))
    try await TargetScene.serving(configuration) { scene in
      let one = try scene.client(isid: 1, at: Self.store)
      let beside = try scene.client(isid: 2, at: Self.store)
      let other = try scene.client(isid: 1, at: Self.archive)
      for function: UInt8 in [5, 6] {
        var reset = one.request(.taskManagementRequest, flags: 0x80 | function)
        reset.header.word20 = reservedTag
        try one.send(reset.encoded)
        #expect(try one.receive()?.header.byte2 == 0)
        for client in [one, beside] {
          #expect(try client.run(.testUnitReady).words == [6, 0x29, 3])
        }
        #expect(try other.run(.testUnitReady).status == 0)
      }
      // A cold reset ends the sessions of its target, and nobody else's.
      var cold = one.request(.taskManagementRequest, flags: 0x87)
      cold.header.word20 = reservedTag
      try one.send(cold.encoded)
      try one.expectEnd()
      try beside.expectEnd()
      #expect(try other.run(.testUnitReady).status == 0)
    }
  }

  @Test func `the same initiator port is another session at each target`() async throws {
    let configuration = try Self.configuration(
      Self.target(Self.store), Self.target(Self.archive))
    try await TargetScene.serving(configuration) { scene in
      let one = try scene.client(isid: 7, at: Self.store)
      let other = try scene.client(isid: 7, at: Self.archive)
      #expect(try one.run(.testUnitReady).status == 0)
      #expect(try other.run(.testUnitReady).status == 0)
    }
  }

  /// CVE-2020-28374: a copy reaches what its own session does, whatever it names.
  @Test func `copies nothing from one target to another`() async throws {
    let configuration = try Self.configuration(
      Self.target(Self.store, ["0=memory:1M", "1=memory:1M"]), Self.target(Self.archive))
    try await TargetScene.serving(configuration) { scene in
      let one = try scene.client(at: Self.store), other = try scene.client(at: Self.archive)
      #expect(try other.write(pattern(512, 9), at: 0).status == 0)
      func name(_ client: TargetClient, _ lun: Int) throws -> [UInt8] {
        let page = try client.run(.inquiry(page: 0x83), lun: lunField(lun), expected: 255).data
        return [0xe4, 0, 0, 0, 1, 3, 0, 8] + page[8..<16] + [UInt8](repeating: 0, count: 16)
      }
      let names = (own: try name(one, 0), beside: try name(one, 1), foreign: try name(other, 0))
      for (source, destination, isGood) in [
        (names.own, names.beside, true), (names.foreign, names.own, false),
        (names.own, names.foreign, false), (names.foreign, names.foreign, false),
      ] {
        var list: [UInt8] = [1, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0]
        list += source + destination + [2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 1]
        list += [UInt8](repeating: 0, count: 16)
        var copy = CommandDescriptorBlock(.extendedCopy)
        copy.setBigEndian(UInt32(list.count), at: 10)
        let ended = try one.run(copy, data: list)
        #expect(ended.words == (isGood ? [] : [0x0a, 0x0d, 0x02]))
      }
      #expect(try one.read(512, at: 0).data == [UInt8](repeating: 0, count: 512))
      #expect(try other.read(512, at: 0).data == pattern(512, 9))
    }
  }

  @Test func `lists to each initiator what it may see, by name and address`() async throws {
    let configuration = try Self.configuration(
      Self.target(Self.store, initiators: [Self.owner]),
      Self.target(Self.archive, addresses: ["127.0.0.2", "127.0.1.0/24"]),
      Self.target("iqn.2026-01.test:all"),
      Self.target(
        "iqn.2026-01.test:both", initiators: [Self.owner], addresses: ["127.0.0.2/32", "::1"]))
    try await TargetScene.serving(configuration) { scene in
      for (initiator, source, names) in [
        (Self.owner, 0x7f00_0001 as UInt32, ["store", "all"]),
        (Self.owner, 0x7f00_0002, ["store", "archive", "all", "both"]),
        (Self.guest, 0x7f00_0001, ["all"]),
        (Self.guest, 0x7f00_0002, ["archive", "all"]),
        (Self.guest, 0x7f00_01fe, ["archive", "all"]),
        (Self.guest, 0x7f00_0201, ["all"]),
      ] {
        let discovery = try TargetClient(port: scene.port, from: source)
        #expect(try discovery.logIn(nil, initiator: initiator) == 0)
        let found = try discovery.sendTargets().filter { $0.hasPrefix("TargetName=") }
        #expect(found == names.map { "TargetName=iqn.2026-01.test:\($0)" })
        for name in ["store", "archive", "all", "both"] {
          let client = try TargetClient(port: scene.port, from: source)
          // RFC 7143 §11.13.5: 0202h, not allowed to use that target.
          let status = try client.logIn("iqn.2026-01.test:\(name)", initiator: initiator)
          #expect(status == (names.contains(name) ? 0 : 0x0202), "\(initiator) at \(name)")
        }
      }
      let nowhere = try TargetClient(port: scene.port)
      #expect(try nowhere.logIn("iqn.2026-01.test:none", initiator: Self.owner) == 0x0203)
    }
  }

  @Test func `listens at all portals and tells all of them`() async throws {
    let configuration = try Self.configuration(
      ["127.0.0.1:0", "[::1]:0", "[::]:0", "127.0.0.2:0", "0.0.0.0:0"], Self.target(Self.store))
    try await TargetScene.serving(configuration) { scene in
      let ports = scene.ports
      #expect(Set(ports).count == 5)
      for port in [ports[0], ports[4]] {
        let discovery = try TargetClient(port: port)
        #expect(try discovery.logIn(nil) == 0)
        let addresses = try discovery.sendTargets().compactMap { line in
          line.hasPrefix("TargetAddress=") ? String(line.dropFirst(14)) : nil
        }
        // Where it came in is told first; [::] has no address of this family to tell.
        let told = [
          "127.0.0.1:\(ports[0]),1", "[::1]:\(ports[1]),1", "127.0.0.2:\(ports[3]),1",
          "127.0.0.1:\(ports[4]),1",
        ]
        #expect(addresses.first == "127.0.0.1:\(port),1")
        #expect(addresses.sorted() == told.sorted())
      }
      // A portal of one family takes nothing of the other.
      #expect(throws: TargetClientError.self) { try TargetClient(port: ports[2]) }
    }
  }

  @Test func `opens all of its portals or none`() async throws {
    let held = try HeldPort()
    let first = held.number
    defer { withExtendedLifetime(held) {} }
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let configuration = try Self.configuration(
        ["127.0.0.1:\(first)", "127.0.0.1:\(scene.port)"], Self.target(Self.store))
      let daemon = try TargetDaemon(
        configuration, logger: TargetScene.logger, makeHost: { _, _ in nil },
        onReady: { Issue.record("ready at \($0)") })
      let error = await #expect(throws: MirrorcastError.self) { try await daemon.run() }
      #expect(error?.what == "can't listen on 127.0.0.1:\(scene.port): the port is in use")
      #expect(throws: TargetClientError.self) { try TargetClient(port: first) }
    }
  }

  @Test func `refuses what can't be served together`() throws {
    let target = try Self.target(Self.store)
    for (portals, words) in [
      (["127.0.0.1:3260", "127.0.0.1:3260"], "covered"), (["[::]:1", "[::1]:1"], "covered"),
      (["10.0.0.1:1", "0.0.0.0:1"], "covered"), ([], "no portal"),
      (["[::0]:1", "[::1]:1"], "covered"), (["[::]:1", "[0:0:0:0:0:0:0:0]:1"], "covered"),
      (["[fd00::a]:1", "[FD00:0::000a]:1"], "covered"),
      (["[0:0:0:0:0:0:0:0]:1", "[fe80::1%lo]:1"], "covered"),
    ] {
      let error = #expect(throws: MirrorcastError.self) {
        try Mirrorcast.TargetConfiguration(
          portals: portals.map(PortalAddress.init(parsing:)), targets: [target])
      }
      #expect(error?.what.contains(words) == true)
    }
    let apart = try Self.configuration(["[::]:1", "0.0.0.0:1", "10.0.0.1:2"], target)
    #expect(apart.portals.count == 3)
    #expect(throws: MirrorcastError.self) { try Self.configuration(target, target) }
  }

  private static func configuration(
    _ targets: TargetDefinition...
  ) throws -> Mirrorcast.TargetConfiguration {
    try Mirrorcast.TargetConfiguration(
      portals: [PortalAddress(parsing: "127.0.0.1:0")], targets: targets)
  }
}

@Suite struct `Ranges of addresses` {
  @Test(arguments: [
    ("10.0.0.0/24", "10.0.0.255", "10.0.1.0"), ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
    ("0.0.0.0/0", "255.1.2.3", "::1"), ("fd00::/64", "fd00::ffff:1", "fd00:0:0:1::1"),
    ("::/0", "fe80::1", "10.0.0.1"), ("fd00::7", "fd00::7", "fd00::8"),
    ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
    ("10.0.0.4/31", "10.0.0.5", "10.0.0.6"), ("fd00::8/125", "fd00::f", "fd00::10"),
  ])
  func `hold what begins alike`(text: String, inside: String, outside: String) throws {
    let list = AccessList(addresses: [try AddressRange(parsing: text)])
    #expect(list.admits(address: inside))
    #expect(!list.admits(address: outside))
    #expect(!list.admits(address: ""))
  }

  @Test(arguments: [
    "", "10.0.0", "10.0.0.0/33", "10.0.0.1/24", "fd00::1/64", "fd00::/129", "host", "/8",
    "10.0.0.0/", "10.0.0.0/-1", "[fd00::1]", "fe80::1%lo", "10.0.0.0/8/8", "10.0.0.1:3260",
  ])
  func `are refused in words`(text: String) {
    let error = #expect(throws: MirrorcastError.self) { try AddressRange(parsing: text) }
    #expect(error?.advice != nil)
  }
}

extension TargetClient {
  /// What SendTargets=All tells.
  func sendTargets() throws -> [String] {
    try send(request(.textRequest, data: Array("SendTargets=All\0".utf8)).encoded)
    let answer = try receive()
    return answer?.data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) } ?? []
  }
}

@Suite(.timeLimit(.minutes(10))) struct `Targets of one daemon` {
  /// They hear the same datagrams, at the same lane or at several.
  @Test(arguments: [1, 2]) func `can be legs of one mirror`(lanes: Int) async throws {
    var configuration = try Mirrorcast.TargetConfiguration(
      portals: [PortalAddress(parsing: "127.0.0.1:0")],
      targets: [
        TargetDefinition(
          name: `A daemon with several targets`.store, logicalUnits: ["0=memory:8M"]),
        TargetDefinition(
          name: `A daemon with several targets`.archive,
          logicalUnits: ["0=memory:8M", "3=memory:8M"]),
      ])
    configuration.interface = "lo"
    configuration.lanes.placements = Array(repeating: "any", count: lanes)
    configuration.faults = Faults(drop: 0.05, duplicate: 0, reorder: 0, seed: 3)
    let target = try await SceneTarget.start(configuration)
    let legs = try [
      "\(`A daemon with several targets`.store)/0", "\(`A daemon with several targets`.archive)/3",
    ].map { try LogicalUnitURL(parsing: "iscsi://\(target.portal)/\($0)") }
    var options = MirrorOptions(legs: legs, group: try MirrorScene.newGroup())
    options.interface = "lo"
    options.identity.name = initiator
    options.deadlineSeconds = 60
    options.lanes.placements = configuration.lanes.placements
    let mirror = try await Mirror.establish(options, logger: logger)
    let image = randomBytes(4 << 20)
    #expect(await mirror.write(image, at: 0).isGood)
    #expect(await mirror.terminate().bad == [])
    for leg in legs {
      let session = try await LogicalUnitSession.open(
        leg, identity: .init(name: initiator), logger: logger)
      #expect(try await session.read(at: 0, count: image.count) == image)
      await session.close()
    }
    try await target.stop()
  }
}

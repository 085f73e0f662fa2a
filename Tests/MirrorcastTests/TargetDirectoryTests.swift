import ISCSI
import NIOCore
import NIOEmbedded
import Testing

@testable import Mirrorcast

@Suite struct `What sessions are told of targets` {
  @Test(arguments: [
    ("192.0.2.7", ["192.0.2.7:3260,1", "192.0.2.8:3261,1", "[2001:db8::1]:3262,1"]),
    (
      "127.0.0.1",
      [
        "127.0.0.1:3260,1", "127.0.0.1:3263,1", "[::1]:3263,1", "192.0.2.8:3261,1",
        "[2001:db8::1]:3262,1",
      ]
    ),
    (
      "::1",
      [
        "[::1]:3260,1", "127.0.0.1:3263,1", "[::1]:3263,1", "192.0.2.8:3261,1",
        "[2001:db8::1]:3262,1",
      ]
    ),
  ])
  func `tells portals of the loopback to who came by it alone`(
    local: String, told: [String]
  ) throws {
    let definition = try TargetDefinition(name: TargetScene.name, logicalUnits: ["0=memory:1M"])
    let served = ServedTarget(
      name: definition.name, units: ServedUnits([]),
      admission: try .init(definition, secrets: nil))
    let directory = TargetDirectory([served], discovery: nil)
    directory.setPortals([
      try SocketAddress(ipAddress: "127.0.0.1", port: 3263),
      try SocketAddress(ipAddress: "::1", port: 3263),
      try SocketAddress(ipAddress: "192.0.2.8", port: 3261),
      try SocketAddress(ipAddress: "2001:db8::1", port: 3262),
    ])
    let channel = EmbeddedChannel()
    channel.localAddress = try SocketAddress(ipAddress: local, port: 3260)
    let configuration = directory.configuration(for: channel, handle: 1)
    #expect(configuration.targets.map(\.portals) == [told])
  }
}

/// What a target daemon serves, and where; checked as far as that can be done without touching
/// the machine.
public struct TargetConfiguration: Sendable {
  /// Portals of one daemon.
  package static let portalsMax = 64
  /// Targets of one daemon.
  package static let targetsMax = 1024

  /// Where the daemon accepts connections, for all of its targets.
  public let portals: [PortalAddress]
  public let targets: [TargetDefinition]
  /// The interface on which groups are joined; nil: the one by which the initiator came in.
  public var interface: String?
  /// Faults made on purpose, at the datagram boundary.
  public var faults: Faults = .none
  public var lanes = LaneOptions()
  /// What initiators must prove before they are told of targets, and before they use one that has
  /// no secrets of its own; nil: nothing.
  public var secrets: CHAPSecrets?
  /// Where disks keep what outlasts the daemon (persistent reservations made with APTPL, a SANITIZE
  /// that has not ended); nil: beside their files, and nowhere for other disks.
  public var stateFolder: String?

  package var limits = TargetLimits()

  public init(
    portals: [PortalAddress], targets: [TargetDefinition]
  ) throws(MirrorcastError) {
    guard !portals.isEmpty else {
      throw MirrorcastError("no portal to serve at", advice: "Name one: --portal 10.0.0.2:3260.")
    }
    guard !targets.isEmpty else {
      throw MirrorcastError("no target to serve", advice: "Give one a name, and a LUN.")
    }
    guard portals.count <= Self.portalsMax, targets.count <= Self.targetsMax else {
      throw MirrorcastError(
        "\(portals.count) portals and \(targets.count) targets are more than"
          + " \(Self.portalsMax) and \(Self.targetsMax)")
    }
    for (index, portal) in portals.enumerated() {
      if let other = portals[..<index].first(where: { $0.overlaps(portal) }) {
        throw MirrorcastError(
          "portal \(portal) is covered by \(other) already", advice: "Leave one of them out.")
      }
    }
    var names: Set<String> = []
    for target in targets where !names.insert(target.name).inserted {
      throw MirrorcastError(
        "target \(target.name) is there twice", advice: "Put all of its LUNs into one.")
    }
    self.portals = portals
    self.targets = targets
  }

  /// One target at one portal; `logicalUnits` as `TargetDefinition` takes them.
  public init(
    portal: PortalAddress, targetName: String, logicalUnits: [String]
  ) throws(MirrorcastError) {
    try self.init(
      portals: [portal],
      targets: [try TargetDefinition(name: targetName, logicalUnits: logicalUnits)])
  }
}

/// What a daemon bounds, so that no peer can make it hold more.
package struct TargetLimits: Equatable, Sendable {
  /// Connections of all initiators together, logged in or not.
  package var connectionsMax = 64
  /// From the accept to the end of login.
  package var loginMilliseconds: Int64 = 10_000
  /// How long the data of a write may be silent until the write fails.
  package var dataOutMilliseconds: Int64 = 30_000
  /// From our last byte to the end of the connection, for the peer to read it and close.
  package var lingerMilliseconds: Int64 = 1_000
  /// From the request to stop until connections are cut whose peers take no answers.
  package var drainMilliseconds: Int64 = 5_000
  /// Commands of one session at the disks at once.
  package var diskCommandsMax = 32
  /// Bytes of one session on their way between disk and socket; a larger command goes alone.
  package var transferBytesMax = 32 << 20
  /// Bytes of a read that is served from the cache on the connection's own thread; a longer one is
  /// a worker's.
  package var readAtHandBytesMax = 64 << 10
  /// Bytes of a write that goes to its disk in a train with others; a longer one goes alone.
  package var trainWriteBytesMax = 16 << 10
  /// Bytes not yet taken by the socket above which nothing more is read from a connection.
  package var outputBytesMax = 4 << 20
  /// Bytes not yet taken by the socket above which a session that is told more is cut.
  package var answerBytesMax = 64 << 20

  /// How fast a disk is overwritten at most by a SANITIZE, in bytes a second.
  package var sanitizeBytesPerSecondMax: UInt64 = 64 << 20

  package init() {}
}

/// What a target daemon serves, and where; checked as far as that can be done without touching
/// the machine.
public struct TargetConfiguration: Sendable {
  /// Portals of one daemon.
  package static let portalsMax = 64
  /// Targets of one daemon.
  package static let targetsMax = 1024

  /// Where the daemon accepts connections, for all of its targets.
  public internal(set) var portals: [PortalAddress]
  public let targets: [TargetDefinition]
  /// The interface on which groups are joined; nil: the one by which the initiator came in.
  public var interface: String?
  /// Faults made on purpose, at the datagram boundary.
  public var faults: Faults = .none
  public var lanes = LaneOptions()
  /// What initiators must prove before they are told of targets, and before they use one that has
  /// no secrets of its own; nil: nothing.
  public var secrets: CHAPSecrets?
  /// Mirrors whose datagrams anybody could have sent are refused.
  public var requiresSecurity = false
  /// Where disks keep what outlasts the daemon (persistent reservations made with APTPL, a SANITIZE
  /// that has not ended); nil: beside their files, and nowhere for other disks.
  public var stateFolder: String?

  /// What it bounds.
  public var limits = TargetLimits()

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

  /// What is allowed, and hardly meant.
  var warnings: [String] {
    targets.compactMap { target in
      target.warning(secrets: secrets).map { "\(target.name): \($0)" }
    }
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

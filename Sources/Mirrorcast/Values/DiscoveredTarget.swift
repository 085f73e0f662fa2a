/// A target behind a portal, and the disks that it shows to this initiator.
public struct DiscoveredTarget: Sendable {
  /// The target's iSCSI name.
  public var name: String
  /// Where it listens by its own account, `HOST:PORT,GROUP`.
  public var portals: [String]
  /// Its disks, in order of their numbers; sizes in bytes.
  public var luns: [(lun: Int, byteCount: UInt64, blockSize: Int, vendor: String, product: String)]

  public init(
    name: String, portals: [String],
    luns: [(lun: Int, byteCount: UInt64, blockSize: Int, vendor: String, product: String)]
  ) {
    self.name = name
    self.portals = portals
    self.luns = luns
  }
}

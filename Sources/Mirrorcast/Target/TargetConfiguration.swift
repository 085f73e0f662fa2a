import ISCSI
import SCSI
package import Storage

/// What a target daemon serves, and where; checked as far as that can be done without touching
/// the machine.
public struct TargetConfiguration: Sendable {
  public let portal: PortalAddress
  public let targetName: String
  /// The interface on which groups are joined; nil: the one by which the initiator came in.
  public var interface: String?
  /// Faults made on purpose, at the datagram boundary.
  public var faults: Faults = .none
  public var lanes = LaneOptions()
  /// What initiators must prove before they see or use anything; nil: nothing.
  public var secrets: CHAPSecrets?
  /// The iSCSI names of the initiators that are admitted; nil: all.
  public var initiators: Set<String>?
  /// Where disks keep what outlasts the daemon (persistent reservations made with APTPL, a SANITIZE
  /// that has not ended); nil: beside their files, and nowhere for other disks.
  public var stateFolder: String?

  package let logicalUnits: [LogicalUnitSpecification]
  package var limits = TargetLimits()

  /// `logicalUnits`: as on the command line, `0=file:disk.img,size=64M`, `1=memory:1G`.
  public init(
    portal: PortalAddress, targetName: String, logicalUnits: [String]
  ) throws(MirrorcastError) {
    guard NodeName.isValid(targetName) else {
      throw MirrorcastError(
        "'\(targetName)' is no iSCSI name",
        advice: "Write it as iqn.2026-01.org.example:store, without blanks.")
    }
    guard !logicalUnits.isEmpty else {
      throw MirrorcastError("no LUN to serve", advice: "Name one: --lun 0=memory:64M.")
    }
    var specifications: [LogicalUnitSpecification] = []
    for text in logicalUnits {
      let specification: LogicalUnitSpecification
      do throws(SpecificationError) {
        specification = try LogicalUnitSpecification(text)
      } catch {
        throw MirrorcastError("\(error)")
      }
      guard !specifications.contains(where: { $0.number == specification.number }) else {
        throw MirrorcastError(
          "LUN \(specification.number.value) is given twice",
          advice: "Give each --lun a number of its own.")
      }
      specifications.append(specification)
    }
    self.portal = portal
    self.targetName = targetName
    self.logicalUnits = specifications
  }
}

/// What a daemon bounds, so that no peer can make it hold more.
package struct TargetLimits: Sendable {
  /// Connections of all initiators together, logged in or not.
  package var connectionsMax = 64
  /// From the accept to the end of login.
  package var loginMilliseconds: Int64 = 10_000
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

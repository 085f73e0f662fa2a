import ISCSI
import SCSI
package import Storage

/// One target of a daemon: its name, its disks, and who may use them.
public struct TargetDefinition: Sendable {
  /// LUNs of one target.
  package static let unitsMax = 256

  public let name: String
  /// Who may see it and log in.
  public var access = AccessList.everybody
  /// What initiators must prove; nil: what the daemon's secrets say.
  public var secrets: CHAPSecrets?

  package let logicalUnits: [LogicalUnitSpecification]

  /// `logicalUnits`: as on the command line, `0=file:disk.img,size=64M`, `1=memory:1G`.
  public init(name: String, logicalUnits: [String]) throws(MirrorcastError) {
    var specifications: [LogicalUnitSpecification] = []
    for text in logicalUnits {
      do throws(SpecificationError) {
        specifications.append(try LogicalUnitSpecification(text))
      } catch {
        throw MirrorcastError("\(error)")
      }
    }
    try self.init(name: name, specifications: specifications)
  }

  package init(
    name: String, specifications: [LogicalUnitSpecification]
  ) throws(MirrorcastError) {
    try Self.checkName(name)
    guard !specifications.isEmpty else {
      throw MirrorcastError("no LUN to serve", advice: "Name one: --lun 0=memory:64M.")
    }
    var numbers: Set<LogicalUnitNumber> = []
    for specification in specifications {
      guard numbers.insert(specification.number).inserted else {
        throw MirrorcastError(
          "LUN \(specification.number.value) is given twice",
          advice: "Give each --lun a number of its own.")
      }
    }
    self.name = name
    self.logicalUnits = specifications
  }

  /// What its list of initiators does not keep out; nil: nothing. `secrets`: the daemon's.
  func warning(secrets: CHAPSecrets?) -> String? {
    guard access.initiators != nil, let secrets = self.secrets ?? secrets else { return nil }
    let names = secrets.unboundNames
    guard let first = names.first else { return nil }
    let others = names.count > 1 ? " and \(names.count - 1) more" : ""
    return "by the secret of \(first)\(others) every initiator of the list may be played"
  }

  static func checkName(_ name: String) throws(MirrorcastError) {
    guard NodeName.isValid(name) else {
      throw MirrorcastError(
        "'\(name)' is no iSCSI name",
        advice: "Write it as iqn.2026-01.org.example:store, without blanks.")
    }
  }
}

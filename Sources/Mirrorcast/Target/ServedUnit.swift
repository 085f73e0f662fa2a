// What a daemon serves: the disk as SCSI sees it, and the bytes behind it.

package import SCSI
package import Storage

/// One logical unit of the daemon: its number, how it answers, and its bytes.
package struct ServedUnit: Sendable {
  package let number: LogicalUnitNumber
  package let logicalUnit: LogicalUnit
  package let backing: any BlockBacking
  package let changes = MediumChanges()

  package init(number: LogicalUnitNumber, logicalUnit: LogicalUnit, backing: any BlockBacking) {
    self.number = number
    self.logicalUnit = logicalUnit
    self.backing = backing
  }

  /// Opens the backing that the specification names.
  package init(
    opening specification: LogicalUnitSpecification, targetName: String
  ) throws(MirrorcastError) {
    let number = specification.number
    let backing: any BlockBacking
    do throws(BackingRefusal) {
      backing = try specification.open()
    } catch {
      throw MirrorcastError("LUN \(number.value) can't be served: \(error)")
    }
    guard let geometry = BlockGeometry(byteCount: backing.byteCount) else {
      throw MirrorcastError(
        "LUN \(number.value) can't be served: \(backing.byteCount) bytes make no disk",
        advice: "Make it a multiple of 512 bytes long.")
    }
    self.init(
      number: number,
      logicalUnit: LogicalUnit(
        identity: LogicalUnitIdentity(targetName: targetName, number: number),
        geometry: geometry, isThin: backing.isThin),
      backing: backing)
  }
}

/// All logical units of a daemon, for its whole life.
package struct ServedUnits: Sendable {
  /// In the order of their numbers.
  package let list: [ServedUnit]
  /// What REPORT LUNS tells.
  package let inventory: [LogicalUnitNumber]
  private let byNumber: [Int: ServedUnit]

  package init(_ units: [ServedUnit]) {
    list = units.sorted { $0.number < $1.number }
    inventory = list.map(\.number)
    byNumber = Dictionary(uniqueKeysWithValues: units.map { (Int($0.number.value), $0) })
  }

  package subscript(number: Int) -> ServedUnit? { byNumber[number] }

  /// The unit that the eight bytes of a LUN field mean.
  package subscript(field field: UInt64) -> ServedUnit? {
    LogicalUnitNumber(field: field).flatMap { self[Int($0.value)] }
  }
}

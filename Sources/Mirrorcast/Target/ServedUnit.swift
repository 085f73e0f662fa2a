// What a daemon serves: the disk as SCSI sees it, and the bytes behind it.

package import SCSI
package import Storage
import Synchronization

/// One logical unit of the daemon: its number, how it answers, and its bytes.
package struct ServedUnit: Sendable {
  private static let ids = Atomic<UInt64>(0)

  /// Unique in the process, also when its target or its number comes again.
  package let id = Self.ids.add(1, ordering: .relaxed).newValue
  package let number: LogicalUnitNumber
  package let logicalUnit: LogicalUnit
  package let device: SharedDevice
  package let backing: any BlockBacking
  package let changes = MediumChanges()
  package let pace = CachePace()
  /// What it remembers of a mirror that it belongs to.
  package let keeping: UnitKeeping
  /// The file or device; nil for memory.
  private(set) var path: String?

  var targetName: String { logicalUnit.identity.targetName }

  package init(
    number: LogicalUnitNumber, logicalUnit: LogicalUnit, backing: any BlockBacking,
    stateFile: StateFile? = nil, journal: JournalFile.Place = .none("there is no place for it")
  ) throws(BackingRefusal) {
    self.number = number
    self.logicalUnit = logicalUnit
    self.backing = backing
    device = try SharedDevice(logicalUnit, stateFile: stateFile)
    keeping = try UnitKeeping(
      UnitKeeping.Disk(
        number: number, backing: backing, device: device, changes: changes,
        isWriteProtected: logicalUnit.isWriteProtected), journal: journal)
  }

  /// Opens the backing that the specification names; `stateFolder`: where disks keep what outlasts
  /// the daemon, instead of beside their files.
  package init(
    opening specification: LogicalUnitSpecification, targetName: String,
    stateFolder: String? = nil
  ) throws(MirrorcastError) {
    let number = specification.number
    let options = specification.options
    let identity = LogicalUnitIdentity(targetName: targetName, number: number)
    let journal = specification.journalPlace(in: stateFolder, named: identity.serialNumber)
    let backing: any BlockBacking
    do throws(BackingRefusal) {
      backing = try specification.open(journal: journal)
    } catch {
      throw MirrorcastError("LUN \(number.value) can't be served: \(error)")
    }
    guard
      let geometry = BlockGeometry(
        blockLength: options.blockLength, byteCount: backing.byteCount)
    else {
      throw MirrorcastError(
        "LUN \(number.value) can't be served: \(backing.byteCount) bytes make no disk",
        advice: "Make it a multiple of \(options.blockLength) bytes long.")
    }
    let path =
      stateFolder.map { "\($0)/\(identity.serialNumber)" } ?? specification.statePath
    let unit = LogicalUnit(
      identity: identity, geometry: geometry, isThin: backing.isThin,
      takesUnmap: options.takesUnmap, isRemovable: options.isRemovable,
      isWriteProtected: options.isReadOnly,
      physicalBlockLength: options.physicalBlockLength ?? LogicalUnit.pageLength,
      keepsState: path != nil)
    do throws(BackingRefusal) {
      try self.init(
        number: number, logicalUnit: unit, backing: backing,
        stateFile: path.map(StateFile.init(path:)),
        journal: journal)
      self.path = specification.path
    } catch {
      throw MirrorcastError("LUN \(number.value) can't be served: \(error)")
    }
  }
}

/// The logical units of a target.
package struct ServedUnits: Sendable {
  /// In the order of their numbers.
  package let list: [ServedUnit]
  /// What a session can reach.
  package let reachable: [ReachableUnit]
  private let byNumber: [Int: ServedUnit]

  package init(_ units: [ServedUnit]) {
    list = units.sorted { $0.number < $1.number }
    reachable = list.map(\.logicalUnit.reachable)
    byNumber = Dictionary(uniqueKeysWithValues: units.map { (Int($0.number.value), $0) })
  }

  package subscript(number: Int) -> ServedUnit? { byNumber[number] }

  /// The unit that the eight bytes of a LUN field mean.
  package subscript(field field: UInt64) -> ServedUnit? {
    LogicalUnitNumber(field: field).flatMap { self[Int($0.value)] }
  }
}

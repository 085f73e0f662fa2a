// What two configurations differ in, worked out before anything is done about it. A value: nothing
// is opened or closed here.
//
// A disk that is described otherwise than before stays as it is: whoever uses it would meet another
// one under the same name. It has to be taken away first, and can be added after.

import SCSI
import Storage

/// What is to be done so that a running daemon serves what another configuration says.
struct ReloadPlan: Sendable {
  /// A target that there will be.
  struct Target: Sendable {
    let definition: TargetDefinition
    /// Nil: it is new.
    let served: ServedTarget?
    var staying: [ServedUnit] = []
    var leaving: [ServedUnit] = []
    var coming: [LogicalUnitSpecification] = []
  }

  private(set) var targets: [Target] = []
  private(set) var gone: [ServedTarget] = []
  private(set) var comingPortals: [PortalAddress] = []
  private(set) var leavingPortals: [PortalAddress] = []
  /// What the daemon serves when all is done.
  private(set) var configuration: TargetConfiguration
  /// In words, for the log.
  private(set) var changes: [String] = []
  /// What stays as it was, and what it takes to change it.
  private(set) var remarks: [String] = []

  init(
    from old: TargetConfiguration, to new: TargetConfiguration, served: [ServedTarget]
  ) throws(MirrorcastError) {
    configuration = new
    for definition in new.targets {
      let former = old.targets.first { $0.name == definition.name }
      let current = served.first { $0.name == definition.name }
      if let former, let current {
        targets.append(try target(definition, former, current))
      } else {
        var target = Target(definition: definition, served: nil)
        target.coming = definition.logicalUnits
        changes.append("target \(definition.name) is added")
        targets.append(target)
      }
    }
    gone = served.filter { target in !new.targets.contains { $0.name == target.name } }
    changes += gone.map { "target \($0.name) is taken away" }
    planPortals(from: old.portals, to: new.portals)
    if old.secrets != new.secrets { changes.append("secrets are others for new logins") }
    configuration = try TargetConfiguration(
      portals: new.portals, targets: targets.map(\.definition))
    configuration.secrets = new.secrets
    keepRest(of: old, against: new)
  }

  /// All disks that go away.
  var leaving: [ServedUnit] { targets.flatMap(\.leaving) + gone.flatMap(\.units.list) }

  /// All numbers at targets that are there already that become LUNs.
  var comingPlaces: [UnitPlace] {
    targets.flatMap { target in
      target.coming.map {
        UnitPlace(target: target.definition.name, number: Int($0.number.value))
      }
    }
  }

  private mutating func target(
    _ definition: TargetDefinition, _ former: TargetDefinition, _ served: ServedTarget
  ) throws(MirrorcastError) -> Target {
    let name = definition.name
    let units = served.units
    var specifications: [LogicalUnitSpecification] = []
    var (staying, coming): ([ServedUnit], [LogicalUnitSpecification]) = ([], [])
    for specification in definition.logicalUnits {
      let number = specification.number
      guard let unit = units[Int(number.value)],
        let opened = former.logicalUnits.first(where: { $0.number == number })
      else {
        coming.append(specification)
        specifications.append(specification)
        changes.append("LUN \(number.value) of \(name) is added: \(specification)")
        continue
      }
      staying.append(unit)
      specifications.append(opened)
      if !specification.describes(unit.backing.byteCount, openedBy: opened) {
        remarks.append(
          "LUN \(number.value) of \(name) stays \(opened): to make it \(specification), take it"
            + " away, reload, and add it again")
      }
    }
    var changed = try TargetDefinition(name: name, specifications: specifications)
    (changed.access, changed.secrets) = (definition.access, definition.secrets)
    var target = Target(definition: changed, served: served)
    (target.staying, target.coming) = (staying, coming)
    target.leaving = units.list.filter { unit in !staying.contains { $0.id == unit.id } }
    changes += target.leaving.map { "LUN \($0.number.value) of \(name) is taken away" }
    if former.access != definition.access { changes.append("who may use \(name) is changed") }
    if former.secrets != definition.secrets {
      changes.append("secrets of \(name) are others for new logins")
    }
    return target
  }

  private mutating func planPortals(from old: [PortalAddress], to new: [PortalAddress]) {
    comingPortals = new.filter { !old.contains($0) }
    leavingPortals = old.filter { !new.contains($0) }
    changes += comingPortals.map { "portal \($0) is opened" }
    changes += leavingPortals.map { "portal \($0) is closed; its sessions go on" }
  }

  /// What a running daemon can't change.
  private mutating func keepRest(of old: TargetConfiguration, against new: TargetConfiguration) {
    configuration.interface = old.interface
    configuration.lanes = old.lanes
    configuration.faults = old.faults
    configuration.stateFolder = old.stateFolder
    configuration.requiresSecurity = old.requiresSecurity
    configuration.limits = old.limits
    for (name, isSame) in [
      ("interface", old.interface == new.interface), ("lanes", old.lanes == new.lanes),
      ("faults", old.faults == new.faults), ("state", old.stateFolder == new.stateFolder),
      ("limits", old.limits == new.limits),
      ("secure", old.requiresSecurity == new.requiresSecurity),
    ] where !isSame {
      remarks.append("\(name) stays as it was: a restart changes it")
    }
  }
}

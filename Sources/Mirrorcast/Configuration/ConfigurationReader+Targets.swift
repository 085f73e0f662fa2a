// The targets of a configuration file, and what must not be there twice among them.

import SCSI
import Storage

/// A target as it was read, and where its parts stand.
struct LocatedTarget: Sendable {
  var definition: TargetDefinition
  let place: ConfigurationPlace
  let unitPlaces: [ConfigurationPlace]
}

extension ConfigurationReader {
  private static let lunExample = "file:/srv/disk.img,size=10G"

  mutating func targets(
    _ node: ConfigurationNode, secretsOf read: (String) throws(MirrorcastError) -> CHAPSecrets
  ) -> [LocatedTarget] {
    guard let items = list(node, "targets", example: "{name: …, luns: …}") else { return [] }
    if items.isEmpty { note(node.place, "no target is there", "Name one.") }
    if items.count > TargetConfiguration.targetsMax {
      note(
        node.place, "\(items.count) targets are more than \(TargetConfiguration.targetsMax)",
        "Put more LUNs into each.")
    }
    var targets: [LocatedTarget] = []
    for item in items.prefix(TargetConfiguration.targetsMax) {
      guard let target = target(item, read) else { continue }
      if targets.contains(where: { $0.definition.name == target.definition.name }) {
        note(
          target.place, "target \(target.definition.name) is there twice",
          "Put all of its LUNs into one, or give this one another name.")
      }
      targets.append(target)
    }
    noteSharedPlaces(targets)
    return targets
  }

  private mutating func target(
    _ node: ConfigurationNode, _ read: (String) throws(MirrorcastError) -> CHAPSecrets
  ) -> LocatedTarget? {
    guard case .table = node.content else {
      _ = entries(node, "a target")
      return nil
    }
    let values = table(node, "a target", known: ["name", "luns", "allow", "secrets"])
    var name: String?
    if let node = values["name"] {
      name = value(node, "name", example: "iqn.2026-01.org.example:store") {
        (text) throws(MirrorcastError) in
        try TargetDefinition.checkName(text)
        return text
      }
    } else {
      note(node.place, "a target lacks its name", "Add name: iqn.2026-01.org.example:store.")
    }
    var units: [(LogicalUnitSpecification, ConfigurationPlace)] = []
    if let node = values["luns"] {
      units = self.units(node)
    } else {
      note(node.place, "a target lacks its luns", "Add luns: {0: \"\(Self.lunExample)\"}.")
    }
    let access = values["allow"].map { self.access($0) }
    let secrets = values["secrets"].flatMap { node in
      value(node, "secrets", example: "/etc/mirrorcast/secrets") {
        (path) throws(MirrorcastError) in try read(path)
      }
    }
    guard let name, !units.isEmpty else { return nil }
    do throws(MirrorcastError) {
      var definition = try TargetDefinition(name: name, specifications: units.map(\.0))
      definition.access = access ?? .everybody
      definition.secrets = secrets
      return LocatedTarget(
        definition: definition, place: values["name"]?.place ?? node.place,
        unitPlaces: units.map(\.1))
    } catch {
      note(node.place, error, else: "Write it as the documentation shows.")
      return nil
    }
  }

  // MARK: LUNs

  private mutating func units(
    _ node: ConfigurationNode
  ) -> [(LogicalUnitSpecification, ConfigurationPlace)] {
    guard case .table(let entries) = node.content else {
      note(
        node.place, "luns is \(node.kind), not a table of numbers",
        "Write lines like 0: \(Self.lunExample)")
      return []
    }
    if entries.isEmpty { note(node.place, "luns is empty", "Add 0: \(Self.lunExample)") }
    var units: [(LogicalUnitSpecification, ConfigurationPlace)] = []
    for entry in entries {
      guard let value = decimal(entry.key[...]), value < TargetDefinition.unitsMax,
        let number = LogicalUnitNumber(value)
      else {
        note(
          entry.place, "'\(entry.key.prefix(64))' is no LUN",
          "Give a number from 0 to \(TargetDefinition.unitsMax - 1).")
        continue
      }
      if units.contains(where: { $0.0.number == number }) {
        note(entry.place, "LUN \(value) is there twice", "Give it another number.")
        continue
      }
      guard let text = text(entry.value, "LUN \(value)", example: Self.lunExample) else { continue }
      do throws(SpecificationError) {
        units.append((try LogicalUnitSpecification(number, text), entry.value.place))
      } catch {
        note(entry.value.place, "LUN \(value): \(error)", "See `mirrorcast target --help`.")
      }
    }
    return units
  }

  /// A file or device can be served once: its lock would tell at the start, this tells where.
  private mutating func noteSharedPlaces(_ targets: [LocatedTarget]) {
    var seen: [String: ConfigurationPlace] = [:]
    for target in targets {
      for (unit, place) in zip(target.definition.logicalUnits, target.unitPlaces) {
        guard let path = unit.path else { continue }
        if let first = seen[path] {
          note(place, "\(path) is served on line \(first.line) already", "Serve it once.")
        } else {
          seen[path] = place
        }
      }
    }
  }

  // MARK: Access

  private mutating func access(_ node: ConfigurationNode) -> AccessList {
    var access = AccessList.everybody
    let values = table(node, "allow", known: ["initiators", "addresses"])
    if let node = values["initiators"],
      let items = list(node, "initiators", example: "iqn.2026-01.org.example:host")
    {
      noteEmpty(items, node.place)
      access.initiators = Set(
        items.compactMap { item in
          value(item, "an initiator", example: "iqn.2026-01.org.example:host") {
            (text) throws(MirrorcastError) in
            try TargetDefinition.checkName(text)
            return text
          }
        })
    }
    if let node = values["addresses"],
      let items = list(node, "addresses", example: "10.0.0.0/24, \"fd00::/64\"")
    {
      noteEmpty(items, node.place)
      access.addresses = items.compactMap { item in
        value(item, "an address", example: "10.0.0.0/24") { (text) throws(MirrorcastError) in
          try AddressRange(parsing: text)
        }
      }
    }
    return access
  }

  private mutating func noteEmpty(_ items: [ConfigurationNode], _ place: ConfigurationPlace) {
    guard items.isEmpty else { return }
    note(place, "an empty list admits nobody", "Name somebody, or leave the list out for all.")
  }

  // MARK: Portals

  mutating func portals(_ node: ConfigurationNode) -> [(PortalAddress, ConfigurationPlace)] {
    guard let items = list(node, "portals", example: "10.0.0.1:3260, \"[fd00::1]:3260\"") else {
      return []
    }
    if items.isEmpty { note(node.place, "no portal is there", "Name one, like 10.0.0.1:3260.") }
    if items.count > TargetConfiguration.portalsMax {
      note(
        node.place, "\(items.count) portals are more than \(TargetConfiguration.portalsMax)",
        "0.0.0.0:3260 and \"[::]:3260\" listen at all addresses.")
    }
    var portals: [(PortalAddress, ConfigurationPlace)] = []
    for item in items.prefix(TargetConfiguration.portalsMax) {
      let found = value(item, "a portal", example: "10.0.0.1:3260 or \"[fd00::1]:3260\"") {
        (text) throws(MirrorcastError) in try PortalAddress(parsing: text)
      }
      guard let found else { continue }
      if let other = portals.first(where: { $0.0.overlaps(found) }) {
        note(
          item.place, "portal \(found) is covered by \(other.0) on line \(other.1.line)",
          "Leave one of them out.")
      }
      portals.append((found, item.place))
    }
    return portals
  }
}

// What a configuration names, looked at on this machine. Nothing is made, opened for good or bound.

import Datagrams
import Glibc
import NIOCore
import NIOPosix
import SCSI
import Storage

extension ConfigurationFile {
  /// What stands against serving this configuration on this machine just now; empty when nothing
  /// does. Files that another process serves are no hindrance: it may be the daemon that is to
  /// reload.
  public func check() -> [ConfigurationComplaint] {
    var complaints: [ConfigurationComplaint] = []
    func note(_ place: ConfigurationPlace?, _ what: String, _ advice: String) {
      let place = place ?? .start
      complaints.append(
        ConfigurationComplaint(
          file: path, line: place.line, column: place.column, what: what, advice: advice))
    }
    checkPortals(note)
    checkUnits(note)
    if let name = configuration.interface {
      do throws(NetworkInterfaceError) {
        _ = try NetworkInterface(named: name)
      } catch {
        note(places.interface, "\(error)", "Name one of this machine, or leave it out.")
      }
    }
    // Safe: the path's bytes are lent for the call.
    if let folder = configuration.stateFolder, unsafe access(folder, W_OK | X_OK) != 0 {
      note(
        places.state, "nothing can be kept in '\(folder)'",
        "Make the folder, and let the daemon write there.")
    }
    return complaints.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
  }

  private func checkPortals(_ note: (ConfigurationPlace?, String, String) -> Void) {
    let own = Set((try? System.enumerateDevices())?.compactMap { $0.address?.numericText } ?? [])
    for (portal, place) in zip(configuration.portals, places.portals) {
      guard let address = try? portal.resolved() else {
        note(
          place, "portal \(portal): no such host",
          "Give an address of this machine, or 0.0.0.0 for all.")
        continue
      }
      let text = address.numericText
      guard !portal.isWildcard, !own.contains(text), !text.hasPrefix("127.") else { continue }
      note(
        place, "portal \(portal): this machine has no such address",
        "'ip -brief address' lists what it has; 0.0.0.0 and \"[::]\" mean all.")
    }
  }

  private func checkUnits(_ note: (ConfigurationPlace?, String, String) -> Void) {
    var seen: [PlaceInspection.Identity: ConfigurationPlace] = [:]
    for (target, places) in zip(configuration.targets, places.units) {
      for (unit, place) in zip(target.logicalUnits, places) {
        do throws(BackingRefusal) {
          let found = try unit.inspect()
          guard let identity = found.identity else { continue }
          if let first = seen[identity] {
            note(
              place, "\(unit.path ?? "") is served on line \(first.line) already, by another path",
              "Serve it once.")
          }
          seen[identity] = place
        } catch {
          note(
            place, "LUN \(unit.number.value) can't be served: \(error)",
            "Change it, or the file.")
        }
      }
    }
  }

  /// What would be served, and to whom.
  public func summary() -> ConfigurationSummary {
    ConfigurationSummary(
      portals: configuration.portals.map(\.description),
      targets: configuration.targets.map { target in
        ConfigurationSummary.Target(
          name: target.name,
          logicalUnits: target.logicalUnits.map { unit in
            let found = try? unit.inspect()
            let note = found.flatMap { found in
              found.isInUse
                ? "in use by another process" : found.isThere ? nil : "made at the start"
            }
            return ConfigurationSummary.Unit(
              number: Int(unit.number.value), place: unit.description,
              byteCount: found?.byteCount, note: note)
          },
          initiators: target.access.initiators?.sorted(),
          addresses: target.access.addresses?.map(\.description),
          wantsSecret: target.secrets != nil || configuration.secrets != nil)
      })
  }
}

/// A configuration in short: what would be served, and to whom.
public struct ConfigurationSummary: Sendable {
  /// A target, and who may log in.
  public struct Target: Sendable {
    public let name: String
    public let logicalUnits: [Unit]
    /// Nil: all.
    public let initiators: [String]?
    /// Nil: from anywhere.
    public let addresses: [String]?
    public let wantsSecret: Bool
  }

  /// A LUN.
  public struct Unit: Sendable {
    public let number: Int
    /// As the file has it.
    public let place: String
    /// Nil where it can't be told.
    public let byteCount: UInt64?
    /// What is remarkable about it.
    public let note: String?
  }

  public let portals: [String]
  public let targets: [Target]
}

extension ConfigurationSummary: CustomStringConvertible {
  /// A few lines for people.
  public var description: String {
    var lines = ["portals: \(portals.joined(separator: ", "))"]
    for target in targets {
      lines.append(target.name)
      for unit in target.logicalUnits {
        let size = unit.byteCount.map { ", \($0) bytes" } ?? ""
        let note = unit.note.map { " (\($0))" } ?? ""
        lines.append("  LUN \(unit.number): \(unit.place)\(size)\(note)")
      }
      let who = target.initiators?.joined(separator: ", ") ?? "all initiators"
      let whence = target.addresses.map { " from \($0.joined(separator: ", "))" } ?? ""
      lines.append("  may log in: \(who)\(whence)\(target.wantsSecret ? ", by secret" : "")")
    }
    return lines.joined(separator: "\n")
  }
}

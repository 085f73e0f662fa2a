// What a configuration names, looked at on this machine. Nothing is made, opened for good or bound.

import Datagrams
import Glibc
import NIOCore
import NIOPosix
import SCSI
import Storage

extension ConfigurationFile {
  /// What was found on this machine: what stands against serving this configuration just now,
  /// nothing when it can be served, and what that would be. Files that another process serves are
  /// no hindrance: it may be the daemon that is to reload.
  public func check() -> (complaints: [ConfigurationComplaint], summary: ConfigurationSummary) {
    var complaints: [ConfigurationComplaint] = []
    func note(_ place: ConfigurationPlace?, _ what: String, _ advice: String) {
      let place = place ?? .start
      complaints.append(
        ConfigurationComplaint(
          file: path, line: place.line, column: place.column, what: what, advice: advice))
    }
    checkPortals(note)
    let found = checkUnits(note)
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
    complaints.sort { ($0.line, $0.column) < ($1.line, $1.column) }
    return (complaints, summary(found))
  }

  private func checkPortals(_ note: (ConfigurationPlace?, String, String) -> Void) {
    let own = Set((try? System.enumerateDevices())?.compactMap { $0.address?.numericText } ?? [])
    for (portal, place) in zip(configuration.portals, places.portals) {
      guard let fault = fault(of: portal, own) else { continue }
      note(place, "portal \(portal): \(fault.what)", fault.advice)
    }
  }

  /// `own`: the addresses of this machine.
  private func fault(of portal: PortalAddress, _ own: Set<String>) -> PortalFault? {
    guard let address = try? portal.resolved() else { return .noSuchHost }
    let text = address.numericText
    let isHere = portal.isWildcard || own.contains(text) || text.hasPrefix("127.")
    return isHere ? nil : .noSuchAddress
  }

  /// What each LUN of each target is; nil where that can't be told.
  private func checkUnits(
    _ note: (ConfigurationPlace?, String, String) -> Void
  ) -> [[PlaceInspection?]] {
    var seen: [PlaceInspection.Identity: ConfigurationPlace] = [:]
    return zip(configuration.targets, places.units).map { target, places in
      zip(target.logicalUnits, places).map { unit, place -> PlaceInspection? in
        do throws(BackingRefusal) {
          let found = try unit.inspect()
          guard let identity = found.identity else { return found }
          if let first = seen[identity] {
            note(
              place, "\(unit.path ?? "") is served on line \(first.line) already, by another path",
              "Serve it once.")
          }
          seen[identity] = place
          return found
        } catch {
          note(
            place, "LUN \(unit.number.value) can't be served: \(error)",
            "Change it, or the file.")
          return nil
        }
      }
    }
  }

  private func summary(_ found: [[PlaceInspection?]]) -> ConfigurationSummary {
    ConfigurationSummary(
      portals: configuration.portals.map(\.description),
      targets: zip(configuration.targets, found).map { target, found in
        ConfigurationSummary.Target(
          name: target.name,
          logicalUnits: zip(target.logicalUnits, found).map { unit, found in
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
          wantsSecret: target.secrets != nil || configuration.secrets != nil,
          note: target.warning(secrets: configuration.secrets))
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
    /// What is remarkable about that.
    public let note: String?
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
      if let note = target.note { lines.append("    note: \(note)") }
    }
    return lines.joined(separator: "\n")
  }
}

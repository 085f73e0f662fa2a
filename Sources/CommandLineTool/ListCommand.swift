import ArgumentParser
import Mirrorcast

/// `mirrorcast ls`: what a portal serves.
struct ListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls",
    abstract: "List the targets and disks behind an iSCSI portal.",
    discussion: """
      mirrorcast ls 10.0.0.1:3260

      A line for each disk, with the URL to give to --to, its size, block size and maker. Works \
      with any iSCSI target.
      """)

  @Argument(
    help: ArgumentHelp(
      "The portal, HOST[:PORT]; the port is 3260 unless told.", valueName: "portal"),
    transform: parsing(PortalAddress.init(parsing:)))
  var portal: PortalAddress

  @Flag(help: "Print the list as one JSON object on standard output.")
  var json = false

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup
  var log: LogArguments

  func run() async throws {
    let targets = try await Discovery.list(
      portal: portal, identity: try login.identity(), logger: log.logger)
    if json {
      let list = JSONValue.array(targets.map { $0.json(portal: portal) })
      Console.shared.result(JSONValue.object([("targets", list)]).description)
      return
    }
    let header = ["disk", "size", "block", "made by"]
    let rows = targets.flatMap { target in
      target.luns.map { unit in
        [
          target.url(unit.lun, portal: portal), Quantity.bytes(unit.byteCount),
          "\(unit.blockSize)", "\(unit.vendor) \(unit.product)",
        ]
      }
    }
    if rows.isEmpty {
      Console.shared.say("note: \(portal) serves \(targets.count) targets and no disk")
    } else {
      Console.shared.result(textTable([header] + rows, rightAligned: [1, 2]))
    }
  }
}

extension DiscoveredTarget {
  fileprivate func url(_ lun: Int, portal: PortalAddress) -> String {
    "iscsi://\(portal)/\(name)/\(lun)"
  }

  fileprivate func json(portal: PortalAddress) -> JSONValue {
    let units = luns.map { unit in
      JSONValue.object([
        ("lun", .integer(UInt64(unit.lun))), ("url", .string(url(unit.lun, portal: portal))),
        ("bytes", .integer(unit.byteCount)), ("blockSize", .integer(UInt64(unit.blockSize))),
        ("vendor", .string(unit.vendor)), ("product", .string(unit.product)),
      ])
    }
    return .object([
      ("name", .string(name)), ("portals", .array(portals.map(JSONValue.string))),
      ("luns", .array(units)),
    ])
  }
}

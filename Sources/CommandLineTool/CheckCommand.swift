import ArgumentParser
import Mirrorcast

/// `mirrorcast check`: what is wrong with a configuration file, before a daemon reads it.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Check a configuration file of `mirrorcast target --config`.",
    discussion: """
      mirrorcast check /etc/mirrorcast.yaml

      Reads the file as the daemon does, and looks at what it names on this machine: files and \
      devices, their sizes, secrets, addresses, the interface. Changes nothing and makes no file. \
      Tells what would be served, and to whom; or, with exit status 1, all that is wrong, each by \
      FILE:LINE:COLUMN.
      """)

  @Argument(help: ArgumentHelp("The configuration file.", valueName: "file"))
  var file: String

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  func run() throws {
    var complaints: [ConfigurationComplaint] = []
    var summary: ConfigurationSummary?
    do throws(ConfigurationError) {
      let found = try ConfigurationFile(path: file).check()
      (complaints, summary) = (found.complaints, found.summary)
    } catch {
      complaints = error.complaints
    }
    if json {
      Console.shared.result(
        JSONValue.object([
          ("isGood", .bool(complaints.isEmpty)),
          ("complaints", .array(complaints.map(\.json))),
          ("portals", .array(summary?.portals.map(JSONValue.string) ?? [])),
          ("targets", .array(summary?.targets.map(\.json) ?? [])),
        ]).description)
    } else {
      for complaint in complaints { Console.shared.say("\(complaint)") }
      if complaints.isEmpty, let summary { Console.shared.result(summary.description) }
    }
    guard complaints.isEmpty else { throw ExitCode(1) }
  }
}

extension ConfigurationComplaint {
  fileprivate var json: JSONValue {
    .object([
      ("file", .string(file)), ("line", .integer(UInt64(line))),
      ("column", .integer(UInt64(column))), ("what", .string(what)), ("advice", .string(advice)),
    ])
  }
}

extension ConfigurationSummary.Target {
  fileprivate var json: JSONValue {
    var members: [(String, JSONValue)] = [("name", .string(name))]
    members.append(("luns", .array(logicalUnits.map(\.json))))
    if let initiators { members.append(("initiators", .array(initiators.map(JSONValue.string)))) }
    if let addresses { members.append(("addresses", .array(addresses.map(JSONValue.string)))) }
    members.append(("wantsSecret", .bool(wantsSecret)))
    if let note { members.append(("note", .string(note))) }
    return .object(members)
  }
}

extension ConfigurationSummary.Unit {
  fileprivate var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("lun", .integer(UInt64(number))), ("place", .string(place)),
    ]
    if let byteCount { members.append(("byteCount", .integer(byteCount))) }
    if let note { members.append(("note", .string(note))) }
    return .object(members)
  }
}

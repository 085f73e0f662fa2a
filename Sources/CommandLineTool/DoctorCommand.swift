import ArgumentParser
import Mirrorcast

/// `mirrorcast doctor`: what this machine has for a mirror.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Show what this machine has for mirrors: CPUs, NUMA, AES, offloads, RDMA.",
    discussion: """
      mirrorcast doctor

      A line for each finding, marked ok or with an exclamation mark and what to do. Changes \
      nothing, and sends nothing but a few datagrams to itself. Exit status 1 when something \
      needs attention.
      """)

  @Flag(help: "Print the findings as one JSON object on standard output.")
  var json = false

  func run() throws {
    let lines = Doctor.report()
    if json {
      Console.shared.result(
        JSONValue.object([("findings", .array(lines.map(\.json)))]).description)
    } else {
      let rows = lines.map { line in
        [
          line.isGood ? "ok" : "!", line.subject,
          line.finding + (line.advice.map { " (\($0))" } ?? ""),
        ]
      }
      Console.shared.result(textTable(rows))
    }
    guard lines.allSatisfy(\.isGood) else { throw ExitCode(1) }
  }
}

extension DoctorLine {
  fileprivate var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("subject", .string(subject)), ("finding", .string(finding)), ("isGood", .bool(isGood)),
    ]
    if let advice { members.append(("advice", .string(advice))) }
    if let bytesPerSecond { members.append(("bytesPerSecond", .number(bytesPerSecond))) }
    return .object(members)
  }
}

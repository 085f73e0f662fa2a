import Glibc
import SCSI
import Testing

/// The table of commands in the documentation is the one in the program. To write it anew:
/// `MIRRORCAST_WRITE_TABLE=1 swift test --filter CommandDocumentationTests`.
struct CommandDocumentationTests {
  static let page = #filePath.replacing(
    "Tests/SCSITests/CommandDocumentationTests.swift",
    with: "Sources/Mirrorcast/Mirrorcast.docc/SCSICommands.md")
  static let head =
    "| code | command | CDB usage data | others' reservations that refuse it | wants |"

  static func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }

  static func line(_ row: CommandDescription) -> String {
    let code = hex(row.code.rawValue) + (row.serviceAction.map { "/" + hex($0) } ?? "")
    let usage = (0..<row.length).map { hex(row.usage[$0]) }.joined(separator: " ")
    let exclusion =
      switch row.exclusion {
      case .none: "none"
      case .legacy: "RESERVE (6)"
      case .reading: "those that exclude readers"
      case .writing: "all"
      case .own: "its own rules"
      }
    let readiness =
      switch row.readiness {
      case .always: "nothing"
      case .quiet: "no SANITIZE"
      case .medium: "no SANITIZE, the medium"
      }
    let thin = row.provision == .unmapping ? ", a thin disk" : ""
    return "| `\(code)` | \(row.name) | `\(usage)` | \(exclusion) | \(readiness)\(thin) |"
  }

  static var table: [String] { [head, "|---|---|---|---|---|"] + CommandTable.rows.map(line) }

  @Test func `the documentation lists the commands that there are`() throws {
    let text = try #require(read(Self.page))
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let first = try #require(lines.firstIndex(of: Self.head))
    let last = lines[first...].firstIndex { !$0.hasPrefix("|") } ?? lines.endIndex
    if getenv("MIRRORCAST_WRITE_TABLE") != nil {
      lines.replaceSubrange(first..<last, with: Self.table)
      write(lines.joined(separator: "\n"), to: Self.page)
      return
    }
    #expect(Array(lines[first..<last]) == Self.table)
  }

  func read(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  func write(_ text: String, to path: String) {
    guard let file = fopen(path, "w") else { return }
    defer { fclose(file) }
    fputs(text, file)
  }
}

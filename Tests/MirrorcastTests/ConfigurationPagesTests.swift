import Foundation
import Testing

@testable import Mirrorcast

@Suite struct `What is told of configurations` {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test func `has examples that are read`() throws {
    let page = try String(
      contentsOf: Self.root.appending(
        path: "Sources/Mirrorcast/Mirrorcast.docc/Configuration.md"), encoding: .utf8)
    let parts = page.components(separatedBy: "```yaml\n").dropFirst()
    #expect(parts.count == 1)
    for part in parts {
      let example = part.components(separatedBy: "```")[0]
      let file = try ConfigurationFile(parsing: example, path: "Configuration.md")
      #expect(file.configuration.targets.count == 2)
    }
    let path = Self.root.appending(path: "Packaging/examples/target.yaml").path
    let file = try ConfigurationFile(path: path)
    #expect(file.configuration.targets.count == 2)
    // With what it has in comments, too, but for files that are not everywhere.
    let text = try String(contentsOfFile: path, encoding: .utf8)
      .replacingOccurrences(of: "# interface", with: "interface")
      .replacingOccurrences(of: "# state", with: "state")
    #expect(try ConfigurationFile(parsing: text, path: "f").configuration.interface == "eth1")
  }

  /// Every limit can be set, and is told with its default.
  @Test func `has every limit`() throws {
    let names = Swift.Mirror(reflecting: TargetLimits()).children.compactMap(\.label)
    #expect(LimitKey.all.map(\.name).sorted() == names.sorted())
    let page = try String(
      contentsOf: Self.root.appending(
        path: "Sources/Mirrorcast/Mirrorcast.docc/Limits.md"), encoding: .utf8)
    for key in LimitKey.all {
      let value = try #require(key.value(TargetLimits()))
      #expect(key.range.contains(value))
      let size = value >= 1 << 20 ? "\(value >> 20)M" : "\(value >> 10)K"
      let text = key.unit == .bytes ? size : "\(value)"
      #expect(page.contains("| `\(key.name)` | \(text) |"), "\(key.name)")
      var limits = TargetLimits()
      key.set(&limits, key.range.lowerBound)
      #expect(key.value(limits) == key.range.lowerBound)
    }
  }
}

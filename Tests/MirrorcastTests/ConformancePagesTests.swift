// The tables of libiscsi's suite in the README and in Conformance.md say what
// Tests/System/conformance.expected keeps, which the system test compares with the suite itself.

import Foundation
import Testing

@Suite struct `What is told of libiscsi's suite` {
  /// Passed, failed and skipped.
  private struct Tally: Equatable, CustomStringConvertible {
    var counts = [0, 0, 0]

    init() {}

    init?(_ text: String) {
      counts = text.split(separator: "/").compactMap { Int($0) }
      guard counts.count == 3 else { return nil }
    }

    mutating func count(_ word: String) {
      guard let index = ["passed", "failed", "skipped"].firstIndex(of: word) else { return }
      counts[index] += 1
    }

    var total: Int { counts.reduce(0, +) }
    var description: String { counts.map(String.init).joined(separator: "/") }

    static func + (one: Tally, other: Tally) -> Tally {
      var sum = one
      for index in sum.counts.indices { sum.counts[index] += other.counts[index] }
      return sum
    }
  }

  /// Which suites a line of the README's table sums up; a suite is the first's that names it.
  private static let groups: KeyValuePairs = [
    "reading, prefetching": ["Read6", "Read10", "Read12", "Read16", "Prefetch"],
    "writing": ["Write10", "Write12", "Write16", "WriteVerify"],
    "verifying": ["Verify"],
    "WRITE SAME, UNMAP, maps": ["WriteSame", "Unmap", "GetLBAStatus"],
    "atomic commands": ["CompareAndWrite", "OrWrite", "WriteAtomic"],
    "EXTENDED COPY": ["ExtendedCopy", "ReceiveCopyResults"],
    "reservations": ["Prin", "Prout", "Reserve6"],
    "removable, protected": ["PreventAllow", "StartStopUnit", "NoMedia", "ReadOnly"],
    "SANITIZE": ["Sanitize"],
    "iSCSI itself, multipath": ["iSCSI", "MultipathIO"],
    "what a disk says of itself": [""],
  ]

  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private func text(_ path: String) throws -> String {
    try String(contentsOf: Self.root.appending(path: path), encoding: .utf8)
  }

  /// What is kept: the words of each test on the first two LUNs.
  private func expected() throws -> [(name: String, words: [String])] {
    try text("Tests/System/conformance.expected").split(separator: "\n").compactMap { line in
      let words = line.prefix { $0 != "#" }.split(separator: " ").map(String.init)
      return words.isEmpty ? nil : (words[0], Array(words[1...2]))
    }
  }

  /// Lines of a table by their first cell: how many tests, and the tallies behind that.
  private func table(
    _ page: String, below head: String
  ) throws -> [String: (tests: Int, tallies: [Tally])] {
    let lines = page.components(separatedBy: "\n")
    let first = try #require(lines.firstIndex { $0.hasPrefix(head) }) + 2
    var rows: [String: (tests: Int, tallies: [Tally])] = [:]
    for line in lines[first...].prefix(while: { $0.hasPrefix("| ") }) {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      let tallies = try cells.dropFirst(2).map { try #require(Tally($0), "\(line)") }
      let row = (tests: try #require(Int(cells[1])), tallies: tallies)
      // Whoever ran it: each test is in one of the three columns.
      #expect(tallies.allSatisfy { $0.total == row.tests }, "\(line)")
      #expect(rows.updateValue(row, forKey: cells[0]) == nil, "\(line)")
    }
    return rows
  }

  private func pageTable() throws -> [String: (tests: Int, tallies: [Tally])] {
    try table(
      text("Sources/Mirrorcast/Mirrorcast.docc/Conformance.md"), below: "| suite | tests |")
  }

  @Test func `is by suite what is kept by test`() throws {
    var kept: [String: [Tally]] = [:]
    for (name, words) in try expected() {
      for suite in [String(name.prefix { $0 != "." }), "**all**"] {
        for index in words.indices {
          kept[suite, default: [Tally(), Tally()]][index].count(words[index])
        }
      }
    }
    let rows = try pageTable()
    #expect(Set(rows.keys) == Set(kept.keys))
    for (suite, row) in rows {
      #expect(Array(row.tallies.prefix(2)) == kept[suite], "\(suite)")
    }
    let suites = rows.filter { $0.key != "**all**" }.values
    for column in 2..<7 {
      let sum = suites.reduce(Tally()) { $0 + $1.tallies[column] }
      #expect(rows["**all**"]?.tallies[column] == sum)
    }
  }

  @Test func `is in short what it is at length`() throws {
    let rows = try pageTable()
    var sums: [String: [Tally]] = ["**all**": try #require(rows["**all**"]).tallies]
    for (suite, row) in rows where suite != "**all**" {
      let group = try #require(
        Self.groups.first { $0.value.contains { suite.hasPrefix($0) } }, "\(suite)")
      let before = sums[group.key] ?? row.tallies.map { _ in Tally() }
      sums[group.key] = zip(before, row.tallies).map { $0 + $1 }
    }
    let short = try table(text("README.md"), below: "| tests of | tests | ours: sectors |")
    #expect(Set(short.keys) == Set(sums.keys))
    for (group, row) in short {
      let sum = try #require(sums[group], "\(group)")
      // Without tgt's thin disk.
      #expect(row.tallies == Array(sum[..<4] + sum[5...]), "\(group)")
    }
  }

  @Test func `counts in words what it counts in tables`() throws {
    let tests = try expected()
    let somewhere = tests.filter { $0.words.contains("passed") }.count
    #expect(tests.allSatisfy { !$0.words.contains("failed") && !$0.words.contains("-") })
    for path in ["README.md", "Sources/Mirrorcast/Mirrorcast.docc/Conformance.md"] {
      let page = try text(path).replacing("\n", with: " ")
      #expect(page.contains("\(somewhere) of the \(tests.count) pass on one"), "\(path)")
    }
    let all = try #require(try pageTable()["**all**"]).tallies
    let page = try text("Sources/Mirrorcast/Mirrorcast.docc/Conformance.md")
      .replacing("\n", with: " ")
    let tgt = all[2...4].map { $0.counts[0] }.max() ?? 0
    let lio = all[5...6].map { $0.counts[0] }.max() ?? 0
    #expect(page.contains("tgt's best configuration passes \(tgt), LIO's \(lio)"))
  }
}

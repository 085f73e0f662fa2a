// The result of a run, for people as a table and for programs as JSON.

import Mirrorcast

extension RunResult {
  private var goodput: Double { seconds > 0 ? Double(counts.bytes) / seconds : 0 }
  private var writesPerSecond: Double { seconds > 0 ? Double(counts.writes) / seconds : 0 }
  private var wireBytesPerPayloadByte: Double {
    counts.bytes > 0 ? Double(statistics.wireBytes) / Double(counts.bytes) : 0
  }

  private func microseconds(_ fraction: Double) -> Double {
    Double(counts.latencies.percentile(fraction)) / 1000
  }

  /// The members that every run reports, in this order.
  var members: [(String, JSONValue)] {
    [
      ("bytes", .integer(counts.bytes)),
      ("seconds", .number(seconds)),
      ("goodputBytesPerSecond", .number(goodput)),
      ("writesPerSecond", .number(writesPerSecond)),
      (
        "latencyMicroseconds",
        .object([
          ("p50", .number(microseconds(0.5))),
          ("p99", .number(microseconds(0.99))),
          ("p999", .number(microseconds(0.999))),
          ("max", .number(Double(counts.latencies.maximum) / 1000)),
        ])
      ),
      ("longestStallMicroseconds", .number(Double(counts.stallNanosecondsMax) / 1000)),
      ("transport", .string(statistics.transport)),
      ("dataDatagrams", .integer(statistics.dataDatagrams)),
      ("repairDatagrams", .integer(statistics.repairDatagrams)),
      ("groupRepairDatagrams", .integer(statistics.groupRepairDatagrams)),
      ("questions", .integer(statistics.questions)),
      ("wireBytesPerPayloadByte", .number(wireBytesPerPayloadByte)),
      ("legs", .array(legs.map(\.json))),
    ] + statistics.pacingMembers + statistics.laneMembers + keptMembers
  }

  private var keptMembers: [(String, JSONValue)] {
    guard !keptLegs.isEmpty else { return [] }
    return [
      ("generation", .integer(keptLegs.map(\.generation).max() ?? 0)),
      ("keptLegs", .array(keptLegs.map { LegEnd($0).json })),
    ]
  }

  /// What was written and how fast, in two lines; in a third what losses have made of the pace.
  var summary: String {
    let amount = Quantity.bytes(counts.bytes)
    let time = Quantity.decimal(seconds, places: seconds < 10 ? 2 : 1)
    let good = legs.count(where: \.isGood)
    let ofAll = legs.count == 1 ? "1 leg" : "\(legs.count) legs"
    let legWords = good == legs.count ? ofAll : "\(good) of \(ofAll)"
    let ratio = Quantity.decimal(wireBytesPerPayloadByte, places: 3)
    return """
      \(amount) in \(time) s, \(Quantity.rate(goodput)), \(legWords)
      \(statistics.dataDatagrams) datagrams of data, \(statistics.repairDatagrams) of repair; \
      \(ratio) bytes on the wire for one of payload\(statistics.pacing.map { "\n\($0.line)" } ?? "")
      """
  }

  var latencyLine: String {
    let points = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map {
      "\($0.0) \(Quantity.decimal(microseconds($0.1), places: 0))"
    }
    let maximum = Quantity.decimal(Double(counts.latencies.maximum) / 1000, places: 0)
    let rate = Quantity.decimal(writesPerSecond, places: 0)
    return "\(rate) writes/s; latency in µs: \(points.joined(separator: ", ")), max \(maximum)"
  }

  /// One line for each leg: status, how it was reached, what it lost and got back.
  var table: String {
    let rate = Quantity.rate(goodput)
    let header = ["leg", "status", "served by", "lost blocks", "repaired", "rate"]
    let rows = legs.map {
      [
        $0.url.description, $0.status, $0.servedBy, "\($0.lostBlocks)", "\($0.repairedBlocks)",
        $0.isGood ? rate : "-",
      ]
    }
    return textTable([header] + rows, rightAligned: [3, 4, 5])
  }
}

extension LegOutcome {
  var json: JSONValue {
    .object([
      ("url", .string(url.description)), ("status", .string(status)),
      ("servedBy", .string(servedBy)), ("lostBlocks", .integer(lostBlocks)),
      ("repairedBlocks", .integer(repairedBlocks)), ("reports", .integer(reports)),
      ("unproven", .integer(unproven)),
    ])
  }
}

/// Rows as columns of equal width, two blanks between them.
func textTable(_ rows: [[String]], rightAligned: Set<Int> = []) -> String {
  let columnCount = rows.map(\.count).max() ?? 0
  let widths = (0..<columnCount).map { column in
    rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
  }
  return rows.map { row in
    let cells = row.enumerated().map { column, cell in
      let blanks = String(repeating: " ", count: widths[column] - cell.count)
      return rightAligned.contains(column) ? blanks + cell : cell + blanks
    }
    let line = cells.joined(separator: "  ")
    return String(line.reversed().drop { $0 == " " }.reversed())
  }.joined(separator: "\n")
}

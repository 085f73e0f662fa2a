import Mirrorcast

/// What comparing legs range by range has found; the first leg is what the others are held against.
struct LegComparison: Sendable {
  /// Where a leg first differs, by its place in the list.
  struct Difference: Equatable {
    var leg: Int
    var offset: UInt64
  }

  let legs: [LogicalUnitURL]
  let byteCount: UInt64
  private(set) var ranges = 0
  private(set) var differingRanges = 0
  private(set) var first: Difference?
  private var differingRangesByLeg: [Int]

  init(legs: [LogicalUnitURL], byteCount: UInt64) {
    self.legs = legs
    self.byteCount = byteCount
    differingRangesByLeg = Array(repeating: 0, count: legs.count)
  }

  var isIdentical: Bool { first == nil }

  /// Takes one range's bytes from every leg, ranges in order.
  mutating func take(_ copies: [[UInt8]], at offset: UInt64) {
    ranges += 1
    var earliest: Difference?
    for leg in copies.indices.dropFirst() {
      guard let index = firstDifferentByte(copies[0], copies[leg]) else { continue }
      differingRangesByLeg[leg] += 1
      let difference = Difference(leg: leg, offset: offset + UInt64(index))
      if difference.offset < earliest?.offset ?? .max { earliest = difference }
    }
    if let earliest {
      differingRanges += 1
      first = first ?? earliest
    }
  }

  var table: String {
    let rows = legs.indices.map { leg in
      [
        legs[leg].description,
        leg == 0
          ? "held against"
          : differingRangesByLeg[leg] == 0
            ? "same" : "\(differingRangesByLeg[leg]) of \(ranges) ranges differ",
      ]
    }
    let verdict = isIdentical ? "identical: \(Quantity.bytes(byteCount)) on each" : "NOT identical"
    return "\(textTable(rows))\n\(verdict)"
  }

  var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("identical", .bool(isIdentical)), ("bytes", .integer(byteCount)),
      ("ranges", .integer(UInt64(ranges))), ("differingRanges", .integer(UInt64(differingRanges))),
    ]
    if let first {
      members.append(
        (
          "firstDifference",
          .object([
            ("url", .string(legs[first.leg].description)),
            ("from", .string(legs[0].description)), ("offset", .integer(first.offset)),
          ])
        ))
    }
    let byLeg = legs.indices.map { leg in
      JSONValue.object([
        ("url", .string(legs[leg].description)),
        ("differingRanges", .integer(UInt64(differingRangesByLeg[leg]))),
      ])
    }
    members.append(("legs", .array(byLeg)))
    return .object(members)
  }
}

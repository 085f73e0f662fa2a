import Mirrorcast
import Synchronization
import Testing

@testable import mirrorcast

struct RangeReadsTests {
  @Test(arguments: [1, 3, 8])
  func `results come in order, whole, and no more are held than were asked`(inFlight: Int)
    async throws
  {
    let started = Atomic<Int>(0)
    var consumed = 0
    var mostHeld = 0
    var ranges: [Range<UInt64>] = []
    try await readInOrder(100..<1115, step: 10, inFlight: inFlight) { range in
      started.add(1, ordering: .relaxed)
      // Later ranges often end first.
      for _ in 0..<Int(range.lowerBound / 10 % 7) { await Task.yield() }
      return range.lowerBound
    } consume: { range, value in
      #expect(range.lowerBound == value)
      mostHeld = max(mostHeld, started.load(ordering: .relaxed) - consumed)
      consumed += 1
      ranges.append(range)
    }
    #expect(ranges.first == 100..<110)
    #expect(ranges.last == 1110..<1115)
    #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
    #expect(mostHeld <= inFlight)
  }

  @Test func `a read that fails ends it all`() async {
    await #expect(throws: MirrorcastError.self) {
      try await readInOrder(0..<100, step: 10, inFlight: 4) { range in
        if range.lowerBound == 50 { throw MirrorcastError("no") }
      } consume: { range, _ in
        #expect(range.lowerBound < 50)
      }
    }
  }

  @Test func `nothing is read of an empty range`() async throws {
    try await readInOrder(5..<5, step: 10, inFlight: 4) { _ in
      Issue.record("read")
    } consume: { _, _ in
    }
  }
}

struct LegComparisonTests {
  private func urls(_ count: Int) throws -> [LogicalUnitURL] {
    try (0..<count).map {
      try LogicalUnitURL(parsing: "iscsi://127.0.0.1/iqn.2026-01.org.example:a/\($0)")
    }
  }

  @Test func `the first difference is the lowest byte, whichever leg has it`() throws {
    var comparison = LegComparison(legs: try urls(3), byteCount: 12)
    comparison.take([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]], at: 0)
    #expect(comparison.isIdentical)
    comparison.take([[1, 2, 3, 4], [1, 2, 3, 9], [1, 9, 3, 4]], at: 4)
    comparison.take([[1, 2, 3, 4], [9, 2, 3, 4], [1, 2, 3, 4]], at: 8)
    #expect(comparison.first == .init(leg: 2, offset: 5))
    #expect(comparison.ranges == 3)
    #expect(comparison.differingRanges == 2)
    #expect(comparison.json.description.contains(#""firstDifference":{"url":"#))
  }

  @Test func `a short copy differs where it ends`() {
    #expect(firstDifferentByte([1, 2, 3], [1, 2]) == 2)
    #expect(firstDifferentByte([], []) == nil)
  }
}

import Mirrorcast
import Testing

@testable import mirrorcast

struct RunReportTests {
  private func result(_ pacing: MirrorStatistics.Pacing?) -> RunResult {
    var statistics = MirrorStatistics()
    statistics.pacing = pacing
    return RunResult(
      counts: WriteTally.Counts(), seconds: 1, statistics: statistics, legs: [], notices: [])
  }

  private func json(_ result: RunResult) -> String { JSONValue.object(result.members).description }

  @Test func `the pace is told where losses held the sender back`() {
    let paced = result(.init(bytesPerSecond: 41_260_000, cuts: 3, tests: 1))
    let lines = paced.summary.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(
      lines.last == "held back by losses, at last to 41.3 MB/s: 3 cuts, 1 test of a slower pace")
    #expect(json(paced).contains(#""pacing":{"bytesPerSecond":41260000,"cuts":3,"tests":1}"#))
  }

  @Test func `also where it came back`() {
    let passed = result(.init(bytesPerSecond: nil, cuts: 1, tests: 2))
    let words = "held back by losses, for a while: 1 cut, 2 tests of a slower pace"
    #expect(passed.summary.hasSuffix("\n\(words)"))
    #expect(json(passed).contains(#""pacing":{"cuts":1,"tests":2}"#))
  }

  @Test func `nothing is told where nothing did`() {
    let free = result(nil)
    #expect(free.summary.split(separator: "\n").count == 2)
    #expect(!json(free).contains("pacing"))
  }
}

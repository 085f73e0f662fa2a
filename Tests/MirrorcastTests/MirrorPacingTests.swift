import Replication
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(3)))
struct `What a mirror tells of its pace` {
  private func reading(pace: Int?, cuts: UInt64 = 0, tests: UInt64 = 0) -> MirrorBoard.Reading {
    var reading = MirrorBoard.Reading()
    reading.pace = pace
    reading.pacing.cuts = cuts
    reading.pacing.tests = tests
    return reading
  }

  @Test func `is nothing where nothing held it back, or a cap alone`() {
    #expect(MirrorStatistics.Pacing([reading(pace: nil), reading(pace: nil)]) == nil)
    #expect(MirrorStatistics.Pacing([reading(pace: 1_000_000)]) == nil)
  }

  @Test func `is of all lanes together`() {
    #expect(
      MirrorStatistics.Pacing([
        reading(pace: 10_000_000, cuts: 2, tests: 1), reading(pace: 20_000_000, cuts: 1),
      ]) == MirrorStatistics.Pacing(bytesPerSecond: 30_000_000, cuts: 3, tests: 1))
    #expect(
      MirrorStatistics.Pacing([reading(pace: nil), reading(pace: 20_000_000, tests: 4)])
        == MirrorStatistics.Pacing(bytesPerSecond: nil, cuts: 0, tests: 4))
  }

  @Test func `comes with losses that are worth a search, and not without`() async throws {
    try await MirrorScene.run(legs: 1) { scene in
      let calm = try await scene.mirror()
      #expect(await calm.write(randomBytes(4 << 20), at: 0).isGood)
      #expect(calm.statistics().pacing == nil)
      #expect(await calm.terminate().bad == [])
      var options = try scene.options()
      options.faults = Faults(drop: 0.6, duplicate: 0, reorder: 0, seed: 9)
      let stormy = try await scene.mirror(options)
      // At some time in so many writes, not at once: evidence is gathered first.
      for _ in 0..<16 where stormy.statistics().pacing == nil {
        #expect(await stormy.write(randomBytes(4 << 20), at: 0).isGood)
      }
      let pacing = try #require(stormy.statistics().pacing)
      #expect(pacing.tests + pacing.cuts > 0)
    }
  }
}

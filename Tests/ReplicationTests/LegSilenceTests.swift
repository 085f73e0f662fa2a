import Testing

@testable import Replication

struct `The silence of legs` {
  private static let limit: UInt64 = 800

  /// Looks at all times from one to another.
  private func watch(
    _ silence: inout LegSilence, _ times: ClosedRange<UInt64>, owing: LegSet,
    heard: (UInt64) -> LegSet = { _ in [] }
  ) -> [(UInt64, LegSilence.Verdict)] {
    var verdicts: [(UInt64, LegSilence.Verdict)] = []
    for now in times {
      heard(now).forEach { silence.handleHeard(leg: $0, now: now) }
      guard now >= silence.nextLook else { continue }
      let verdict = silence.look(owing: owing, now: now)
      if verdict != LegSilence.Verdict() { verdicts.append((now, verdict)) }
    }
    return verdicts
  }

  @Test func `of one that owes something ends in a ping, then in its loss`() throws {
    var silence = LegSilence(limit: Self.limit)
    let verdicts = watch(&silence, 1...1000, owing: [LegSet(0), LegSet(1)]) {
      $0 % 50 == 0 ? LegSet(1) : []
    }
    try #require(verdicts.count == 2)
    #expect(verdicts[0].1.asked == LegSet(0))
    #expect((400...520).contains(verdicts[0].0))
    #expect(verdicts[1].1.silent == LegSet(0))
    #expect((800...1000).contains(verdicts[1].0))
  }

  @Test func `is broken by any word, and nobody's who owes nothing`() {
    var silence = LegSilence(limit: Self.limit)
    let verdicts = watch(&silence, 1...3000, owing: [LegSet(0)]) { $0 % 600 == 0 ? LegSet(0) : [] }
    #expect(verdicts.allSatisfy { $0.1.silent.isEmpty })
    #expect(watch(&silence, 3001...9000, owing: []).isEmpty)
  }

  @Test func `is not held against a leg where the lane itself slept`() {
    var silence = LegSilence(limit: Self.limit)
    var lost = false
    for now in stride(from: UInt64(0), to: 20_000, by: 500) {
      lost = lost || !silence.look(owing: LegSet(3), now: now).silent.isEmpty
    }
    #expect(!lost)
  }
}

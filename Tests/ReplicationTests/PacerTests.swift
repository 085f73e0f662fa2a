import Testing

@testable import Replication

/// The bucket: caps, bursts, shares, and clocks that misbehave.
@Suite struct PacerTests {
  static let second: UInt64 = 1_000_000_000

  func pacer(rateMax: Int? = nil) -> Pacer {
    Pacer(PacingConfiguration(legCount: 2, rateMax: rateMax), now: 0)
  }

  /// A pacer that has found a rate of its own: a leg's socket drops half of all.
  func limited() -> Pacer {
    var pacer = pacer()
    var now: UInt64 = 0
    while pacer.rate == nil, now < Self.second {
      now += 1_000_000
      pacer.handleSent(bytes: 1_000_000, now: now)
      for leg in 0..<2 {
        pacer.handleDelivery(
          Delivery(
            leg: leg, blocks: 700, lostBlocks: 350, socketDrops: 350, firstSentAt: now - 900_000,
            lastSentAt: now), now: now)
      }
    }
    return pacer
  }

  /// Sends all that may go, every `step`, and returns the bytes of each kind.
  func drain(
    _ pacer: inout Pacer, from: UInt64, for span: UInt64, step: UInt64, fresh: Int, repair: Int
  ) -> (fresh: Int, repair: Int) {
    var sent = (fresh: 0, repair: 0)
    var now = from
    while now < from + span {
      let first = min(pacer.allowance(.fresh, wanted: fresh, now: now), 64 << 10)
      if first > 0 {
        pacer.handleSent(bytes: first, now: now)
        sent.fresh += first
      }
      let again = min(pacer.allowance(.repair, wanted: repair, now: now), 64 << 10)
      if again > 0 {
        pacer.handleRepairSent(bytes: again, now: now)
        sent.repair += again
      }
      now += step
    }
    return sent
  }

  @Test func `without loss nothing is held back`() {
    var pacer = pacer()
    for step in 0..<1000 {
      let now = UInt64(step) * 1000
      let allowed = pacer.allowance(.fresh, wanted: 1 << 30, now: now)
      #expect(allowed == 1 << 30)
      pacer.handleSent(bytes: 1 << 20, now: now)
    }
    #expect(pacer.rate == nil && pacer.nextDeadline == nil)
  }

  @Test(arguments: [20_000, 1_000_000, 50_000_000, 2_000_000_000])
  func `the user's cap binds fresh data and repairs together`(rateMax: Int) {
    for (fresh, repair) in [(1 << 30, 0), (0, 1 << 30), (1 << 30, 1 << 30)] {
      var pacer = pacer(rateMax: rateMax)
      let sent = drain(
        &pacer, from: 0, for: Self.second, step: 20_000, fresh: fresh, repair: repair)
      let total = sent.fresh + sent.repair
      let depth = max(128 << 10, rateMax / 500)
      #expect(total <= rateMax + depth, "\(rateMax) \(total)")
      #expect(total >= rateMax * 97 / 100 - (64 << 10), "\(rateMax) \(total)")
      #expect(pacer.rate == rateMax)
    }
  }

  @Test func `a pause, a jump or a standstill of the clock gives no more than the bucket holds`() {
    let rate = 10_000_000
    for gap: UInt64 in [0, 1, 5 * Self.second, .max / 2] {
      var pacer = pacer(rateMax: rate)
      _ = drain(&pacer, from: 0, for: 1_000_000, step: 10_000, fresh: 1 << 20, repair: 0)
      // Nothing waits any more: what accrues in the pause is one train.
      _ = pacer.allowance(.fresh, wanted: 0, now: 1_000_000)
      _ = pacer.allowance(.repair, wanted: 0, now: 1_000_000)
      let now = 1_000_000 + gap
      var burst = 0
      for _ in 0..<10_000 {
        let allowed = min(pacer.allowance(.fresh, wanted: 1 << 20, now: now), 1472)
        guard allowed > 0 else { break }
        pacer.handleSent(bytes: allowed, now: now)
        burst += allowed
      }
      #expect(burst <= (64 << 10) + 1472, "\(gap): \(burst)")
      // The clock goes backwards: no trap, and no new tokens.
      let back = pacer.allowance(.fresh, wanted: 1 << 20, now: 5)
      #expect(back == 0)
      pacer.handleSent(bytes: 0, now: 0)
    }
  }

  @Test func `a late wake-up costs no rate while something waits`() {
    var pacer = pacer(rateMax: 100_000_000)
    // Awake every 1.5 ms only: 150 kB each time.
    var sent = 0
    for step in 0..<600 {
      let now = UInt64(step) * 1_500_000
      while true {
        let allowed = min(pacer.allowance(.fresh, wanted: 1 << 24, now: now), 64 << 10)
        guard allowed > 0 else { break }
        pacer.handleSent(bytes: allowed, now: now)
        sent += allowed
      }
    }
    #expect(sent > 88_000_000, "\(sent)")
  }

  @Test(arguments: [300_000, 10_000_000, 1_000_000_000])
  func `the deadline is when more may go`(rateMax: Int) {
    var pacer = pacer(rateMax: rateMax)
    var now: UInt64 = 0
    var wakes = 0
    while now < Self.second / 10 {
      let allowed = pacer.allowance(.fresh, wanted: 1 << 20, now: now)
      if allowed > 0 {
        pacer.handleSent(bytes: min(allowed, 64 << 10), now: now)
        continue
      }
      guard let next = pacer.nextDeadline, next > now else {
        Issue.record("refused, and no deadline")
        return
      }
      now = next
      wakes += 1
      let then = pacer.allowance(.fresh, wanted: 1 << 20, now: now)
      #expect(then > 0)
    }
    // Quanta, not single bytes: at most one wake-up in 200 µs, or one a train.
    #expect(wakes <= max(510, rateMax / 10 / 65_000))
  }

  @Test func `repairs and fresh data that both wait share, even in a storm of repairs`() {
    for isPaced in [true, false] {
      var pacer = isPaced ? pacer(rateMax: 100_000_000) : pacer()
      let sent = drain(
        &pacer, from: 0, for: Self.second, step: 50_000, fresh: 1 << 30, repair: 1 << 30)
      let part = Double(sent.repair) / Double(sent.fresh + sent.repair)
      #expect(part < 0.62, "\(part)")
      #expect(part > 0.45, "\(part)")
    }
  }

  @Test func `repairs get something even while fresh data waits and never goes`() {
    var pacer = pacer(rateMax: 100_000_000)
    _ = pacer.allowance(.fresh, wanted: 1 << 30, now: 0)
    var repair = 0
    for step in 0..<10_000 {
      let now = UInt64(step) * 100_000
      let allowed = pacer.allowance(.repair, wanted: 1 << 20, now: now)
      pacer.handleRepairSent(bytes: min(allowed, 64 << 10), now: now)
      repair += min(allowed, 64 << 10)
    }
    #expect(repair > 200_000, "\(repair)")
    #expect(repair < 52_000_000, "\(repair)")
  }

  @Test(arguments: [nil, 100_000_000, 1_000_000_000])
  func `repairs that lack their share alone wait until it is there`(rateMax: Int?) {
    var pacer = pacer(rateMax: rateMax)
    // New data waits, and can't go: the window is full of what is to be repaired.
    _ = pacer.allowance(.fresh, wanted: 1 << 30, now: 0)
    var (now, wakes, sent): (UInt64, Int, Int) = (0, 0, 0)
    while now < Self.second {
      let allowed = pacer.allowance(.repair, wanted: 1 << 20, now: now)
      if allowed > 0 {
        pacer.handleRepairSent(bytes: min(allowed, 64 << 10), now: now)
        sent += min(allowed, 64 << 10)
        continue
      }
      guard let next = pacer.nextDeadline, next > now, next <= now + Self.second else {
        Issue.record("refused at \(now), and then \(pacer.nextDeadline ?? 0)")
        return
      }
      now = next
      wakes += 1
    }
    // 8 MB/s of credit, of which each byte repaired takes half; one wake-up for a train, or for
    // the 20 kB that are one at 100 MB/s, and another now and then for a rounding.
    #expect(sent > 15_000_000 && sent < 17_000_000, "\(sent)")
    #expect(wakes < 1000, "\(wakes)")
  }

  @Test func `repairs that wait for their share don't hold new data up`() throws {
    var pacer = pacer(rateMax: 100_000_000)
    _ = pacer.allowance(.repair, wanted: 1 << 20, now: 0)
    var now: UInt64 = 0
    // All that either may take goes: what is left is a refusal of both.
    for _ in 0..<1000 {
      let fresh = min(pacer.allowance(.fresh, wanted: 1 << 20, now: now), 1472)
      if fresh > 0 { pacer.handleSent(bytes: fresh, now: now) }
      let repair = min(pacer.allowance(.repair, wanted: 1 << 20, now: now), 64 << 10)
      if repair > 0 { pacer.handleRepairSent(bytes: repair, now: now) }
      if fresh == 0, repair == 0 { break }
    }
    let next = try #require(pacer.nextDeadline)
    #expect(next > now)
    now = next
    let fresh = pacer.allowance(.fresh, wanted: 1 << 20, now: now)
    let repair = pacer.allowance(.repair, wanted: 1 << 20, now: now)
    #expect(fresh > 0 || repair > 0)
  }

  @Test(arguments: [8_000_000, 100_000_000])
  func `repairs that were told of once and never came don't starve new data`(rateMax: Int) {
    var pacer = pacer(rateMax: rateMax)
    _ = pacer.allowance(.repair, wanted: 1 << 20, now: 0)
    var sent = 0
    for step in 0..<100_000 {
      let now = UInt64(step) * 20_000
      let allowed = min(pacer.allowance(.fresh, wanted: 1 << 20, now: now), 64 << 10)
      guard allowed > 0 else { continue }
      pacer.handleSent(bytes: allowed, now: now)
      sent += allowed
    }
    #expect(sent > rateMax * 19 / 10, "\(sent) in two seconds")
  }

  @Test(arguments: [Int.max, .max - 1, 1 << 62, 1 << 53, 0, -1, .min])
  func `a cap that no path has, or nonsense, is no trap`(rateMax: Int) throws {
    var pacer = pacer(rateMax: rateMax)
    let rate = try #require(pacer.rate)
    #expect(rate >= 0 && rate <= max(rateMax, 0))
    let sent = drain(
      &pacer, from: 0, for: 1_000_000, step: 10_000, fresh: 1 << 40, repair: 1 << 40)
    #expect(rateMax > 1 ? sent.fresh > 1_000_000 : sent.fresh + sent.repair <= 256 << 10)
    for leg in 0..<2 {
      pacer.handleDelivery(
        Delivery(
          leg: leg, blocks: 700, lostBlocks: 350, socketDrops: 350, firstSentAt: 900_000,
          lastSentAt: 1_000_000), now: 1_000_000)
    }
    #expect(pacer.rate ?? 0 <= rate)
  }

  @Test func `a rate that was found binds repairs, too`() throws {
    var pacer = limited()
    let rate = try #require(pacer.rate)
    let sent = drain(
      &pacer, from: 2 * Self.second, for: Self.second, step: 20_000, fresh: 0, repair: 1 << 30)
    #expect(sent.repair <= rate + max(128 << 10, rate / 500))
    #expect(sent.repair > rate * 9 / 10)
  }

  @Test func `answers that make no sense are counted and change nothing`() {
    var pacer = pacer()
    pacer.handleSent(bytes: 1000, now: 1000)
    let bad = [
      Delivery(leg: 2, blocks: 1000, lostBlocks: 1000, firstSentAt: 0, lastSentAt: 10),
      Delivery(leg: -1, blocks: 1000, lostBlocks: 1000, firstSentAt: 0, lastSentAt: 10),
      Delivery(leg: 0, blocks: 0, lostBlocks: 7, firstSentAt: 0, lastSentAt: 10),
      Delivery(leg: 0, blocks: -5, lostBlocks: 7, firstSentAt: 0, lastSentAt: 10),
      Delivery(leg: 0, blocks: 1000, lostBlocks: 1000, firstSentAt: 20, lastSentAt: 10),
      Delivery(leg: 0, blocks: 1000, lostBlocks: 1000, firstSentAt: 0, lastSentAt: .max),
    ]
    for delivery in bad { pacer.handleDelivery(delivery, now: 20_000_000) }
    #expect(pacer.counters.invalidDeliveries == 6)
    #expect(pacer.rate == nil)
    pacer.handleDelivery(
      Delivery(
        leg: 0, blocks: .max, lostBlocks: .min, socketDrops: .max, firstSentAt: 0, lastSentAt: 0),
      now: .max)
    #expect(pacer.counters.invalidDeliveries == 7)
    pacer.handleLegChanged(9)
    #expect(pacer.lossFloor(leg: 9) == 0)
  }

  @Test func `one lost train is nobody's congestion`() {
    var pacer = pacer()
    for step in 1..<2000 {
      let now = UInt64(step) * 500_000
      pacer.handleSent(bytes: 44 * 1472, now: now)
      for leg in 0..<2 {
        pacer.handleDelivery(
          Delivery(
            leg: leg, blocks: 44, lostBlocks: leg == 0 && step % 500 == 7 ? 44 : 0,
            firstSentAt: now - 100_000, lastSentAt: now - 50_000), now: now)
      }
    }
    #expect(pacer.rate == nil && pacer.counters.tests == 0)
  }
}

import Foundation
import Synchronization
import Testing

@testable import Lanes

@Suite struct LaneIdleTests {
  /// Whether it looks again at once, at each of these times.
  func spins(_ spin: inout LaneSpin, at times: UInt64..., lanes: Int = 1) -> [Bool] {
    times.map { spin.continues(now: $0, lanes: lanes) }
  }

  @Test func `a lane spins for so long after its last work, then sleeps`() {
    var spin = LaneSpin(LaneIdle(spinNanoseconds: 100), coreCount: 2)
    #expect(spins(&spin, at: 1000, 1099, 1100, 1200) == [true, true, false, false])
    spin.noteWork()
    #expect(spins(&spin, at: 1200, 1299, 1300) == [true, true, false])
  }

  @Test func `by default it sleeps at once`() {
    var spin = LaneSpin(.blocks, coreCount: 64)
    #expect(spins(&spin, at: 1000) == [false])
  }

  @Test(arguments: [(1, 1, false), (1, 2, true), (2, 2, false), (3, 2, false), (3, 4, true)])
  func `it spins only while a core is left for the others`(lanes: Int, cores: Int, may: Bool) {
    var spin = LaneSpin(LaneIdle(spinNanoseconds: 100), coreCount: cores)
    #expect(spins(&spin, at: 1000, lanes: lanes) == [may])
    var told = LaneSpin(LaneIdle(spinNanoseconds: 100, coreCount: cores), coreCount: 1000)
    #expect(spins(&told, at: 1000, lanes: lanes) == [may])
  }

  @Test func `a spinning lane finds work without being woken, and stops when told`() throws {
    let trace = Trace()
    let ring = Ring<Int>(capacity: 64)
    let lane = try spinning(trace, ring, nanoseconds: 60_000_000_000)
    _ = try lane.start()
    for _ in 0..<10 { #expect(ring.push(1)) }
    #expect(trace.waitForEvent(), "it slept")
    // Far below the time that it would spin.
    lane.stop()
    #expect(trace.hasGone)
  }

  @Test func `a lane that spun and slept is woken as any other`() throws {
    let trace = Trace()
    let ring = Ring<Int>(capacity: 64)
    let lane = try spinning(trace, ring, nanoseconds: 1000)
    _ = try lane.start()
    for _ in 0..<2000 {
      let goal = trace.sum.load(ordering: .acquiring) + 1
      while !ring.push(1) { sched_yield() }
      lane.signal.wake()
      // Sometimes it spins still, sometimes it is about to sleep, sometimes it sleeps.
      var looks = 0
      while trace.sum.load(ordering: .acquiring) < goal, looks < 20_000_000 {
        looks += 1
        sched_yield()
      }
      try #require(trace.sum.load(ordering: .acquiring) == goal, "never woken")
    }
    lane.stop()
  }

  private func spinning(
    _ trace: Trace, _ ring: Ring<Int>, nanoseconds: UInt64
  ) throws -> Lane<AddingDuty> {
    let idle = LaneIdle(spinNanoseconds: nanoseconds, coreCount: 1 << 20)
    return try Lane(
      name: "spinning", placement: .anywhere, idle: idle, signal: Signal(),
      duty: AddingDuty(ring: ring, trace: trace, goal: 10))
  }
}

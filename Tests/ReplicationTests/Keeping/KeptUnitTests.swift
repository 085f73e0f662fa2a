import Bytes
import Testing

@testable import Replication

/// Who may do what with a kept unit, and what is durable when it is answered.
@Suite struct KeptUnitTests {
  let inSync: [MemberState] = [.inSync, .inSync]

  func refusal(_ answer: KeepingAnswer?) -> KeepingRefusal? {
    guard case .refused(let why, _)? = answer else { return nil }
    return why
  }

  func descriptor(_ answer: KeepingAnswer?) -> LegDescriptor? {
    guard case .description(let descriptor)? = answer else { return nil }
    return descriptor
  }

  @Test func `a blank leg is free, and its stores need no marks`() throws {
    var bench = try UnitBench()
    #expect(bench.unit.service == .free)
    let admission = bench.store(0..<3, number: 1)
    #expect(admission == .now)
    #expect(bench.marked == [])
    let answer = bench.ask(.claim(holder: 5))
    let found = try #require(descriptor(answer))
    #expect(found.record == nil)
    #expect(found.isIntact)
    #expect(bench.file.isEmpty)
    #expect(bench.unit.nextDeadline == nil)
  }

  @Test func `one session has it at a time, and the same holder's next one takes it over`() throws {
    var bench = try UnitBench.opened()
    let other = bench.ask(.claim(holder: 6), session: 2)
    #expect(refusal(other) == .held)
    let unclaimed = bench.ask(.marks(from: 0), session: 2)
    #expect(refusal(unclaimed) == .notClaimed)
    let again = bench.ask(.claim(holder: 5), session: 3)
    #expect(descriptor(again) != nil)
    #expect(!bench.unit.isOpen)
    let old = bench.ask(.marks(from: 0), session: 1)
    #expect(refusal(old) == .notClaimed)
    // The old session's end is not the new one's.
    bench.unit.handleSessionClosed(1, now: 0)
    let adopted = bench.ask(
      .adopt(KeepingBench.record(counter: 1, states: inSync), replaces: false), session: 3)
    #expect(adopted == .done)
    #expect(bench.unit.isOpen)
    bench.unit.handleSessionClosed(3, now: 0)
    #expect(!bench.unit.isOpen)
    let free = bench.ask(.claim(holder: 6), session: 2)
    #expect(descriptor(free) != nil)
  }

  @Test func `an adopted record is durable before it is answered`() throws {
    var bench = try UnitBench()
    bench.ask(.claim(holder: 5))
    bench.isHolding = true
    let record = KeepingBench.record(counter: 1, states: inSync)
    var waits = bench.ask(.adopt(record, replaces: false))
    #expect(waits == nil)
    #expect(bench.unit.record == nil)
    #expect(!bench.unit.isOpen)
    bench.letGo()
    #expect(bench.takeAnswers().map(\.answer) == [.done])
    #expect(bench.unit.record == record)
    #expect(bench.unit.service == .readable)
    // Its session ends while the next one is on its way: it is stored, and nobody has it open.
    bench.isHolding = true
    let next = KeepingBench.record(counter: 2, states: inSync)
    waits = bench.ask(.adopt(next, replaces: false))
    bench.unit.handleSessionClosed(1, now: 0)
    bench.letGo()
    #expect(bench.takeAnswers() == [])
    #expect(bench.unit.record == next)
    #expect(bench.unit.service == .mustBeOpened)
  }

  @Test func `a record gives way to a newer one of its mirror only, unless it is replaced`() throws
  {
    var bench = try UnitBench.opened()
    bench.ask(.adopt(KeepingBench.record(counter: 5, states: inSync), replaces: false))
    var half = KeepingBench.record(counter: 5, states: inSync)
    half.generation.id = 77
    var other = KeepingBench.record(counter: 9, states: inSync)
    other.mirror = 8
    let member = KeepingBench.record(counter: 9, states: inSync).of(2)
    let older = KeepingBench.record(counter: 4, states: inSync)
    for record in [half, other, member, older] {
      let answer = bench.ask(.adopt(record, replaces: false))
      #expect(refusal(answer) == .conflict)
    }
    #expect(bench.unit.record?.generation.counter == 5)
    let same = bench.ask(
      .adopt(KeepingBench.record(counter: 5, states: inSync), replaces: false))
    #expect(same == .done)
    for record in [half, other, member, older] {
      let answer = bench.ask(.adopt(record, replaces: true))
      #expect(answer == .done)
      #expect(bench.unit.record == record)
    }
    var bad = older
    bad.name = ""
    let refused = bench.ask(.adopt(bad, replaces: true))
    #expect(refusal(refused) == .badRequest)
  }

  @Test func `what is served follows the record and whether it is open`() throws {
    var bench = try UnitBench.opened(states: [.inSync, .absent])
    #expect(bench.unit.service == .readable)
    bench.unit.handleSessionClosed(1, now: 0)
    #expect(bench.unit.service == .mustBeOpened)
    for state in [MemberState.stale, .unequal, .absent] {
      var bench = try UnitBench.opened(states: [state, .inSync])
      #expect(bench.unit.service == .beingCopied)
      let admission = bench.store(0..<1, number: 1)
      #expect(admission == .later)
      bench.unit.handleSessionClosed(1, now: 0)
      #expect(bench.unit.service == .beingCopied)
    }
  }

  @Test func `a store waits until its region's mark is durable, and the next one doesn't`() throws {
    var bench = try UnitBench.opened()
    bench.isHolding = true
    let first = bench.store(7..<8, number: 1)
    #expect(first == .later)
    let rounds = bench.unit.roundsEnded
    bench.letGo()
    #expect(bench.unit.roundsEnded == rounds + 1)
    bench.isHolding = true
    let second = bench.store(7..<8, number: 1)
    let third = bench.store(7..<8, number: 2)
    #expect(second == .now)
    #expect(third == .now)
    #expect(bench.held.isEmpty)
    #expect(try bench.reloaded().marked == [7..<8])
    #expect(bench.unit.counters.waits == 1)
    #expect(bench.unit.counters.stores == 2)
    let outside = bench.store(64..<65, number: 3)
    #expect(outside == .never)
    bench.unit.handleSessionClosed(1, now: 0)
    let closed = bench.store(7..<8, number: 3)
    #expect(closed == .never)
  }

  @Test func `sequential writing waits at its start and never after`() throws {
    var bench = try UnitBench.opened(regions: 256)
    var waits: [Int] = []
    for region in 0..<256 {
      while bench.store(region..<region + 1, number: UInt32(region)) == .later {
        waits.append(region)
      }
    }
    #expect(waits == [0, 1])
    // 2 by need, and one for each 8 regions: not one a region.
    #expect(bench.unit.journalCounters.rounds < 40)
  }

  @Test func `once the journal has failed, stores and requests are refused`() throws {
    var bench = try UnitBench.opened()
    while bench.store(1..<2, number: 1) == .later {}
    bench.isHolding = true
    _ = bench.store(9..<10, number: 2)
    let waits = bench.ask(.mark([20..<21]))
    #expect(waits == nil)
    let request = bench.held.removeFirst()
    bench.carryOut(request, succeeds: false)
    bench.run()
    let answers = bench.takeAnswers().map { refusal($0.answer) }
    #expect(answers == [.storage])
    for region in [1, 9] {
      let admission = bench.store(region..<region + 1, number: 3)
      #expect(admission == .never)
    }
    let next = KeepingBench.record(counter: 2, states: inSync)
    let requests: [KeepingRequest] = [
      .mark([1..<2]), .synced([1..<2]), .adopt(next, replaces: false), .release,
    ]
    for request in requests {
      let answer = bench.ask(request)
      #expect(refusal(answer) == .storage)
    }
    #expect(bench.unit.record?.generation.counter == 1)
    // What it says of itself may be older than what its journal has.
    let claim = bench.ask(.claim(holder: 1))
    #expect(refusal(claim) == .storage)
  }

  @Test func `marks are told in pieces, and asked for in bounds`() throws {
    var bench = try UnitBench.opened(regions: 2000)
    let many = (0..<256).map { $0 * 4..<$0 * 4 + 1 }
    let marked = bench.ask(.mark(many))
    #expect(marked == .done)
    let more = bench.ask(.mark([1800..<1900]))
    #expect(more == .done)
    let first = bench.ask(.marks(from: 0))
    #expect(first == .marks(many, next: 1800))
    let second = bench.ask(.marks(from: 1800))
    #expect(second == .marks([1800..<1900], next: nil))
    let tooMany = many + [1..<2]
    for bad: KeepingRequest in [
      .mark([1999..<2001]), .mark([-1..<1]), .synced([2000..<2000]), .marks(from: -1),
      .mark(tooMany),
    ] {
      let answer = bench.ask(bad)
      #expect(refusal(answer) == .badRequest)
    }
    let again = try bench.reloaded()
    #expect(again.unit.marks.count == 356)
    #expect(!again.unit.isIntact)
  }

  @Test func `only so many requests wait at once`() throws {
    var bench = try UnitBench.opened()
    bench.isHolding = true
    for region in 0..<KeepingAsks.countMax { bench.ask(.mark([region..<region + 1])) }
    let answer = bench.ask(.mark([50..<51]))
    #expect(refusal(answer) == .badRequest)
    bench.letGo()
    #expect(bench.takeAnswers().map(\.answer) == [KeepingAnswer](repeating: .done, count: 16))
  }

  @Test func `a release is durable, and voids the marks and what waits for them`() throws {
    var bench = try UnitBench.opened()
    while bench.store(1..<4, number: 1) == .later {}
    bench.isHolding = true
    bench.ask(.release)
    bench.ask(.mark([9..<10]))
    #expect(bench.unit.record != nil)
    bench.letGo()
    #expect(bench.takeAnswers().map(\.answer).filter { $0 == .done }.count == 2)
    #expect(bench.unit.service == .free)
    #expect(bench.marked == [])
    let after = try bench.reloaded()
    #expect(after.unit.service == .free)
    #expect(after.unit.isIntact)
    let twice = bench.ask(.release)
    #expect(twice == .done)
    let next = bench.ask(.adopt(KeepingBench.record(counter: 1, states: inSync), replaces: false))
    #expect(next == .done)
    #expect(bench.marked == [])
    #expect(try bench.reloaded().unit.record == bench.unit.record)
  }

  @Test func `a record that only the page cache has is made safe before the next one is written`()
    throws
  {
    for seed in 0..<200 {
      var random = SeededRandom(UInt64(seed))
      var bench = try UnitBench.opened()
      bench.isHolding = true
      bench.ask(.adopt(KeepingBench.record(counter: 2, states: inSync), replaces: false))
      bench.carryOut(bench.held.removeFirst())
      bench.file.failFlush(upTo: bench.file.flushPoint)
      // The process is started again, and finds what the flush didn't bring.
      var next = try bench.reloaded()
      #expect(next.unit.record?.generation.counter == 2)
      next.ask(.claim(holder: 7))
      next.isHolding = true
      next.ask(.adopt(KeepingBench.record(counter: 3, states: inSync), replaces: false))
      while next.unit.roundsEnded == 0 {
        next.carryOut(next.held.removeFirst())
        next.run()
      }
      for request in next.held { next.carryOut(request) }
      next.file.loseCache(using: &random)
      let counter = try next.reloaded().unit.record?.generation.counter
      #expect(counter == 2 || counter == 3)
    }
  }
}

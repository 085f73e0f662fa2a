import Bytes
import Testing

@testable import Replication

/// When marks go: by themselves, by `synced`, by a mirror's end in order, and when they must not.
@Suite struct KeptUnitClearingTests {
  /// An open unit with one write in region 3, stored here.
  func written(
    states: [MemberState] = [.inSync, .inSync], hasEnded: Bool = true
  ) throws -> UnitBench {
    var bench = try UnitBench.opened(states: states)
    while bench.store(3..<4, number: 1) == .later {}
    if hasEnded { bench.end(below: 2) }
    return bench
  }

  func onDisk(_ bench: UnitBench) throws -> [Range<Int>] { try bench.reloaded().marked }

  @Test func `a region that was left alone for two periods loses its mark after a flush`() throws {
    var bench = try written()
    let flushes = bench.unit.journalCounters.flushes
    bench.wait(periods: 2)
    #expect(bench.marked == [3..<4])
    #expect(bench.unit.journalCounters.mediumFlushes == 0)
    bench.wait()
    #expect(bench.marked == [])
    #expect(bench.unit.journalCounters.mediumFlushes == 1)
    // On the disk it goes with the next round, or a period later.
    #expect(bench.unit.journalCounters.flushes == flushes)
    #expect(try onDisk(bench) == [3..<4])
    #expect(bench.unit.nextDeadline == bench.now + bench.unit.clearNanoseconds)
    bench.wait()
    #expect(try onDisk(bench) == [])
    #expect(bench.unit.journalCounters.flushes == flushes + 1)
    #expect(bench.unit.nextDeadline == nil)
  }

  @Test func `the next round takes it along`() throws {
    var bench = try written()
    bench.wait(periods: 3)
    while bench.store(40..<41, number: 2) == .later {}
    #expect(try onDisk(bench) == [40..<41])
  }

  @Test func `a write that is open somewhere keeps the mark, and so does one every period`() throws
  {
    var bench = try written(hasEnded: false)
    bench.wait(periods: 9)
    #expect(bench.marked == [3..<4])
    for number in 2..<9 {
      let admission = bench.store(3..<4, number: UInt32(number))
      #expect(admission == .now)
      bench.end(below: UInt32(number) + 1)
      bench.wait()
    }
    #expect(bench.marked == [3..<4])
    #expect(bench.unit.journalCounters.mediumFlushes == 0)
  }

  @Test func `what is written, or ends, while the medium is flushed isn't covered`() throws {
    var bench = try written()
    while bench.store(10..<11, number: 2) == .later {}
    bench.end(below: 3)
    bench.wait(periods: 2)
    bench.isHolding = true
    bench.wait()
    #expect(bench.held.map(\.work) == [.flushMedium])
    #expect(bench.unit.nextDeadline == nil)
    let admission = bench.store(3..<4, number: 3)
    #expect(admission == .now)
    bench.end(below: 4)
    bench.letGo()
    #expect(bench.marked == [3..<4])
  }

  @Test func `nothing goes while a member lacks something`() throws {
    for states in [[MemberState.inSync, .absent], [.inSync, .stale], [.unequal, .inSync]] {
      var bench = try written(states: states)
      #expect(bench.unit.nextDeadline == nil)
      bench.wait(periods: 9)
      #expect(bench.marked == [3..<4])
    }
    // Nor by a flush that was under way when the member left.
    var bench = try written()
    bench.wait(periods: 2)
    bench.isHolding = true
    bench.wait()
    let flush = bench.held.removeFirst()
    bench.isHolding = false
    // Which doesn't wait for it.
    let left = bench.ask(
      .adopt(KeepingBench.record(counter: 2, states: [.inSync, .absent]), replaces: false))
    #expect(left == .done)
    bench.carryOut(flush)
    bench.run()
    #expect(bench.marked == [3..<4])
  }

  @Test func `writes of a part that went keep their marks until all were made equal`() throws {
    var bench = try written(hasEnded: false)
    while bench.store(8..<9, number: 1, part: 2) == .later {}
    bench.end(below: 2, part: 2)
    bench.unit.handlePartEnded(part: 1, holder: 7)
    bench.unit.handlePartEnded(part: 2, holder: 7)
    bench.wait(periods: 9)
    #expect(bench.marked == [3..<4])
    // The same generation again, or one more of which all are in sync, says nothing.
    for counter in [1, 2] {
      bench.ask(
        .adopt(
          KeepingBench.record(counter: UInt64(counter), states: [.inSync, .inSync]),
          replaces: false))
      bench.wait(periods: 9)
      #expect(bench.marked == [3..<4])
    }
    // Nor does anybody who can't know yet that these parts are gone.
    #expect(bench.ask(.synced([0..<20])) == .done)
    #expect(bench.marked == [3..<4])
    #expect(bench.ask(.expel(guest: 7)) == .done)
    // But after one of which not all were, it does.
    bench.ask(
      .adopt(KeepingBench.record(counter: 3, states: [.inSync, .unequal]), replaces: false))
    bench.wait(periods: 9)
    #expect(bench.marked == [3..<4])
    bench.ask(
      .adopt(KeepingBench.record(counter: 4, states: [.inSync, .inSync]), replaces: false))
    #expect(bench.marked == [3..<4])
    bench.wait(periods: 4)
    #expect(bench.marked == [])
  }

  @Test func `marks that were found or asked for stay until they are said to be equal`() throws {
    var bench = try written().reloaded()
    bench.ask(.claim(holder: 6))
    bench.ask(
      .adopt(KeepingBench.record(counter: 2, states: [.inSync, .inSync]), replaces: false))
    bench.ask(.mark([20..<22]))
    bench.wait(periods: 9)
    #expect(bench.marked == [3..<4, 20..<22])
    let answer = bench.ask(.synced([0..<21]))
    #expect(answer == .done)
    #expect(bench.marked == [21..<22])
    #expect(try onDisk(bench) == [21..<22])
    #expect(bench.unit.counters.keptMarks == 0)
  }

  @Test func `synced is answered after a flush that began later, with the marks away`() throws {
    var bench = try written(states: [.inSync, .stale])
    while bench.store(5..<6, number: 2) == .later {}
    bench.end(below: 3)
    bench.isHolding = true
    bench.ask(.synced([5..<6]))
    let first = bench.held.removeFirst()
    // Another request while that flush runs wants one of its own.
    bench.ask(.synced([3..<4]))
    #expect(bench.held.isEmpty)
    bench.carryOut(first)
    bench.run()
    let kinds = bench.held.map(\.work)
    #expect(kinds.contains(.flushMedium))
    #expect(kinds.count == 2)
    #expect(bench.takeAnswers() == [])
    #expect(try onDisk(bench) == [3..<4, 5..<6])
    bench.letGo()
    #expect(bench.takeAnswers().map(\.answer) == [.done, .done])
    #expect(try onDisk(bench) == [])
  }

  @Test func `synced leaves what is written meanwhile, and what is open`() throws {
    var bench = try written(states: [.inSync, .stale])
    while bench.store(5..<7, number: 2) == .later {}
    while bench.store(30..<31, number: 3) == .later {}
    bench.end(below: 3)
    bench.isHolding = true
    bench.ask(.synced([0..<64]))
    let admission = bench.store(6..<7, number: 4)
    #expect(admission == .now)
    bench.end(below: 5)
    bench.letGo()
    #expect(bench.takeAnswers().map(\.answer) == [.done])
    // 6 was written, and 30 had not ended when the flush began.
    #expect(bench.marked == [6..<7, 30..<31])
    #expect(bench.unit.counters.keptMarks == 2)
  }

  @Test func `a mirror that ends in order leaves no marks, and its leg is read`() throws {
    var bench = try written()
    bench.isHolding = true
    bench.ask(.close)
    #expect(bench.held.map(\.work) == [.flushMedium])
    let admission = bench.store(3..<4, number: 2)
    #expect(admission == .never)
    bench.letGo()
    #expect(bench.takeAnswers().map(\.answer) == [.done])
    #expect(!bench.unit.isOpen)
    let twice = bench.ask(.close)
    #expect(twice == .done)
    var after = try bench.reloaded()
    #expect(after.marked == [])
    #expect(after.unit.isIntact)
    #expect(after.unit.service == .readable)
    after.ask(.claim(holder: 9))
    after.ask(.adopt(KeepingBench.record(counter: 1, states: [.inSync, .inSync]), replaces: false))
    #expect(after.unit.record?.isClosed == false)
    #expect(try after.reloaded().unit.service == .mustBeOpened)
  }

  @Test func `the end of a mirror that lacks a member leaves all marks`() throws {
    var bench = try written(states: [.inSync, .absent])
    let answer = bench.ask(.close)
    #expect(answer == .done)
    let after = try bench.reloaded()
    #expect(after.marked == [3..<4])
    #expect(after.unit.isIntact)
    #expect(after.unit.record?.isClosed == true)
  }

  @Test func `after a flush of the medium that failed nothing is trusted to be there`() throws {
    var bench = try written()
    bench.isHolding = true
    let refused = bench.ask(.synced([3..<4]))
    #expect(refused == nil)
    let flush = bench.held.removeFirst()
    bench.carryOut(flush, succeeds: false)
    bench.letGo()
    guard case .refused(.storage, _)? = bench.takeAnswers().last?.answer else {
      Issue.record("a flush that failed is no synced")
      return
    }
    bench.wait(periods: 9)
    #expect(bench.marked == [3..<4])
    let answer = bench.ask(.synced([3..<4]))
    #expect(answer == .done)
    #expect(bench.marked == [])
  }

  @Test func `when its session ends, what waits is dropped and marks stay`() throws {
    var bench = try written()
    bench.isHolding = true
    bench.ask(.synced([3..<4]))
    bench.ask(.close)
    bench.unit.handleSessionClosed(1, now: 0)
    bench.letGo()
    #expect(bench.takeAnswers() == [])
    #expect(bench.marked == [3..<4])
    #expect(bench.unit.record?.isClosed == false)
    // The same by an initiator that reconnects.
    bench.ask(.claim(holder: 5), session: 2)
    bench.ask(
      .adopt(KeepingBench.record(counter: 2, states: [.inSync, .inSync]), replaces: false),
      session: 2)
    bench.isHolding = true
    bench.ask(.synced([3..<4]), session: 2)
    bench.ask(.claim(holder: 5), session: 3)
    bench.letGo()
    #expect(!bench.takeAnswers().contains { $0.answer == .done })
    #expect(bench.marked == [3..<4])
  }
}

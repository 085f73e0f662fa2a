import Synchronization
import Testing

@testable import Mirrorcast

@Suite struct `Memory for data in flight` {
  @Test func `is shared out in the order of the line`() {
    var ledger = TransferLedger(byteCountMax: 100)
    let results = [
      ledger.take(60, for: 1), ledger.take(50, for: 2), ledger.take(10, for: 3),
    ]
    #expect(results == [true, false, false], "a small one does not overtake a large one")
    #expect(ledger.isFull)
    let none = ledger.next()
    #expect(none == nil)
    ledger.give(60)
    let (second, third) = (ledger.next(), ledger.next())
    #expect(second?.id == 2 && third?.id == 3 && ledger.taken == 60)
    #expect(!ledger.isFull)
  }

  @Test func `what alone is too much goes alone`() {
    var ledger = TransferLedger(byteCountMax: 100)
    let large = ledger.take(500, for: 1)
    let small = ledger.take(1, for: 2)
    #expect(large && !small)
    ledger.give(500)
    let next = ledger.next()
    #expect(next?.id == 2 && ledger.taken == 1)
  }

  @Test func `what has come unasked is counted, and holds others back`() {
    var ledger = TransferLedger(byteCountMax: 100)
    ledger.takeAnyway(150)
    #expect(ledger.isFull && ledger.taken == 150)
    let taken = ledger.take(10, for: 1)
    ledger.forget(1)
    ledger.give(150)
    let next = ledger.next()
    #expect(!taken && next == nil && ledger.taken == 0)
  }

  @Test func `an account gives back all it has, also what comes after its end`() {
    let budget = TransferBudget(byteCountMax: 100)
    let calls = Mutex<[Int]>([])
    var (one, other) = (TransferAccount(budget, id: 1), TransferAccount(budget, id: 2))
    let isTaken = one.reserve(80) { _ in }
    one.need(80)
    one.settle()
    let isWaiting = !other.reserve(50) { count in calls.withLock { $0.append(count) } }
    #expect(isTaken && isWaiting && budget.taken == 80)
    one.close()
    #expect(calls.withLock { $0 } == [50] && budget.taken == 50)
    other.close()
    other.granted(50)
    #expect(budget.taken == 0)
  }

  @Test func `an account that waits no longer is out of line`() {
    let budget = TransferBudget(byteCountMax: 100)
    var (one, other) = (TransferAccount(budget, id: 1), TransferAccount(budget, id: 2))
    _ = one.reserve(100) { _ in }
    one.need(100)
    _ = other.reserve(1) { _ in Issue.record("granted after its end") }
    other.close()
    one.need(30)
    one.settle()
    #expect(budget.taken == 30 && !budget.isFull)
    one.close()
    #expect(budget.taken == 0)
  }
}

import Testing

@testable import Mirrorcast

@Suite struct `Memory that others wait for` {
  @Test func `is held by who gets on from look to look`() {
    var watch = HoldingWatch()
    let rows: [(look: UInt64, moved: UInt64, isStill: Bool)] = [
      (1, 0, false), (2, 100, false), (3, 199, true), (4, 299, false), (5, 299, true),
      // Another contention.
      (7, 299, false), (8, 299, true),
    ]
    for row in rows {
      let isStill = watch.isStill(look: row.look, moved: row.moved, least: 100)
      #expect(isStill == row.isStill, "\(row)")
    }
    // It has owed nothing meanwhile.
    watch.excuse()
    let isStill = watch.isStill(look: 9, moved: 299, least: 100)
    #expect(!isStill && watch.isMarked)
  }

  @Test func `lets who has none take a little`() {
    let budget = TransferBudget(byteCountMax: 100)
    var other = TransferAccount(budget, id: 1)
    let isFull = other.reserve(100) { _ in }
    var account = TransferAccount(budget, id: 2, reserve: 10)
    let tooMuch = account.reserve(11) { _ in }
    account.close()
    var another = TransferAccount(budget, id: 3, reserve: 10)
    let isLittle = another.reserve(10) { _ in }
    another.need(10)
    let isMore = another.reserve(1) { _ in }
    #expect(isFull && !tooMuch && isLittle && !isMore && budget.taken == 110)
    another.close()
    other.need(100)
    other.close()
    #expect(budget.taken == 0)
  }

  /// How a session sends data, every half second, and whether it is cut.
  enum Row: CaseIterable {
    case dripsAlone, dripsWhileOthersWait, getsOnWhileOthersWait
  }

  @Test(arguments: Row.allCases)
  func `is not held by who lets data drip`(row: Row) throws {
    let target = try VirtualTarget()
    #expect(try target.logIn() == 0)
    let request = try #require(try target.write(blocks: 1024, tag: 1))
    let writes = target.serving.writes
    if row != .dripsAlone {
      #expect(!writes.take(target.serving.limits.writeBytesInAllMax, for: 99) { _ in })
    }
    target.serving.contention.begin(target.serving, on: target.channel.eventLoop)
    for number: UInt32 in 0..<12 where target.isOpen {
      let byteCount = row == .getsOnWhileOthersWait ? 16_384 : 512
      try target.sendData(byteCount, number: number, for: request)
      target.pass(500)
    }
    let isCut = row == .dripsWhileOthersWait
    #expect(target.isOpen != isCut)
    #expect(target.register.statistics.contended == (isCut ? 1 : 0))
    target.pass(1)
    // Who has waited has got all.
    if isCut { #expect(writes.taken == target.serving.limits.writeBytesInAllMax) }
    writes.forget(99)
  }

  @Test(arguments: Row.allCases)
  func `is not held by who does not take its data`(row: Row) throws {
    let target = try VirtualTarget()
    #expect(try target.logIn() == 0)
    target.plug.isShut = true
    try target.read(blocks: 2048, tag: 1)
    #expect(target.plug.heldCount > 3)
    let reads = target.serving.reads
    if row != .dripsAlone {
      #expect(!reads.take(target.serving.limits.readBytesInAllMax, for: 99) { _ in })
    }
    target.serving.contention.begin(target.serving, on: target.channel.eventLoop)
    let context = try target.channel.pipeline.syncOperations.context(handler: target.plug)
    for _ in 0..<3 where target.isOpen {
      target.pass(2_000)
      if row == .getsOnWhileOthersWait { target.plug.takeOne(context) }
    }
    let isCut = row == .dripsWhileOthersWait
    #expect(target.isOpen != isCut)
    #expect(target.register.statistics.contended == (isCut ? 1 : 0))
    reads.forget(99)
  }
}

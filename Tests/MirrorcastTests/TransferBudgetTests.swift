import SCSI
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

  /// Eight sessions want 128 MiB at once, and there is 1 MiB for each direction: less than a
  /// command has, and shared by WRITEs with R2T, WRITEs without, and READs, at a worker's disk and
  /// in memory.
  @Test func `is enough for all, however little it is`() async throws {
    let scratch = try ScratchDirectory()
    var limits = TargetLimits()
    limits.readBytesInAllMax = 1 << 20
    limits.writeBytesInAllMax = 1 << 20
    let units = ["0=memory:64M", "1=file:\(scratch.path)/disk.img,size=64M"]
    try await TargetScene.serving(units, limits: limits) { scene in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<8 {
          group.addTask { try await Self.work(scene.port, index) }
        }
        try await group.waitForAll()
      }
      let serving = try #require(scene.daemon.running.withLock { $0?.serving })
      try await eventually { serving.reads.taken == 0 && serving.writes.taken == 0 }
    }
  }

  private static func work(_ port: Int, _ index: Int) async throws {
    let connection = try await InitiatorConnection.open(
      host: "127.0.0.1", port: port,
      login: InitiatorLoginRequest(
        identity: .init(name: "iqn.2026-01.test:host\(index)"), targetName: TargetScene.name),
      logger: TargetScene.logger)
    let lun = try #require(LogicalUnitNumber(index % 2))
    let place = (index / 2) << 24
    let (large, small) = (pattern(4 << 20, UInt8(index)), pattern(65_536, UInt8(index + 100)))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for part in 0..<4 {
        group.addTask {
          let offset = place + part << 22
          let first = try await written(connection, lun, large[...], at: offset).get()
          let second = try await written(connection, lun, small[...], at: offset).get()
          let blocks = BlockRange(address: UInt64(offset / 512), count: 8192)
          let read = try await connection.command(
            lun: lun, .read16(blocks), transfer: .read(lengthMax: 4 << 20))
          let isRight = read.data == small + large[65_536...]
          #expect(first.isGood && second.isGood && isRight)
        }
      }
      try await group.waitForAll()
    }
    await connection.close()
  }
}

@Suite struct `Memory for what may be asked for again` {
  @Test func `is given to those who keep something, as long as there is some`() {
    let budget = RecoveryBudget(byteCountMax: 100)
    #expect(budget.change(from: 0, to: 60) == 60)
    #expect(budget.change(from: 0, to: 60) == 40)
    #expect(budget.change(from: 0, to: 1) == 0 && budget.taken == 100)
    #expect(budget.change(from: 60, to: 10) == 10 && budget.taken == 50)
    #expect(budget.change(from: 40, to: 60) == 60 && budget.taken == 70)
    #expect(budget.change(from: 60, to: 0) == 0)
    #expect(budget.change(from: 10, to: 0) == 0 && budget.taken == 0)
  }
}

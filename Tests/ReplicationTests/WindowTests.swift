import Bytes
import Testing

@testable import Replication

/// Late datagrams, fences and epochs: nothing old reaches anything new.
@Suite struct WindowTests {
  let bench = DatagramWorkbench()
  let block = [UInt8](repeating: 1, count: 512)

  @Test func `late datagrams of an ended write are dropped inside and below the window`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 1, immediate: block))
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    _ = receiver.takeAnswers()
    // First sendings and duplicates say nothing, a repair repeats the answer.
    try receiver.take(bench.command(0, blocks: 1, immediate: block))
    let answers1 = receiver.takeAnswers()
    #expect(answers1 == [])
    try receiver.take(bench.command(0, blocks: 1, immediate: block, flags: .repair))
    let answers2 = receiver.takeAnswers()
    #expect(answers2.count == 1)
    try receiver.take(bench.command(9, blocks: 2, lowest: 9))
    _ = receiver.takeAnswers()
    try receiver.take(bench.command(0, blocks: 1, immediate: block))
    try receiver.take(bench.data(0, block: 0, of: 2))
    #expect(receiver.counters.late == 2)
    #expect(receiver.answers == [])
    #expect(receiver.openCount == 1)
  }

  @Test func `a slot freed by the window doesn't take its old write's data`() throws {
    var receiver = bench.receiver()
    // Write 0 is being stored and holds the window; write 1 collects and is given up.
    try receiver.take(bench.command(0, blocks: 1, immediate: block))
    try receiver.take(bench.command(1, address: 20, blocks: 2))
    receiver.handleSync([], lowestOpen: SerialNumber(2), now: 0)
    try receiver.take(bench.command(2, address: 40, blocks: 2))
    // Whatever slot write 2 has, data of write 1 must not land in it.
    let placement1 = try receiver.take(bench.data(1, block: 0, of: 2))
    #expect(placement1 == .nowhere)
    #expect(receiver.writes.filter { $0.phase == .collecting }.count <= 2)
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    receiver.handleSync([], lowestOpen: SerialNumber(2), now: 0)
    #expect(receiver.lowestNumber == SerialNumber(2))
    let placement2 = try receiver.take(bench.data(1, block: 0, of: 2))
    #expect(placement2 == .nowhere)
    let number = SerialNumber(2)
    #expect(receiver.writes.allSatisfy { $0.phase == .idle || $0.number == number })
  }

  @Test func `a freed slot used again keeps out data while the window is held`() throws {
    var receiver = bench.receiver()
    // Slot 0 collects write 1, slot 1 stores write 0.
    try receiver.take(bench.command(1, address: 20, blocks: 2))
    try receiver.take(bench.command(0, blocks: 1, immediate: block))
    receiver.handleSync([], lowestOpen: SerialNumber(2), now: 0)
    #expect(receiver.lowestNumber == SerialNumber(0))
    try receiver.take(bench.command(2, address: 40, blocks: 2))
    let before = receiver.writes
    let placement3 = try receiver.take(bench.data(1, block: 0, of: 2))
    #expect(placement3 == .nowhere)
    for (slot, write) in receiver.writes.enumerated() {
      #expect(write.missing == before[slot].missing)
    }
    // Nor does a fence of the old number end the new write.
    receiver.handleFence(SerialNumber(1), epoch: 1)
    #expect(receiver.openCount == 2)
    try receiver.take(bench.data(2, block: 0, of: 2))
    #expect(receiver.counters.blocks == 2)
  }

  @Test func `a fence holds before, during and after a write`() throws {
    var receiver = bench.receiver()
    let fenced = { (number: UInt32) in
      [ReceiverAnswer.fenced(SerialNumber(number), epoch: 1)]
    }
    // Never seen: remembered.
    receiver.handleFence(SerialNumber(3), epoch: 1)
    let answers3 = receiver.takeAnswers()
    #expect(answers3 == fenced(3))
    try receiver.take(bench.command(3, blocks: 2))
    #expect(receiver.answers == [])
    #expect(receiver.isQuiescent)
    // While it collects.
    try receiver.take(bench.command(4, blocks: 2))
    _ = receiver.takeAnswers()
    receiver.handleFence(SerialNumber(4), epoch: 1)
    let answers4 = receiver.takeAnswers()
    #expect(answers4 == fenced(4) && receiver.isQuiescent)
    let placement4 = try receiver.take(bench.data(4, block: 0, of: 2))
    #expect(placement4 == .nowhere)
    // While I/O runs: answered when it is done, and no response.
    try receiver.take(bench.command(5, blocks: 1, immediate: block))
    receiver.handleFence(SerialNumber(5), epoch: 1)
    receiver.handleFence(SerialNumber(5), epoch: 1)
    let answers5 = receiver.takeAnswers()
    #expect(answers5 == [])
    let slot = receiver.stores[0].slot
    receiver.handleStored(slot: slot, unit: 0, status: 0, sense: [])
    let answers6 = receiver.takeAnswers()
    #expect(answers6 == fenced(5))
    // Ended already.
    try receiver.take(bench.command(6, blocks: 1, immediate: block))
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    _ = receiver.takeAnswers()
    receiver.handleFence(SerialNumber(6), epoch: 1)
    let answers7 = receiver.takeAnswers()
    #expect(answers7 == fenced(6))
    // Below the window.
    receiver.handleSync([], lowestOpen: SerialNumber(100), now: 0)
    receiver.handleFence(SerialNumber(7), epoch: 1)
    let answers8 = receiver.takeAnswers()
    #expect(answers8 == fenced(7))
  }

  @Test func `a fence just beyond a window that lags is remembered`() throws {
    var receiver = bench.receiver()
    receiver.handleFence(SerialNumber(1030), epoch: 1)
    let answers9 = receiver.takeAnswers()
    #expect(answers9 == [.fenced(SerialNumber(1030), epoch: 1)])
    try receiver.take(bench.command(1030, blocks: 2, lowest: 1020))
    #expect(receiver.answers == [])
    #expect(receiver.isQuiescent)
  }

  @Test func `a fence that can't be remembered is not promised`() throws {
    var receiver = bench.receiver()
    receiver.handleFence(SerialNumber(50_000), epoch: 1)
    let answers10 = receiver.takeAnswers()
    #expect(answers10 == [])
    // Nor where running I/O holds the window.
    try receiver.take(bench.command(0, blocks: 1, immediate: block))
    receiver.handleFence(SerialNumber(1030), epoch: 1)
    let answers11 = receiver.takeAnswers()
    #expect(answers11 == [])
  }

  @Test func `numbers too far ahead are dropped and leave the window where it is`() throws {
    var receiver = bench.receiver()
    #expect(throws: DatagramFault.number) { try receiver.take(bench.command(1024, blocks: 2)) }
    try receiver.take(bench.command(5000, blocks: 2, lowest: 4999))
    #expect(receiver.counters.beyondWindow == 1)
    #expect(receiver.lowestNumber == SerialNumber(0))
    try receiver.take(bench.command(1023, blocks: 2))
    let answers12 = receiver.takeAnswers()
    #expect(answers12.count == 1)
  }

  @Test func `a write belongs to its own epoch only`() throws {
    var receiver = bench.receiver()
    var newer = bench
    newer.epoch = 2
    let installed = [(2, 10), (2, 11), (1, 12)].map { (epoch: UInt16, first: UInt32) in
      receiver.handleEpoch(epoch, firstWrite: SerialNumber(first))
    }
    #expect(installed == [true, false, false])
    try receiver.take(newer.command(9, blocks: 2))
    try receiver.take(bench.command(10, blocks: 2))
    #expect(receiver.counters.staleEpoch == 2 && receiver.isQuiescent)
    try receiver.take(bench.command(9, address: 0, blocks: 2))
    try receiver.take(newer.command(10, address: 40, blocks: 2))
    #expect(receiver.openCount == 2)
    try receiver.take(newer.data(9, block: 0, of: 2))
    #expect(receiver.counters.staleEpoch == 3)
  }

  @Test func `an epoch without writes costs no room, one too many is refused`() {
    var table = EpochTable(first: 1, firstWrite: SerialNumber(0))
    for epoch: UInt16 in 2..<40 {
      let isNew = table.install(epoch, firstWrite: SerialNumber(5))
      #expect(isNew)
    }
    #expect(table.epoch(of: SerialNumber(4)) == 1 && table.epoch(of: SerialNumber(5)) == 39)
    // Epochs 1 and 39 are there: room is for 14 more.
    for epoch: UInt16 in 40..<54 {
      let isNew = table.install(epoch, firstWrite: SerialNumber(UInt32(epoch) - 34))
      #expect(isNew)
    }
    let isTaken = table.install(54, firstWrite: SerialNumber(20))
    #expect(!isTaken)
    #expect(table.epoch(of: SerialNumber(4)) == 1)
    table.forget(below: SerialNumber(5))
    let isInstalled = table.install(54, firstWrite: SerialNumber(20))
    #expect(isInstalled)
  }

  @Test func `half a circle of writes later an epoch still covers its numbers`() {
    var table = EpochTable(first: 7, firstWrite: SerialNumber(0))
    var number = SerialNumber(0)
    for _ in 0..<40 {
      number = number.advanced(by: 1 << 28)
      table.forget(below: number)
      #expect(table.covers(number, 7), "\(number.rawValue)")
      let isInstalled = table.install(8, firstWrite: number.advanced(by: -1))
      #expect(!isInstalled)
    }
  }

  @Test func `a ring of states forgets what leaves it and nothing else`() {
    for start: UInt32 in [0, 0xffff_fff0, 0x7fff_fff8] {
      var window = WriteWindow(lowest: SerialNumber(start))
      for step in 0..<1024 {
        window[SerialNumber(start).advanced(by: step)] = .ended(status: UInt8(step & 0xff))
      }
      #expect(window.place(of: SerialNumber(start).advanced(by: 1024)) == .beyond)
      #expect(window.place(of: SerialNumber(start).advanced(by: -1)) == .below)
      window.advance(to: SerialNumber(start).advanced(by: 24))
      for step in 24..<1024 {
        let state = window[SerialNumber(start).advanced(by: step)]
        #expect(state == .ended(status: UInt8(step & 0xff)))
      }
      for step in 1024..<1048 {
        #expect(window[SerialNumber(start).advanced(by: step)] == .unseen)
      }
      window.advance(to: SerialNumber(start).advanced(by: 5000))
      #expect(window[SerialNumber(start).advanced(by: 5001)] == .unseen)
    }
  }
}

import Bytes
import ISCSI
import Testing

@testable import Replication

/// Data that goes out with its command: the first block in it, the rest behind it, without R2T.
@Suite struct UnsolicitedTests {
  let bench = DatagramWorkbench()

  private func block(_ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: 512) }

  private func command(
    _ number: UInt32, blocks: UInt32, lowest: UInt32 = 0, flags: Datagram.Flags = []
  ) -> [UInt8] {
    bench.command(number, blocks: blocks, lowest: lowest, immediate: block(0), flags: flags) {
      if blocks > 1 { $0.flags = 0x21 }
    }
  }

  private func data(
    _ number: UInt32, _ index: Int, of blocks: Int, bytes: [UInt8]? = nil,
    edit: (inout BasicHeaderSegment) -> Void = { _ in }
  ) -> [UInt8] {
    bench.data(number, block: index, of: blocks, bytes: bytes) {
      $0.word20 = 0xffff_ffff
      edit(&$0)
    }
  }

  @Test func `one flight is a whole write, and nobody is asked for readiness`() throws {
    var receiver = bench.receiver()
    try receiver.take(command(0, blocks: 3))
    for index in 1..<3 { try receiver.take(data(0, index, of: 3)) }
    let answers = receiver.takeAnswers()
    #expect(answers == [])
    #expect(receiver.stores.count == 1 && receiver.stores[0].length == 3 * 512)
  }

  @Test func `data that came before its command is kept, in any order`() throws {
    for order in [[1, 2, 0], [2, 1, 0], [2, 0, 1], [1, 0, 2]] {
      var receiver = bench.receiver()
      var placements: [Placement] = []
      for index in order {
        placements.append(
          try receiver.take(index == 0 ? command(0, blocks: 3) : data(0, index, of: 3)))
      }
      let expected = order.map { Placement.store(slot: 0, offset: $0 * 512, length: 512) }
      let early = order.prefix { $0 != 0 }.count
      #expect(placements == expected, "\(order)")
      #expect(receiver.stores.map(\.length) == [3 * 512], "\(order)")
      #expect(receiver.counters.early == UInt64(early))
    }
  }

  @Test func `a write that began early waits in its buffer though memory could take it`() throws {
    var configuration = bench.receiver().configuration
    configuration.placesDirectly = true
    var receiver = Receiver(configuration)
    let early = try receiver.take(data(0, 2, of: 3))
    let later = try receiver.take(command(0, blocks: 3))
    #expect(early == .store(slot: 0, offset: 1024, length: 512))
    #expect(later == .store(slot: 0, offset: 0, length: 512))
    try receiver.take(data(0, 1, of: 3))
    #expect(receiver.stores.map(\.length) == [3 * 512])
    // The next one is in order: nothing to store, and its answer is there at once.
    let direct = try receiver.take(command(1, blocks: 1))
    #expect(direct == .medium(slot: 1, byteOffset: 8 * 512, length: 512))
    let answers = receiver.takeAnswers()
    #expect(answers == [.response(SerialNumber(1), status: 0, sense: [], units: [])])
  }

  @Test func `what came early and doesn't fit the command comes again`() throws {
    let misfits: [(String, [UInt8])] = [
      ("a block behind the end", data(0, 5, of: 8)),
      ("a whole block where the last one is short", data(0, 2, of: 8)),
      ("another last block", data(0, 1, of: 2)),
    ]
    for (what, early) in misfits {
      var receiver = bench.receiver()
      try receiver.take(early)
      try receiver.take(command(0, blocks: 3))
      #expect(receiver.counters.misplaced == 1, "\(what)")
      for index in 1..<3 { try receiver.take(data(0, index, of: 3)) }
      #expect(receiver.stores.count == 1, "\(what)")
    }
  }

  @Test func `data that no command could have is dropped and counted, and takes no slot`() throws {
    let wrong: [(String, [UInt8])] = [
      ("with a transfer tag", data(0, 1, of: 3) { $0.word20 = $0.initiatorTaskTag }),
      ("another LUN", data(0, 1, of: 3) { $0.lun = 0 }),
      ("the command's own block", data(0, 0, of: 3)),
      ("beyond the longest write", data(0, 8, of: 20)),
      ("reaching beyond it", data(0, 7, of: 8)),
      ("an offset of another block", data(0, 1, of: 3) { $0.word40 += 512 }),
      ("short and not the last", data(0, 1, of: 3, bytes: [1, 2, 3, 4])),
      ("empty", data(0, 2, of: 3, bytes: [])),
    ]
    for (what, bytes) in wrong {
      var configuration = bench.receiver().configuration
      // Not a whole number of blocks: a write's last block may be a short one.
      configuration.writeLengthMax = 8 * 512 - 256
      var receiver = Receiver(configuration)
      let placement = try receiver.take(bytes)
      #expect(placement == .nowhere, "\(what)")
      #expect(receiver.counters.withoutCommand == 1 && receiver.isQuiescent, "\(what)")
    }
  }

  @Test func `early writes end with the window, a fence and the registration`() throws {
    var receiver = bench.receiver()
    try receiver.take(data(0, 1, of: 3))
    try receiver.take(data(1, 1, of: 3))
    receiver.handleFence(SerialNumber(0), epoch: 1)
    let fenced = receiver.takeAnswers()
    #expect(fenced == [.fenced(SerialNumber(0), epoch: 1)])
    receiver.handleSync([], lowestOpen: SerialNumber(2), now: 0)
    #expect(receiver.isQuiescent)
    try receiver.take(data(2, 1, of: 3))
    #expect(!receiver.isQuiescent)
    receiver.close()
    #expect(receiver.isQuiescent)
    let late = try receiver.take(command(2, blocks: 3))
    #expect(late == .nowhere)
  }

  @Test func `an early write reports its command and every gap that it can know`() throws {
    var receiver = bench.receiver()
    try receiver.take(data(0, 4, of: 8), now: 10)
    receiver.handleTimeout(now: receiver.nextDeadline ?? 0)
    let first = receiver.takeAnswers()
    // Blocks 0 to 3 lack, 4 is there, the byte is filled with ones.
    #expect(
      first == [
        .report(
          SerialNumber(0), epoch: 1,
          heard: HeardStreams(group: Heard(silence: 7), own: Heard(silence: 7)), missing: [0xf7],
          command: true)
      ])
    try receiver.take(data(0, 6, of: 7), now: 1_000_000)
    receiver.handleTimeout(now: 1_000_000_000)
    let second = receiver.takeAnswers()
    #expect(
      second == [
        .report(
          SerialNumber(0), epoch: 1,
          heard: HeardStreams(group: Heard(silence: 255), own: Heard(silence: 255)),
          missing: [0xf5], command: true)
      ])
  }

  @Test func `a second checksum for an early block makes the write distrusted`() throws {
    var receiver = bench.receiver()
    try receiver.take(data(0, 1, of: 3))
    try receiver.take(data(0, 1, of: 3, bytes: block(9)))
    let answers = receiver.takeAnswers()
    #expect(answers == [.distrusted(SerialNumber(0), epoch: 1)])
    #expect(receiver.isQuiescent && receiver.counters.conflicting == 1)
  }

  @Test func `stores run ahead of their write, and a fence waits for them`() throws {
    for isFenced in [false, true] {
      var configuration = bench.receiver().configuration
      configuration.blockLength = 4096
      configuration.writeLengthMax = 8 * 4096
      configuration.storeAheadByteCount = 8192
      var wide = DatagramWorkbench()
      wide.blockLength = 4096
      var receiver = Receiver(configuration)
      try receiver.take(wide.command(0, blocks: 32))
      _ = receiver.takeAnswers()
      try receiver.take(wide.data(0, block: 1, of: 4))
      #expect(receiver.stores.isEmpty)
      try receiver.take(wide.data(0, block: 0, of: 4))
      #expect(receiver.stores.map(\.length) == [8192] && receiver.stores[0].slotOffset == 0)
      if isFenced { receiver.handleFence(SerialNumber(0), epoch: 1) }
      let early = receiver.takeAnswers()
      #expect(early == [])
      for index in 2..<4 { try receiver.take(wide.data(0, block: index, of: 4)) }
      #expect(receiver.stores.count == (isFenced ? 1 : 2))
      for store in receiver.stores {
        receiver.handleStored(slot: store.slot, unit: 0, status: 0, sense: [])
      }
      let answers = receiver.takeAnswers()
      let expected: ReceiverAnswer =
        isFenced
        ? .fenced(SerialNumber(0), epoch: 1)
        : .response(SerialNumber(0), status: 0, sense: [], units: [])
      #expect(answers == [expected])
    }
  }

  @Test func `a forced write is stored in one piece`() throws {
    var configuration = bench.receiver().configuration
    configuration.storeAheadByteCount = 512
    var receiver = Receiver(configuration)
    try receiver.take(bench.command(0, blocks: 3) { $0.storage[33] = 0x08 })
    for index in 0..<3 { try receiver.take(bench.data(0, block: index, of: 3)) }
    #expect(receiver.stores.map(\.length) == [3 * 512])
    #expect(receiver.stores.filter(\.forceUnitAccess).count == 1)
  }
}

import Bytes
import ISCSI
import SCSI
import Testing

@testable import Replication

/// What a leg takes, what it drops, and what it counts.
@Suite struct ReceiverTests {
  let bench = DatagramWorkbench()

  @Test func `a write is asked for, collected, stored, answered`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 2))
    let answers1 = receiver.takeAnswers()
    #expect(answers1 == [.readyToTransfer(SerialNumber(0), length: 1024)])
    let placement1 = try receiver.take(bench.data(0, block: 1, of: 2))
    #expect(placement1 == .store(slot: 0, offset: 512, length: 512))
    #expect(receiver.stores.isEmpty)
    try receiver.take(bench.data(0, block: 0, of: 2))
    #expect(receiver.stores.count == 1)
    #expect(receiver.stores[0].byteOffset == 8 * 512 && receiver.stores[0].length == 1024)
    let answers2 = receiver.takeAnswers()
    #expect(answers2 == [])
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    let answers3 = receiver.takeAnswers()
    #expect(
      answers3 == [.response(SerialNumber(0), status: 0, sense: [], units: [])])
    #expect(receiver.isQuiescent)
  }

  @Test func `a write that its LUNs refuse is answered so, and none of it is stored`() throws {
    var receiver = bench.receiver()
    // One is under way, one has sent data ahead of its command.
    try receiver.take(bench.command(0, blocks: 1))
    _ = receiver.takeAnswers()
    try receiver.take(bench.data(1, block: 1, of: 2))
    receiver.refusals = [
      UnitStatus(lun: receiver.configuration.units[0], status: 0x18, sense: [])
    ]
    try receiver.take(bench.command(1, blocks: 2))
    let refused = receiver.takeAnswers()
    guard case .response(SerialNumber(1), status: 0x18, sense: [], let units) = refused.first else {
      Issue.record("\(refused)")
      return
    }
    #expect(units.map(\.status) == [0x18])
    try receiver.take(bench.data(1, block: 0, of: 2))
    #expect(receiver.stores.isEmpty)
    // What was asked for before is taken.
    try receiver.take(bench.data(0, block: 0, of: 1))
    #expect(receiver.stores.count == 1)
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    _ = receiver.takeAnswers()
    receiver.refusals = []
    try receiver.take(bench.command(2, blocks: 1))
    let asked = receiver.takeAnswers()
    #expect(asked == [.readyToTransfer(SerialNumber(2), length: 512)])
  }

  typealias Edit = @Sendable (inout BasicHeaderSegment) -> Void
  static let misplacements: [(String, Edit)] = [
    ("another LUN", { $0.lun = 6 << 48 }),
    ("another transfer tag", { $0.word20 += 1 }),
    ("another DataSN", { $0.word36 += 1 }),
    ("an offset inside a block", { $0.word40 += 4 }),
    ("the next block's offset", { $0.word40 += 512 }),
    ("an offset outside the write", { $0.word40 = 0xffff_fe00 }),
    (
      "an offset and DataSN outside the write",
      {
        $0.word40 = 3 * 512; $0.word36 = 3
      }
    ),
    ("a last block's F", { $0.flags = 0x80 }),
  ]

  @Test func `data that doesn't fit its write is dropped and counted`() throws {
    for (what, edit) in Self.misplacements {
      var receiver = bench.receiver()
      try receiver.take(bench.command(0, blocks: 3))
      let placement = try receiver.take(bench.data(0, block: 1, of: 3, edit: edit))
      #expect(placement == .nowhere, "\(what)")
      #expect(receiver.counters.misplaced == 1, "\(what)")
      #expect(receiver.writes[0].missing.missingCount == 3, "\(what)")
    }
  }

  @Test(arguments: [0, 1, 4, 508, 511]) func `a block of a wrong length is dropped`(
    length: Int
  ) throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 3))
    let bytes = [UInt8](repeating: 1, count: length)
    let placement2 = try receiver.take(bench.data(0, block: 1, of: 3, bytes: bytes))
    #expect(placement2 == .nowhere)
    let long = [UInt8](repeating: 1, count: 1024 - length)
    let placement3 = try receiver.take(bench.data(0, block: 1, of: 3, bytes: long))
    #expect(placement3 == .nowhere)
    #expect(receiver.counters.misplaced == 2)
  }

  static let malformations: [(String, Edit)] = [
    ("another LUN", { $0.lun = 0 }),
    ("not final", { $0.flags = 0x21 }),
    ("not a write", { $0.flags = 0x81 }),
    ("a read", { $0.flags = 0xc1 }),
    ("both directions", { $0.flags = 0xe1 }),
    ("a length other than the blocks'", { $0.word20 = 512 }),
    ("no length", { $0.word20 = 0 }),
  ]

  @Test func `a command that isn't a mirrored write is dropped and counted`() throws {
    for (what, edit) in Self.malformations {
      var receiver = bench.receiver()
      try receiver.take(bench.command(0, blocks: 2, edit: edit))
      #expect(receiver.counters.malformedCommands == 1, "\(what)")
      #expect(receiver.answers == [])
      #expect(receiver.isQuiescent, "\(what)")
      // The right one is taken still.
      try receiver.take(bench.command(0, blocks: 2))
      let answers4 = receiver.takeAnswers()
      #expect(answers4.count == 1, "\(what)")
    }
  }

  @Test func `a write longer than agreed is dropped, one as long is taken`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 9))
    #expect(receiver.counters.malformedCommands == 1 && receiver.isQuiescent)
    try receiver.take(bench.command(0, blocks: 8))
    #expect(!receiver.isQuiescent)
  }

  @Test func `immediate data is the whole write or none of it`() throws {
    var receiver = bench.receiver()
    let short = [UInt8](repeating: 1, count: 508)
    try receiver.take(bench.command(0, blocks: 1, immediate: short))
    try receiver.take(bench.command(0, blocks: 2, immediate: short))
    let two = [UInt8](repeating: 1, count: 1024)
    try receiver.take(bench.command(0, blocks: 2, immediate: two))
    #expect(receiver.counters.malformedCommands == 3)
    let one = [UInt8](repeating: 1, count: 512)
    let placement = try receiver.take(bench.command(0, blocks: 1, immediate: one))
    #expect(placement == .store(slot: 0, offset: 0, length: 512))
    #expect(receiver.stores.count == 1)
  }

  @Test(arguments: zip([1023, 1024, UInt64.max, 1 << 55], [2, 1, 1, 1] as [UInt32]))
  func `blocks off the disk end with a sense for each LUN`(
    address: UInt64, blocks: UInt32
  ) throws {
    var receiver = bench.receiver(units: 3)
    try receiver.take(bench.command(0, address: address, blocks: blocks))
    let answers = receiver.takeAnswers()
    guard case .response(_, let status, let sense, let units) = answers.first else {
      Issue.record("no response")
      return
    }
    #expect(status == 0x02 && units.map(\.lun) == [0, 1 << 48, 2 << 48])
    // Illegal request, logical block address out of range.
    #expect(sense[2] & 0x0f == 0x05 && sense[12] == 0x21 && sense[13] == 0x00)
    #expect(units.allSatisfy { $0.status == 0x02 && $0.sense == sense })
    #expect(receiver.isQuiescent)
    // Asked again, it says the same again.
    try receiver.take(bench.command(0, address: address, blocks: blocks, flags: .repair))
    let answers5 = receiver.takeAnswers()
    #expect(answers5 == answers)
  }

  @Test func `a command that is no WRITE ends with a sense`() throws {
    var receiver = bench.receiver()
    try receiver.take(
      bench.command(0, blocks: 1) { $0.commandDescriptorBlock = InlineArray(repeating: 0) })
    guard case .response(_, 0x02, let sense, _) = receiver.takeAnswers().first else {
      Issue.record("no response")
      return
    }
    #expect(sense[12] == 0x20)
  }

  @Test func `more writes than slots wait to be asked about`() throws {
    var receiver = bench.receiver()
    for number: UInt32 in 0..<5 { try receiver.take(bench.command(number, blocks: 2)) }
    #expect(receiver.counters.withoutSlot == 1)
    _ = receiver.takeAnswers()
    receiver.handleSync([SerialNumber(4)], lowestOpen: SerialNumber(0), now: 0)
    let answers6 = receiver.takeAnswers()
    #expect(
      answers6 == [
        .report(
          SerialNumber(4), epoch: 1, heard: HeardStreams(), missing: [], command: true, asked: true)
      ])
  }

  @Test func `each LUN's status is told, in the order of the map`() throws {
    var receiver = bench.receiver(units: 3)
    try receiver.take(bench.command(0, blocks: 1, immediate: [UInt8](repeating: 1, count: 512)))
    #expect(receiver.stores.map(\.unit) == [0, 1, 2])
    receiver.handleStored(slot: 0, unit: 2, status: 2, sense: [7])
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    let answers7 = receiver.takeAnswers()
    #expect(answers7 == [])
    receiver.handleStored(slot: 0, unit: 1, status: 8, sense: [])
    guard case .response(_, let status, _, let units) = receiver.takeAnswers().first else {
      Issue.record("no response")
      return
    }
    #expect(status != 0)
    #expect(
      units == [
        UnitStatus(lun: 0, status: 0), UnitStatus(lun: 1 << 48, status: 8),
        UnitStatus(lun: 2 << 48, status: 2, sense: [7]),
      ])
  }

  @Test func `a closed registration takes nothing and waits for what runs`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 1, immediate: [UInt8](repeating: 1, count: 512)))
    try receiver.take(bench.command(1, address: 20, blocks: 2))
    receiver.close()
    #expect(!receiver.isQuiescent)
    let placement6 = try receiver.take(bench.data(1, block: 0, of: 2))
    #expect(placement6 == .nowhere)
    let placement7 = try receiver.take(bench.command(2, blocks: 2))
    #expect(placement7 == .nowhere)
    // What is forgotten with it nobody has asked it to fence.
    receiver.answers = []
    receiver.handleSync([SerialNumber(1)], lowestOpen: SerialNumber(0), now: 0)
    #expect(receiver.answers.isEmpty)
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    #expect(receiver.isQuiescent)
  }
}

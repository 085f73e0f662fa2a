import SCSI
import Testing

struct CommandTests {
  @Test func `every first byte is known or an invalid operation code`() {
    let known = Set(OperationCode.allCases.map(\.rawValue))
    for code in 0...255 as ClosedRange<UInt8> where !known.contains(code) {
      #expect(throws: SenseData.invalidOperationCode) { try BlockCommand(cdb: cdb(code)) }
    }
    for code in known {
      do throws(SenseData) {
        _ = try BlockCommand(cdb: cdb(code))
      } catch {
        #expect(error != .invalidOperationCode, "\(code)")
      }
    }
  }

  @Test func `no sixteen bytes trap decoder or disk`() {
    let unit = disk(blocks: 1 << 40)
    for _ in 0..<20_000 {
      let code = OperationCode.allCases.randomElement()!.rawValue
      let bytes: CDB = InlineArray {
        $0 == 0 ? code : UInt8.random(in: 0...255) & .random(in: 0...255)
      }
      let outcome = unit.begin(bytes, in: Int.random(in: 0...5000), out: .random(in: 0...5000))
      if case .disk(let request) = outcome {
        switch request.operation {
        case .read(let range), .write(let range, _), .compare(let range), .fill(let range),
          .writeAndCompare(let range), .verify(let range), .writeAtomic(let range, _),
          .orWrite(let range, _), .compareAndWrite(let range, _), .prefetch(let range),
          .allocation(let range, _):
          #expect(range.length > 0 && range.end <= unit.geometry.byteCount)
        case .zero(let ranges):
          #expect(ranges.allSatisfy { $0.end <= unit.geometry.byteCount })
        case .flush: break
        }
      }
    }
  }

  @Test func `the four lengths of READ name the same blocks`() throws {
    for code in [.read6, .read10, .read12, .read16] as [OperationCode] {
      let command = try BlockCommand(cdb: blockCommand(code, 0x1_2345, 7))
      #expect(command == .read(BlockRange(address: 0x1_2345, count: 7)))
    }
    for code in [.write10, .write12, .write16] as [OperationCode] {
      let forced = try BlockCommand(cdb: blockCommand(code, 9, 7, flags: 0x18))
      #expect(forced == .write(BlockRange(address: 9, count: 7), isForced: true))
      let plain = try BlockCommand(cdb: blockCommand(code, 9, 7, flags: 0x10))
      #expect(plain == .write(BlockRange(address: 9, count: 7), isForced: false))
    }
  }

  @Test func `zero blocks of the six-byte commands are 256`() throws {
    let command = try BlockCommand(cdb: blockCommand(.write6, 1, 0))
    #expect(command == .write(BlockRange(address: 1, count: 256), isForced: false))
  }

  @Test func `the six-byte address has 21 bits`() throws {
    let command = try BlockCommand(cdb: cdb(0x08, 0x1f, 0xff, 0xff, 1))
    #expect(command == .read(BlockRange(address: 0x1f_ffff, count: 1)))
  }

  @Test(arguments: [
    OperationCode.read10, .read12, .read16, .write10, .write12, .write16, .writeAndVerify10,
    .writeAndVerify12, .writeAndVerify16, .verify10, .verify12, .verify16, .writeSame10,
    .writeSame16,
  ])
  func `protection information is refused`(_ code: OperationCode) {
    for bit in [0x20, 0x40, 0x80] as [UInt8] {
      #expect(throws: SenseData.invalidField(1)) {
        try BlockCommand(cdb: blockCommand(code, 0, 1, flags: bit))
      }
    }
  }

  @Test func `auto contingent allegiance is refused where the control byte stands`() {
    #expect(throws: SenseData.invalidField(5)) { try BlockCommand(cdb: cdb(0, 0, 0, 0, 0, 4)) }
    var read = blockCommand(.read16, 0, 1)
    read[15] = 4
    #expect(throws: SenseData.invalidField(15)) { try BlockCommand(cdb: read) }
  }

  @Test func `an initiator's commands are those that a disk reads`() throws {
    let blocks = BlockRange(address: 0xffff_ffff_ffff, count: 8192)
    #expect(try BlockCommand(cdb: CommandDescriptorBlock.read16(blocks).bytes) == .read(blocks))
    #expect(
      try BlockCommand(cdb: CommandDescriptorBlock.write16(blocks, forced: true).bytes)
        == .write(blocks, isForced: true))
    #expect(CommandDescriptorBlock.write10(blocks) == nil)
    let small = BlockRange(address: 0xffff_ffff, count: 0xffff)
    let short = try #require(CommandDescriptorBlock.write10(small, forced: true))
    #expect(try BlockCommand(cdb: short.bytes) == .write(small, isForced: true))
    #expect(CommandDescriptorBlock.write10(BlockRange(address: 0, count: 0x1_0000)) == nil)
    #expect(
      try BlockCommand(cdb: CommandDescriptorBlock.inquiry(page: 0x83, allocationLength: 512).bytes)
        == .inquiry(page: 0x83, allocationLength: 512))
    #expect(
      try BlockCommand(cdb: CommandDescriptorBlock.readCapacity16().bytes)
        == .readCapacity16(allocationLength: 32))
    #expect(
      try BlockCommand(cdb: CommandDescriptorBlock.reportLUNs(allocationLength: 4096).bytes)
        == .reportLUNs(selection: 0, allocationLength: 4096))
    #expect(
      try BlockCommand(cdb: CommandDescriptorBlock.synchronizeCache16.bytes)
        == .synchronizeCache(BlockRange(address: 0, count: 0)))
    #expect(try BlockCommand(cdb: CommandDescriptorBlock.testUnitReady.bytes) == .testUnitReady)
  }
}

import SCSI
import Testing

struct TransferTests {
  @Test func `addresses are compared in blocks, at every edge`() throws {
    let geometry = try #require(BlockGeometry(blockCount: 1000))
    #expect(
      try geometry.bytes(of: BlockRange(address: 999, count: 1))
        == ByteRange(offset: 999 * 512, length: 512))
    #expect(try geometry.bytes(of: BlockRange(address: 1000, count: 0)).length == 0)
    let beyond: [(UInt64, UInt32, UInt64)] = [
      (999, 2, 1000), (1000, 1, 1000), (1001, 0, 1001), (0, 1001, 1000), (0, .max, 1000),
      (1 << 55, 1, 1 << 55), (1 << 63, 1, 1 << 63), (.max, 1, .max), (.max, .max, .max),
      (.max - 1, 2, .max - 1), (1 << 63, 0, 1 << 63),
    ]
    for (address, count, information) in beyond {
      #expect(
        throws: SenseData(.illegalRequest, .blockAddressOutOfRange, information: information)
      ) { try geometry.bytes(of: BlockRange(address: address, count: count)) }
    }
  }

  @Test func `disks that can't be are refused`() {
    #expect(BlockGeometry(blockCount: 0) == nil)
    #expect(BlockGeometry(blockCount: 1 << 55) == nil)
    #expect(BlockGeometry(blockCount: .max) == nil)
    #expect(BlockGeometry(blockLength: 513, blockCount: 1) == nil)
    #expect(BlockGeometry(blockLength: 0, byteCount: 512) == nil)
    #expect(BlockGeometry(byteCount: 513) == nil)
    #expect(BlockGeometry(byteCount: 512)?.blockCount == 1)
  }

  @Test(arguments: [OperationCode.write10, .write12, .write16, .writeAndVerify10, .verify16])
  func `every block command off the disk ends 21 00`(_ code: OperationCode) {
    for (address, count) in [(1000, 1), (999, 2), (0xffff_ffff, 1)] as [(UInt64, UInt32)] {
      let sense = disk().sense(blockCommand(code, address, count))
      #expect(sense?.additional == .blockAddressOutOfRange)
    }
  }

  @Test func `a write takes what the initiator sends, in whole blocks`() throws {
    let write = blockCommand(.write10, 10, 10, flags: 0x08)
    let cases =
      [
        (0, nil, 0), (511, nil, 0), (512, 512, 512), (2816, 2560, 2816), (5120, 5120, 5120),
        (9999, 5120, 5120),
      ] as [(Int, UInt64?, Int)]
    for (expected, stored, collected) in cases {
      guard let stored else {
        let done = CommandResult(expectedTransfer: 5120)
        #expect(disk().begin(write, out: expected) == .done(done))
        #expect(done.residual(expected: expected) == .overflow(UInt32(5120 - expected)))
        continue
      }
      let request = try #require(disk().request(write, out: expected))
      #expect(
        request
          == DiskRequest(
            .write(ByteRange(offset: 5120, length: stored), isForced: true),
            dataOutLength: collected, expectedTransfer: 5120))
      let result = disk().finish(request, nil)
      #expect(result.status == .good)
      let residual: Residual =
        expected < 5120
        ? .overflow(UInt32(5120 - expected))
        : expected > 5120 ? .underflow(UInt32(expected - 5120)) : .none
      #expect(result.residual(expected: expected) == residual)
    }
  }

  @Test func `a read gives what the initiator has room for`() throws {
    let read = blockCommand(.read16, 10, 10)
    let request = try #require(disk().request(read, in: 700))
    #expect(request.operation == .read(ByteRange(offset: 5120, length: 700)))
    #expect(disk().finish(request, nil).residual(expected: 700) == .overflow(4420))
    #expect(disk().begin(read, in: 0) == .done(CommandResult(expectedTransfer: 5120)))
    #expect(disk().begin(blockCommand(.read16, 10, 0), in: 512) == .done(CommandResult()))
  }

  @Test func `a write-protected disk refuses every change and nothing else`() {
    let unit = disk(isWriteProtected: true)
    for code in [.write6, .write10, .write16, .writeAndVerify12, .writeSame10] as [OperationCode] {
      #expect(unit.sense(blockCommand(code, 0, 1)) == .writeProtected)
    }
    #expect(unit.sense(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24)) == .writeProtected)
    #expect(unit.request(blockCommand(.read10, 0, 1)) != nil)
    #expect(unit.request(blockCommand(.verify10, 0, 1, flags: 2)) != nil)
    #expect(unit.request(cdb(0x35))?.operation == .flush)
  }

  @Test func `write same fills, zeros without data, and never means the whole disk`() {
    let range = ByteRange(offset: 512, length: 5 * 512)
    #expect(
      disk().request(blockCommand(.writeSame10, 1, 5), out: 512)
        == DiskRequest(.fill(range), dataOutLength: 512, expectedTransfer: 512))
    #expect(
      disk().request(blockCommand(.writeSame16, 1, 5, flags: 0x09), out: 0)
        == DiskRequest(.zero([range])))
    #expect(disk().sense(blockCommand(.writeSame10, 1, 5, flags: 0x01)) == .invalidField(1))
    #expect(disk().sense(blockCommand(.writeSame16, 1, 5, flags: 0x10)) == .invalidField(1))
    #expect(disk().sense(blockCommand(.writeSame16, 1, 0)) == .invalidField(10))
    #expect(
      disk(isThin: false).sense(blockCommand(.writeSame16, 1, 5, flags: 8)) == .invalidField(1))
  }

  @Test func `verify compares when asked to, and reads otherwise`() {
    let range = ByteRange(offset: 0, length: 1024)
    #expect(
      disk().request(blockCommand(.verify10, 0, 2, flags: 0x02), out: 1024)
        == DiskRequest(.compare(range), dataOutLength: 1024, expectedTransfer: 1024))
    #expect(
      disk().request(blockCommand(.verify10, 0, 2), out: 0) == DiskRequest(.verify(range)))
    #expect(disk().sense(blockCommand(.verify10, 0, 2, flags: 0x04)) == .invalidField(1))
    #expect(disk().begin(blockCommand(.verify10, 0, 0)) == .done(CommandResult()))
    #expect(
      disk().request(blockCommand(.writeAndVerify16, 0, 2, flags: 2), out: 1024)?.operation
        == .writeAndCompare(range))
  }

  @Test func `failures are told in sense`() throws {
    let request = try #require(disk().request(blockCommand(.write10, 0, 8)))
    let cases: [(DiskFailure, SenseKey, AdditionalSense, UInt64?)] = [
      (.readError(offset: 5120), .mediumError, .unrecoveredReadError, 10),
      (.writeError(offset: 513), .mediumError, .writeError, 1),
      (.noSpace, .dataProtect, .spaceAllocationFailed, nil),
      (.readOnly, .dataProtect, .writeProtected, nil),
      (.differs(offset: 700), .miscompare, .miscompareDuringVerify, 700),
      (.stopped, .notReady, .notReady, nil),
    ]
    for (failure, key, additional, information) in cases {
      let result = disk().finish(request, failure)
      #expect(result.status == .checkCondition)
      #expect(result.sense == SenseData(key, additional, information: information))
    }
  }

  @Test func `a mirrored write is a range, or a sense`() throws {
    let geometry = try #require(BlockGeometry(blockCount: 1000))
    for code in [.write10, .write12, .write16] as [OperationCode] {
      let write = try WriteRange(cdb: blockCommand(code, 990, 10, flags: 8), geometry: geometry)
      #expect(write.bytes == ByteRange(offset: 990 * 512, length: 5120))
      #expect(write.isForced)
      #expect(throws: SenseData.self) {
        try WriteRange(cdb: blockCommand(code, 991, 10), geometry: geometry)
      }
    }
    for code in OperationCode.allCases where ![.write10, .write12, .write16].contains(code) {
      #expect(throws: SenseData.invalidOperationCode) {
        try WriteRange(cdb: cdb(code.rawValue, 0, 0, 0, 0, 0, 0, 0, 1), geometry: geometry)
      }
    }
  }
}

struct UnmapTests {
  static let whole: [UInt8] =
    [0, 38, 0, 32, 0, 0, 0, 0]
    + [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]
    + [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 0]

  func unmap(_ data: [UInt8]) -> Outcome {
    let command = CommandRequest(
      cdb: cdb(0x42, 0, 0, 0, 0, 0, 0, 0, UInt8(data.count)), expectedDataOut: data.count)
    return bytes(data) {
      var device = disk()
      return device.handleParameters($0, of: command, from: one, around())
    }
  }

  @Test func `both ranges are zeroed`() {
    #expect(disk().begin(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 40), out: 40) == .parameters(byteCount: 40))
    let ranges = [ByteRange(offset: 512, length: 1024), ByteRange(offset: 4608, length: 1536)]
    #expect(unmap(Self.whole) == .disk(DiskRequest(.zero(ranges), expectedTransfer: 40)))
  }

  @Test func `every truncation is fewer ranges or an error`() {
    for count in 0..<Self.whole.count {
      switch unmap(Array(Self.whole.prefix(count))) {
      case .done(let result):
        #expect((result.sense == nil) == (count == 0 || count >= 8) || count == 0)
      case .disk(let request):
        guard case .zero(let ranges) = request.operation else { continue }
        #expect(ranges.count == (count - 8) / 16)
      default: Issue.record("neither done nor zeroed")
      }
    }
  }

  @Test func `a list that lies is refused or cut`() {
    var beyond = Self.whole
    beyond[8] = 0x80
    guard case .done(let result) = unmap(beyond) else { Issue.record("zeroed"); return }
    #expect(result.sense?.additional == .blockAddressOutOfRange)
    var long = Self.whole
    long[2] = 0xff
    guard case .disk(let request) = unmap(long) else { Issue.record("refused"); return }
    #expect(
      request.operation
        == .zero([
          ByteRange(offset: 512, length: 1024), ByteRange(offset: 4608, length: 1536),
        ]))
    #expect(disk().sense(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 7)) == .parameterListLengthError)
    #expect(disk().sense(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24), out: 4) == .parameterListLengthError)
    #expect(disk().sense(cdb(0x42, 1, 0, 0, 0, 0, 0, 0, 24)) == .invalidField(1))
    #expect(disk().begin(cdb(0x42)) == .done(CommandResult()))
  }

  @Test func `more descriptors than declared are refused`() {
    let data = [0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 257 * 16)
    guard case .done(let result) = unmapLong(data) else { Issue.record("taken"); return }
    #expect(result.sense == .invalidParameter(2))
  }

  func unmapLong(_ data: [UInt8]) -> Outcome {
    let command = CommandRequest(
      cdb: cdb(0x42, 0, 0, 0, 0, 0, 0, 0xff, 0xff), expectedDataOut: data.count)
    return bytes(data) {
      var device = disk()
      return device.handleParameters($0, of: command, from: one, around())
    }
  }
}

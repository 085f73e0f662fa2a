import Bytes
import SCSI
import Testing

/// The commands about blocks that are more than reads and writes.
struct MediumCommandTests {
  func compareAndWrite(_ address: UInt64, _ count: UInt8) -> CDB {
    var block = CommandDescriptorBlock(.compareAndWrite)
    block.setBigEndian(address, at: 2)
    block[13] = count
    return block.bytes
  }

  func atomic(_ address: UInt64, _ count: UInt16) -> CDB {
    var block = CommandDescriptorBlock(.writeAtomic16)
    block.setBigEndian(address, at: 2)
    block.setBigEndian(count, at: 12)
    return block.bytes
  }

  @Test func `COMPARE AND WRITE wants both halves, whole`() {
    let range = ByteRange(offset: 512, length: 1024)
    #expect(
      disk().request(compareAndWrite(1, 2), out: 2048)
        == DiskRequest(
          .compareAndWrite(range, isForced: false), dataOutLength: 2048, expectedTransfer: 2048))
    for length in [0, 1024, 2047, 2049, 4096] {
      #expect(disk().sense(compareAndWrite(1, 2), out: length) == .invalidField(13))
    }
    #expect(disk().begin(compareAndWrite(1, 0), out: 0) == .done(CommandResult()))
    #expect(
      disk().sense(compareAndWrite(999, 2), out: 2048)?.additional == .blockAddressOutOfRange)
    #expect(
      disk(isWriteProtected: true).sense(compareAndWrite(1, 2), out: 2048) == .writeProtected)
  }

  @Test func `WRITE ATOMIC keeps to whole pages, the end of the disk comes first`() {
    let device = disk(blocks: 4096)
    #expect(
      device.request(atomic(8, 16))?.operation
        == .writeAtomic(ByteRange(offset: 4096, length: 8192), isForced: false))
    #expect(device.sense(atomic(1, 8)) == .invalidField(2))
    #expect(device.sense(atomic(8, 7)) == .invalidField(12))
    #expect(device.sense(atomic(8, 2056)) == .invalidField(12))
    #expect(device.sense(atomic(4095, 8))?.additional == .blockAddressOutOfRange)
    #expect(device.sense(atomic(1 << 63, 8))?.additional == .blockAddressOutOfRange)
  }

  @Test func `ORWRITE and PRE-FETCH are operations of their own`() {
    let range = ByteRange(offset: 0, length: 1024)
    #expect(
      disk().request(blockCommand(.orWrite16, 0, 2, flags: 8), out: 1024)?.operation
        == .orWrite(range, isForced: true))
    #expect(disk().request(blockCommand(.prefetch10, 0, 2))?.operation == .prefetch(range))
    #expect(
      disk().request(blockCommand(.prefetch16, 998, 0))?.operation
        == .prefetch(ByteRange(offset: 998 * 512, length: 1024)))
    #expect(disk().begin(blockCommand(.prefetch16, 1000, 0)) == .done(CommandResult()))
    #expect(
      disk().sense(blockCommand(.prefetch16, 1001, 0))?.additional == .blockAddressOutOfRange)
  }

  @Test func `WRITE SAME takes one block, no more and no less`() {
    for length in [0, 256, 511, 513, 1024] {
      #expect(
        disk().sense(blockCommand(.writeSame10, 0, 1), out: length)?.additional
          == .invalidFieldInCommand)
    }
    #expect(disk().sense(blockCommand(.writeSame10, 0, 1, flags: 0x10)) == .invalidField(1))
  }

  @Test func `GET LBA STATUS compares in blocks, and fits any room`() {
    func status(_ address: UInt64, _ room: UInt32) -> CDB {
      var block = CommandDescriptorBlock(.serviceActionIn16)
      block[1] = 0x12
      block.setBigEndian(address, at: 2)
      block.setBigEndian(room, at: 10)
      return block.bytes
    }
    for address in [1000, 1 << 55, 1 << 63, .max] as [UInt64] {
      #expect(
        disk().sense(status(address, 24))
          == SenseData(.illegalRequest, .blockAddressOutOfRange, information: address))
    }
    for room in [0, 8, 24, 25, 4096, .max] as [UInt32] {
      let request = disk().request(status(990, room))
      #expect(
        request?.operation
          == .allocation(ByteRange(offset: 990 * 512, length: 5120), blockLength: 512))
      #expect(request?.dataInLength == min(Int(room), 8 + 256 * 16))
    }
    var descriptors: [UInt8] = []
    LBAStatus.append(7, 9, isMapped: false, to: &descriptors)
    let data = LBAStatus.data(descriptors)
    #expect(data.count == 24 && data[3] == 20 && data[15] == 7 && data[19] == 9 && data[20] == 1)
    #expect(bytes(data) { LBAStatus.byteCount($0) } == 24)
  }

  @Test func `there are no defects, in the format that was asked for`() {
    #expect(disk().data(cdb(0x37, 0, 0x1d, 0, 0, 0, 0, 0, 255)) == [0, 0x1d, 0, 0])
    #expect(
      disk().data(cdb(0xb7, 0x0b, 0, 0, 0, 0, 0, 0, 0, 255)) == [0, 0x0b, 0, 0, 0, 0, 0, 0])
  }

  @Test func `blocks of 4096 bytes count as such everywhere`() throws {
    let device = disk(blocks: 100, blockLength: 4096)
    #expect(
      device.request(blockCommand(.write10, 99, 1), out: 4096)?.operation
        == .write(ByteRange(offset: 99 * 4096, length: 4096), isForced: false))
    #expect(device.request(atomic(3, 1))?.operation != nil)
    let capacity = try #require(device.data(CommandDescriptorBlock.readCapacity16().bytes))
    #expect(capacity[7] == 99 && capacity[10] == 0x10 && capacity[13] == 0)
  }
}

struct ExtendedCopyTests {
  static func target(_ lun: Int, flags: UInt8 = 0) -> [UInt8] {
    let unit = DeviceServer(
      LogicalUnit(identity: identity(lun), geometry: geometry(8), isThin: true))
    let page = unit.data(CommandDescriptorBlock.inquiry(page: 0x83).bytes) ?? []
    return [0xe4, flags, 0, 0, 1, 3, 0, 8] + page[8..<16] + [UInt8](repeating: 0, count: 16)
  }

  static func segment(
    _ from: UInt8, _ to: UInt8, count: UInt8, source: UInt64, destination: UInt64
  ) -> [UInt8] {
    var data: [UInt8] = [2, 0, 0, 24, 0, from, 0, to, 0, 0, 0, count]
    data.appendBigEndian(source)
    data.appendBigEndian(destination)
    return data
  }

  static func list(_ targets: [[UInt8]], _ segments: [[UInt8]], identifier: UInt8 = 1) -> [UInt8] {
    var data: [UInt8] = [identifier, 0]
    data.appendBigEndian(UInt16(targets.joined().count))
    data += [0, 0, 0, 0]
    data.appendBigEndian(UInt32(segments.joined().count))
    return data + [0, 0, 0, 0] + targets.joined() + segments.joined()
  }

  static func command(_ length: Int) -> CDB {
    cdb(0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(length >> 8), UInt8(length & 0xff))
  }

  func send(_ device: LiveDisk, _ data: [UInt8]) -> Outcome {
    device.send(Self.command(data.count), data)
  }

  func sense(_ data: [UInt8]) -> SenseData? {
    let device = LiveDisk(disk())
    guard case .done(let result) = send(device, data) else { return nil }
    return result.sense
  }

  let segment = Self.segment(0, 1, count: 2, source: 5, destination: 998)

  @Test func `disks are found by name, among those that can be reached`() {
    let device = LiveDisk(disk())
    let data = Self.list([Self.target(3), Self.target(0)], [segment])
    guard case .copy(let copy) = send(device, data) else { Issue.record("no copy"); return }
    #expect(
      copy.segments == [
        CopySegment(
          source: number(3), sourceOffset: 5 * 512, destination: number(0),
          destinationOffset: 998 * 512, length: 1024)
      ])
    #expect(device.device.finishCopy(copy, nil, done: 1, bytes: 1024, from: one).status == .good)
    // LUN 7 is not there, or not for this initiator.
    #expect(sense(Self.list([Self.target(3), Self.target(7)], [segment]))?.key == .copyAborted)
    #expect(
      sense(Self.list([Self.target(3), Self.target(0, flags: 0x20)], [segment]))?.key
        == .copyAborted)
  }

  @Test func `its status is told once, to its own session`() {
    let device = LiveDisk(disk(sessions: [one, two]))
    guard
      case .copy(let copy) = send(device, Self.list([Self.target(3), Self.target(0)], [segment]))
    else { Issue.record("no copy"); return }
    _ = device.device.finishCopy(copy, nil, done: 1, bytes: 1024, from: one)
    let ask = cdb(0x84, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64)
    #expect(device.result(ask, from: two)?.sense == .invalidField(2))
    #expect(device.result(ask)?.dataIn == [0, 0, 0, 8, 1, 0, 1, 0, 0, 0, 4, 0])
    #expect(device.result(ask)?.sense == .invalidField(2))
    let parameters = device.data(cdb(0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64))
    #expect(parameters?.count == 46 && parameters?[3] == 42 && parameters?[43] == 2)
  }

  @Test func `lists that lie are refused`() {
    let whole = Self.list([Self.target(3), Self.target(0)], [segment])
    for count in 1..<whole.count {
      #expect(sense(Array(whole.prefix(count))) == .parameterListLengthError, "\(count)")
    }
    #expect(disk().begin(Self.command(0)) == .done(CommandResult()))
    let many = [[UInt8]](repeating: Self.target(3), count: 5)
    #expect(sense(Self.list(many, [segment]))?.additional == .tooManyTargetDescriptors)
    let segments = [[UInt8]](repeating: segment, count: 9)
    #expect(
      sense(Self.list([Self.target(3), Self.target(0)], segments))?.additional
        == .tooManySegmentDescriptors)
    #expect(sense(Self.list(many, segments)) == .parameterListLengthError)
    var other = whole
    other[16] = 0xe0
    #expect(sense(other)?.additional == .unsupportedTargetDescriptor)
    other = whole
    other[16 + 64] = 3
    #expect(sense(other)?.additional == .unsupportedSegmentDescriptor)
    for (source, destination) in [(999, 0), (0, 999), (1 << 63, 0), (0, .max)]
      as [(UInt64, UInt64)]
    {
      let beyond = Self.segment(0, 1, count: 2, source: source, destination: destination)
      #expect(sense(Self.list([Self.target(3), Self.target(0)], [beyond]))?.key == .copyAborted)
    }
  }

  @Test func `no bytes trap it`() {
    let whole = Self.list([Self.target(3), Self.target(0)], [segment])
    let device = LiveDisk(disk())
    for _ in 0..<5_000 {
      var noise = whole
      for _ in 0..<3 { noise[Int.random(in: 0..<noise.count)] = .random(in: 0...255) }
      _ = send(device, noise)
    }
  }
}

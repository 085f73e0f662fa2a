import Bytes
import SCSI
import Testing

struct InquiryTests {
  static let pages: [UInt8?] = [nil, 0x00, 0x80, 0x83, 0x8f, 0xb0, 0xb1, 0xb2]

  func inquiry(_ page: UInt8?, _ room: UInt16) -> CDB {
    CommandDescriptorBlock.inquiry(page: page, allocationLength: room).bytes
  }

  @Test(arguments: pages)
  func `lengths are honest for every room`(_ page: UInt8?) throws {
    let whole = try #require(disk().data(inquiry(page, 65535)))
    let told =
      page == nil ? Int(whole[4]) + 5 : Int(whole[2]) << 8 + Int(whole[3]) + 4
    #expect(told == whole.count)
    for room in 0...255 as ClosedRange<UInt16> {
      #expect(disk().data(inquiry(page, room)) == Array(whole.prefix(Int(room))))
    }
  }

  @Test func `pages listed are pages had, in ascending order`() throws {
    let list = try #require(disk().data(inquiry(0, 255))).dropFirst(4)
    #expect(Array(list) == list.sorted())
    for page in 0...255 as ClosedRange<UInt8> {
      let data = disk().data(inquiry(page, 512))
      #expect((data != nil) == list.contains(page))
      if let data { #expect(data[1] == page) }
    }
  }

  @Test func `a page without EVPD is refused`() {
    #expect(disk().sense(cdb(0x12, 0, 0x80, 0, 96)) == .invalidField(2))
    #expect(disk().sense(cdb(0x12, 1, 0x81, 0, 96)) == .invalidField(2))
  }

  @Test func `designators are well formed, stable, and differ between legs`() throws {
    let page = try #require(disk().data(inquiry(0x83, 512)))
    var offset = 4
    var types: [UInt8] = []
    while offset < page.count {
      types.append(page[offset + 1] & 0x0f)
      if types.last == 3 { #expect(page[offset + 4] >> 4 == 3) }
      if types.last == 8 { #expect(page[offset + 3] % 4 == 0) }
      offset += 4 + Int(page[offset + 3])
    }
    #expect(offset == page.count)
    #expect(types == [3, 1, 8])
    #expect(disk().data(inquiry(0x83, 512)) == page)
    let one = LogicalUnitIdentity(targetName: "iqn.a:x", number: number(1))
    #expect(one.serialNumber.count == 16)
    let others = [("iqn.a:x", 2), ("iqn.a:y", 1)]
    for (name, lun) in others {
      let other = LogicalUnitIdentity(targetName: name, number: number(lun))
      #expect(other.serialNumber != one.serialNumber)
    }
  }

  @Test func `a name of any length keeps its designator under 256 bytes`() throws {
    let identity = LogicalUnitIdentity(
      targetName: "iqn." + String(repeating: "x", count: 400), number: number(16383))
    let unit = DeviceServer(
      LogicalUnit(identity: identity, geometry: BlockGeometry(blockCount: 8)!, isThin: false))
    let page = try #require(unit.data(inquiry(0x83, 1024)))
    #expect(page.count == Int(page[2]) << 8 + Int(page[3]) + 4)
  }

  @Test func `a thick disk promises no thin things`() throws {
    let thick = disk(isThin: false)
    #expect(thick.data(inquiry(0xb2, 64)) == [0, 0xb2, 0, 4, 0, 0, 0, 0])
    let limits = try #require(thick.data(inquiry(0xb0, 64)))
    #expect(limits[20..<36].allSatisfy { $0 == 0 })
    #expect(thick.sense(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24)) == .invalidOperationCode)
  }

  @Test func `a disk that is thin by WRITE SAME alone has no UNMAP`() throws {
    let unit = DeviceServer(
      LogicalUnit(
        identity: identity(3), geometry: geometry(1000), isThin: true, takesUnmap: false))
    #expect(unit.data(inquiry(0xb2, 64)) == [0, 0xb2, 0, 4, 0, 0x64, 2, 0])
    let limits = try #require(unit.data(inquiry(0xb0, 64)))
    #expect(limits[20..<28].allSatisfy { $0 == 0 })
    #expect(unit.sense(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24)) == .invalidOperationCode)
    #expect(unit.data(cdb(0xa3, 0x0c, 1, 0x42, 0, 0, 0, 0, 1, 0)) == [0, 1, 0, 0])
    let same = blockCommand(.writeSame16, 1, 5, flags: 8)
    #expect(unit.request(same, out: 512)?.dataOutLength == 512)
  }

  @Test func `block limits tell what is refused`() throws {
    let limits = try #require(disk().data(inquiry(0xb0, 64)))
    #expect(limits.count == 64)
    #expect(limits[4] == 1 && limits[5] == 255)
    let transferMax = limits.span.bytes.bigEndian32(at: 8)
    let large = disk(blocks: 1 << 30)
    #expect(large.request(blockCommand(.read16, 0, transferMax)) != nil)
    #expect(large.sense(blockCommand(.read16, 0, transferMax + 1)) == .invalidField(10))
    let sameMax = limits.span.bytes.bigEndian64(at: 36)
    #expect(large.request(blockCommand(.writeSame16, 0, UInt32(sameMax)), out: 512) != nil)
    #expect(large.sense(blockCommand(.writeSame16, 0, UInt32(sameMax) + 1)) == .invalidField(10))
  }
}

struct ModeAndCapacityTests {
  @Test(arguments: [0x08, 0x0a, 0x3f] as [UInt8], [0x00, 0x40, 0x80] as [UInt8])
  func `mode data is as long as it says`(_ page: UInt8, _ control: UInt8) throws {
    for disableDescriptor in [0x00, 0x08] as [UInt8] {
      let whole = try #require(disk().data(cdb(0x1a, disableDescriptor, page | control, 0, 255)))
      #expect(Int(whole[0]) == whole.count - 1)
      #expect(whole[3] == (disableDescriptor == 0 ? 8 : 0))
      for room in 0...255 as ClosedRange<UInt8> {
        let part = disk().data(cdb(0x1a, disableDescriptor, page | control, 0, room))
        #expect(part == Array(whole.prefix(Int(room))))
      }
      let long = try #require(
        disk().data(cdb(0x5a, disableDescriptor, page | control, 0, 0, 0, 0, 2, 0)))
      #expect(Int(long[0]) << 8 + Int(long[1]) == long.count - 2)
      #expect(Array(long.dropFirst(8)) == Array(whole.dropFirst(4)))
    }
  }

  @Test func `the cache is told, and write protection`() throws {
    let data = try #require(disk().data(cdb(0x1a, 0x08, 0x08, 0, 255)))
    #expect(data[2] == 0x10)
    #expect(Array(data[4...6]) == [0x08, 0x12, 0x04])
    let guarded = try #require(disk(isWriteProtected: true).data(cdb(0x1a, 8, 0x3f, 0, 255)))
    #expect(guarded[2] == 0x90)
  }

  @Test func `saved values, unknown pages and subpages are refused`() {
    #expect(disk().sense(cdb(0x1a, 0, 0xff, 0, 255))?.additional == .savingParametersNotSupported)
    #expect(disk().sense(cdb(0x1a, 0, 0x1d, 0, 255)) == .invalidField(2))
    #expect(disk().sense(cdb(0x1a, 0, 0x0a, 1, 255)) == .invalidField(3))
  }

  @Test func `capacity is read back as it was told`() throws {
    for (blocks, isThin) in [(1, true), (1 << 33, false), (1 << 53, true)] as [(UInt64, Bool)] {
      let unit = disk(blocks: blocks, isThin: isThin)
      let data = try #require(unit.data(CommandDescriptorBlock.readCapacity16().bytes))
      #expect(data.count == 32)
      let capacity = try #require(bytes(data) { Capacity($0) })
      #expect(capacity.geometry == unit.geometry)
      #expect(capacity.isThin == isThin)
      let short = try #require(unit.data(cdb(0x25)))
      #expect(short.count == 8)
      let last = short.span.bytes.bigEndian32(at: 0)
      #expect(UInt64(last) == min(blocks - 1, 0xffff_ffff))
    }
  }

  @Test func `capacity data of somebody else is checked`() {
    for count in 0..<12 {
      #expect(bytes([UInt8](repeating: 1, count: count)) { Capacity($0) } == nil)
    }
    let full = [UInt8](repeating: 0xff, count: 8)
    #expect(bytes(full + [0, 0, 2, 0]) { Capacity($0) } == nil)
    #expect(bytes([UInt8](repeating: 0, count: 12)) { Capacity($0) } == nil)
    #expect(bytes([0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 2, 1]) { Capacity($0) } == nil)
    #expect(bytes([0x7f] + full.dropFirst() + [0, 1, 0, 0]) { Capacity($0) } == nil)
  }

  @Test func `logical units are listed in order, and read back`() throws {
    let list = try #require(
      disk().data(CommandDescriptorBlock.reportLUNs(allocationLength: 64).bytes))
    #expect(list.count == 32)
    #expect(bytes(list) { ReportLUNs.numbers(in: $0) } == [number(0), number(3), number(300)])
    for count in 0..<list.count {
      let numbers = bytes(Array(list.prefix(count))) { ReportLUNs.numbers(in: $0) }
      #expect((numbers == nil) == (count < 8))
    }
    #expect(
      disk().sense(CommandDescriptorBlock.reportLUNs(allocationLength: 15).bytes)
        == .invalidField(6))
    #expect(disk().sense(cdb(0xa0, 0, 3, 0, 0, 0, 0, 0, 1, 0)) == .invalidField(2))
  }

  @Test func `where no disk is, only the list and the absence can be had`() {
    func ask(_ cdb: CDB) -> CommandResult {
      AbsentLogicalUnit.begin(CommandRequest(cdb: cdb), inventory: [number(1)])
    }
    #expect(ask(cdb(0)).sense == .logicalUnitNotSupported)
    #expect(ask(cdb(0xc0)).sense == .logicalUnitNotSupported)
    #expect(ask(blockCommand(.write10, 0, 1)).sense == .logicalUnitNotSupported)
    #expect(ask(cdb(0x12, 0, 0, 0, 36)).dataIn.first == 0x7f)
    #expect(ask(CommandDescriptorBlock.reportLUNs(allocationLength: 16).bytes).dataIn.count == 16)
    let sense = ask(cdb(0x03, 0, 0, 0, 18))
    #expect(sense.status == .good)
    #expect(bytes(sense.dataIn) { SenseData($0) } == .logicalUnitNotSupported)
  }
}

import Bytes
import SCSI
import Testing

struct UnitAttentionTests {
  @Test func `each is told once, and some commands go on in spite of it`() {
    let device = LiveDisk(disk(sessions: [one, two]))
    device.reset()
    #expect(device.result(cdb(0x12, 0, 0, 0, 36))?.status == .good)
    #expect(
      device.result(CommandDescriptorBlock.reportLUNs(allocationLength: 64).bytes)?.status == .good)
    #expect(device.result(cdb(0))?.sense == SenseData(.unitAttention, .resetOccurred))
    #expect(device.result(cdb(0))?.status == .good)
    // REQUEST SENSE tells it, too, and then it has been told.
    let sense = device.result(cdb(0x03, 0, 0, 0, 18), from: two)
    #expect(
      bytes(sense?.dataIn ?? []) { SenseData($0) } == SenseData(.unitAttention, .resetOccurred))
    #expect(device.result(cdb(0), from: two)?.status == .good)
  }

  @Test func `who lost commands to another session hears of it, nobody else`() {
    let device = LiveDisk(disk(sessions: [one, two]))
    device.noteCleared(2)
    // Of a session that is gone nothing is kept.
    device.noteCleared(77)
    #expect(device.result(cdb(0))?.status == .good)
    #expect(device.result(cdb(0), from: two)?.sense == SenseData(.unitAttention, .commandsCleared))
    #expect(device.result(cdb(0), from: two)?.status == .good)
  }

  @Test func `there is room for a few, and one is not there twice`() {
    let device = LiveDisk(disk())
    for _ in 0..<20 { device.reset() }
    #expect(device.result(cdb(0))?.status == .checkCondition)
    #expect(device.result(cdb(0))?.status == .good)
  }
}

struct ModeSelectTests {
  func select(_ page: [UInt8], descriptor: [UInt8] = []) -> [UInt8] {
    [0, 0, 0, UInt8(descriptor.count)] + descriptor + page
  }

  func control(_ dSense: Bool, _ isProtected: Bool) -> [UInt8] {
    [0x0a, 0x0a, dSense ? 4 : 0, 0x10, isProtected ? 8 : 0] + [UInt8](repeating: 0, count: 7)
  }

  func command(_ data: [UInt8]) -> CDB { cdb(0x15, 0x10, 0, 0, UInt8(data.count)) }

  @Test func `write protection by software holds for all, and is told`() {
    let device = LiveDisk(disk(sessions: [one, two]))
    let data = select(control(false, true))
    #expect(device.result(command(data), data)?.status == .good)
    #expect(
      device.result(cdb(0), from: two)?.sense
        == SenseData(.unitAttention, .modeParametersChanged))
    #expect(!device.isOpenToAll)
    #expect(device.refusal(ofWriteFrom: 2)?.sense == .writeProtected)
    #expect(device.sense(blockCommand(.write10, 0, 1)) == .writeProtected)
    #expect(device.request(blockCommand(.read10, 0, 1)) != nil)
    #expect(device.data(cdb(0x1a, 8, 0x0a, 0, 255))?[2] == 0x90)
    // The same again changes nothing, and a reset takes it back.
    #expect(device.result(command(data), data)?.status == .good)
    #expect(device.result(cdb(0), from: two)?.status == .good)
    device.reset()
    #expect(device.isOpenToAll)
  }

  private func caching(_ isOn: Bool) -> [UInt8] {
    [0x08, 0x12, isOn ? 4 : 0] + [UInt8](repeating: 0, count: 17)
  }

  @Test func `without its write cache each write is forced, until a reset`() throws {
    let device = LiveDisk(disk(sessions: [one, two]))
    let sensed = CommandDescriptorBlock.senseCaching.bytes
    let before = try #require(device.data(sensed))
    var page = try #require(bytes(before) { CachingPage(modeSense6: $0) })
    #expect(page.hasWriteCache && device.device.isPlain)
    page.hasWriteCache = false
    let list = page.parameterList
    #expect(list == select(caching(false)))
    let count = UInt8(list.count)
    #expect(
      device.result(CommandDescriptorBlock.modeSelect6(parameterListLength: count).bytes, list)?
        .status == .good)
    #expect(
      device.result(cdb(0), from: two)?.sense
        == SenseData(.unitAttention, .modeParametersChanged))
    // Nobody writes without asking.
    #expect(device.isOpenToAll && !device.device.isPlain)
    let after = try #require(device.data(sensed))
    #expect(bytes(after) { CachingPage(modeSense6: $0)?.hasWriteCache } == false)
    #expect(device.data(cdb(0x1a, 8, 0x88, 0, 255))?[6] == 0x04)
    #expect(device.data(cdb(0x1a, 8, 0x48, 0, 255))?[6] == 0x04)
    let range = ByteRange(offset: 512, length: 512)
    for code in [OperationCode.write10, .write16] {
      #expect(
        device.request(blockCommand(code, 1, 1))?.operation == .write(range, isForced: true))
    }
    device.reset()
    #expect(device.result(cdb(0))?.status == .checkCondition)
    #expect(
      device.request(blockCommand(.write10, 1, 1))?.operation == .write(range, isForced: false))
  }

  @Test func `an answer without a caching page is none`() {
    for data in [
      [], [0, 0, 0], [0, 0, 0, 8, 8, 18, 4], [3, 0, 0, 0], [22, 0, 0, 0, 10, 1, 4],
      [22, 0, 0, 0, 8, 18, 4], [6, 0, 0, 0, 8, 0],
    ] as [[UInt8]] {
      #expect(bytes(data) { CachingPage(modeSense6: $0) == nil })
    }
    let page = bytes([6, 0, 0, 1, 9, 0x88, 1, 0xff] as [UInt8]) { CachingPage(modeSense6: $0) }
    #expect(page?.hasWriteCache == true && page?.parameterList == [0, 0, 0, 0, 8, 1, 0xff])
  }

  @Test func `descriptor sense is used from then on, for all that is refused`() throws {
    let device = LiveDisk(disk())
    let data = select(control(true, false))
    _ = device.result(command(data), data)
    let result = try #require(device.result(cdb(0xc0)))
    #expect(result.senseBytes.first == 0x72)
    #expect(bytes(result.senseBytes) { SenseData($0) } == .invalidOperationCode)
    let beyond = try #require(device.result(blockCommand(.read16, 1 << 40, 1)))
    #expect(bytes(beyond.senseBytes) { SenseData($0)?.information } == 1 << 40)
    let failed = device.device.finish(DiskRequest(.flush), .writeError(offset: 512))
    #expect(failed.senseBytes.first == 0x72)
  }

  @Test func `lists that lie, and fields that can't be changed, are refused`() {
    let device = LiveDisk(disk())
    let whole = select(control(false, true), descriptor: [0, 0, 0, 0, 0, 0, 2, 0])
    for count in 1..<whole.count where count != 12 {
      let short = Array(whole.prefix(count))
      #expect(device.result(command(short), short)?.status == .checkCondition, "\(count)")
    }
    for index in whole.indices {
      var changed = whole
      changed[index] ^= 0x40
      _ = LiveDisk(disk()).result(command(changed), changed)
    }
    var other = whole
    other[10] = 4
    #expect(device.result(command(other), other)?.sense == .invalidParameter(9))
    other = whole
    other[12 + 8] = 1
    #expect(device.result(command(other), other)?.sense == .invalidParameter(20))
    #expect(device.result(cdb(0x15, 0, 0, 0, 4), [0, 0, 0, 0])?.sense == .invalidField(1))
    #expect(device.result(cdb(0x15, 0x11, 0, 0, 4), [0, 0, 0, 0])?.sense == .invalidField(1))
    #expect(device.isOpenToAll)
    #expect(device.result(command(whole), whole)?.status == .good)
    #expect(!device.isOpenToAll)
  }
}

struct MediumTests {
  static let eject = cdb(0x1b, 0, 0, 0, 2)
  static let load = cdb(0x1b, 0, 0, 0, 3)

  @Test func `an ejected medium is missed by all that need it, and told when it is back`() {
    let device = LiveDisk(disk(isRemovable: true, sessions: [one, two]))
    #expect(device.data(cdb(0x12, 0, 0, 0, 36))?[1] == 0x80)
    guard case .disk(let request) = device.send(Self.eject) else { Issue.record(); return }
    #expect(request.operation == .flush)
    let missing = SenseData(.notReady, .mediumNotPresent)
    for row in CommandTable.rows where row.code != .sanitize {
      var block = CommandDescriptorBlock(row.code)
      block[1] = row.serviceAction ?? 0
      let result = device.result(block.bytes)
      #expect((result?.sense == missing) == (row.readiness == .medium), "\(row.name)")
    }
    #expect(device.refusal(ofWriteFrom: 1)?.sense == missing)
    #expect(device.result(Self.load)?.status == .good)
    #expect(device.result(cdb(0))?.status == .good)
    #expect(
      device.result(cdb(0), from: two)?.sense == SenseData(.unitAttention, .mediumMayHaveChanged))
  }

  @Test func `what anybody prevents is prevented, until allowed, lost or reset`() {
    for end in 0..<3 {
      let device = LiveDisk(disk(isRemovable: true, sessions: [one, two]))
      #expect(device.result(cdb(0x1e, 0, 0, 0, 1), from: two)?.status == .good)
      let refused = SenseData(.illegalRequest, .mediumRemovalPrevented)
      #expect(device.result(Self.eject)?.sense == refused)
      switch end {
      case 0: _ = device.result(cdb(0x1e), from: two)
      case 1: device.detach(2)
      default:
        device.reset()
        _ = device.result(cdb(0))
      }
      #expect(device.result(Self.eject) == nil)
      _ = device.result(cdb(0x1e, 0, 0, 0, 1))
      #expect(device.result(Self.load)?.sense == refused)
    }
  }

  @Test func `a mirror keeps its medium, and a fixed disk has none to take out`() {
    let device = LiveDisk(disk(isRemovable: true))
    #expect(device.result(Self.eject, isMirrored: true)?.status == .checkCondition)
    let fixed = LiveDisk(disk())
    #expect(fixed.result(Self.eject)?.sense == .invalidField(4))
    #expect(fixed.result(cdb(0x1b, 0, 0, 0, 0x12))?.status == .good)
    #expect(fixed.result(cdb(0x1b, 0, 0, 0, 1))?.status == .good)
    #expect(fixed.result(cdb(0x1b)) == nil)
  }
}

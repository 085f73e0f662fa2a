// What a target answers to PDUs that no honest initiator sends: nothing traps, the session lives
// where its framing is intact, and the next honest command works.
import Bytes
import ISCSI
import Testing

struct BadInputTests {
  /// The session still serves.
  func expectAlive(_ target: LoneTarget) {
    var header = BasicHeaderSegment(opcode: .nopOut)
    header.initiatorTaskTag = 0x7777
    header.word20 = reservedTag
    let answers = target.request(header, data: [1, 2, 3])
    #expect(answers.map(\.header.opcode) == [.nopIn])
    #expect(answers.first?.data == [1, 2, 3])
    #expect(!target.isClosed)
  }

  /// A target to which a write of `length` was announced, and the transfer tag of its R2T.
  func writing(_ length: Int, burst: Int = 4096) throws -> (LoneTarget, UInt32) {
    let target = LoneTarget(offers: "MaxBurstLength=\(burst)", "InitialR2T=Yes")
    let answers = target.request(writeHeader(tag: 5, length: length))
    let request = try #require(answers.first)
    #expect(request.header.opcode == .readyToTransfer)
    #expect(request.header.word44 == UInt32(min(length, burst)))
    return (target, request.header.word20)
  }

  @Test(arguments: [
    (0, 4097), (0, 8192), (0, 100_000),
  ])
  func `data past its R2T is rejected and the task ends`(offset: Int, length: Int) throws {
    let (target, tag) = try writing(8192)
    let answers = target.send(
      dataOut(tag: 5, transferTag: tag, offset: offset, pattern(length)))
    #expect(answers.map(\.rejectReason) == [0x09, nil])
    #expect(answers.last?.status == 2 && answers.last?.senseCode == [0x0c, 0x0d])
    #expect(target.commands.isEmpty && target.openTaskCount == 0)
    expectAlive(target)
  }

  @Test(arguments: [1, 4095, 4096, 8192, 0xffff_f000, 0xffff_ffff])
  func `data at another offset is rejected and the task ends`(offset: Int) throws {
    let (target, tag) = try writing(4096)
    let first = target.send(
      dataOut(tag: 5, transferTag: tag, offset: offset, isFinal: false, pattern(512)))
    #expect(first.map(\.rejectReason) == [0x09])
    let last = target.send(
      dataOut(tag: 5, transferTag: tag, offset: 0, number: 1, pattern(512)))
    #expect(last.map(\.status) == [2])
    expectAlive(target)
  }

  @Test func `a wrong transfer tag, task tag or unit is rejected, the task lives`() throws {
    let (target, tag) = try writing(512)
    var elsewhere = dataOut(tag: 5, transferTag: tag, offset: 0, pattern(512))
    elsewhere.header.lun = 1 << 48
    for pdu in [
      dataOut(tag: 5, transferTag: tag &+ 1, offset: 0, pattern(512)),
      dataOut(tag: 5, transferTag: reservedTag, offset: 0, pattern(512)),
      dataOut(tag: 6, transferTag: tag, offset: 0, pattern(512)),
      dataOut(tag: reservedTag, transferTag: tag, offset: 0, pattern(512)), elsewhere,
    ] {
      #expect(target.send(pdu).map(\.rejectReason) == [0x09])
    }
    target.send(dataOut(tag: 5, transferTag: tag, offset: 0, pattern(512)))
    #expect(target.commands.map(\.dataOut) == [pattern(512)])
    #expect(target.send(dataOut(tag: 5, transferTag: tag, offset: 0, [])).first?.rejectReason == 9)
    expectAlive(target)
  }

  @Test func `data past its R2T fails the task once the last of it is here`() throws {
    let (target, tag) = try writing(4096)
    let first = target.send(
      dataOut(tag: 5, transferTag: tag, offset: 0, isFinal: false, pattern(4100)))
    #expect(first.map(\.rejectReason) == [0x09])
    let last = target.send(
      dataOut(tag: 5, transferTag: tag, offset: 4100, number: 1, pattern(100)))
    #expect(last.map(\.status) == [2] && last.first?.senseCode == [0x0c, 0x0d])
    expectAlive(target)
  }

  @Test func `a sequence that ends short fails its task`() throws {
    let (target, tag) = try writing(4096)
    let answers = target.send(dataOut(tag: 5, transferTag: tag, offset: 0, pattern(512)))
    #expect(answers.map(\.status) == [2] && answers.first?.senseCode == [0x0c, 0x0d])
    expectAlive(target)
  }

  @Test(arguments: [(4096, 1024), (512, 512)])
  func `less unasked data than announced fails the task`(length: Int, due: Int) {
    let target = LoneTarget(offers: "FirstBurstLength=1024", "InitialR2T=No")
    #expect(target.request(writeHeader(tag: 1, length: length, flags: 0x21)).isEmpty)
    let answers = target.send(
      dataOut(tag: 1, transferTag: reservedTag, offset: 0, pattern(due - 4)))
    #expect(answers.map(\.status) == [2] && answers.first?.senseCode == [0x0c, 0x0d])
    expectAlive(target)
  }

  @Test(arguments: [
    [UInt32(0), 0], [27, 28], [0xffff_ffff, 0], [1, 0],
  ])
  func `numbers of data that don't count up fail the task, after the last PDU`(
    numbers: [UInt32]
  ) throws {
    let (target, tag) = try writing(1024)
    let first = target.send(
      dataOut(
        tag: 5, transferTag: tag, offset: 0, number: numbers[0], isFinal: false, pattern(512)))
    #expect(first.isEmpty)
    let last = target.send(
      dataOut(tag: 5, transferTag: tag, offset: 512, number: numbers[1], pattern(512)))
    #expect(last.map(\.status) == [2] && last.first?.senseCode == [0x47, 0x05])
    expectAlive(target)
  }

  @Test func `empty data PDUs change nothing`() throws {
    let (target, tag) = try writing(512)
    for number in 0..<1000 {
      let answers = target.send(
        dataOut(
          tag: 5, transferTag: tag, offset: 0, number: UInt32(number), isFinal: false, []))
      #expect(answers.isEmpty)
    }
    target.send(dataOut(tag: 5, transferTag: tag, offset: 0, number: 1000, pattern(512)))
    #expect(target.commands.count == 1)
  }

  @Test func `more immediate data than announced is rejected`() {
    let target = LoneTarget()
    let answers = target.request(writeHeader(tag: 1, length: 512), data: pattern(4096))
    #expect(answers.map(\.rejectReason) == [0x09])
    expectAlive(target)
    #expect(target.openTaskCount == 0)
  }

  @Test func `immediate data that wasn't agreed on is rejected`() {
    let target = LoneTarget(offers: "ImmediateData=No")
    let answers = target.request(writeHeader(tag: 1, length: 512), data: pattern(512))
    #expect(answers.map(\.rejectReason) == [0x04])
    expectAlive(target)
  }

  @Test func `more unsolicited data than the first burst fails the task`() {
    let target = LoneTarget(offers: "FirstBurstLength=1024", "InitialR2T=No")
    #expect(target.request(writeHeader(tag: 1, length: 4096, flags: 0x21)).isEmpty)
    let answers = target.send(
      dataOut(tag: 1, transferTag: reservedTag, offset: 0, pattern(1025)))
    #expect(answers.map(\.rejectReason) == [0x09, nil] && answers.last?.status == 2)
    expectAlive(target)
  }

  @Test func `a tag in use, a reserved one and one of the mirror's are rejected`() throws {
    let (target, _) = try writing(512)
    for (tag, reason) in [(UInt32(5), UInt8(7)), (reservedTag, 9), (0x8000_0001, 9)] {
      #expect(target.request(writeHeader(tag: tag, length: 512)).map(\.rejectReason) == [reason])
    }
    #expect(target.openTaskCount == 1)
    expectAlive(target)
  }

  @Test(arguments: [UInt8(0xe1), 0x01, 0x41, 0xa5, 0xa6, 0xa7])
  func `flags that can't be together, and attributes that there aren't, are rejected`(
    flags: UInt8
  ) {
    let target = LoneTarget(offers: "InitialR2T=No")
    let header = writeHeader(tag: 1, length: 512, flags: flags)
    #expect(target.request(header).map(\.rejectReason) == [0x09])
    expectAlive(target)
  }

  @Test(arguments: [
    UInt8(0x07), 0x0f, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x25, 0x31, 0x3c, 0x3f,
  ])
  func `unknown, vendor and target opcodes are rejected`(opcode: UInt8) {
    let target = LoneTarget()
    var header = BasicHeaderSegment()
    header.storage[0] = opcode
    #expect(target.send(PDU(header: header)).map(\.rejectReason) == [0x05])
    expectAlive(target)
  }

  @Test func `the mirror's opcode is rejected where its version wasn't agreed on`() {
    let stranger = LoneTarget()
    var header = BasicHeaderSegment(opcode: .mirrorRequest, isImmediate: true)
    header.initiatorTaskTag = reservedTag
    #expect(stranger.send(PDU(header: header)).map(\.rejectReason) == [0x05])
    let friend = LoneTarget(offers: "X-org.mirrorcast.version=1")
    #expect(friend.send(PDU(header: header)).isEmpty)
    guard case .mirrorRequest? = friend.events.last else {
      Issue.record("not passed on")
      return
    }
  }

  @Test func `SNACK and a second login are rejected`() {
    let target = LoneTarget()
    let snack = PDU(header: BasicHeaderSegment(opcode: .snackRequest))
    #expect(target.send(snack).map(\.rejectReason) == [0x03])
    #expect(target.send(loginRequest([])).map(\.rejectReason) == [0x04])
    expectAlive(target)
  }

  @Test(arguments: [4, 8, 1020])
  func `additional header segments are rejected`(count: Int) {
    let target = LoneTarget()
    let additional = [UInt8](repeating: 0xff, count: count)
    var ping = BasicHeaderSegment(opcode: .nopOut)
    ping.initiatorTaskTag = 2
    for header in [writeHeader(tag: 1, length: 0), ping] {
      let answers = target.request(PDU(header: header, additional: additional))
      #expect(answers.map(\.rejectReason) == [0x09])
    }
    for opcode: Opcode in [.dataOut, .snackRequest] {
      let pdu = PDU(header: BasicHeaderSegment(opcode: opcode), additional: additional)
      #expect(target.send(pdu).map(\.rejectReason) == [0x09])
    }
    expectAlive(target)
  }

  @Test func `a write that is too long is handed on without its data`() {
    let target = LoneTarget(offers: "InitialR2T=No")
    let answers = target.request(
      writeHeader(tag: 1, length: 0x7fff_ffff, flags: 0x21), data: pattern(512))
    #expect(answers.isEmpty)
    #expect(target.commands.map(\.isTooLong) == [true])
    #expect(target.commands.first?.dataOut == [])
    #expect(target.send(dataOut(tag: 1, transferTag: reservedTag, offset: 512, [1])).isEmpty)
    expectAlive(target)
  }

  @Test(arguments: [
    "NoEqualsSign", "lowercase=1\0", "K=\u{1b}\0",
  ])
  func `malformed text is rejected`(text: String) {
    let target = LoneTarget()
    var header = BasicHeaderSegment(opcode: .textRequest)
    header.initiatorTaskTag = 9
    header.word20 = reservedTag
    #expect(target.request(header, data: Array(text.utf8)).map(\.rejectReason) == [0x09])
    expectAlive(target)
  }
}

// What a Reject leaves behind: the session with its numbers, and the bytes that it is about.
import Bytes
import ISCSI
import Testing

struct RejectTests {
  /// Feeds bytes as a connection does; what the target sends.
  private func feed(_ bytes: [UInt8], _ target: LoneTarget, _ decoder: inout FrameDecoder) -> [PDU]
  {
    var offset = 0
    var answers: [PDU] = []
    while offset < bytes.count, !target.isClosed {
      do throws(FramingError) {
        guard let pdu = try decoder.next(bytes, from: &offset) else { break }
        answers += target.send(pdu)
      } catch {
        answers += target.take { $0.handle(error) }
      }
    }
    return answers
  }

  private func ping(_ tag: UInt32) -> BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: .nopOut)
    header.initiatorTaskTag = tag
    header.word20 = reservedTag
    return header
  }

  @Test(arguments: [262_145, 0xff_ffff])
  func `a data segment over the limit is rejected and skipped, the session goes on`(
    length: Int
  ) throws {
    let target = LoneTarget()
    var decoder = FrameDecoder(dataSegmentLengthMax: target.session.receiveDataSegmentLengthMax)
    var header = ping(7)
    header.isImmediate = true
    let long = PDU(header: header, data: [UInt8](repeating: 1, count: length))
    // Rejected at its header, before a byte of the rest is here.
    let refusal = feed(Array(encoded(long)[..<48]), target, &decoder)
    #expect(refusal.map(\.rejectReason) == [0x04])
    #expect(refusal.first?.data.elementsEqual(long.sealedHeader.array) == true)
    let rest = feed(
      Array(encoded(long)[48...]) + encoded(PDU(header: header, data: [5])), target, &decoder)
    #expect(rest.map(\.header.opcode) == [.nopIn] && rest.first?.data == [5])
  }

  @Test func `too many bytes of them end the session`() {
    var configuration = targetConfiguration()
    configuration.skippedBytesMax = 1 << 25
    let target = LoneTarget(configuration)
    var header = ping(7)
    header.dataSegmentLength = 0xff_ffff
    for round in 1...3 {
      let answers = target.take { $0.handle(.dataSegmentTooLong(header)) }
      #expect(answers.map(\.rejectReason) == [0x04])
      #expect(target.isClosed == (round == 3))
    }
  }

  @Test func `a task whose data was too long fails with the last of it`() throws {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    let request = try #require(target.request(writeHeader(tag: 5, length: 4096)).first)
    var long = dataOut(tag: 5, transferTag: request.header.word20, offset: 0, isFinal: false, [])
    long.header.dataSegmentLength = 0xff_ffff
    let refusal = target.take { $0.handle(.dataSegmentTooLong(long.header)) }
    #expect(refusal.map(\.rejectReason) == [0x04])
    let last = target.send(
      dataOut(tag: 5, transferTag: request.header.word20, offset: 0, number: 1, pattern(512)))
    #expect(last.map(\.status) == [2] && last.first?.senseCode == [0x0c, 0x0d])
    #expect(target.openTaskCount == 0 && target.commands.isEmpty)
  }

  @Test(arguments: [0, 4, 1020])
  func `the header comes back as it came, as long as it fits`(additional: Int) throws {
    let target = LoneTarget(offers: "MaxRecvDataSegmentLength=512")
    let pdu = PDU(
      header: writeHeader(tag: 3, length: 4, flags: 0xe1), additional: pattern(additional),
      data: pattern(4)[...])
    let received = try #require(try decode(encoded(pdu)).first)
    let answers = target.request(received)
    #expect(answers.map(\.rejectReason) == [0x09])
    var wanted = encoded(pdu)[..<(48 + additional)]
    for index in 0..<4 { wanted[24 + index] = UInt8(target.commandNumber >> (24 - 8 * index)) }
    #expect(answers.first?.data.elementsEqual(wanted.prefix(512)) == true)
  }

  @Test func `a rejected number is expected until something comes under it`() {
    let target = LoneTarget()
    let number = target.commandNumber
    let refusal = target.request(writeHeader(tag: 1, length: 512, flags: 0xe1))
    #expect(refusal.map(\.rejectReason) == [0x09])
    #expect(refusal.first?.header.word28 == number)
    #expect(target.commandNumber == number)
    // What comes after it waits.
    var next = ping(2)
    next.word24 = number + 1
    #expect(target.send(PDU(header: next)).isEmpty)
    let answers = target.request(ping(3))
    #expect(answers.map(\.header.initiatorTaskTag) == [3, 2])
    #expect(answers.last?.header.word28 == number + 2)
    #expect(answers.last?.header.word32 == number + 65)
  }

  @Test func `every kind of rejected request leaves the window as it was`() {
    let target = LoneTarget()
    let number = target.commandNumber
    var logout = BasicHeaderSegment(opcode: .logoutRequest, flags: 0x85)
    logout.initiatorTaskTag = 4
    var text = BasicHeaderSegment(opcode: .textRequest, flags: 0xc0)
    text.initiatorTaskTag = 5
    var manage = BasicHeaderSegment(opcode: .taskManagementRequest, flags: 0x82)
    manage.initiatorTaskTag = reservedTag
    for header in [logout, text, manage, writeHeader(tag: reservedTag, length: 0)] {
      let answers = target.request(header)
      #expect(answers.map(\.rejectReason) == [0x09])
      #expect(answers.first?.header.word28 == number)
      #expect(answers.first?.header.word32 == number + 63)
    }
    #expect(target.request(ping(6)).first?.header.word32 == number + 64)
  }

  @Test func `our initiator puts a ping in the place of a rejected request`() throws {
    let pair = SessionPair()
    try pair.settle()
    _ = pair.initiator.sendText(TextKeys([.init("notAKey", "1")]))
    try pair.settle()
    guard case .rejected(reason: 9, _, _)? = pair.initiatorEvents.last else {
      Issue.record("malformed text was taken")
      return
    }
    #expect(pair.crossedCount(.nopOut) == 1 && pair.crossedCount(.nopIn) == 1)
    let result = try pair.run(
      InitiatorCommand(lun: 0, commandDescriptorBlock: block(0), transfer: .none))
    #expect(result?.isGood == true)
    #expect(pair.openTaskCount == 0)
  }
}

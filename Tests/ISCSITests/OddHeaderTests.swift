// Fields of a header that mean nothing, or nothing here.
import Bytes
import ISCSI
import Testing

struct OddHeaderTests {
  private func ping() -> BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    header.initiatorTaskTag = 7
    header.word20 = reservedTag
    return header
  }

  @Test func `reserved bits are nobody's business`() {
    let target = LoneTarget()
    var odd = ping()
    odd.storage[0] |= 0x80
    odd.storage[1] |= 0x7f
    odd.storage[2] = 0xff
    odd.storage[3] = 0xff
    for index in 32..<48 { odd.storage[index] = 0xff }
    #expect(target.send(PDU(header: odd)).map(\.header.opcode) == [.nopIn])
  }

  @Test(arguments: [
    // An extended CDB, and a length of data read beside data written: well formed, not taken.
    [0, 9, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8] as [UInt8], [0, 5, 2, 0, 0, 0, 2, 0],
    // A length of nothing, one past the end, a type that isn't.
    [0, 0, 1, 0], [0xff, 0xff, 1, 0], [0, 1, 0x3f, 0],
  ])
  func `additional header segments are refused, whatever they say`(segment: [UInt8]) {
    let target = LoneTarget()
    var text = BasicHeaderSegment(opcode: .textRequest)
    text.initiatorTaskTag = 3
    var manage = BasicHeaderSegment(opcode: .taskManagementRequest, flags: 0x82)
    manage.initiatorTaskTag = 4
    var logout = BasicHeaderSegment(opcode: .logoutRequest)
    logout.initiatorTaskTag = 5
    for header in [writeHeader(tag: 1, length: 512), text, manage, logout, ping()] {
      let answers = target.request(PDU(header: header, additional: segment))
      #expect(answers.map(\.rejectReason) == [0x09])
    }
    #expect(target.send(PDU(header: ping())).count == 1 && !target.isClosed)
  }

  @Test func `data unasked is out of place where R2T comes first`() {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    #expect(
      target.request(writeHeader(tag: 1, length: 4096, flags: 0x21)).map(\.rejectReason) == [9])
    let request = target.request(writeHeader(tag: 1, length: 4096)).first?.header
    let unasked = dataOut(tag: 1, transferTag: reservedTag, offset: 0, pattern(512))
    #expect(target.send(unasked).map(\.rejectReason) == [9])
    target.send(
      dataOut(tag: 1, transferTag: request?.word20 ?? 0, offset: 0, pattern(4096)))
    #expect(target.commands.map(\.dataOut) == [pattern(4096)])
  }

  @Test func `a command that waits for its turn keeps so much data and no more`() {
    let target = LoneTarget(offers: "InitialR2T=No", "FirstBurstLength=1024")
    var early = writeHeader(tag: 9, length: 1024, flags: 0x21)
    early.word24 = target.commandNumber + 1
    #expect(target.send(PDU(header: early)).isEmpty)
    for number: UInt32 in 0..<2 {
      let pdu = dataOut(
        tag: 9, transferTag: reservedTag, offset: Int(number) * 512, number: number,
        isFinal: number == 1, pattern(512))
      #expect(target.send(pdu).isEmpty)
    }
    let more = dataOut(tag: 9, transferTag: reservedTag, offset: 1024, number: 2, [1])
    #expect(target.send(more).map(\.rejectReason) == [9])
    var empty = more
    empty.data = []
    var refused = 0
    for _ in 0..<3000 { refused += target.send(empty).count }
    #expect(refused > 1900)
    var first = ping()
    first.isImmediate = false
    target.request(first)
    #expect(target.commands.map(\.dataOut) == [pattern(512) + pattern(512)])
  }
}

import Bytes
import ISCSI
import Testing

struct CommandWindowTests {
  func command(_ number: UInt32, tag: UInt32) -> PDU {
    var header = BasicHeaderSegment(opcode: .scsiCommand)
    header.initiatorTaskTag = tag
    header.word24 = number
    return PDU(header: header)
  }

  @Test func `numbers outside the window are ignored without a word`() {
    let target = LoneTarget()
    for number: UInt32 in [0, 0xffff_ffff, 65, 1000, 0x8000_0001] {
      #expect(target.send(command(number, tag: number &+ 5)).isEmpty)
    }
    #expect(target.commands.isEmpty && target.droppedCount == 5)
    #expect(target.send(command(1, tag: 1)).isEmpty)
    #expect(target.send(command(1, tag: 2)).isEmpty)
    #expect(target.commands.count == 1 && target.droppedCount == 6)
  }

  @Test func `what comes early is delivered in its turn, with the data that followed`() {
    let target = LoneTarget(offers: "InitialR2T=No")
    var write = writeHeader(tag: 30, length: 512, flags: 0x21)
    write.word24 = 3
    target.send(PDU(header: write))
    target.send(dataOut(tag: 30, transferTag: reservedTag, offset: 0, pattern(512)))
    target.send(command(2, tag: 20))
    #expect(target.commands.isEmpty)
    target.send(command(1, tag: 10))
    #expect(target.commands.map(\.handle.taskTag) == [10, 20, 30])
    #expect(target.commands.last?.dataOut == pattern(512))
  }

  @Test func `the window wraps with its numbers`() {
    var window = CommandWindow(first: SerialNumber(0xffff_fffe), size: 4)
    #expect(window.last == SerialNumber(1))
    for number: UInt32 in [0xffff_fffe, 0xffff_ffff, 0, 1] {
      guard case .deliver = window.admit(command(number, tag: 1)) else {
        Issue.record("\(number) not delivered")
        return
      }
    }
    guard case .ignore = window.admit(command(2, tag: 1)) else {
      Issue.record("delivered outside the window")
      return
    }
    window.release()
    guard case .deliver = window.admit(command(2, tag: 1)) else {
      Issue.record("not delivered after a release")
      return
    }
  }

  @Test func `the window closes while commands are open, and opens as they end`() {
    let target = LoneTarget()
    for number: UInt32 in 1...70 { target.send(command(number, tag: number)) }
    #expect(target.commands.count == 64 && target.droppedCount == 6)
    target.session.completeCommand(target.commands[0].handle, CommandCompletion(status: 0))
    let answer = target.session.pollOutput()
    #expect(answer?.header.word28 == 65 && answer?.header.word32 == 65)
    target.send(command(65, tag: 65))
    #expect(target.commands.count == 65)
  }

  @Test func `immediate commands don't wait, but have a limit of their own`() {
    let target = LoneTarget()
    var answers: [PDU] = []
    for tag: UInt32 in 1...17 {
      var pdu = command(1, tag: tag)
      pdu.header.isImmediate = true
      answers += target.send(pdu)
    }
    #expect(target.commands.count == 16)
    #expect(answers.map(\.rejectReason) == [0x06])
  }

  @Test func `a queue gives back what it was given, in order`() {
    var queue = Fifo<Int>()
    var next = 0
    var expected = 0
    for round in 0..<500 {
      for _ in 0...(round % 7) {
        queue.append(next)
        next += 1
      }
      for _ in 0..<(round % 6) {
        guard let first = queue.popFirst() else { break }
        #expect(first == expected)
        expected += 1
      }
      #expect(queue.count == next - expected)
    }
    while let first = queue.popFirst() {
      #expect(first == expected)
      expected += 1
    }
    #expect(expected == next && queue.isEmpty)
  }
}

struct WaitingWritesTests {
  @Test func `writes aborted while they wait for memory leave the others their turn`() {
    var configuration = targetConfiguration()
    configuration.writeBytesMax = 1000
    let target = LoneTarget(configuration, offers: "InitialR2T=Yes")
    #expect(target.request(writeHeader(tag: 1, length: 800)).count == 1)
    for round in 0..<1000 {
      let tag = UInt32(round + 10)
      #expect(target.request(writeHeader(tag: tag, length: 800)).isEmpty)
      guard round != 500 else { continue }
      var abort = BasicHeaderSegment(
        opcode: .taskManagementRequest, flags: 0x81, isImmediate: true)
      abort.initiatorTaskTag = 5
      abort.word20 = tag
      #expect(target.send(PDU(header: abort)).map(\.header.byte2) == [0])
    }
    target.send(dataOut(tag: 1, transferTag: 1, offset: 0, pattern(800)))
    target.session.completeCommand(target.commands[0].handle, CommandCompletion(status: 0))
    let response = target.session.pollOutput()
    let request = target.session.pollOutput()
    #expect(response?.header.opcode == .scsiResponse)
    #expect(request?.header.opcode == .readyToTransfer)
    #expect(request?.header.initiatorTaskTag == 510)
  }
}

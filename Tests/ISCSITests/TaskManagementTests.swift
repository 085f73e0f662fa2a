import Bytes
import ISCSI
import Testing

struct TaskManagementTests {
  func manage(
    _ target: LoneTarget, _ function: UInt8, tag: UInt32 = reservedTag, lun: UInt64 = 0,
    isImmediate: Bool = true, number: UInt32 = 0
  ) -> [PDU] {
    var header = BasicHeaderSegment(
      opcode: .taskManagementRequest, flags: 0x80 | function, isImmediate: isImmediate)
    header.lun = lun
    header.initiatorTaskTag = 0x500
    header.word20 = tag
    header.word24 = target.commandNumber
    header.word32 = number
    return target.send(PDU(header: header))
  }

  @Test func `a write whose data is still to come is aborted at once`() {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    target.request(writeHeader(tag: 3, length: 4096))
    #expect(manage(target, 1, tag: 3).map(\.header.byte2) == [0])
    #expect(target.openTaskCount == 0 && target.commands.isEmpty)
    #expect(manage(target, 1, tag: 3).map(\.header.byte2) == [1])
    let late = target.send(dataOut(tag: 3, transferTag: 1, offset: 0, pattern(4096)))
    #expect(late.map(\.rejectReason) == [0x09])
  }

  @Test func `a command that the owner has is aborted by the owner, its answer is not sent`() {
    let target = LoneTarget()
    target.request(writeHeader(tag: 3, length: 512), data: pattern(512))
    #expect(manage(target, 1, tag: 3).isEmpty)
    guard case .taskManagement(let request)? = target.events.last else {
      Issue.record("the owner wasn't asked")
      return
    }
    #expect(request.function == .abortTask)
    #expect(request.aborted == target.commands.map(\.handle))
    target.session.completeCommand(target.commands[0].handle, CommandCompletion(status: 0))
    target.session.completeTaskManagement(request.handle, .complete)
    let first = target.session.pollOutput()
    let second = target.session.pollOutput()
    #expect(first?.header.opcode == .taskManagementResponse && first?.header.byte2 == 0)
    #expect(first?.header.initiatorTaskTag == 0x500)
    #expect(second?.header.opcode == nil)
  }

  @Test(arguments: [(2, 2), (5, 2), (6, 3), (7, 3)] as [(UInt8, Int)])
  func `sets and resets end what they mean`(function: UInt8, count: Int) {
    let target = LoneTarget()
    for (tag, lun) in [(UInt32(1), UInt64(1)), (2, 1), (3, 2)] {
      target.request(writeHeader(tag: tag, length: 512, lun: lun << 48), data: pattern(512))
    }
    #expect(manage(target, function, lun: 1 << 48).isEmpty)
    guard case .taskManagement(let request)? = target.events.last else {
      Issue.record("the owner wasn't asked")
      return
    }
    #expect(request.aborted.map(\.taskTag) == (1...UInt32(count)).map { $0 })
    #expect(target.openTaskCount == 3 - count)
  }

  @Test(arguments: [(0, 5), (3, 5), (4, 5), (8, 4), (9, 5), (127, 5)] as [(UInt8, UInt8)])
  func `what isn't supported is said so`(function: UInt8, response: UInt8) {
    let target = LoneTarget()
    #expect(manage(target, function).map(\.header.byte2) == [response])
  }

  @Test func `a mirrored write is the owner's to abort`() {
    let target = LoneTarget(offers: "X-org.mirrorcast.version=1")
    #expect(manage(target, 1, tag: 0x8000_0009).isEmpty)
    guard case .abortMirrored(taskTag: 0x8000_0009, let reply)? = target.events.last else {
      Issue.record("the owner wasn't asked")
      return
    }
    target.session.completeTaskManagement(reply, .complete)
    let answer = target.session.pollOutput()
    #expect(answer?.header.initiatorTaskTag == 0x500)
  }

  @Test func `a command that will never come counts as received`() {
    let target = LoneTarget()
    let missing = target.commandNumber
    target.commandNumber += 1
    #expect(manage(target, 1, tag: 77, number: missing).map(\.header.byte2) == [0])
    var header = BasicHeaderSegment(opcode: .scsiCommand)
    header.initiatorTaskTag = 78
    target.request(header)
    #expect(target.commands.count == 1)
  }

  @Test func `both sides agree on what an abort ended`() throws {
    let pair = SessionPair()
    try pair.settle()
    pair.answer = { _ in nil }
    let command = InitiatorCommand(
      lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: 512))
    let tags = (0..<3).map { _ in pair.initiator.submit(command) }
    try pair.settle()
    let abort = pair.initiator.manageTasks(.abortTask, lun: 0, referencedTag: tags[1])
    try pair.settle()
    guard case .taskManagement(let request)? = pair.targetEvents.last else {
      Issue.record("the owner wasn't asked")
      return
    }
    pair.target.completeTaskManagement(request.handle, .complete)
    try pair.settle()
    guard case .taskManagementDone(abort, .complete, let ended)? = pair.initiatorEvents.last else {
      Issue.record("not answered")
      return
    }
    #expect(ended == [tags[1]])
    for task in pair.commands {
      pair.target.completeCommand(task.handle, CommandCompletion(status: 0))
    }
    try pair.settle()
    #expect(pair.results.map(\.taskTag) == [tags[0], tags[2]])
    #expect(pair.openTaskCount == 0)
  }
}

import Bytes
import ISCSI
import Testing

struct TaskManagementTests {
  func manage(
    _ target: LoneTarget, _ function: UInt8, tag: UInt32 = reservedTag, lun: UInt64 = 0,
    as own: UInt32 = 0x500, isImmediate: Bool = true, number: UInt32 = 0
  ) -> [PDU] {
    var header = BasicHeaderSegment(
      opcode: .taskManagementRequest, flags: 0x80 | function, isImmediate: isImmediate)
    header.lun = lun
    header.initiatorTaskTag = own
    header.word20 = tag
    header.word24 = target.commandNumber
    header.word32 = number
    if !isImmediate { target.commandNumber += 1 }
    return target.send(PDU(header: header))
  }

  private func command(_ tag: UInt32, number: UInt32, lun: UInt64 = 0) -> PDU {
    var header = BasicHeaderSegment(opcode: .scsiCommand)
    header.lun = lun
    header.initiatorTaskTag = tag
    header.word24 = number
    return PDU(header: header)
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

  @Test(arguments: [(2, 2), (4, 2), (5, 2), (6, 3), (7, 3)] as [(UInt8, Int)])
  func `sets and resets end what they mean`(function: UInt8, count: Int) {
    let target = LoneTarget()
    // Flat space addressing means the same unit.
    for (tag, lun) in [(UInt32(1), UInt64(1)), (2, 0x4001), (3, 2)] {
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

  @Test(arguments: [(0, 5), (3, 5), (8, 4), (9, 5), (12, 5), (127, 5)] as [(UInt8, UInt8)])
  func `what isn't supported is said so`(function: UInt8, response: UInt8) {
    let target = LoneTarget()
    #expect(manage(target, function).map(\.header.byte2) == [response])
  }

  @Test func `a mirrored write is the owner's to abort`() {
    let target = LoneTarget(offers: "X-org.mirrorcast.version=1")
    #expect(manage(target, 1, tag: 0x8000_0009).isEmpty)
    guard case .abortMirrored(let task, let reply)? = target.events.last else {
      Issue.record("the owner wasn't asked")
      return
    }
    #expect(task.taskTag == 0x8000_0009)
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

  @Test func `what waited behind a command that will never come goes on`() {
    let target = LoneTarget()
    let first = target.commandNumber
    target.commandNumber += 4
    target.send(command(1, number: first + 1))
    target.send(command(3, number: first + 3))
    #expect(target.commands.isEmpty)
    // The later of two gaps first.
    #expect(manage(target, 1, tag: 70, number: first + 2).map(\.header.byte2) == [0])
    #expect(target.commands.isEmpty)
    let answers = manage(target, 1, tag: 71, number: first)
    #expect(answers.map(\.header.byte2) == [0])
    #expect(target.commands.map(\.handle.taskTag) == [1, 3])
    var ping = BasicHeaderSegment(opcode: .nopOut)
    ping.initiatorTaskTag = 9
    let pong = target.request(ping)
    // Two plugged, two open, one ping: 64 may be open, two are.
    #expect(pong.first?.header.word28 == first + 5)
    #expect(pong.first?.header.word32 == first + 63 + 3)
  }

  @Test func `numbers outside the window, or not before the request, are of no task`() {
    let target = LoneTarget()
    target.request(writeHeader(tag: 3, length: 4096))
    let next = target.commandNumber
    for number in [next - 1, next, next + 1, next + 1000, 0] {
      #expect(manage(target, 1, tag: 77, number: number).map(\.header.byte2) == [1])
    }
    // Somebody else's command is not aborted by its number.
    target.commandNumber += 2
    target.send(command(5, number: next + 1))
    #expect(manage(target, 1, tag: 77, number: next + 1).map(\.header.byte2) == [1])
    target.send(command(4, number: next))
    #expect(target.commands.map(\.handle.taskTag) == [4, 5])
  }

  @Test func `a command that waits for its turn is aborted there, alone or with its set`() {
    for function: UInt8 in [1, 2, 4, 5] {
      let target = LoneTarget()
      let first = target.commandNumber
      target.commandNumber += 3
      target.send(command(5, number: first + 1, lun: 1 << 48))
      target.send(command(6, number: first + 2, lun: 2 << 48))
      let tag: UInt32 = function == 1 ? 5 : reservedTag
      let answers = manage(target, function, tag: tag, lun: 1 << 48, number: first + 1)
      #expect(answers.map(\.header.byte2) == (function == 1 ? [0] : []))
      target.send(command(4, number: first))
      #expect(target.commands.map(\.handle.taskTag) == [4, 6], "\(function)")
    }
  }

  @Test(arguments: [UInt8(6), 7])
  func `a reset of the target counts all that was sent as received`(function: UInt8) {
    let target = LoneTarget()
    let first = target.commandNumber
    target.commandNumber += 5
    target.send(command(5, number: first + 2))
    #expect(manage(target, function).isEmpty)
    #expect(target.commands.isEmpty)
    var ping = BasicHeaderSegment(opcode: .nopOut)
    ping.initiatorTaskTag = 9
    #expect(target.request(ping).first?.header.word28 == first + 6)
  }

  @Test func `a request of its kind can't be aborted, nor its tag used`() {
    let target = LoneTarget()
    target.request(writeHeader(tag: 3, length: 512), data: pattern(512))
    #expect(manage(target, 1, tag: 3).isEmpty)
    #expect(manage(target, 1, tag: 0x500, as: 0x501).map(\.header.byte2) == [255])
    #expect(manage(target, 1, tag: 0x502, as: 0x502).map(\.header.byte2) == [255])
    #expect(manage(target, 2).map(\.rejectReason) == [7])
    #expect(target.request(writeHeader(tag: 0x500, length: 0)).map(\.rejectReason) == [7])
    target.request(writeHeader(tag: 4, length: 512), data: pattern(512))
    #expect(manage(target, 2, as: 4).map(\.rejectReason) == [7])
    // Answered once.
    guard case .taskManagement(let request)? = target.events.last(where: { $0.isManagement })
    else {
      Issue.record("the owner wasn't asked")
      return
    }
    for count in [1, 0] {
      let answers = target.take { $0.completeTaskManagement(request.handle, .complete) }
      #expect(answers.count == count)
    }
  }

  @Test func `there are only so many at once`() {
    let target = LoneTarget()
    for tag: UInt32 in 1...16 { #expect(manage(target, 2, as: tag).isEmpty) }
    #expect(manage(target, 2, as: 17).map(\.rejectReason) == [6])
    #expect(manage(target, 2, as: 18, isImmediate: false).map(\.header.byte2) == [255])
  }

  @Test func `data, or a discovery session, is out of place`() {
    let target = LoneTarget()
    var header = BasicHeaderSegment(opcode: .taskManagementRequest, flags: 0x82)
    header.initiatorTaskTag = 7
    #expect(target.request(header, data: [1]).map(\.rejectReason) == [9])
    let discovery = LoneTarget(isDiscovery: true)
    #expect(manage(discovery, 2).map(\.rejectReason) == [5])
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

  @Test func `a reset ends no command that was sent after it`() throws {
    let pair = SessionPair()
    try pair.settle()
    pair.answer = { _ in nil }
    let command = InitiatorCommand(
      lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: 512))
    let before = pair.initiator.submit(command)
    let reset = pair.initiator.manageTasks(.logicalUnitReset, lun: 0)
    let after = pair.initiator.submit(command)
    try pair.settle()
    let requests = pair.targetEvents.compactMap { event -> TaskManagement? in
      if case .taskManagement(let request) = event { request } else { nil }
    }
    pair.target.completeTaskManagement(try #require(requests.last).handle, .complete)
    try pair.settle()
    guard case .taskManagementDone(reset, .complete, let ended)? = pair.initiatorEvents.last else {
      Issue.record("not answered")
      return
    }
    #expect(ended == [before])
    let open = try #require(pair.commands.last)
    pair.target.completeCommand(open.handle, CommandCompletion(status: 0))
    try pair.settle()
    #expect(pair.results.map(\.taskTag) == [after] && pair.openTaskCount == 0)
  }
}

extension TargetEvent {
  var isManagement: Bool {
    if case .taskManagement = self { true } else { false }
  }
}

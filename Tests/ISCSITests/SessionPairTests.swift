import ISCSI
import Testing

struct SessionPairTests {
  func loggedIn(_ change: (inout OperationalParameters) -> Void = { _ in }) throws -> SessionPair {
    var configuration = initiatorConfiguration()
    change(&configuration.wanted)
    let pair = SessionPair(initiator: configuration)
    try pair.settle()
    #expect(pair.isLoggedIn)
    return pair
  }

  @Test(arguments: [true, false], [true, false])
  func `writes arrive whole however they are sent`(immediate: Bool, initialR2T: Bool) throws {
    for (burst, first, segment) in [(16_384, 4096, 1024), (8192, 8192, 8192), (512, 512, 512)] {
      var target = targetConfiguration()
      target.wanted.receiveDataSegmentLengthMax = segment
      var configuration = initiatorConfiguration()
      configuration.wanted.maxBurstLength = burst
      configuration.wanted.firstBurstLength = first
      configuration.wanted.immediateData = immediate
      configuration.wanted.initialR2T = initialR2T
      let pair = SessionPair(target: target, initiator: configuration)
      try pair.settle()
      for length in [0, 1, 511, 512, 513, 4096, 4097, 8192, 16_384, 40_000] {
        let bytes = pattern(length, seed: UInt8(length & 0xff))
        let result = try pair.run(
          InitiatorCommand(
            lun: 5 << 48, commandDescriptorBlock: block(0x2a), transfer: .write(bytes[...])))
        #expect(result?.isGood == true)
        #expect(result?.residual == nil)
        #expect(pair.commands.last?.dataOut == bytes)
        #expect(pair.commands.last?.lun == 5 << 48)
      }
      #expect(pair.openTaskCount == 0)
      #expect(pair.crossedCount(.reject) == 0)
      #expect((pair.crossedCount(.readyToTransfer) == 0) == false)
    }
  }

  @Test func `a small write with immediate data is two PDUs`() throws {
    let pair = try loggedIn()
    pair.crossed = []
    _ = try pair.run(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(pattern(4096)[...])))
    #expect(pair.crossed.map(\.header.opcode) == [.scsiCommand, .scsiResponse])
  }

  @Test(arguments: [0, 1, 511, 512, 1024, 1025, 10_000, 300_000])
  func `reads arrive whole, in sequences of the burst's length`(length: Int) throws {
    let pair = try loggedIn {
      $0.receiveDataSegmentLengthMax = 1000
      $0.maxBurstLength = 4096
    }
    let bytes = pattern(length)
    pair.answer = { _ in CommandCompletion(status: 0, dataIn: bytes) }
    pair.crossed = []
    let result = try pair.run(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: length)))
    #expect(result?.dataIn == bytes && result?.isGood == true && result?.residual == nil)
    let data = pair.crossed.filter { $0.header.opcode == .dataIn }
    #expect(data.allSatisfy { $0.data.count <= 1000 })
    for pdu in data {
      let end = Int(pdu.header.word40) + pdu.data.count
      #expect(pdu.header.isFinal == (end % 4096 == 0 || end == length))
      #expect((pdu.header.flags & 1 == 1) == (end == length))
    }
    #expect(data.map(\.header.word36) == (0..<UInt32(data.count)).map { $0 })
    #expect(pair.crossedCount(.scsiResponse) == (length == 0 ? 1 : 0))
  }

  @Test(arguments: [(4096, 4096), (4096, 1000), (1000, 4096), (0, 512), (512, 0)])
  func `residuals tell what was too much or too little`(expected: Int, asked: Int) throws {
    let pair = try loggedIn()
    let wanted = Residual(expected: expected, transfer: asked)
    let data = pattern(asked)
    pair.answer = { _ in CommandCompletion(status: 0, dataIn: data) }
    let read = try pair.run(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: expected)))
    #expect(read?.residual == wanted)
    #expect(read?.dataIn == Array(data.prefix(expected)))
    pair.answer = { _ in CommandCompletion(status: 0, transferLength: asked) }
    let write = try pair.run(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(pattern(expected)[...])))
    #expect(write?.residual == wanted && write?.isGood == true)
  }

  @Test func `a status that isn't GOOD comes with its sense, after data or without`() throws {
    let pair = try loggedIn()
    let sense: [UInt8] = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0]
    for data in [[], pattern(512)] {
      pair.answer = { _ in CommandCompletion(status: 2, sense: sense, dataIn: data) }
      let result = try pair.run(
        InitiatorCommand(
          lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: 512)))
      #expect(result?.status == 2 && result?.sense == sense && result?.dataIn == data)
      #expect(result?.residual?.count == (data.isEmpty ? 512 : nil))
    }
  }

  @Test func `no more commands than the window admits cross, all are answered in the end`() throws {
    let pair = try loggedIn()
    pair.answer = { _ in nil }
    let bytes = pattern(4096)
    for index in 0..<200 {
      _ = pair.initiator.submit(
        InitiatorCommand(
          lun: 0, commandDescriptorBlock: block(0x2a, UInt8(index)),
          transfer: .write(bytes[...])))
    }
    try pair.settle(chunk: 100_000)
    #expect(pair.commands.count == 64 && pair.waitingCount == 136)
    var answered = 0
    while answered < pair.commands.count {
      pair.target.completeCommand(pair.commands[answered].handle, CommandCompletion(status: 0))
      answered += 1
      try pair.settle(chunk: 100_000)
    }
    #expect(answered == 200 && pair.results.count == 200)
    #expect(pair.commands.map { $0.commandDescriptorBlock[1] } == (0..<200).map { UInt8($0) })
  }

  @Test func `data is asked for only as far as memory was promised`() throws {
    var target = targetConfiguration()
    target.writeBytesMax = 1_000_000
    let pair = SessionPair(target: target)
    try pair.settle()
    pair.answer = { _ in nil }
    for _ in 0..<5 {
      _ = pair.initiator.submit(
        InitiatorCommand(
          lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(pattern(400_000)[...])))
    }
    try pair.settle(chunk: 100_000)
    #expect(pair.commands.count == 2 && pair.crossedCount(.readyToTransfer) == 2)
    pair.target.completeCommand(pair.commands[0].handle, CommandCompletion(status: 0))
    try pair.settle(chunk: 100_000)
    #expect(pair.commands.count == 3)
  }

  @Test func `an owner allows promises as far as it has memory`() throws {
    let pair = try loggedIn()
    pair.target.allowPromises(upTo: 0)
    pair.answer = { _ in nil }
    func write(_ count: Int) throws {
      let command = InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(pattern(count)[...]))
      _ = pair.initiator.submit(command)
      try pair.settle(chunk: 100_000)
    }
    /// Commands that are whole, bytes promised, and what the next would need.
    func standing() -> [Int] {
      [pair.commands.count, pair.target.promisedByteCount, pair.target.wantedPromises ?? 0]
    }
    for _ in 0..<3 { try write(400_000) }
    #expect(standing() == [0, 0, 400_000])
    pair.target.allowPromises(upTo: 800_000)
    try pair.settle(chunk: 100_000)
    #expect(standing() == [2, 800_000, 1_200_000])
    // One that is all sent unasked needs no leave.
    try write(1000)
    #expect(standing() == [3, 801_000, 1_201_000])
    for task in pair.commands {
      pair.target.completeCommand(task.handle, CommandCompletion(status: 0))
    }
    try pair.settle(chunk: 100_000)
    #expect(standing() == [4, 400_000, 0])
  }

  @Test func `pings are answered both ways`() throws {
    let pair = try loggedIn()
    let tag = pair.initiator.ping()
    pair.target.sendPing(tag: 77)
    try pair.settle()
    guard case .pingAnswered(taskTag: tag)? = pair.initiatorEvents.last,
      case .pingAnswered(tag: 77)? = pair.targetEvents.last
    else {
      Issue.record("a ping without its answer")
      return
    }
  }

  @Test func `logout ends both, commands under way with it`() throws {
    let pair = try loggedIn()
    pair.answer = { _ in nil }
    _ = pair.initiator.submit(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: 512)))
    try pair.settle()
    pair.initiator.logout()
    try pair.settle()
    guard case .loggedOut(response: 0)? = pair.initiatorEvents.last else {
      Issue.record("not logged out")
      return
    }
    var sawAbort = false
    for event in pair.targetEvents {
      if case .taskAborted(pair.commands[0].handle) = event { sawAbort = true }
    }
    #expect(sawAbort)
    guard case .close(.loggedOut)? = pair.targetEvents.last else {
      Issue.record("not closed")
      return
    }
    pair.target.completeCommand(pair.commands[0].handle, CommandCompletion(status: 0))
    let output = pair.target.pollOutput()
    #expect(output?.header.opcode == nil)
  }

  @Test func `a target asks for logout and announces what it will`() throws {
    let pair = try loggedIn()
    pair.target.sendAsyncMessage(.logoutRequest, parameters: (0, 0, 3))
    try pair.settle()
    guard case .asyncMessage(.logoutRequest, _, _, _)? = pair.initiatorEvents.last else {
      Issue.record("no message")
      return
    }
  }
}

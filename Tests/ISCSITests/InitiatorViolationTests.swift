// What an initiator makes of answers that no honest target sends, and of the mirror's traffic.
import Bytes
import ISCSI
import Testing

struct InitiatorViolationTests {
  func loggedIn(mirror: Bool = true) throws -> SessionPair {
    var configuration = initiatorConfiguration()
    configuration.wanted.mirrorVersion = mirror ? 1 : nil
    let pair = SessionPair(initiator: configuration)
    try pair.settle()
    pair.answer = { _ in nil }
    return pair
  }

  func violation(_ pair: SessionPair, _ pdu: PDU) -> ProtocolViolation? {
    pair.initiator.handle(pdu)
    var found: ProtocolViolation?
    while let event = pair.initiator.pollEvent() {
      if case .violation(let violation) = event { found = violation }
    }
    return found
  }

  func answer(_ opcode: Opcode, tag: UInt32, flags: UInt8 = 0x80) -> BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: opcode, flags: flags)
    header.initiatorTaskTag = tag
    header.word20 = 1
    return header
  }

  @Test(arguments: [
    Opcode.scsiResponse, .dataIn, .readyToTransfer, .taskManagementResponse, .textResponse,
    .logoutResponse, .nopIn,
  ])
  func `an answer to nothing is a violation`(opcode: Opcode) throws {
    let pair = try loggedIn()
    let found = violation(pair, PDU(header: answer(opcode, tag: 99)))
    #expect(found == .unknownTask(opcode: opcode.rawValue, taskTag: 99))
  }

  @Test(arguments: [Opcode.nopOut, .scsiCommand, .loginResponse, .mirrorRequest])
  func `an opcode out of place is a violation`(opcode: Opcode) throws {
    let pair = try loggedIn()
    #expect(
      violation(pair, PDU(header: answer(opcode, tag: 1))) == .unexpectedOpcode(opcode.rawValue))
  }

  @Test(arguments: [(0, 4097, 0), (1, 512, 0), (0xffff_fff0, 512, 0), (0, 512, 1), (0, 8192, 0)])
  func `data past its place is a violation`(offset: Int, count: Int, number: UInt32) throws {
    let pair = try loggedIn()
    let tag = pair.initiator.submit(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: 4096)))
    try pair.settle()
    var header = answer(.dataIn, tag: tag)
    header.word40 = UInt32(offset)
    header.word36 = number
    #expect(
      violation(pair, PDU(header: header, data: pattern(count))) == .dataOutOfPlace(taskTag: tag))
  }

  @Test(arguments: [
    (0, 0, 0), (0, 8193, 0), (1, 512, 0), (8192, 1, 0), (0, 512, 1), (0xffff_ffff, 512, 0),
    (0, 0xffff_ffff, 0),
  ])
  func `asking for what isn't there is a violation`(
    offset: Int, length: Int, number: UInt32
  ) throws {
    var configuration = initiatorConfiguration()
    configuration.wanted.immediateData = false
    configuration.wanted.initialR2T = true
    let pair = SessionPair(initiator: configuration)
    try pair.settle()
    let tag = pair.initiator.submit(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(pattern(8192)[...])))
    var header = answer(.readyToTransfer, tag: tag)
    header.word36 = number
    header.word40 = UInt32(offset)
    header.word44 = UInt32(length)
    #expect(violation(pair, PDU(header: header)) == .badReadyToTransfer(taskTag: tag))
  }

  @Test func `the mirror's traffic is passed out, where a mirror was agreed on`() throws {
    let pair = try loggedIn()
    pair.target.sendReadyToTransfer(lun: 5 << 48, taskTag: 0x8000_0001, length: 4096)
    pair.target.sendMirrorAnswer(BasicHeaderSegment(opcode: .mirrorAnswer), data: [0xf0])
    pair.target.sendMirrorStatuses(BasicHeaderSegment(opcode: .mirrorStatuses), data: [1])
    pair.target.sendMirroredResponse(taskTag: 0x8000_0001, status: 2, sense: [0x70])
    try pair.settle()
    let passed = pair.initiatorEvents.compactMap {
      if case .mirrored(let pdu) = $0 { pdu } else { nil }
    }
    #expect(
      passed.map(\.header.opcode) == [
        .readyToTransfer, .mirrorAnswer, .mirrorStatuses, .scsiResponse,
      ])
    #expect(passed[0].header.word20 == 0x8000_0001 && passed[0].header.word44 == 4096)
    #expect(passed[1].header.initiatorTaskTag == reservedTag && passed[1].data == [0xf0])
    #expect(passed[3].header.byte3 == 2)
    // Only the response used up a StatSN.
    #expect(Set(passed.map(\.header.word24)).count == 1)

    var request = BasicHeaderSegment(opcode: .mirrorRequest, flags: 0x82)
    request.setUInt32(7, at: 36)
    pair.initiator.sendMirrorRequest(request, data: [1, 2])
    try pair.settle()
    guard case .mirrorRequest(let received)? = pair.targetEvents.last else {
      Issue.record("not passed on")
      return
    }
    #expect(received.header.isImmediate && received.header.word36 == 7)
    #expect(received.data == [1, 2])

    let stranger = try loggedIn(mirror: false)
    let forged = PDU(header: answer(.mirrorAnswer, tag: reservedTag))
    #expect(violation(stranger, forged) == .unexpectedOpcode(0x3c))
    let response = PDU(header: answer(.scsiResponse, tag: 0x8000_0001))
    #expect(
      violation(try loggedIn(mirror: false), response)
        == .unknownTask(opcode: 0x21, taskTag: 0x8000_0001))
  }

  @Test func `a rejected request ends its task, rejected data doesn't`() throws {
    let pair = try loggedIn()
    let tag = pair.initiator.submit(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(pattern(512)[...])))
    let sent = pair.initiator.pollOutput()
    for (opcode, dead) in [(Opcode.dataOut, UInt32?.none), (.scsiCommand, tag)] {
      var about = try #require(sent).header
      about.storage[0] = opcode.rawValue
      var header = BasicHeaderSegment(opcode: .reject)
      header.byte2 = 9
      header.initiatorTaskTag = reservedTag
      pair.initiator.handle(PDU(header: header, data: about.array))
      let event = pair.initiator.pollEvent()
      guard case .rejected(reason: 9, _, let ended)? = event else {
        Issue.record("not told")
        return
      }
      #expect(ended == dead)
    }
    var short = BasicHeaderSegment(opcode: .reject)
    short.byte2 = 4
    pair.initiator.handle(PDU(header: short, data: [1, 2, 3]))
    let event = pair.initiator.pollEvent()
    guard case .rejected(reason: 4, nil, nil)? = event else {
      Issue.record("a short reject")
      return
    }
  }

  @Test func `noise traps neither side`() {
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
    let opcodes: [UInt8] = [
      0, 1, 2, 4, 5, 6, 0x10, 0x1c, 0x20, 0x21, 0x22, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3c, 0x3d,
      0x3f,
    ]
    for round in 0..<300 {
      let target = LoneTarget(offers: "X-org.mirrorcast.version=1", "InitialR2T=No")
      let pair = SessionPair()
      try? pair.settle()
      for _ in 0..<60 {
        var header = BasicHeaderSegment()
        for index in 0..<6 where next() % 3 == 0 { header.setUInt64(next(), at: index * 8) }
        header.storage[0] = opcodes[Int(next() % UInt64(opcodes.count))] | UInt8(next() & 1) << 6
        header.storage[1] = UInt8(truncatingIfNeeded: next())
        header.word24 = UInt32(next() % 80)
        header.word20 = next() % 2 == 0 ? reservedTag : UInt32(next() % 5000)
        header.initiatorTaskTag = UInt32(next() % 4)
        header.word40 = UInt32(next() % 3) * 512
        header.word44 = UInt32(next() % 3) * 512
        header.word36 = UInt32(next() % 3)
        let pdu = PDU(header: header, data: pattern(Int(next() % 3) * 512))
        target.send(pdu)
        for task in target.commands.suffix(1) where next() % 2 == 0 {
          target.session.completeCommand(
            task.handle, CommandCompletion(status: UInt8(next() % 3), dataIn: pattern(700)))
        }
        if pair.isLoggedIn, round % 2 == 0 {
          _ = pair.initiator.submit(
            InitiatorCommand(
              lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(pattern(600)[...])))
        }
        pair.initiator.handle(pdu)
        while pair.initiator.pollOutput() != nil {}
        while pair.initiator.pollEvent() != nil {}
      }
      #expect(target.openTaskCount <= 64 + 16)
    }
  }
}

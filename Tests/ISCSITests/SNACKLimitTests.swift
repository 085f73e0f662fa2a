// How much a target keeps for those who may ask for it again, and how much it sends them.
import Bytes
import ISCSI
import Testing

struct SNACKLimitTests {
  @Test func `the oldest makes room, and can't be had again`() {
    let scene = LossyScene(bytesMax: 4000)
    scene.harm = { isInitiators, _, _ in isInitiators ? nil : .lost }
    let tags = [scene.read(3000), scene.read(1500), scene.read(5000)]
    scene.crossAll()
    #expect(scene.target.session.keptByteCount <= 4000)
    #expect(scene.again(snack(0, tag: tags[0], first: 0, count: 1)).map(\.rejectReason) == [3])
    #expect(scene.again(snack(0, tag: tags[2], first: 0, count: 1)).map(\.rejectReason) == [3])
    // Of the last, ten PDUs, no more is known than their numbers, whatever is acknowledged of it.
    var acknowledgement = snack(2, tag: reservedTag, first: 8, count: 0)
    acknowledgement.header.word20 =
      scene.sent.last { $0.header.flags & 0x40 != 0 && $0.header.opcode == .dataIn }?
      .header.word20 ?? 0
    for (first, reasons) in [(UInt32(8), [UInt8]()), (7, [8]), (11, [8]), (10, []), (9, [8])] {
      acknowledgement.header.word40 = first
      #expect(scene.again(acknowledgement).compactMap(\.rejectReason) == reasons, "\(first)")
    }
    let small = scene.read(1500)
    scene.crossAll()
    #expect(scene.again(snack(0, tag: small, first: 0, count: 0)).count == 3)
  }

  @Test func `statuses and reads share the room, and data goes first`() {
    let scene = LossyScene(bytesMax: 4000)
    scene.harm = { isInitiators, _, _ in isInitiators ? nil : .lost }
    let tag = scene.read(3000)
    scene.crossAll()
    var ping = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    ping.word20 = reservedTag
    for number: UInt32 in 1...10 {
      ping.initiatorTaskTag = 100 + number
      #expect(scene.again(PDU(header: ping, data: pattern(400))).count == 1)
      #expect(scene.target.session.keptByteCount == (number < 3 ? 3000 : 0) + Int(number) * 400)
    }
    #expect(scene.again(snack(0, tag: tag, first: 0, count: 1)).map(\.rejectReason) == [3])
    // The Reject has made the oldest go: the response, which is empty, and the first echo.
    let first = scene.expectedStatus
    #expect(
      scene.again(snack(1, tag: reservedTag, first: first, count: 1)).map(\.rejectReason) == [3])
    #expect(
      scene.again(snack(1, tag: reservedTag, first: first &+ 10, count: 1)).map(\.header.opcode)
        == [.nopIn])
    #expect(scene.target.session.keptByteCount <= 4000)
  }

  @Test func `an owner that needs room is given it, and all at the end`() throws {
    let (scene, tag, response) = LossyScene.answeredRead()
    #expect(scene.target.session.keptByteCount == 5000)
    scene.target.take { $0.forgetSent(downTo: 5000) }
    #expect(scene.again(snack(0, tag: tag, first: 0, count: 0)).count == 10)
    scene.target.take { $0.forgetSent(downTo: 4999) }
    #expect(scene.target.session.keptByteCount == 0)
    #expect(scene.again(snack(0, tag: tag, first: 0, count: 0)).map(\.rejectReason) == [3])
    let status = scene.again(
      snack(1, tag: reservedTag, first: response.header.word24, count: 1))
    #expect(status.map(\.header.opcode) == [.scsiResponse])
    let (other, _, _) = LossyScene.answeredRead()
    other.target.take { $0.handle(.headerDigest) }
    #expect(other.target.isClosed && other.target.session.keptByteCount == 0)
  }

  @Test func `data goes out in parts whose way can be seen`() throws {
    let target = LoneTarget(
      offers: "MaxRecvDataSegmentLength=16777215", "MaxBurstLength=16777215")
    #expect(target.session.parameters.sendDataSegmentLengthMax == 16_777_215)
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xc1)
    header.initiatorTaskTag = 4
    header.word20 = 1_000_000
    target.request(header)
    let handle = try #require(target.commands.first).handle
    let answers = target.take {
      $0.completeCommand(handle, CommandCompletion(status: 0, dataIn: pattern(1_000_000)))
    }
    #expect(answers.map(\.data.count) == [262_144, 262_144, 262_144, 213_568])
    // One sequence all the same.
    #expect(answers.map(\.header.isFinal) == [false, false, false, true])
  }

  @Test func `statuses that nobody acknowledges don't pile up`() {
    let target = LoneTarget(offering: ["ErrorRecoveryLevel=1"])
    let first = target.loginAnswer.header.word24 &+ 1
    var ping = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    ping.word20 = reservedTag
    for tag: UInt32 in 1...3000 {
      ping.initiatorTaskTag = tag
      #expect(target.send(PDU(header: ping)).count == 1)
    }
    #expect(
      target.send(snack(1, tag: reservedTag, first: first, count: 1)).map(\.rejectReason) == [3])
    #expect(target.send(snack(1, tag: reservedTag, first: first &+ 2900, count: 5)).count == 5)
  }

  @Test func `what is kept of a long ping or text is what was sent of it`() throws {
    let target = LoneTarget(
      offering: ["ErrorRecoveryLevel=1", "MaxRecvDataSegmentLength=512"])
    var header = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    header.initiatorTaskTag = 5
    header.word20 = reservedTag
    let ping = PDU(header: header, data: pattern(200_000))
    let echo = try #require(target.send(ping).first)
    #expect(echo.data == ping.data.prefix(512))
    #expect(address(of: echo.data) != address(of: ping.data))
    #expect(target.session.keptByteCount >= 512 && target.session.keptByteCount < 1024)

    var whole = TextPieces(pattern(1200))
    var pieces: [ArraySlice<UInt8>] = []
    for _ in 0..<3 { pieces.append(whole.next(lengthMax: 512)) }
    #expect(pieces.flatMap(\.self) == pattern(1200))
    // Each by itself: none lies behind another.
    #expect(pieces.map(\.indices) == [0..<512, 0..<512, 0..<176])
  }

  @Test func `what is kept of a read is what was sent of it`() throws {
    let target = LoneTarget(offering: ["ErrorRecoveryLevel=1"])
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xc1)
    header.initiatorTaskTag = 4
    header.word20 = 512
    target.request(header)
    let handle = try #require(target.commands.first).handle
    let completion = CommandCompletion(status: 0, dataIn: pattern(100_000))
    let answers = target.take { $0.completeCommand(handle, completion) }
    #expect(answers.map(\.header.opcode) == [.dataIn, .scsiResponse])
    #expect(answers[0].data == completion.dataIn.prefix(512))
    #expect(address(of: answers[0].data) != address(of: completion.dataIn[...]))
    #expect(target.session.keptByteCount == 512)
  }

  private func address(of bytes: ArraySlice<UInt8>) -> UnsafePointer<UInt8>? {
    bytes.withUnsafeBufferPointer(\.baseAddress)
  }

  @Test(arguments: [UInt8(0), 1])
  func `a flood of them is answered only as fast as answers are taken`(type: UInt8) {
    let (scene, tag, response) = LossyScene.answeredRead()
    var flood = snack(type, tag: type == 0 ? tag : reservedTag, first: 0, count: 0)
    flood.header.word28 = response.header.word24
    for _ in 0..<5000 { scene.target.session.handle(flood) }
    // Those that were refused cost one Reject each.
    #expect(scene.target.session.outputCount < 1024 + 2000 + 5000)
    let refused = scene.target.session.rejectedCount
    #expect(refused > 3000)
    var output: [PDU] = []
    while let pdu = scene.target.session.pollOutput() { output.append(pdu) }
    #expect(output.contains { $0.rejectReason == 3 })
    #expect(scene.target.send(flood).count >= 1)
  }

  @Test(arguments: [UInt8(0), 1, 2, 3])
  func `nothing is kept, and nothing comes again, at level 0`(type: UInt8) throws {
    let target = LoneTarget()
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xc1)
    header.initiatorTaskTag = 4
    header.word20 = 100_000
    target.request(header)
    let handle = try #require(target.commands.first).handle
    let answers = target.take {
      $0.completeCommand(handle, CommandCompletion(status: 0, dataIn: pattern(100_000)))
    }
    #expect(answers.last?.header.flags == 0x81)
    #expect(answers.allSatisfy { $0.header.flags & 0x40 == 0 })
    #expect(target.session.keptByteCount == 0)
    let pdu = snack(type, tag: type == 1 || type == 2 ? reservedTag : 4, first: 0, count: 0)
    #expect(target.send(pdu).map(\.rejectReason) == [3])
  }
}

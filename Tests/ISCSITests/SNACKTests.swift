// What may be asked for again, what may not, and how much a target keeps for it: RFC 7143 §11.16.
import Bytes
import ISCSI
import Testing

struct SNACKTests {
  private func same(_ one: PDU, _ other: PDU) -> Bool {
    one.header.array == other.header.array && one.data.elementsEqual(other.data)
      && one.digests == other.digests
  }

  @Test(arguments: [(0, 0, 0..<10), (0, 1, 0..<1), (3, 4, 3..<7), (9, 1, 9..<10), (2, 0, 2..<10)])
  func `data comes again as it was`(first: Int, count: Int, wanted: Range<Int>) {
    let (scene, tag, _) = LossyScene.answeredRead()
    let data = scene.sent.filter { $0.header.opcode == .dataIn }
    #expect(data.count == 10)
    let again = scene.again(
      snack(0, tag: tag, first: UInt32(first), count: UInt32(count)))
    #expect(again.count == wanted.count)
    #expect(zip(again, data[wanted]).allSatisfy(same))
  }

  @Test func `a status comes again as it was, with the window that is now`() throws {
    let (scene, _, response) = LossyScene.answeredRead()
    var ping = BasicHeaderSegment(opcode: .nopOut)
    ping.initiatorTaskTag = 99
    ping.word28 = scene.expectedStatus
    let pong = scene.target.request(ping, data: [1, 2])
    for (first, count) in [(scene.expectedStatus, UInt32(2)), (scene.expectedStatus, 0), (0, 0)] {
      let again = scene.again(snack(1, tag: reservedTag, first: first, count: count))
      var wanted = response
      wanted.header.word28 = pong[0].header.word28
      wanted.header.word32 = pong[0].header.word32
      #expect(again.count == 2)
      #expect(same(again[0], wanted) && same(again[1], pong[0]))
    }
    #expect(
      scene.again(snack(1, tag: reservedTag, first: pong[0].header.word24, count: 1))
        .map(\.header.opcode) == [.nopIn])
  }

  @Test func `an R2T comes again until it is answered`() throws {
    let scene = LossyScene()
    scene.harm = { isInitiators, _, _ in isInitiators ? nil : .lost }
    let tag = scene.write(pattern(4096))
    scene.crossAll()
    let first = try #require(scene.sent.last)
    for (begin, count) in [(UInt32(0), UInt32(1)), (0, 0)] {
      let again = scene.again(snack(0, tag: tag, first: begin, count: count))
      #expect(again.count == 1 && same(again[0], first))
    }
    for (begin, count) in [(UInt32(1), UInt32(1)), (0, 2), (1, 0), (0, .max)] {
      let refusal = scene.again(snack(0, tag: tag, first: begin, count: count))
      #expect(refusal.map(\.rejectReason) == [4])
      // RFC 7143 §11.17.2: the number that would be next.
      #expect(refusal.first?.header.word36 == 1)
    }
    for number: UInt32 in 0..<4 {
      let pdu = dataOut(
        tag: tag, transferTag: first.header.word20, offset: Int(number) * 512, number: number,
        isFinal: number == 3, pattern(512))
      let answers = scene.again(pdu)
      #expect(answers.map(\.header.word36) == (number == 3 ? [1] : []))
    }
    #expect(scene.again(snack(0, tag: tag, first: 0, count: 1)).map(\.rejectReason) == [4])
    #expect(scene.again(snack(0, tag: tag, first: 1, count: 1)).count == 1)
  }

  @Test func `what was acknowledged is gone, what wasn't sent isn't there`() {
    for (distance, count) in [(1, UInt32(1)), (0, 2), (-1, 1), (500, 0)] {
      let (scene, _, response) = LossyScene.answeredRead()
      let first = SerialNumber(response.header.word24).advanced(by: distance).rawValue
      let refusal = scene.again(snack(1, tag: reservedTag, first: first, count: count))
      #expect(refusal.map(\.rejectReason) == [4], "\(distance) \(count)")
    }
    let (scene, tag, response) = LossyScene.answeredRead()
    let next = response.header.word24 &+ 1
    for (first, count) in [(UInt32(10), UInt32(1)), (9, 2), (10, 0), (0, 11), (1, .max), (.max, 1)]
    {
      let refusal = scene.again(snack(0, tag: tag, first: first, count: count))
      #expect(refusal.map(\.rejectReason) == [4], "\(first) \(count)")
      #expect(refusal.first?.header.word36 == 10)
    }
    // Acknowledged by the number of the next status.
    var late = snack(0, tag: tag, first: 0, count: 1)
    late.header.word28 = next
    #expect(scene.target.send(late).map(\.rejectReason) == [9])
    late = snack(1, tag: reservedTag, first: response.header.word24, count: 1)
    late.header.word28 = next
    #expect(scene.target.send(late).map(\.rejectReason) == [4])
  }

  @Test func `lies about what has arrived are ignored`() {
    let (scene, tag, response) = LossyScene.answeredRead()
    for lie in [response.header.word24 &+ 2, response.header.word24 &+ 1000, 0x8000_0000, 0] {
      var pdu = snack(0, tag: tag, first: 0, count: 1)
      pdu.header.word28 = lie
      #expect(scene.target.send(pdu).map(\.header.opcode) == [.dataIn])
    }
  }

  @Test func `fields that can't be are rejected`() {
    let (scene, tag, _) = LossyScene.answeredRead()
    var wrong = (4..<16).map { snack($0, tag: tag, first: 0, count: 0) }
    wrong += [
      snack(0, tag: reservedTag, first: 0, count: 0), snack(0, tag: 77, first: 0, count: 0),
      snack(1, tag: tag, first: 0, count: 0), snack(2, tag: tag, first: 0, count: 0),
      snack(2, tag: reservedTag, first: 0, count: 0), snack(3, tag: tag, first: 0, count: 0),
    ]
    var resegmented = snack(3, tag: tag, first: 0, count: 0)
    for (first, count, snackTag) in [(UInt32(0), UInt32(0), UInt32(0)), (1, 0, 5), (0, 1, 5)] {
      resegmented.header.word40 = first
      resegmented.header.word44 = count
      resegmented.header.word20 = snackTag
      wrong.append(resegmented)
    }
    var unfinished = snack(0, tag: tag, first: 0, count: 0)
    unfinished.header.flags = 0
    wrong.append(unfinished)
    var loaded = snack(0, tag: tag, first: 0, count: 0)
    loaded.data = [1]
    wrong.append(loaded)
    for pdu in wrong {
      #expect(scene.again(pdu).map(\.rejectReason) == [9], "\(pdu.header.array)")
    }
    #expect(scene.again(snack(0, tag: tag, first: 0, count: 0)).count == 10)
  }

  @Test func `acknowledged data makes room, and isn't sent again`() throws {
    let (scene, tag, _) = LossyScene.answeredRead()
    let asking = scene.sent.filter { $0.header.flags & 0x40 != 0 && $0.header.opcode == .dataIn }
    #expect(asking.map(\.header.word36) == [3, 7])
    var acknowledgement = snack(2, tag: reservedTag, first: 8, count: 0)
    acknowledgement.header.word20 = try #require(asking.first).header.word20
    #expect(
      asking.map(\.header.word20) == [acknowledgement.header.word20, acknowledgement.header.word20])
    for (first, lun, transferTag) in [
      (UInt32(11), UInt64(0), acknowledgement.header.word20), (8, 1, acknowledgement.header.word20),
      (8, 0, acknowledgement.header.word20 + 1),
    ] {
      var wrong = acknowledgement
      wrong.header.word40 = first
      wrong.header.lun = lun
      wrong.header.word20 = transferTag
      #expect(scene.again(wrong).map(\.rejectReason) == [8])
    }
    #expect(scene.target.session.keptByteCount > 5000)
    #expect(scene.again(acknowledgement).isEmpty)
    #expect(scene.again(snack(0, tag: tag, first: 7, count: 1)).map(\.rejectReason) == [4])
    let rest = scene.again(snack(0, tag: tag, first: 0, count: 0))
    #expect(rest.map(\.header.word36) == [8, 9])
    #expect(rest.flatMap(\.data) == Array(scene.disk[4096..<5000]))
    var older = acknowledgement
    older.header.word40 = 7
    #expect(scene.again(older).map(\.rejectReason) == [8])
  }

  // Lengths that divide a burst, that don't, that are longer than it; of sequences cut anew in the
  // middle of one, too.
  @Test(arguments: [512, 700, 1500, 4096], [UInt32(0), 3])
  func `each PDU can be had by its number`(length: Int, acknowledged: UInt32) throws {
    let (scene, tag, _) = LossyScene.answeredRead()
    var acknowledgement = snack(2, tag: reservedTag, first: acknowledged, count: 0)
    acknowledgement.header.word20 =
      try #require(scene.sent.first { $0.header.flags & 0x40 != 0 }).header.word20
    #expect(scene.again(acknowledgement).isEmpty)
    var text = BasicHeaderSegment(opcode: .textRequest, isImmediate: true)
    text.initiatorTaskTag = 50
    text.word20 = reservedTag
    _ = scene.again(
      PDU(header: text, data: Array("MaxRecvDataSegmentLength=\(length)\0".utf8)))
    var request = snack(3, tag: tag, first: 0, count: 0)
    request.header.word20 = 1
    let all = Array(scene.again(request).dropLast())
    #expect(all.first?.header.word36 == acknowledged)
    for (index, pdu) in all.enumerated() {
      let one = scene.again(snack(0, tag: tag, first: pdu.header.word36, count: 1))
      #expect(one.count == 1 && same(one[0], pdu), "\(index)")
      acknowledgement.header.word40 = pdu.header.word36 + 1
      #expect(scene.again(acknowledgement).isEmpty)
      let rest = scene.again(snack(0, tag: tag, first: 0, count: 0))
      #expect(rest.count == all.count - index - 1)
      #expect(zip(rest, all[(index + 1)...]).allSatisfy(same))
    }
  }

  @Test(arguments: [512, 700, 4096], [0, 4])
  func `data is cut anew where its length has changed`(length: Int, acknowledged: UInt32) throws {
    let (scene, tag, response) = LossyScene.answeredRead()
    if acknowledged > 0 {
      var acknowledgement = snack(2, tag: reservedTag, first: acknowledged, count: 0)
      acknowledgement.header.word20 =
        try #require(scene.sent.first { $0.header.flags & 0x40 != 0 }).header.word20
      #expect(scene.again(acknowledgement).isEmpty)
    }
    var text = BasicHeaderSegment(opcode: .textRequest, isImmediate: true)
    text.initiatorTaskTag = 50
    text.word20 = reservedTag
    #expect(
      scene.again(
        PDU(header: text, data: Array("MaxRecvDataSegmentLength=\(length)\0".utf8))
      ).count == 1)
    var request = snack(3, tag: tag, first: 0, count: 0)
    request.header.word20 = 0x1234
    let again = scene.again(request)
    let data = again.dropLast()
    let start = Int(acknowledged) * 512
    #expect(data.flatMap(\.data) == Array(scene.disk[start..<5000]))
    #expect(data.map(\.header.word36) == (0..<UInt32(data.count)).map { $0 + acknowledged })
    #expect(data.allSatisfy { $0.data.count <= length && $0.header.flags & 1 == 0 })
    let last = try #require(again.last)
    #expect(last.header.opcode == .scsiResponse && last.header.word20 == 0x1234)
    #expect(last.header.word24 == response.header.word24)
    // RFC 7143 §11.16.3: a Status SNACK has the latest.
    let status = scene.again(
      snack(1, tag: reservedTag, first: response.header.word24, count: 1))
    #expect(status.map(\.header.word20) == [0x1234])
  }

  @Test func `data longer than is taken now must be cut anew`() {
    let (scene, tag, _) = LossyScene.answeredRead()
    let first = scene.target.session.parameters.sendDataSegmentLengthMax
    #expect(first == 512)
    var text = BasicHeaderSegment(opcode: .textRequest, isImmediate: true)
    text.initiatorTaskTag = 50
    text.word20 = reservedTag
    for length in [4096, 512] {
      _ = scene.again(
        PDU(header: text, data: Array("MaxRecvDataSegmentLength=\(length)\0".utf8)))
      var request = snack(3, tag: tag, first: 0, count: 0)
      request.header.word20 = 1
      if length == 4096 { #expect(scene.again(request).count == 4) }
    }
    #expect(scene.again(snack(0, tag: tag, first: 0, count: 0)).map(\.rejectReason) == [3])
  }

  @Test func `a read that is asked for anew before its answer has the tag in it`() throws {
    let target = LoneTarget(offering: ["ErrorRecoveryLevel=1"])
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xc1)
    header.initiatorTaskTag = 4
    header.word20 = 512
    target.request(header)
    #expect(target.send(snack(0, tag: 4, first: 0, count: 0)).isEmpty)
    #expect(target.send(snack(0, tag: 4, first: 0, count: 1)).map(\.rejectReason) == [4])
    var request = snack(3, tag: 4, first: 0, count: 0)
    request.header.word20 = 8
    #expect(target.send(request).isEmpty)
    let handle = try #require(target.commands.first).handle
    let answers = target.take {
      $0.completeCommand(handle, CommandCompletion(status: 0, dataIn: pattern(512)))
    }
    #expect(answers.map(\.header.opcode) == [.dataIn, .scsiResponse])
    #expect(answers.last?.header.word20 == 8)
  }
}

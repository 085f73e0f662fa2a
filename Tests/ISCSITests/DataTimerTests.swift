// Data that was asked for, or announced, and never comes: its task ends, the session goes on.
import Bytes
import ISCSI
import Testing

struct DataTimerTests {
  static let limit: UInt64 = 30_000_000_000

  /// Lets so many nanoseconds pass as an owner does, from one deadline to the next.
  private func pass(_ nanoseconds: UInt64, _ target: LoneTarget, at now: inout UInt64) -> [PDU] {
    let end = now + nanoseconds
    var answers: [PDU] = []
    while let deadline = target.session.nextDeadline(now: now), deadline <= end {
      now = deadline
      answers += target.take { $0.handleTimeout(now: now) }
    }
    now = end
    return answers
  }

  @Test(arguments: [true, false])
  func `a sequence that stays silent fails its task`(isSolicited: Bool) throws {
    let target = LoneTarget(
      offers: isSolicited ? "InitialR2T=Yes" : "InitialR2T=No", "ImmediateData=No")
    var now: UInt64 = 5
    let none = target.session.nextDeadline(now: now)
    #expect(none == nil)
    target.request(writeHeader(tag: 5, length: 4096, flags: isSolicited ? 0xa1 : 0x21))
    #expect(pass(Self.limit - 1, target, at: &now).isEmpty)
    let answers = pass(Self.limit / 2, target, at: &now)
    #expect(answers.map(\.status) == [2])
    // RFC 7143 §11.4.7.2: protocol service CRC error.
    #expect(answers.first?.senseCode == [0x47, 0x05])
    #expect(target.openTaskCount == 0 && target.commands.isEmpty)
    let after = target.session.nextDeadline(now: now)
    #expect(after == nil)
    let late = target.send(dataOut(tag: 5, transferTag: 1, offset: 0, pattern(512)))
    #expect(late.map(\.rejectReason) == [0x09])
    #expect(target.request(writeHeader(tag: 6, length: 0)).isEmpty && target.commands.count == 1)
  }

  @Test func `a sequence that goes on has its time anew, an empty one hasn't`() throws {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    let request = try #require(target.request(writeHeader(tag: 5, length: 4096)).first)
    let tag = request.header.word20
    var now: UInt64 = 0
    for number in 0..<7 {
      #expect(pass(Self.limit * 3 / 4, target, at: &now).isEmpty)
      target.send(
        dataOut(
          tag: 5, transferTag: tag, offset: number * 512, number: UInt32(number), isFinal: false,
          pattern(512)))
    }
    var answers: [PDU] = []
    for number in 7..<10 {
      answers += pass(Self.limit / 2, target, at: &now)
      answers += target.send(
        dataOut(
          tag: 5, transferTag: tag, offset: 3584, number: UInt32(number), isFinal: false, []))
    }
    #expect(answers.first?.senseCode == [0x47, 0x05])
    #expect(target.openTaskCount == 0)
  }

  @Test func `what has gone wrong already says so when the rest doesn't come`() throws {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    let request = try #require(target.request(writeHeader(tag: 5, length: 4096)).first)
    let early = dataOut(
      tag: 5, transferTag: request.header.word20, offset: 512, isFinal: false, pattern(512))
    #expect(target.send(early).map(\.rejectReason) == [0x09])
    var now: UInt64 = 0
    let answers = pass(Self.limit * 2, target, at: &now)
    #expect(answers.map(\.status) == [2] && answers.first?.senseCode == [0x0c, 0x0d])
  }

  // RFC 7143 §7.8: it is failed when all of it is here.
  @Test(arguments: [false, true])
  func `a sequence that has gone wrong may take its time, as long as it goes on`(isTooLong: Bool)
    throws
  {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    let request = try #require(target.request(writeHeader(tag: 5, length: 4096)).first)
    let tag = request.header.word20
    var now: UInt64 = 0
    for number in 1..<8 {
      var pdu = dataOut(
        tag: 5, transferTag: tag, offset: number * 512, number: UInt32(number), isFinal: false,
        pattern(512))
      if isTooLong {
        pdu.header.dataSegmentLength = 512
        (pdu.data, pdu.fault) = ([], .tooLong)
      }
      #expect(target.send(pdu).count == (number == 1 ? 1 : 0))
      #expect(pass(Self.limit * 3 / 4, target, at: &now).isEmpty, "\(number)")
    }
    // Eight fill it; more than it may have is no progress.
    var answers: [PDU] = []
    for number in 8..<16 where answers.isEmpty {
      answers += target.send(
        dataOut(
          tag: 5, transferTag: tag, offset: 0, number: UInt32(number), isFinal: false,
          pattern(512)))
      answers += pass(Self.limit * 3 / 4, target, at: &now)
      #expect(number < 12)
    }
    #expect(answers.map(\.senseCode) == [[0x0c, 0x0d]])
    #expect(target.openTaskCount == 0)
  }

  @Test func `writes without data fill the window, and are gone after the limit`() {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    var answers: [PDU] = []
    for tag: UInt32 in 1...300 { answers += target.request(writeHeader(tag: tag, length: 65_536)) }
    #expect(answers.count { $0.header.opcode == .readyToTransfer } == 64)
    #expect(target.openTaskCount == 64 && target.droppedCount == 236)
    var now: UInt64 = 0
    let ended = pass(Self.limit * 2, target, at: &now)
    #expect(ended.count { $0.senseCode == [0x47, 0x05] } == 64)
    #expect(target.openTaskCount == 0)
  }

  @Test func `who waits for our memory isn't late`() {
    var configuration = targetConfiguration()
    configuration.writeBytesMax = 4096
    let target = LoneTarget(configuration, offers: "InitialR2T=Yes")
    #expect(target.request(writeHeader(tag: 1, length: 4096)).count == 1)
    target.send(dataOut(tag: 1, transferTag: 1, offset: 0, pattern(4096)))
    #expect(target.request(writeHeader(tag: 2, length: 4096)).isEmpty)
    var now: UInt64 = 0
    #expect(pass(Self.limit * 10, target, at: &now).isEmpty)
    let task = target.commands[0].handle
    let answers = target.take { $0.completeCommand(task, CommandCompletion(status: 0)) }
    #expect(answers.map(\.header.opcode) == [.scsiResponse, .readyToTransfer])
    let late = pass(Self.limit * 2, target, at: &now)
    #expect(late.map(\.senseCode) == [[0x47, 0x05]])
  }
}

struct DataRoomTests {
  @Test(arguments: [0, 512])
  func `room for a write is made once, at its first R2T`(immediate: Int) throws {
    let bytes = pattern(100_000)
    var collection = DataCollection(
      expectedLength: bytes.count, immediate: bytes[..<immediate], unsolicitedEnd: nil)
    #expect(collection.bytes.capacity < 4096)
    let asked = collection.request(tag: 1, burstMax: bytes.count)
    let request = try #require(asked)
    #expect(collection.bytes.capacity >= bytes.count)
    let place = collection.bytes.withUnsafeBufferPointer(\.baseAddress)
    var offset = request.range.lowerBound
    for number: UInt32 in 0..<10 {
      let end = min(offset + 10_000, bytes.count)
      _ = collection.receive(
        dataOut(
          tag: 5, transferTag: 1, offset: offset, number: number, isFinal: end == bytes.count,
          Array(bytes[offset..<end])))
      offset = end
    }
    #expect(collection.phase == .complete && collection.bytes == bytes)
    #expect(collection.bytes.withUnsafeBufferPointer(\.baseAddress) == place)
  }
}

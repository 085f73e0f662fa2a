import Bytes
import ISCSI
import Testing

@testable import Replication

/// What a sender takes from its legs, and what it holds to be forgery.
@Suite struct SenderTests {
  private let data = [UInt8](repeating: 3, count: 8 * 512)

  private func sender(
    legs: Int = 2, first: UInt32 = 0, edit: (inout SenderConfiguration) -> Void = { _ in }
  ) -> Sender {
    var configuration = SenderConfiguration(
      registration: 1, virtualLUN: 5 << 48, blockLength: 512, unitBlockSize: 512,
      writeLengthMax: 8 * 512)
    configuration.firstWrite = SerialNumber(first)
    configuration.isSolicited = true
    configuration.recovery = .blocks
    edit(&configuration)
    return Sender(
      configuration,
      legs: Array(
        repeating: LegDescription(path: .datagrams, openWritesMax: 8, credit: 1 << 20),
        count: legs))
  }

  private func submit(_ sender: inout Sender, token: UInt64 = 1, offset: UInt64 = 0, blocks: Int) {
    _ = sender.submit(
      Submission(token: token, byteOffset: offset, length: blocks * 512), now: 0)
  }

  /// Sends what there is to send. Returns what went out.
  @discardableResult
  private func flush(
    _ sender: inout Sender, now: UInt64 = 0, data: [UInt8]? = nil, limit: Int = 1000
  ) -> [Transmission] {
    var sent: [Transmission] = []
    while sent.count < limit, let transmission = sender.pollTransmission(now: now) {
      var bytes = [UInt8](repeating: 0, count: 600)
      let length = sender.submission(inSlot: transmission.slot).length
      let piece = Array((data ?? self.data)[..<length])
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      _ = sender.assemble(transmission, data: piece.span.bytes, into: &raw, now: now)
      sent.append(transmission)
    }
    sender.handleDeparted(now: now)
    return sent
  }

  private func tag(_ number: UInt32) -> UInt32 { Datagram.taskTag(of: SerialNumber(number)) }

  private func isViolated(_ sender: Sender, leg: Int) -> Bool {
    sender.events.contains {
      if case .legFailed(leg, .violation) = $0 { true } else { false }
    }
  }

  @Test func `data goes out when the last leg is ready, not before`() {
    var sender = sender()
    submit(&sender, blocks: 3)
    #expect(flush(&sender).map(\.content) == [.command])
    sender.handleReadyToTransfer(leg: 0, tag: tag(0), now: 1)
    sender.handleReadyToTransfer(leg: 0, tag: tag(0), now: 2)
    #expect(flush(&sender).isEmpty)
    sender.handleReadyToTransfer(leg: 1, tag: tag(0), now: 3)
    #expect(flush(&sender).map(\.content) == [.block(0), .block(1), .block(2)])
  }

  @Test func `GOOD before the data was sent is a violation`() {
    var sender = sender()
    submit(&sender, blocks: 3)
    flush(&sender)
    sender.handleReadyToTransfer(leg: 0, tag: tag(0), now: 1)
    sender.handleReadyToTransfer(leg: 1, tag: tag(0), now: 1)
    flush(&sender, limit: 2)
    sender.handleResponse(leg: 0, tag: tag(0), status: 0, now: 2)
    #expect(isViolated(sender, leg: 0))
    // A refusal before the data is none.
    sender.handleResponse(leg: 1, tag: tag(0), status: 2, now: 2)
    #expect(!isViolated(sender, leg: 1))
    #expect(sender.openWrites == 0)
  }

  @Test func `GOOD before the command was sent is a violation`() {
    var sender = sender()
    submit(&sender, blocks: 1)
    sender.handleResponse(leg: 0, tag: tag(0), status: 0, now: 2)
    #expect(isViolated(sender, leg: 0))
  }

  @Test(arguments: [0, 1, 0x3fff_ffff, 0x8000_0001, 0xbfff_ffff, 0xc000_0000, 0xffff_ffff])
  func `an answer for a tag that was never given out is a violation`(tag: UInt32) {
    var asked = sender()
    submit(&asked, blocks: 3)
    flush(&asked)
    asked.handleReadyToTransfer(leg: 0, tag: tag, now: 1)
    #expect(isViolated(asked, leg: 0))
    var answered = sender()
    submit(&answered, blocks: 3)
    flush(&answered)
    answered.handleResponse(leg: 1, tag: tag, status: 2, now: 1)
    #expect(isViolated(answered, leg: 1) && !isViolated(answered, leg: 0))
  }

  @Test(arguments: [0, UInt32.max - 1, UInt32.max, 0x3fff_ffff, 0x7fff_fffe])
  func `a second answer for an ended write is late and no violation`(first: UInt32) {
    var sender = sender(first: first)
    for step: UInt32 in 0..<4 {
      submit(&sender, blocks: 1)
      flush(&sender)
      for _ in 0..<2 {
        for leg in 0..<2 {
          sender.handleResponse(leg: leg, tag: tag(first &+ step), status: 0, now: 2)
        }
      }
      #expect(sender.openWrites == 0)
    }
    #expect(!isViolated(sender, leg: 0) && !isViolated(sender, leg: 1))
    #expect(sender.counters(ofLeg: 0).lateAnswers == 4)
  }

  @Test func `tags are never reserved and differ as long as writes can be open together`() {
    for start: UInt32 in [0, 0x3fff_fff0, 0x7fff_fff0, 0xbfff_fff0, 0xffff_fff0] {
      var seen: Set<UInt32> = []
      for step in 0..<UInt32(2 * Limits.writeWindowMax) {
        let tag = tag(start &+ step)
        #expect(tag.isMirroredTag)
        seen.insert(tag)
      }
      #expect(seen.count == 2 * Limits.writeWindowMax)
    }
  }

  /// As of a leg that has heard the command and three blocks of a write, unless it says else.
  private func report(
    _ number: UInt32, epoch: UInt16 = 1, heard: HeardStreams = HeardStreams(group: Heard(4))
  ) -> MirrorAnswer {
    var report = MirrorAnswer(
      .report, registration: 1, epoch: epoch, writeNumber: SerialNumber(number))
    report.heard = heard
    return report
  }

  /// A sender whose write 0 of three blocks is sent and not answered.
  private func awaiting(_ edit: (inout SenderConfiguration) -> Void = { _ in }) -> Sender {
    var sender = sender(edit: edit)
    submit(&sender, blocks: 3)
    flush(&sender)
    for leg in 0..<2 { sender.handleReadyToTransfer(leg: leg, tag: tag(0), now: 1) }
    flush(&sender)
    return sender
  }

  @Test(arguments: [[], [0x00, 0x00], [0x10], [0xff], [0xe1]] as [[UInt8]])
  func `a report of another length than its write is a violation`(bitmap: [UInt8]) {
    var sender = awaiting()
    sender.handleReport(leg: 0, report(0), missing: bitmap.span.bytes, now: 5)
    #expect(isViolated(sender, leg: 0))
  }

  @Test func `each mode repairs in its own way`() {
    let bitmap: [UInt8] = [0x40]
    var blocks = awaiting { $0.recovery = .blocks }
    blocks.handleReport(leg: 1, report(0), missing: bitmap.span.bytes, now: 5)
    #expect(flush(&blocks, now: 5).map(\.content) == [.block(1)])
    var target = awaiting { $0.recovery = .target }
    target.handleReport(leg: 1, report(0), missing: bitmap.span.bytes, now: 5)
    let toTarget = flush(&target, now: 5)
    #expect(toTarget.map(\.content) == [.command, .block(0), .block(1), .block(2)])
    #expect(toTarget.allSatisfy { $0.destination == .leg(1) && $0.flags.contains(.repair) })
    var group = awaiting { $0.recovery = .group }
    group.handleReport(leg: 1, report(0), missing: bitmap.span.bytes, now: 5)
    #expect(flush(&group, now: 5).isEmpty)
    group.handleReport(leg: 0, report(0), missing: bitmap.span.bytes, now: 6)
    let due = group.nextDeadline ?? .max
    group.handleTimeout(now: due)
    let toGroup = flush(&group, now: due)
    #expect(toGroup.map(\.content) == [.command, .block(0), .block(1), .block(2)])
    #expect(toGroup.allSatisfy { $0.destination == .group && $0.flags == .repair })
  }

  @Test func `a report that crosses its repair is not answered twice`() {
    let bitmap: [UInt8] = [0xe0]
    var sender = awaiting { $0.deadlineNanoseconds = 60_000_000_000 }
    sender.handleReport(leg: 1, report(0), missing: bitmap.span.bytes, now: 5)
    // The repair still waits for its turn, however long.
    sender.handleReport(leg: 1, report(0), missing: bitmap.span.bytes, now: 9_000_000_000)
    #expect(flush(&sender, now: 9_000_000_000).count == 3)
    // It is under way.
    sender.handleReport(leg: 1, report(0), missing: bitmap.span.bytes, now: 9_000_000_001)
    #expect(flush(&sender, now: 9_000_000_001).isEmpty)
    #expect(sender.counters(ofLeg: 1).reportsIgnored == 2)
    // Two of its three datagrams were heard, or what followed them: those are lost, not the third.
    let some = HeardStreams(group: Heard(4), own: Heard(2))
    sender.handleReport(
      leg: 1, report(0, heard: some), missing: bitmap.span.bytes, now: 9_000_000_002)
    #expect(flush(&sender, now: 9_000_000_002).map(\.content) == [.block(0), .block(1)])
    #expect(sender.counters(ofLeg: 1).lostBlocks == 3)
    // All was lost long ago, though nothing that came later says so.
    let silent = HeardStreams(group: Heard(4, silence: 255), own: Heard(2, silence: 255))
    sender.handleReport(
      leg: 1, report(0, heard: silent), missing: bitmap.span.bytes, now: 10_100_000_000)
    #expect(flush(&sender, now: 10_100_000_000).count == 3)
    // A leg can't have heard what was never sent.
    let much = HeardStreams(group: Heard(5), own: Heard(99))
    sender.handleReport(
      leg: 1, report(0, heard: much), missing: bitmap.span.bytes, now: 10_100_000_001)
    #expect(flush(&sender, now: 10_100_000_001).isEmpty)
  }

  @Test func `reports of stale epochs and ended writes are late`() {
    var sender = awaiting()
    let bitmap: [UInt8] = [0xe0]
    sender.handleReport(leg: 1, report(0, epoch: 2), missing: bitmap.span.bytes, now: 5)
    sender.handleReport(leg: 1, report(7), missing: bitmap.span.bytes, now: 5)
    for leg in 0..<2 { sender.handleResponse(leg: leg, tag: tag(0), status: 0, now: 6) }
    sender.handleReport(leg: 1, report(0), missing: bitmap.span.bytes, now: 7)
    #expect(sender.counters(ofLeg: 1).lateAnswers == 3)
    #expect(flush(&sender, now: 7).isEmpty && !isViolated(sender, leg: 1))
  }

  @Test func `a leg that fences unasked is not to be trusted`() {
    var sender = awaiting()
    sender.handleFenced(leg: 0, number: SerialNumber(0), now: 5)
    #expect(isViolated(sender, leg: 0))
  }

  @Test func `silence is asked about, less and less often`() throws {
    var sender = awaiting { $0.deadlineNanoseconds = 60_000_000_000 }
    var asked: [UInt64] = []
    while let due = sender.nextDeadline, asked.count < 10 {
      sender.handleTimeout(now: due)
      if sender.events.contains(.sync(leg: 0, open: [SerialNumber(0)])) { asked.append(due) }
      sender.events = []
    }
    let gaps = zip(asked.dropFirst(), asked).map { $0 - $1 }
    try #require(asked.count == 10 && gaps == gaps.sorted(), "\(asked)")
    #expect(gaps[0] < 20_000_000 && (100_000_000...1_000_000_000).contains(gaps[8]), "\(gaps)")
  }

  /// Tells the pacer of a path to each of these legs that loses half of all at any rate.
  private func teach(_ sender: inout Sender, legs: Range<Int>) {
    var now: UInt64 = 0
    while sender.flow.pacer.counters.floorsFound == 0, now < 5_000_000_000 {
      now += 1_000_000
      let bytes = min(sender.pace ?? 500_000_000, 500_000_000) / 1000
      sender.flow.pacer.handleSent(bytes: bytes, now: now)
      for leg in legs {
        sender.flow.pacer.handleDelivery(
          Delivery(
            leg: leg, blocks: bytes / 1400, lostBlocks: bytes / 2800,
            firstSentAt: now - 900_000, lastSentAt: now), now: now)
      }
    }
  }

  @Test func `what is known of a leg's path goes with the leg, and is not the next one's`() {
    var sender = sender(legs: 2)
    teach(&sender, legs: 0..<3)
    for leg in 0..<3 { #expect(sender.flow.pacer.lossFloor(leg: leg) > 0.3) }
    sender.handleLost(leg: 0, .connection("cut"), now: 6_000_000_000)
    #expect(sender.flow.pacer.lossFloor(leg: 0) == 0)
    #expect(sender.flow.pacer.lossFloor(leg: 1) > 0.3)
    let added = sender.add(LegDescription(path: .datagrams, openWritesMax: 8, credit: 1 << 20))
    #expect(added == 2)
    sender.resume(epoch: 2, joining: LegSet(added), now: 6_000_000_000)
    #expect(sender.flow.pacer.lossFloor(leg: 2) == 0)
    #expect(sender.flow.pacer.lossFloor(leg: 1) > 0.3)
  }
}

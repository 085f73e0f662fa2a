import Bytes
import Testing

@testable import Replication

/// What of a report is lost, and what is on its way.
@Suite struct SenderOrderTests {
  private static let quick: UInt64 = 1_000_000_000

  /// A sender of two legs whose write 0 of eight blocks went out at `quick`, a microsecond apart.
  private func sent(_ blocks: Int = 8, mode: RecoveryMode = .blocks) -> Sender {
    var configuration = SenderConfiguration(
      registration: 1, virtualLUN: 5 << 48, blockLength: 512, unitBlockSize: 512,
      writeLengthMax: 64 * 512)
    configuration.recovery = mode
    configuration.deadlineNanoseconds = 60_000_000_000
    let leg = LegDescription(path: .datagrams, openWritesMax: 8, credit: 1 << 20)
    var sender = Sender(configuration, legs: [leg, leg])
    _ = sender.submit(
      Submission(token: 1, byteOffset: 0, length: blocks * 512), now: Self.quick)
    flush(&sender, now: Self.quick)
    return sender
  }

  /// Sends what may go, a microsecond each; the blocks that went to a leg alone.
  @discardableResult
  private func flush(_ sender: inout Sender, now: UInt64, most: Int = .max) -> [Int] {
    var blocks: [Int] = []
    var bytes = [UInt8](repeating: 0, count: 1024)
    var count: UInt64 = 0
    while count < most, let next = sender.pollTransmission(now: now + count * 1000) {
      let data = [UInt8](repeating: 7, count: sender.submission(inSlot: next.slot).length)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      _ = sender.assemble(next, data: data.span.bytes, into: &raw, now: now + count * 1000)
      count += 1
      guard next.destination != .group else { continue }
      if case .block(let block) = next.content { blocks.append(block) } else { blocks.append(0) }
    }
    sender.handleDeparted(now: now + count * 1000)
    return blocks
  }

  private func report(
    _ sender: inout Sender, lacks: [UInt8], group: UInt32, own: UInt32 = 0, silence: UInt8 = 0,
    now: UInt64
  ) -> [Int] {
    var report = MirrorAnswer(.report, registration: 1, epoch: 1, writeNumber: SerialNumber(0))
    report.heard.group = Heard(group, silence: silence)
    report.heard.own = Heard(own, silence: silence)
    sender.handleReport(leg: 0, report, missing: lacks.span.bytes, now: now)
    return flush(&sender, now: now)
  }

  @Test func `what was overtaken is lost, what comes behind is on its way`() {
    var sender = sent()
    // Blocks 1 and 5 to 7 lack; five datagrams were heard, the fifth is block 4.
    let first = report(&sender, lacks: [0x47], group: 5, now: Self.quick + 10_000)
    #expect(first == [1])
    let second = report(&sender, lacks: [0x47], group: 7, now: Self.quick + 20_000)
    #expect(second == [5, 6], "block 1 was sent again, and no more is heard of that yet")
    #expect(sender.counters(ofLeg: 0).lostBlocks == 3)
    let third = report(&sender, lacks: [0x47], group: 7, own: 1, now: Self.quick + 30_000)
    #expect(third == [1], "its repair was overtaken, too")
    #expect(sender.counters(ofLeg: 0).repairedBlocks == 4)
  }

  @Test func `two streams are apart`() {
    var sender = sent()
    #expect(report(&sender, lacks: [0x60], group: 8, now: Self.quick + 10_000) == [1, 2])
    // The group went on, which says nothing of what went to the leg alone.
    _ = sender.submit(Submission(token: 2, byteOffset: 1 << 16, length: 4096), now: Self.quick)
    flush(&sender, now: Self.quick + 20_000)
    #expect(report(&sender, lacks: [0x60], group: 16, now: Self.quick + 40_000) == [])
    #expect(report(&sender, lacks: [0x60], group: 16, own: 1, now: Self.quick + 50_000) == [1])
  }

  @Test func `silence tells of what nothing follows, as long as it is longer than the gap was`() {
    for (silence, lost) in [(0, []), (30, []), (31, [6, 7])] as [(UInt8, [Int])] {
      var sender = sent()
      let sent = report(
        &sender, lacks: [0x03], group: 6, silence: silence, now: Self.quick + 100_000)
      #expect(sent == lost, "silent for \(silence)")
    }
    // The last heard was sent long before: its silence is no sign.
    var sender = sent(1)
    _ = sender.submit(
      Submission(token: 2, byteOffset: 1 << 16, length: 512), now: Self.quick + 50_000_000)
    flush(&sender, now: Self.quick + 50_000_000)
    var report = MirrorAnswer(.report, registration: 1, epoch: 1, writeNumber: SerialNumber(1))
    report.isCommandMissing = true
    report.heard.group = Heard(1, silence: 255)
    let none: [UInt8] = []
    sender.handleReport(leg: 0, report, missing: none.span.bytes, now: Self.quick + 51_000_000)
    #expect(flush(&sender, now: Self.quick + 51_000_000) == [])
    sender.handleReport(leg: 0, report, missing: none.span.bytes, now: Self.quick + 300_000_000)
    #expect(flush(&sender, now: Self.quick + 300_000_000) == [0], "only time was left to tell")
  }

  @Test func `while a write goes out only what was overtaken is lost`() {
    var sender = sent(1)
    _ = sender.submit(
      Submission(token: 2, byteOffset: 1 << 16, length: 8 * 512), now: Self.quick)
    flush(&sender, now: Self.quick + 10_000, most: 4)
    var report = MirrorAnswer(.report, registration: 1, epoch: 1, writeNumber: SerialNumber(1))
    report.heard.group = Heard(4, silence: 255)
    let lacks: [UInt8] = [0x5f]
    sender.handleReport(leg: 0, report, missing: lacks.span.bytes, now: Self.quick + 20_000)
    #expect(flush(&sender, now: Self.quick + 20_000) == [1])
    #expect(sender.counters(ofLeg: 0).lostBlocks == 1)
  }

  @Test func `a leg that has heard what was never sent is not believed`() {
    for group: UInt32 in [9, 10, 0x7000_0000, 0x8000_0008] {
      var sender = sent()
      let none = report(&sender, lacks: [0x40], group: group, now: Self.quick + 10_000)
      #expect(none == [], "group \(group)")
      #expect(report(&sender, lacks: [0x40], group: 8, now: Self.quick + 20_000) == [1])
      for own: UInt32 in [2, 0x7fff_ffff] {
        let again = report(&sender, lacks: [0x40], group: 8, own: own, now: Self.quick + 30_000)
        #expect(again == [], "own \(own)")
      }
    }
  }

  @Test func `a leg may repeat itself, and say any number, for as long as a write is open`() {
    for mode: RecoveryMode in [.blocks, .group, .adaptive, .target] {
      var sender = sent(mode: mode)
      var bytes: UInt64 = 0
      for step: UInt64 in 0..<400 {
        var report = MirrorAnswer(.report, registration: 1, epoch: 1, writeNumber: SerialNumber(0))
        let own = sender.legs[0].sent.sequence
        report.heard = HeardStreams(
          group: Heard(sender.sentToGroup.sequence, silence: 255), own: Heard(own, silence: 255))
        report.isAsked = step % 2 == 0
        report.socketDrops = UInt32(truncatingIfNeeded: step &* 0x7fff_ffff)
        let lacks: [UInt8] = [0xff]
        let now = Self.quick + step * 100_000_000 / 4
        sender.handleReport(leg: 0, report, missing: lacks.span.bytes, now: now)
        if step > 4 { sender.handleTimeout(now: now) }
        bytes += UInt64(flush(&sender, now: now).count)
        sender.events.removeAll()
      }
      #expect(sender.activeLegs.contains(LegSet(0)), "\(mode)")
      #expect(sender.legs[0].untoldDrops <= UInt32(Law.deliveryBlocksMax))
      #expect(sender.counters.carried > 0, "\(mode): \(bytes) blocks by themselves")
    }
  }

  @Test func `what was carried is sent again when a question behind it is answered, not before`() {
    var sender = sent()
    let lacks: [UInt8] = [0xff]
    var report = MirrorAnswer(.report, registration: 1, epoch: 1, writeNumber: SerialNumber(0))
    report.isDistrusted = true
    sender.handleReport(leg: 0, report, missing: lacks.span.bytes, now: Self.quick + 1000)
    flush(&sender, now: Self.quick + 1000)
    let carried = sender.counters.carried
    #expect(carried == 8)
    report.isDistrusted = false
    report.heard.group = Heard(8, silence: 255)
    for later: UInt64 in [1_000_000, 100_000_000, 5_000_000_000] {
      sender.handleReport(leg: 0, report, missing: lacks.span.bytes, now: Self.quick + later)
      flush(&sender, now: Self.quick + later)
    }
    #expect(sender.counters.carried == carried)
    let asked = sender.nextDeadline ?? 0
    sender.handleTimeout(now: max(asked, Self.quick + 6_000_000_000))
    #expect(sender.events.contains(.sync(leg: 0, open: [SerialNumber(0)])))
    report.isAsked = true
    sender.handleReport(
      leg: 0, report, missing: lacks.span.bytes, now: Self.quick + 6_001_000_000)
    flush(&sender, now: Self.quick + 6_001_000_000)
    #expect(sender.counters.carried == 2 * carried)
  }

  @Test func `in mode group one repair answers many reports, and counts as one`() {
    var sender = sent(mode: .group)
    for step: UInt64 in 0..<50 {
      _ = report(&sender, lacks: [0x40], group: 8, now: Self.quick + 10_000 + step)
    }
    #expect(sender.writes[0].progress[0].round == 1)
    sender.handleTimeout(now: Self.quick + 1_000_000_000)
    #expect(flush(&sender, now: Self.quick + 1_000_000_000) == [])
    #expect(sender.counters.groupRepairDatagrams == 8)
  }

  @Test func `the order goes on over the highest sequence`() {
    var sender = sent(1)
    sender.sentToGroup.sequence = .max - 3
    _ = sender.submit(
      Submission(token: 2, byteOffset: 1 << 16, length: 8 * 512), now: Self.quick)
    flush(&sender, now: Self.quick + 1000)
    #expect(sender.sentToGroup.sequence == 5, "0 is none")
    var report = MirrorAnswer(.report, registration: 1, epoch: 1, writeNumber: SerialNumber(1))
    report.heard.group = Heard(2)
    let lacks: [UInt8] = [0xff]
    sender.handleReport(leg: 0, report, missing: lacks.span.bytes, now: Self.quick + 20_000)
    #expect(flush(&sender, now: Self.quick + 20_000) == [0, 1, 2, 3, 4])
  }

  @Test func `a stream that was led astray is found again`() {
    var stream = HeardStream()
    for sequence: UInt32 in [7, 9, 8] { stream.note(sequence, now: 1) }
    #expect(stream.heard(now: 1).sequence == 9)
    // Forged, and behind it what is real: once is enough, be it a little out of order.
    stream.note(0x7fff_fff0, now: 2)
    stream.note(11, now: 3)
    stream.note(10, now: 3)
    #expect(stream.heard(now: 3) == Heard(11))
    // After a silence of more than half of all sequences.
    stream.note(0xc000_0000, now: 4)
    #expect(stream.heard(now: 4).sequence == 0xc000_0000)
    stream.note(5, now: 5)
    #expect(stream.heard(now: 5 + 3 << 16).sequence == 5)
  }

  @Test func `moments are forgotten in their order`() {
    var moments = SendMoments()
    for now: UInt64 in 1...100 {
      #expect(moments.advance(now: now * 10) == UInt32(2 * now - 1))
      #expect(moments.advance(now: now * 10) == UInt32(2 * now))
    }
    #expect(moments.credible(Heard(200)).sequence == 200)
    #expect(moments.credible(Heard(201, silence: 3)) == Heard(0, silence: 3))
    let timer = AnswerTimer()
    func isLost(_ sent: UInt32, _ heard: UInt32, silence: UInt8, now: UInt64) -> Bool {
      moments.isLost(
        sent, sentAt: 0, Heard(heard, silence: silence), isFollowed: false, timer, now: now)
    }
    #expect(isLost(0, 0, silence: 0, now: 0) && isLost(199, 199, silence: 0, now: 0))
    // Assembled is not sent.
    #expect(!isLost(200, 199, silence: 255, now: .max / 2))
    moments.depart(now: 2000)
    #expect(isLost(200, 199, silence: 255, now: 2001))
    // Shorter than the two milliseconds that a leg may take of which nothing is known.
    #expect(!isLost(200, 199, silence: 30, now: 2001))
    // 20 is forgotten: how long after it 200 was sent, nobody knows.
    #expect(!isLost(200, 20, silence: 255, now: 2001))
    #expect(isLost(200, 20, silence: 255, now: 2000 + timer.holdoff))
  }
}

// What of a leg's report is lost, and what is only on its way.
//
// A report lists all that a leg lacks, and at full speed much of that stands in queues between the
// two. Time alone can't tell the one from the other: how long a queue is changes with what is in
// it. So datagrams are counted, those to the group and those to each leg, and a report says how far
// the leg has heard: what was sent before that, and isn't there, was lost.
//
// What nothing follows is told by the leg's silence: had it come, it would have come as soon after
// the last one that did as it was sent after that. A busy host is silent at times, too, so the
// silence has to be as long as the leg takes to answer. Where the last one heard was sent long
// before, or none was, a longer silence decides.
import Bytes

/// When the datagrams of one stream were sent: the last few moments at which any was.
struct SendMoments: Sendable {
  /// Datagrams assembled together, from the first of them on.
  private struct Moment: Sendable, BitwiseCopyable {
    var first: UInt32 = 0
    var assembledAt: UInt64 = 0
    /// When the last of them was handed to the network; nil while any is not.
    var departedAt: UInt64?
  }

  private static let count = 32
  private var moments = InlineArray<32, Moment>(repeating: Moment())
  private var last = 0
  /// The sequence that was given out last; 0 for none. Tests begin elsewhere.
  var sequence: UInt32 = 0

  /// The sequence of the next datagram.
  mutating func advance(now: UInt64) -> UInt32 {
    sequence = sequence == .max ? 1 : sequence + 1
    if moments[last].assembledAt != now || moments[last].departedAt != nil
      || moments[last].first == 0
    {
      last = (last + 1) % Self.count
      moments[last] = Moment(first: sequence, assembledAt: now)
    }
    return sequence
  }

  /// All datagrams were handed to the network by now.
  mutating func depart(now: UInt64) {
    for back in 0..<Self.count {
      let index = (last + Self.count - back) % Self.count
      guard moments[index].first != 0, moments[index].departedAt == nil else { return }
      moments[index].departedAt = now
    }
  }

  /// Nil when it is forgotten.
  private func moment(of sent: UInt32) -> Moment? {
    guard sent != 0 else { return nil }
    for back in 0..<Self.count {
      let moment = moments[(last + Self.count - back) % Self.count]
      guard moment.first != 0 else { return nil }
      if Int32(bitPattern: sent &- moment.first) >= 0 { return moment }
    }
    return nil
  }

  /// What a leg says that it heard, as far as that can be: not more than was sent.
  func credible(_ heard: Heard) -> Heard {
    let isSent = Int32(bitPattern: sequence &- heard.sequence) >= 0
    return Heard(isSent ? heard.sequence : 0, silence: heard.silence)
  }

  /// Whether a leg that has heard so far will not hear a datagram any more; true of none.
  /// - Parameters:
  ///   - sentAt: when it was sent, or a little later.
  ///   - isFollowed: whether more is about to be sent, which will tell.
  func isLost(
    _ sent: UInt32, sentAt: UInt64, _ heard: Heard, isFollowed: Bool, _ timer: AnswerTimer,
    now: UInt64
  ) -> Bool {
    guard sent != 0 else { return true }
    if heard.sequence != 0, Int32(bitPattern: heard.sequence &- sent) >= 0 { return true }
    guard !isFollowed else { return false }
    let silence = heard.silenceNanoseconds
    guard let sent = moment(of: sent) else {
      return now >= sentAt + timer.holdoff && silence >= min(timer.holdoff, Heard.silenceMax)
    }
    // It may still wait here, however long ago it was assembled.
    guard let departedAt = sent.departedAt else { return false }
    if let last = moment(of: heard.sequence) {
      let gap = departedAt - min(last.assembledAt, departedAt)
      if gap < silence / 2, silence >= min(timer.patience, Heard.silenceMax) { return true }
    }
    return now >= departedAt + timer.holdoff && silence >= min(timer.holdoff, Heard.silenceMax)
  }
}

/// The order in which one write's pieces went out.
struct SendOrder: Sendable {
  /// A piece of a write, as it was sent to the group last and to one leg last; 0 for never.
  struct Sent: Sendable {
    var toGroup: UInt32 = 0
    var toLeg: UInt32 = 0
  }

  private var toGroup: [UInt32]
  /// By leg; empty until something of a write was sent to it alone.
  private var toLeg: [[UInt32]] = []
  private var legs: LegSet = []
  /// When something was last sent to all; to one leg, `LegProgress` has it.
  var groupSentAt: UInt64 = 0

  /// The place of a command that carries no block.
  static let command = 0

  init(blocksMax: Int) { toGroup = [UInt32](repeating: 0, count: blocksMax + 1) }

  mutating func begin(blockCount: Int) {
    for index in 0...blockCount { toGroup[index] = 0 }
    legs = []
    groupSentAt = 0
  }

  /// - Parameter place: the block's number and one, or `command`.
  func sent(_ place: Int, to leg: Int) -> Sent {
    Sent(toGroup: toGroup[place], toLeg: legs.contains(LegSet(leg)) ? toLeg[leg][place] : 0)
  }

  mutating func noteSentToGroup(_ place: Int, _ sequence: UInt32) { toGroup[place] = sequence }

  mutating func noteSent(_ place: Int, to leg: Int, _ sequence: UInt32) {
    if !legs.contains(LegSet(leg)) {
      while toLeg.count <= leg { toLeg.append([]) }
      if toLeg[leg].isEmpty {
        toLeg[leg] = [UInt32](repeating: 0, count: toGroup.count)
      } else {
        for index in toLeg[leg].indices { toLeg[leg][index] = 0 }
      }
      legs.insert(LegSet(leg))
    }
    toLeg[leg][place] = sequence
  }
}

extension Sender {
  /// All that was assembled has been handed to the network.
  package mutating func handleDeparted(now: UInt64) {
    sentToGroup.depart(now: now)
    undeparted.forEach { legs[$0].sent.depart(now: now) }
    undeparted = []
  }

  /// The sequence of the next datagram to the group, or to a leg; 0 for what a connection carries.
  mutating func nextSequence(to destination: Transmission.Destination, now: UInt64) -> UInt32 {
    switch destination {
    case .connection: return 0
    case .group: return sentToGroup.advance(now: now)
    case .leg(let leg):
      undeparted.insert(LegSet(leg))
      return legs[leg].sent.advance(now: now)
    }
  }

  mutating func noteOrder(_ transmission: Transmission, _ sequence: UInt32, now: UInt64) {
    let slot = transmission.slot
    let place: Int
    switch transmission.content {
    case .command: place = writes[slot].hasImmediateData ? 1 : SendOrder.command
    case .block(let block): place = block + 1
    }
    switch transmission.destination {
    case .connection(let leg): writes[slot].progress[leg].repairedAt = now
    case .group:
      writes[slot].order.noteSentToGroup(place, sequence)
      writes[slot].order.groupSentAt = now
    case .leg(let leg):
      writes[slot].order.noteSent(place, to: leg, sequence)
      writes[slot].progress[leg].repairedAt = now
    }
  }

  /// A leg's list without what isn't lost: what was never sent, is on its way, or waits for a
  /// repair.
  func onlyLost(
    _ list: BlockBitmap, _ slot: Int, _ leg: Int, _ report: MirrorAnswer, now: UInt64
  ) -> BlockBitmap {
    var missing = list
    if configuration.recovery == .adaptive, writes[slot].reported.contains(LegSet(leg)) {
      missing.subtract(writes[slot].gaps[leg])
    }
    for job in repairs where isFor(job, slot, leg) {
      guard let blocks = job.blocks else {
        if job.sendsCommand { _ = missing.markPresent(0) }
        continue
      }
      if job.sendsCommand, writes[slot].hasImmediateData { _ = missing.markPresent(0) }
      var waiting = blocks.firstMissing(from: job.nextBlock)
      while let block = waiting {
        _ = missing.markPresent(block)
        waiting = blocks.firstMissing(from: block + 1)
      }
    }
    var next = missing.firstMissing()
    while let block = next {
      let isLost =
        !writes[slot].unsent.isMissing(block)
        && isLost(block + 1, of: slot, leg, report, now: now)
      if !isLost { _ = missing.markPresent(block) }
      next = missing.firstMissing(from: block + 1)
    }
    return missing
  }

  func isFor(_ job: RepairJob, _ slot: Int, _ leg: Int) -> Bool {
    job.slot == slot && job.number == writes[slot].number && (job.leg ?? leg) == leg
  }

  /// Whether a piece of a write that a leg lacks will not come any more.
  func isLost(
    _ place: Int, of slot: Int, _ leg: Int, _ report: MirrorAnswer, now: UInt64
  ) -> Bool {
    let sent = writes[slot].order.sent(place, to: leg)
    let (groupSentAt, repairedAt) = (
      writes[slot].order.groupSentAt, writes[slot].progress[leg].repairedAt
    )
    let timer = legs[leg].timer
    let path = path(leg, writes[slot].submission)
    guard !writes[slot].progress[leg].isCarried, path == .datagrams else {
      // A connection loses nothing; but a leg may have let go of what it was given. A question goes
      // behind what was carried, so does its answer.
      return report.isAsked && legs[leg].syncedAt > repairedAt
    }
    guard sent.toGroup != 0 || sent.toLeg != 0 else { return false }
    let isSending = writes[slot].phase == .sending
    return sentToGroup.isLost(
      sent.toGroup, sentAt: groupSentAt, sentToGroup.credible(report.heard.group),
      isFollowed: isSending,
      timer, now: now)
      && legs[leg].sent.isLost(
        sent.toLeg, sentAt: repairedAt, legs[leg].sent.credible(report.heard.own),
        isFollowed: false,
        timer, now: now)
  }
}

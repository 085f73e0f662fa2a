// What of a leg's report is lost, and what is only on its way.
//
// A report lists all that a leg lacks, and at full speed much of that stands in queues between the
// two. Time alone can't tell the one from the other: how long a queue is changes with what is in
// it. So datagrams are counted, those to the group and those to each leg, and a report says how far
// the leg has heard: what was sent before that, and isn't there, was lost.
//
// What nothing follows is told by the leg's silence: had it come, it would have come as soon after
// the last one that did as it was sent after that. Only where that, too, says nothing (nothing was
// heard at all, or long before it) a smoothed answer time decides, of silence as well.
import Bytes

/// When the datagrams of one stream were sent: the last few moments at which any was.
struct SendMoments: Sendable {
  private static let count = 32
  private var sequences = InlineArray<32, UInt32>(repeating: 0)
  private var times = InlineArray<32, UInt64>(repeating: 0)
  private var next = 0
  /// The sequence that was given out last; 0 for none.
  private(set) var sequence: UInt32 = 0

  /// The sequence of the next datagram.
  mutating func advance(now: UInt64) -> UInt32 {
    sequence = sequence == .max ? 1 : sequence + 1
    let last = (next + Self.count - 1) % Self.count
    guard times[last] != now || sequences[last] == 0 else { return sequence }
    sequences[next] = sequence
    times[next] = now
    next = (next + 1) % Self.count
    return sequence
  }

  /// When a datagram was sent, or a little earlier; nil when that is forgotten.
  func time(of sent: UInt32) -> UInt64? {
    guard sent != 0 else { return nil }
    for back in 1...Self.count {
      let index = (next + Self.count - back) % Self.count
      guard sequences[index] != 0 else { return nil }
      if Int32(bitPattern: sent &- sequences[index]) >= 0 { return times[index] }
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
  ///   - wait: how long a leg takes to answer at most.
  func isLost(
    _ sent: UInt32, sentAt: UInt64, _ heard: Heard, isFollowed: Bool, wait: UInt64, now: UInt64
  ) -> Bool {
    guard sent != 0 else { return true }
    if heard.sequence != 0, Int32(bitPattern: heard.sequence &- sent) >= 0 { return true }
    guard !isFollowed else { return false }
    let silence = heard.silenceNanoseconds
    if let last = time(of: heard.sequence), sentAt - min(last, sentAt) < silence / 2 { return true }
    return now >= sentAt + wait && silence >= min(wait, Heard.silenceMax)
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
  /// The sequence of the next datagram to the group, or to a leg; 0 for what a connection carries.
  mutating func nextSequence(to destination: Transmission.Destination, now: UInt64) -> UInt32 {
    switch destination {
    case .connection: 0
    case .group: sentToGroup.advance(now: now)
    case .leg(let leg): legs[leg].sent.advance(now: now)
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
    _ list: BlockBitmap, _ slot: Int, _ leg: Int, _ heard: HeardStreams, now: UInt64
  ) -> BlockBitmap {
    var missing = list
    if writes[slot].reported.contains(LegSet(leg)) { missing.subtract(writes[slot].gaps[leg]) }
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
        && isLost(block + 1, of: slot, leg, heard, now: now)
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
    _ place: Int, of slot: Int, _ leg: Int, _ heard: HeardStreams, now: UInt64
  ) -> Bool {
    let sent = writes[slot].order.sent(place, to: leg)
    let (groupSentAt, repairedAt) = (
      writes[slot].order.groupSentAt, writes[slot].progress[leg].repairedAt
    )
    let wait = legs[leg].timer.holdoff
    guard !writes[slot].progress[leg].isCarried, legs[leg].description.path == .datagrams else {
      return now >= max(repairedAt, groupSentAt) + wait
    }
    guard sent.toGroup != 0 || sent.toLeg != 0 else { return false }
    let isSending = writes[slot].phase == .sending
    return sentToGroup.isLost(
      sent.toGroup, sentAt: groupSentAt, sentToGroup.credible(heard.group), isFollowed: isSending,
      wait: wait, now: now)
      && legs[leg].sent.isLost(
        sent.toLeg, sentAt: repairedAt, legs[leg].sent.credible(heard.own), isFollowed: false,
        wait: wait, now: now)
  }
}

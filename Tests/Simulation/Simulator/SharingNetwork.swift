// The ways between the initiators of a shared mirror: reliable and in order until they end. Who
// hears nothing from the other side for the silence limit takes a way as ended.
import Replication

/// A way between a guest's process and its leader's.
struct SharingChannel {
  let guest: Int
  let leader: Int
  /// By which the leader knows the guest.
  let number: UInt64
  var isOpenAtGuest = true
  /// The leader has heard who it is.
  var isOpenAtLeader = false
  /// When the last message of each direction comes: order is kept.
  var lastToGuest: UInt64 = 0
  var lastToLeader: UInt64 = 0
  /// Messages that wait for a partition's end.
  var stalledToGuest: [Int32] = []
  var stalledToLeader: [Int32] = []
}

/// All ways between initiators.
struct SharingNetwork {
  var channels: [SharingChannel] = []
  var messages = MessageStore<SharingMessage>()
  private var cuts: [Set<Int>: Int] = [:]
  private var generations: [Set<Int>: UInt32] = [:]

  func isCut(_ one: Int, _ other: Int) -> Bool { cuts[[one, other]] ?? 0 > 0 }
  func generation(_ one: Int, _ other: Int) -> UInt32 { generations[[one, other]] ?? 0 }

  mutating func cut(_ one: Int, _ other: Int, by count: Int) {
    let wasCut = isCut(one, other)
    cuts[[one, other], default: 0] += count
    // Of two partitions that overlap nobody sees the end of one.
    if isCut(one, other) != wasCut { generations[[one, other], default: 0] &+= 1 }
  }

  func channel(ofGuest number: UInt64) -> Int? {
    channels.lastIndex { $0.number == number && $0.isOpenAtLeader }
  }
}

extension World {
  func initiator(numbered number: UInt64) -> Int {
    sharing.channels.first { $0.number == number }?.guest ?? -1
  }

  private var sharingLink: SharingScenario { scenario.sharing ?? SharingScenario() }

  private func sharingTime(_ last: UInt64) -> UInt64 {
    let link = sharingLink
    return max(now + link.channelNanoseconds + random.below(link.channelNanoseconds), last)
  }

  // MARK: Messages

  /// A guest begins to speak to whom a leg has named.
  func connectSharing(_ guest: Int, to leader: Int, as number: UInt64, secret: UInt64) -> Int {
    sharing.channels.append(SharingChannel(guest: guest, leader: leader, number: number))
    let channel = sharing.channels.count - 1
    if sharing.isCut(guest, leader) {
      loseSharing(channel, atLeader: false, after: random.octaves(20_000...200_000_000))
    } else {
      say(.hello(guest: number, secret: secret), on: channel, atLeader: true)
    }
    return channel
  }

  /// - Parameter atLeader: who hears it.
  func say(_ message: SharingMessage, on channel: Int, atLeader: Bool) {
    let way = sharing.channels[channel]
    guard atLeader ? way.isOpenAtGuest : way.isOpenAtLeader else { return }
    let time = sharingTime(atLeader ? way.lastToLeader : way.lastToGuest)
    if atLeader {
      sharing.channels[channel].lastToLeader = time
    } else {
      sharing.channels[channel].lastToGuest = time
    }
    let slot = sharing.messages.put(message)
    enter(
      .said, node: atLeader ? way.leader : way.guest, at: time, first: Int(slot),
      second: channel << 1 | (atLeader ? 1 : 0))
  }

  func deliverSaid(_ event: Event) {
    let (channel, atLeader) = (Int(event.second) >> 1, event.second & 1 == 1)
    let way = sharing.channels[channel]
    let isStalled = !(atLeader ? way.stalledToLeader : way.stalledToGuest).isEmpty
    if sharing.isCut(way.guest, way.leader) || isStalled {
      if atLeader {
        sharing.channels[channel].stalledToLeader.append(event.first)
      } else {
        sharing.channels[channel].stalledToGuest.append(event.first)
      }
      return
    }
    hear(event.first, on: channel, atLeader: atLeader)
  }

  private func hear(_ slot: Int32, on channel: Int, atLeader: Bool) {
    let message = sharing.messages.take(slot)
    let way = sharing.channels[channel]
    if atLeader {
      if case .hello(_, let secret) = message, !way.isOpenAtLeader {
        guard initiators[way.leader].mayBeGuest(secret) else {
          return loseSharing(channel, atLeader: false, after: sharingLink.channelNanoseconds)
        }
        sharing.channels[channel].isOpenAtLeader = true
      }
      guard sharing.channels[channel].isOpenAtLeader else {
        return loseSharing(channel, atLeader: false, after: sharingLink.channelNanoseconds)
      }
      initiators[way.leader].handleSaid(message, by: way.number)
    } else if way.isOpenAtGuest {
      initiators[way.guest].handleSaid(message, on: channel)
    } else {
      loseSharing(channel, atLeader: true, after: sharingLink.channelNanoseconds)
    }
  }

  // MARK: Ends

  /// An end closes a way: the other sees that behind all that was said before.
  func closeSharing(_ channel: Int, atLeader: Bool) {
    let way = sharing.channels[channel]
    guard atLeader ? way.isOpenAtLeader : way.isOpenAtGuest else { return }
    if atLeader {
      sharing.channels[channel].isOpenAtLeader = false
    } else {
      sharing.channels[channel].isOpenAtGuest = false
    }
    let time = sharingTime(atLeader ? way.lastToGuest : way.lastToLeader)
    loseSharing(channel, atLeader: !atLeader, after: time - now)
  }

  /// - Parameter kind: 0: it has ended; 1: if the partition lasts until then; 2: if the other side
  ///   is held up until then.
  private func loseSharing(
    _ channel: Int, atLeader: Bool, after nanoseconds: UInt64, kind: Int = 0
  ) {
    let way = sharing.channels[channel]
    enter(
      .unsaid, node: atLeader ? way.leader : way.guest, at: now + nanoseconds, first: kind,
      second: channel << 1 | (atLeader ? 1 : 0),
      incarnation: sharing.generation(way.guest, way.leader))
  }

  func noteUnsaid(_ event: Event) {
    let (channel, atLeader) = (Int(event.second) >> 1, event.second & 1 == 1)
    let way = sharing.channels[channel]
    let isCut = sharing.isCut(way.guest, way.leader)
    switch event.first {
    case 0 where isCut:
      // Nobody says so over a partition.
      return loseSharing(
        channel, atLeader: atLeader, after: sharingLink.silenceNanoseconds, kind: 1)
    case 1:
      guard isCut, event.incarnation == sharing.generation(way.guest, way.leader) else {
        let isClosed = !way.isOpenAtGuest || !way.isOpenAtLeader
        return isClosed && !isCut ? endSharing(channel, atLeader: atLeader) : ()
      }
    case 2:
      let other = initiators[atLeader ? way.guest : way.leader]
      guard other.pausedUntil ?? 0 > now else { return }
    default: break
    }
    endSharing(channel, atLeader: atLeader)
    if event.first > 0 {
      loseSharing(channel, atLeader: !atLeader, after: sharingLink.channelNanoseconds)
    }
  }

  private func endSharing(_ channel: Int, atLeader: Bool) {
    let way = sharing.channels[channel]
    if atLeader {
      guard way.isOpenAtLeader else { return }
      sharing.channels[channel].isOpenAtLeader = false
      initiators[way.leader].handleUnsaid(by: way.number)
    } else {
      guard way.isOpenAtGuest else { return }
      sharing.channels[channel].isOpenAtGuest = false
      initiators[way.guest].handleUnsaid(on: channel)
    }
  }

  // MARK: Faults

  /// A process is gone, and its ends with it.
  func dropSharing(of node: Int) {
    for index in sharing.channels.indices {
      let way = sharing.channels[index]
      if way.guest == node, way.isOpenAtGuest {
        sharing.channels[index].isOpenAtGuest = false
        loseSharing(index, atLeader: true, after: random.octaves(10_000...1_000_000))
      } else if way.leader == node, way.isOpenAtLeader || way.isOpenAtGuest {
        sharing.channels[index].isOpenAtLeader = false
        loseSharing(index, atLeader: false, after: random.octaves(10_000...1_000_000))
      }
    }
  }

  func resetSharing(_ one: Int, _ other: Int) {
    for index in openSharing(one, other) {
      loseSharing(index, atLeader: true, after: random.below(2_000_000))
      loseSharing(index, atLeader: false, after: random.below(2_000_000))
    }
  }

  func cutSharing(_ one: Int, _ other: Int) {
    sharing.cut(one, other, by: 1)
    for index in openSharing(one, other) { giveUpSharing(index, kind: 1) }
  }

  func mendSharing(_ one: Int, _ other: Int) {
    sharing.cut(one, other, by: -1)
    guard !sharing.isCut(one, other) else { return }
    for index in sharing.channels.indices {
      let way = sharing.channels[index]
      guard Set([way.guest, way.leader]) == [one, other] else { continue }
      sharing.channels[index].stalledToLeader = []
      for slot in way.stalledToLeader { hear(slot, on: index, atLeader: true) }
      sharing.channels[index].stalledToGuest = []
      for slot in way.stalledToGuest { hear(slot, on: index, atLeader: false) }
    }
  }

  /// A process is held up, and says nothing meanwhile.
  func holdUpSharing(of node: Int) {
    for index in sharing.channels.indices {
      let way = sharing.channels[index]
      guard way.isOpenAtLeader, way.isOpenAtGuest, way.guest == node || way.leader == node else {
        continue
      }
      loseSharing(
        index, atLeader: way.guest == node, after: sharingLink.silenceNanoseconds, kind: 2)
    }
  }

  private func openSharing(_ one: Int, _ other: Int) -> [Int] {
    sharing.channels.indices.filter { index in
      let way = sharing.channels[index]
      return Set([way.guest, way.leader]) == [one, other]
        && (way.isOpenAtGuest || way.isOpenAtLeader)
    }
  }

  private func giveUpSharing(_ channel: Int, kind: Int) {
    let silence = sharingLink.silenceNanoseconds
    for atLeader in [false, true] {
      // Each has heard the other last at a time of its own.
      loseSharing(
        channel, atLeader: atLeader, after: silence / 2 + random.below(silence), kind: kind)
    }
  }
}

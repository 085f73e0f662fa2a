// Datagrams and channels between initiators and targets.
import Bytes
import ISCSI
import Replication

/// The state of what lies between the nodes.
struct Network {
  /// One way of a pair.
  struct Way {
    /// How many partitions cut it just now.
    var cuts = 0
    /// How often it was cut: a timeout of an earlier partition means nothing in a later one.
    var generation: UInt32 = 0
  }

  var links: [LinkBehaviour]
  var channels: [Channel] = []
  var toTarget = MessageStore<TargetMessage>()
  var toInitiator = MessageStore<InitiatorMessage>()
  private var ways: [(out: Way, back: Way)]
  private let targetCount: Int
  /// Datagrams of each target's present burst of losses that are left.
  var burstLeft: [Int]

  init(_ scenario: Scenario) {
    links = scenario.links
    targetCount = scenario.targetCount
    ways = Array(
      repeating: (Way(), Way()), count: scenario.targetCount * scenario.initiatorCount)
    burstLeft = Array(repeating: 0, count: scenario.targetCount)
  }

  func isCut(_ initiator: Int, _ target: Int, out: Bool) -> Bool {
    let way = ways[initiator * targetCount + target]
    return (out ? way.out : way.back).cuts > 0
  }

  func isCut(_ initiator: Int, _ target: Int) -> Bool {
    isCut(initiator, target, out: true) || isCut(initiator, target, out: false)
  }

  func generation(_ initiator: Int, _ target: Int) -> UInt32 {
    let way = ways[initiator * targetCount + target]
    return way.out.generation &+ way.back.generation
  }

  mutating func cut(_ initiator: Int, _ target: Int, out: Bool, by count: Int) {
    let index = initiator * targetCount + target
    if out {
      ways[index].out.cuts += count
      ways[index].out.generation &+= 1
    } else {
      ways[index].back.cuts += count
      ways[index].back.generation &+= 1
    }
  }
}

extension World {
  // MARK: Datagrams

  /// Sends a datagram in the pool's slot to one target's ears, if it gets there.
  func fly(_ slot: Int, from initiator: Int, to target: Int, isOwn: Bool, at departure: UInt64) {
    counters.datagrams += 1
    let link = network.links[target]
    guard !network.isCut(initiator, target, out: true) else { return }
    if network.burstLeft[target] > 0 {
      network.burstLeft[target] -= 1
      return
    }
    if random.chance(link.burst) {
      network.burstLeft[target] = random.below(link.burstLengthMax)
      return
    }
    guard !random.chance(isOwn ? link.ownLoss : link.groupLoss) else { return }
    var heard = slot
    if random.chance(link.corrupt) {
      heard = workplace.pool.copy(slot)
      let length = workplace.pool.bytes(heard).count
      workplace.pool.flipBit(heard, at: random.below(length), mask: 1 << UInt8(random.below(8)))
    }
    land(heard, at: target, departure + delay(link))
    if random.chance(link.duplicate) {
      land(heard, at: target, departure + delay(link) + random.below(link.reorderNanoseconds))
    }
  }

  private func delay(_ link: LinkBehaviour) -> UInt64 {
    let late = random.chance(link.reorder) ? random.below(link.reorderNanoseconds) : 0
    return link.delayNanoseconds + random.below(link.jitterNanoseconds) + late
  }

  private func land(_ slot: Int, at target: Int, _ time: UInt64) {
    workplace.pool.retain(slot)
    enter(.datagram, node: Self.targetsAt + target, at: time, first: slot)
  }

  func arrive(datagram slot: Int, at target: Target) {
    if target.isUp { target.handle(datagram: workplace.pool.bytes(slot)) }
    workplace.pool.release(slot)
  }

  // MARK: Channels

  /// Begins to connect; the initiator hears how that ended.
  func connect(_ initiator: Int, _ target: Int) -> Int {
    network.channels.append(Channel(initiator: initiator, target: target))
    let channel = network.channels.count - 1
    enter(
      .connected, node: Self.targetsAt + target,
      at: now + network.links[target].channelNanoseconds, first: 1, second: channel)
    return channel
  }

  func noteConnected(_ event: Event) {
    let index = Int(event.second)
    let (initiator, target) = (network.channels[index].initiator, network.channels[index].target)
    guard !network.isCut(initiator, target) else { return failConnecting(index) }
    if event.first == 1 {
      guard targets[target].isUp else { return failConnecting(index) }
      network.channels[index].isOpenAtTarget = true
      targets[target].handleConnected(index)
      enter(
        .connected, node: initiator, at: now + network.links[target].channelNanoseconds, first: 0,
        second: index)
    } else if initiators[initiator].awaits(channel: index) {
      network.channels[index].isOpenAtInitiator = true
      initiators[initiator].handleConnected(index)
    } else {
      close(index, atInitiator: true)
    }
  }

  private func failConnecting(_ channel: Int) {
    lose(channel, atInitiator: true, after: random.octaves(20_000...200_000_000))
    if network.channels[channel].isOpenAtTarget {
      lose(channel, atInitiator: false, after: random.octaves(20_000...200_000_000))
    }
  }

  func send(_ message: TargetMessage, on channel: Int) {
    guard network.channels[channel].isOpenAtInitiator else { return }
    let target = network.channels[channel].target
    let time = channelTime(target, network.channels[channel].lastToTarget)
    network.channels[channel].lastToTarget = time
    let slot = network.toTarget.put(message)
    enter(
      .toTarget, node: Self.targetsAt + target, at: time, first: Int(slot), second: channel)
  }

  func send(_ message: InitiatorMessage, on channel: Int) {
    guard network.channels[channel].isOpenAtTarget else { return }
    let time = channelTime(
      network.channels[channel].target, network.channels[channel].lastToInitiator)
    network.channels[channel].lastToInitiator = time
    let slot = network.toInitiator.put(message)
    enter(
      .toInitiator, node: network.channels[channel].initiator, at: time, first: Int(slot),
      second: channel)
  }

  private func channelTime(_ target: Int, _ last: UInt64) -> UInt64 {
    let link = network.links[target]
    return max(now + link.channelNanoseconds + random.below(link.jitterNanoseconds), last)
  }

  func deliverToTarget(_ event: Event) {
    let index = Int(event.second)
    let channel = network.channels[index]
    if channel.isOpenAtTarget,
      network.isCut(channel.initiator, channel.target, out: true)
        || !channel.stalledToTarget.isEmpty
    {
      return network.channels[index].stalledToTarget.append(event.first)
    }
    let message = network.toTarget.take(event.first)
    guard channel.isOpenAtTarget else { return reset(index, atInitiator: true) }
    targets[channel.target].handle(message, on: index)
  }

  func deliverToInitiator(_ event: Event) {
    let index = Int(event.second)
    let channel = network.channels[index]
    if channel.isOpenAtInitiator,
      network.isCut(channel.initiator, channel.target, out: false)
        || !channel.stalledToInitiator.isEmpty
    {
      return network.channels[index].stalledToInitiator.append(event.first)
    }
    let message = network.toInitiator.take(event.first)
    guard channel.isOpenAtInitiator else { return reset(index, atInitiator: false) }
    initiators[channel.initiator].handle(message, on: index)
  }

  /// A way is whole again: what stalled comes now, before all that comes later.
  func deliverStalled(_ initiator: Int, _ target: Int) {
    for index in network.channels.indices {
      let channel = network.channels[index]
      guard channel.initiator == initiator, channel.target == target else { continue }
      if !channel.stalledToTarget.isEmpty, !network.isCut(initiator, target, out: true) {
        network.channels[index].stalledToTarget = []
        for slot in channel.stalledToTarget {
          let message = network.toTarget.take(slot)
          guard network.channels[index].isOpenAtTarget else { continue }
          targets[target].handle(message, on: index)
        }
      }
      if !channel.stalledToInitiator.isEmpty, !network.isCut(initiator, target, out: false) {
        network.channels[index].stalledToInitiator = []
        for slot in channel.stalledToInitiator {
          let message = network.toInitiator.take(slot)
          guard network.channels[index].isOpenAtInitiator else { continue }
          initiators[initiator].handle(message, on: index)
        }
      }
    }
  }

  // MARK: Loss

  /// An end closes a channel: the other one sees that behind all that was sent before.
  func close(_ index: Int, atInitiator: Bool) {
    let channel = network.channels[index]
    guard atInitiator ? channel.isOpenAtInitiator : channel.isOpenAtTarget else { return }
    if atInitiator {
      network.channels[index].isOpenAtInitiator = false
    } else {
      network.channels[index].isOpenAtTarget = false
    }
    let last = atInitiator ? channel.lastToTarget : channel.lastToInitiator
    let time = channelTime(channel.target, last)
    lose(index, atInitiator: !atInitiator, after: time - now, travels: true)
  }

  /// Who speaks to an end that is gone hears so.
  private func reset(_ index: Int, atInitiator: Bool) {
    let channel = network.channels[index]
    guard atInitiator ? channel.isOpenAtInitiator : channel.isOpenAtTarget else { return }
    lose(
      index, atInitiator: atInitiator, after: network.links[channel.target].channelNanoseconds,
      travels: true)
  }

  /// - Parameter travels: it is the other end that says so, if it can.
  func lose(
    _ channel: Int, atInitiator: Bool, after nanoseconds: UInt64, travels: Bool = false
  ) {
    let node =
      atInitiator
      ? network.channels[channel].initiator : Self.targetsAt + network.channels[channel].target
    enter(
      .lost, node: node, at: now + nanoseconds, first: atInitiator ? 0 : 1, second: channel,
      incarnation: travels ? 1 : 0)
  }

  /// An end gives up on a partition, if that lasts until then.
  func giveUp(_ channel: Int, atInitiator: Bool, after nanoseconds: UInt64) {
    let (initiator, target) = (
      network.channels[channel].initiator, network.channels[channel].target
    )
    enter(
      .lost, node: atInitiator ? initiator : Self.targetsAt + target, at: now + nanoseconds,
      first: atInitiator ? 2 : 3, second: channel,
      incarnation: network.generation(initiator, target))
  }

  func noteLost(_ event: Event) {
    let index = Int(event.second)
    let channel = network.channels[index]
    let atInitiator = event.first & 1 == 0
    if event.first >= 2,
      event.incarnation != network.generation(channel.initiator, channel.target)
        || !network.isCut(channel.initiator, channel.target)
    {
      return
    }
    if event.first < 2, event.incarnation == 1,
      network.isCut(channel.initiator, channel.target, out: !atInitiator)
    {
      return lose(index, atInitiator: atInitiator, after: random.octaves(1_000_000...800_000_000))
    }
    if event.first >= 2 {
      // Its end goes over the partition as little as all else: the other end gives up by itself.
      close(index, atInitiator: atInitiator)
    }
    if atInitiator {
      network.channels[index].isOpenAtInitiator = false
      initiators[channel.initiator].handleLost(index)
    } else {
      network.channels[index].isOpenAtTarget = false
      targets[channel.target].handleLost(index)
    }
  }
}

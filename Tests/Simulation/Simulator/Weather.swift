// What goes wrong, when, and how it ends.

/// The faults of a run.
struct Weather {
  let plan: [PlannedFault]
  /// By fault, the event at which it begins; nil as long as its occasion has not come.
  private var due: [Int?]
  private var occasionsLeft: [Int]
  private var nextDue = Int.max
  private let isKept: Bool
  private var hasBegun = false
  /// Since then nothing fails any more.
  var healedAt: UInt64?
  var patientUntil: UInt64?
  /// Faults that have begun and not ended.
  var active: [Int] = []

  init(_ scenario: Scenario) {
    plan = scenario.faults
    isKept = scenario.isKept
    due = plan.map { _ in nil }
    occasionsLeft = plan.map(\.occasionsBefore)
    if !isKept { begin(0) }
  }

  /// From this event on things go wrong: a mirror with a name is made in peace.
  mutating func begin(_ eventCount: Int) {
    guard !hasBegun else { return }
    hasBegun = true
    for index in plan.indices where plan[index].occasion == nil {
      set(index, eventCount + plan[index].atEvent)
    }
  }

  mutating func handle(_ occasion: PlannedFault.Occasion, _ eventCount: Int) {
    guard hasBegun else { return }
    for index in plan.indices where plan[index].occasion == occasion && due[index] == nil {
      occasionsLeft[index] -= 1
      if occasionsLeft[index] < 0 { set(index, eventCount + plan[index].atEvent) }
    }
  }

  private mutating func set(_ index: Int, _ event: Int) {
    due[index] = event
    nextDue = min(nextDue, event)
  }

  mutating func takeDue(_ eventCount: Int) -> Int? {
    guard eventCount >= nextDue else { return nil }
    guard healedAt == nil else {
      nextDue = .max
      return nil
    }
    let found = due.indices.first { due[$0].map { $0 <= eventCount } ?? false }
    // It has begun, for good.
    if let found { due[found] = .max }
    nextDue = due.compactMap { $0 }.min() ?? .max
    return found
  }
}

extension World {
  func happens(_ occasion: PlannedFault.Occasion) { weather.handle(occasion, eventCount) }

  func beginFaults() {
    while let index = weather.takeDue(eventCount) {
      let fault = weather.plan[index]
      counters.faults += 1
      note(
        -1, "fault % at target % (initiator %)", fault.kind.rawValue, fault.target,
        fault.initiator)
      begin(fault)
      weather.active.append(index)
      enter(.faultEnds, node: -1, at: now + fault.nanoseconds, first: index)
    }
  }

  private func begin(_ fault: PlannedFault) {
    let (initiator, target) = (fault.initiator, fault.target)
    switch fault.kind {
    case .killTarget, .stopTarget: targets[target].stop(losesPower: false)
    case .powerLoss: targets[target].stop(losesPower: true)
    case .killInitiator: initiators[initiator].stop()
    case .reset: resetChannels(initiator, target)
    case .partition:
      cut(initiator, target, out: true)
      cut(initiator, target, out: false)
    case .partitionOneWay: cut(initiator, target, out: fault.isFirst)
    case .pauseTarget: targets[target].pausedUntil = now + fault.nanoseconds
    case .pauseInitiator:
      initiators[initiator].pausedUntil = now + fault.nanoseconds
      holdUpSharing(of: initiator)
    case .resetSharing: resetSharing(initiator, fault.other(of: initiators.count))
    case .partitionSharing: cutSharing(initiator, fault.other(of: initiators.count))
    case .slowDisk: targets[target].behaviour.nanoseconds = fault.nanoseconds / 20
    case .slowLink: network.links[target].delayNanoseconds += fault.nanoseconds / 100
    case .lossy: network.links[target].groupLoss = fault.isFirst ? 1 : 0.5
    case .diskErrors: targets[target].behaviour.errorRate = 0.3
    case .diskFull: targets[target].behaviour.isFull = true
    case .journalErrors: targets[target].journalBehaviour.errorRate = 0.2
    case .journalFull: targets[target].journalBehaviour.isFull = true
    case .slowJournal: targets[target].journalBehaviour.nanoseconds = fault.nanoseconds / 50
    case .loseAllPower: for target in targets { target.stop(losesPower: true) }
    case .killAll:
      for initiator in initiators { initiator.stop() }
      for target in targets { target.stop(losesPower: fault.isFirst && random.chance(0.5)) }
    case .blockedOutlet: initiators[initiator].blockedUntil = now + fault.nanoseconds / 100
    }
  }

  func endFault(_ index: Int) {
    guard let active = weather.active.firstIndex(of: index) else { return }
    weather.active.remove(at: active)
    let fault = weather.plan[index]
    let (initiator, target) = (fault.initiator, fault.target)
    note(-1, "fault % at target % ends", fault.kind.rawValue, target)
    switch fault.kind {
    case .killTarget, .stopTarget, .powerLoss: targets[target].start()
    case .killInitiator: initiators[initiator].start()
    case .loseAllPower: for target in targets { target.start() }
    case .killAll:
      for target in targets { target.start() }
      for initiator in initiators where initiator.phase == .down { initiator.start() }
    case .journalErrors, .journalFull, .slowJournal:
      targets[target].journalBehaviour = scenario.journals[target]
    case .partition:
      mend(initiator, target, out: true)
      mend(initiator, target, out: false)
    case .partitionOneWay: mend(initiator, target, out: fault.isFirst)
    case .slowDisk, .diskErrors, .diskFull: targets[target].behaviour = scenario.disks[target]
    case .slowLink, .lossy: network.links[target] = scenario.links[target]
    case .partitionSharing: mendSharing(initiator, fault.other(of: initiators.count))
    case .reset, .pauseTarget, .pauseInitiator, .blockedOutlet, .resetSharing: break
    }
  }

  /// From now on nothing fails any more.
  func heal() {
    note(-1, "all is well from now on")
    weather.healedAt = now
    for index in weather.active { endFault(index) }
    for target in targets.indices {
      var link = scenario.links[target]
      (link.groupLoss, link.ownLoss, link.burst) = (0, 0, 0)
      (link.corrupt, link.duplicate, link.reorder) = (0, 0, 0)
      network.links[target] = link
      targets[target].behaviour.errorRate = 0
      targets[target].journalBehaviour = scenario.journals[target]
      // A journal that has failed is made good by who starts the target anew.
      if targets[target].keeping?.unit.isFailed == true { targets[target].stop(losesPower: false) }
      targets[target].pausedUntil = nil
      targets[target].start()
    }
    for initiator in initiators {
      initiator.pausedUntil = nil
      if initiator.phase == .down { initiator.start() }
    }
  }

  // MARK: Ways

  private func cut(_ initiator: Int, _ target: Int, out: Bool) {
    network.cut(initiator, target, out: out, by: 1)
    for index in network.channels.indices {
      let channel = network.channels[index]
      guard channel.initiator == initiator, channel.target == target else { continue }
      if channel.isOpenAtInitiator {
        giveUp(index, atInitiator: true, after: random.octaves(1_000_000...800_000_000))
      }
      if channel.isOpenAtTarget {
        giveUp(index, atInitiator: false, after: random.octaves(1_000_000...800_000_000))
      }
    }
  }

  private func mend(_ initiator: Int, _ target: Int, out: Bool) {
    network.cut(initiator, target, out: out, by: -1)
    deliverStalled(initiator, target)
  }

  private func resetChannels(_ initiator: Int, _ target: Int) {
    for index in network.channels.indices {
      let channel = network.channels[index]
      guard channel.initiator == initiator, channel.target == target,
        channel.isOpenAtInitiator || channel.isOpenAtTarget
      else { continue }
      lose(index, atInitiator: true, after: random.below(2_000_000))
      lose(index, atInitiator: false, after: random.below(2_000_000))
    }
  }

  /// A process is gone: the other end sees it by a reset, or in its own time.
  func dropChannel(_ index: Int, atInitiator: Bool, isSilent: Bool = false) {
    let other =
      atInitiator
      ? network.channels[index].isOpenAtTarget : network.channels[index].isOpenAtInitiator
    if atInitiator {
      network.channels[index].isOpenAtInitiator = false
    } else {
      network.channels[index].isOpenAtTarget = false
    }
    guard other else { return }
    lose(
      index, atInitiator: !atInitiator,
      after: random.octaves(isSilent ? 1_000_000...800_000_000 : 10_000...1_000_000),
      travels: !isSilent)
  }

  func dropChannels(ofTarget target: Int, isSilent: Bool) {
    for index in network.channels.indices where network.channels[index].target == target {
      dropChannel(index, atInitiator: false, isSilent: isSilent)
    }
  }
}

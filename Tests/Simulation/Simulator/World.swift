// One run: nodes, what is between them and what is to happen, from one seed.
//
// The machines that ship are driven as the shells drive them: what has come, then time, then what
// they have to send and to tell. Nothing here decides for them. What must hold is asked of the
// oracle at each step; the first violation ends the run.
import Bytes
import Replication

/// What is left in memory between runs, so that it need not be had anew.
package final class Workplace {
  let pool = DatagramPool()
  let payloads = PayloadPlaces()

  package init() {}
}

/// A simulated world.
final class World {
  /// Nodes: initiators first, targets from here on.
  static let targetsAt = 8
  static let eventsMax = 400_000
  /// How long a run may take to come to rest once nothing fails any more.
  static let healingNanoseconds: UInt64 = 60_000_000_000

  let scenario: Scenario
  let workplace: Workplace
  let plant: PlantedFault?
  var random: SeededRandom
  /// Of ordinary writers: worlds are the same without them, as long as they are refused.
  var plainRandom: SeededRandom
  var now: UInt64 = 1_000_000
  var agenda = Agenda()
  var trace = Trace()
  private(set) var eventCount = 0
  var network: Network
  var sharing = SharingNetwork()
  var targets: [Target] = []
  var initiators: [Initiator] = []
  let oracle: Oracle
  var workload: Workload
  var weather: Weather
  private(set) var violation: String?
  var counters = RunCounters()
  /// The leg that is not one from the beginning, once it was added.
  var isLateAdded = false
  var steering: Steering
  /// What a comparison read, where copies are planted to be of that.
  var plantedReads: [UInt64: (offset: UInt64, stamps: [Stamp])] = [:]
  /// Reads of sessions that have nothing to do with the mirror.
  var plainReads: [Int: (sectors: Range<Int>, floor: [Stamp])] = [:]

  init(_ scenario: Scenario, plant: PlantedFault?, in workplace: Workplace) {
    self.scenario = scenario
    self.plant = plant
    self.workplace = workplace
    workplace.pool.reset()
    random = SeededRandom(scenario.seed)
    plainRandom = SeededRandom(SeededRandom.mix(scenario.seed ^ 0x706c_6169_6e))
    network = Network(scenario)
    oracle = Oracle(scenario)
    workload = Workload(scenario)
    weather = Weather(scenario)
    steering = Steering(scenario)
    for index in 0..<scenario.targetCount { targets.append(Target(index, in: self)) }
    if scenario.isKept, !scenario.areEqual { soil() }
    for index in 0..<scenario.initiatorCount { initiators.append(Initiator(index, in: self)) }
  }

  /// The legs of a new mirror have had other lives.
  private func soil() {
    for target in targets {
      let stamp = oracle.begin(
        WrittenRecord(
          sectors: 0..<scenario.sectorCount, initiator: -1, isForced: false, submittedAt: 0))
      oracle.end(stamp, .unknown)
      for region in 0..<scenario.layout.regionCount where random.chance(0.2) {
        let first = region * scenario.regionSectors
        for sector in first..<min(first + scenario.regionSectors, scenario.sectorCount)
        where random.chance(0.3) { target.disk.put(stamp, at: sector) }
      }
      target.disk.makeDurable(0..<scenario.sectorCount)
    }
    oracle.prehistory = oracle.lastStamp
  }

  // MARK: Run

  func run() {
    initiators[0].start()
    for initiator in initiators.dropFirst() {
      wake(
        initiator.index,
        at: now + random.octaves(1_000_000...(scenario.isShared ? 20_000_000 : 400_000_000)),
        initiator.incarnation)
    }
    enter(.call, node: -1, at: now + 1_000_000)
    while violation == nil, !workload.isOver, let event = agenda.pop() {
      now = max(now, event.time)
      eventCount += 1
      beginFaults()
      handle(event)
      guard eventCount < Self.eventsMax else { return violate("the run never comes to rest") }
      if let healed = weather.healedAt, now > healed + Self.healingNanoseconds {
        return violate("the mirror did not come to rest after all was well again")
      }
    }
    guard violation == nil else { return }
    guard workload.isOver else { return violate("nothing is to happen, but not all is done") }
    oracle.checkEnd(self)
  }

  func violate(_ words: String) {
    if violation == nil { violation = words }
  }

  // MARK: Events

  func enter(
    _ kind: Event.Kind, node: Int, at time: UInt64, first: Int = 0, second: Int = 0,
    incarnation: UInt32 = 0
  ) {
    agenda.enter(
      Event(
        time: time, kind: kind, node: Int32(node), first: Int32(first), second: Int32(second),
        incarnation: incarnation))
  }

  func wake(_ node: Int, at time: UInt64, _ incarnation: UInt32) {
    enter(.wake, node: node, at: time, incarnation: incarnation)
  }

  private func handle(_ event: Event) {
    let node = Int(event.node)
    if node >= 0, let until = pausedUntil(node), until > now {
      // Held up: what comes waits in its order.
      var later = event
      later.time = until
      return agenda.enter(later)
    }
    switch event.kind {
    case .datagram: arrive(datagram: Int(event.first), at: targets[node - Self.targetsAt])
    case .toTarget: deliverToTarget(event)
    case .toInitiator: deliverToInitiator(event)
    case .lost: noteLost(event)
    case .connected: noteConnected(event)
    case .stored:
      let target = targets[node - Self.targetsAt]
      if target.incarnation == event.incarnation { target.finish(Int(event.first)) }
    case .journaled:
      let target = targets[node - Self.targetsAt]
      if target.incarnation == event.incarnation { target.finishJournal(Int(event.first)) }
    case .wake:
      if node < Self.targetsAt {
        if initiators[node].incarnation == event.incarnation { initiators[node].handleWake() }
      } else {
        let target = targets[node - Self.targetsAt]
        if target.incarnation == event.incarnation { target.handleWake() }
      }
    case .call: makeCall()
    case .faultEnds: endFault(Int(event.first))
    case .restart: restart(node)
    case .said: deliverSaid(event)
    case .unsaid: noteUnsaid(event)
    }
  }

  private func pausedUntil(_ node: Int) -> UInt64? {
    node < Self.targetsAt
      ? initiators[node].pausedUntil : targets[node - Self.targetsAt].pausedUntil
  }

  private func restart(_ node: Int) {
    if node < Self.targetsAt {
      initiators[node].start()
    } else {
      targets[node - Self.targetsAt].start()
    }
  }

  // MARK: Legs

  var isSound: Bool { violation == nil }

  /// The target that becomes a leg later.
  var lateTarget: Int? { scenario.addsLateAt == nil ? nil : scenario.targetCount - 1 }

  /// The targets that are legs of the mirror by now.
  var legTargets: [Int] {
    targets.indices.filter { (isLateAdded || $0 != lateTarget) && !isForgotten($0) }
  }

  var keptTargetCount: Int { legTargets.count }

  func target(labelled label: String) -> Int { Int(label.dropFirst()) ?? 0 }

  /// Whether the writes of an initiator that has the mirror open reach a target.
  func isJoined(_ target: Int) -> Bool {
    initiators.contains { initiator in
      // A guest may be cut off from those that know better.
      guard !scenario.isShared || initiator.keeping?.isLeader == true else { return false }
      guard let active = initiator.sender?.value.activeLegs else { return false }
      return initiator.targetOf.indices.contains {
        initiator.targetOf[$0] == target && active.contains(LegSet($0))
      }
    }
  }

  /// Whether an initiator of a shared mirror has lost a target, as all others will: what it writes
  /// there goes on without being waited for.
  func hasLeft(_ target: Int, initiatorOf registration: Registration) -> Bool {
    scenario.isShared
      && initiators.contains { initiator in
        guard initiator.keeping?.holder == registration.holder,
          let active = initiator.sender?.value.activeLegs
        else { return false }
        return !initiator.targetOf.indices.contains {
          initiator.targetOf[$0] == target && active.contains(LegSet($0))
        }
      }
  }

  /// Whether what a target does is what its mirror knows of.
  func isFollowed(_ target: Int) -> Bool {
    scenario.isKept ? isJoined(target) : oracle.isTrusted[target]
  }

  /// What is copied in the place of what was read under the hold, where that is planted.
  func planted(_ stamps: [Stamp], for copy: Copy) -> [Stamp] {
    guard plants(.unheldCopy), let early = plantedReads[copy.token] else { return stamps }
    let start = Int(copy.bytes.lowerBound - early.offset) / Sector.byteCount
    return Array(early.stamps[start..<start + stamps.count])
  }

  // MARK: Trace

  func note(_ node: Int, _ what: StaticString, _ a: Int = 0, _ b: Int = 0, _ c: Int = 0) {
    trace.note(
      Trace.Entry(
        time: now, event: UInt32(eventCount), what: what, node: node, numbers: (a, b, c)))
  }
}

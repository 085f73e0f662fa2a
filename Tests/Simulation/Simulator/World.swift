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
  var now: UInt64 = 1_000_000
  var agenda = Agenda()
  var trace = Trace()
  private(set) var eventCount = 0
  var network: Network
  var targets: [Target] = []
  var initiators: [Initiator] = []
  var oracle: Oracle
  var workload: Workload
  var weather: Weather
  private(set) var violation: String?
  var counters = RunCounters()

  init(_ scenario: Scenario, plant: PlantedFault?, in workplace: Workplace) {
    self.scenario = scenario
    self.plant = plant
    self.workplace = workplace
    workplace.pool.reset()
    random = SeededRandom(scenario.seed)
    network = Network(scenario)
    oracle = Oracle(scenario)
    workload = Workload(scenario)
    weather = Weather(scenario.faults)
    for index in 0..<scenario.targetCount { targets.append(Target(index, in: self)) }
    for index in 0..<scenario.initiatorCount { initiators.append(Initiator(index, in: self)) }
  }

  // MARK: Run

  func run() {
    initiators[0].start()
    for initiator in initiators.dropFirst() {
      wake(
        initiator.index, at: now + random.octaves(1_000_000...400_000_000), initiator.incarnation)
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

  // MARK: Trace

  func note(_ node: Int, _ what: StaticString, _ a: Int = 0, _ b: Int = 0, _ c: Int = 0) {
    trace.note(
      Trace.Entry(
        time: now, event: UInt32(eventCount), what: what, node: node, numbers: (a, b, c)))
  }
}

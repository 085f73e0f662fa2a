// People steer a mirror that is open: legs are detached, attached, forgotten for good, released and
// added anew, at random. By a stream of chance of its own, so that a seed without them is the same
// run that it was before there were any.
import Replication

/// What people do to the mirror in a run.
struct Steering {
  private(set) var random: SeededRandom
  let rate: Double
  /// Targets that were ordered to be forgotten, whatever became of that.
  var forgotten: Set<Int> = []
  /// Targets whose records were taken away, so that they can be added as new ones.
  var released: Set<Int> = []

  init(_ scenario: Scenario) {
    random = SeededRandom(SeededRandom.mix(scenario.seed ^ 0x7374_6565_72))
    rate = scenario.isSteered ? random.pick([0.05, 0.1, 0.3]) : 0
  }

  mutating func isDue() -> Bool { random.chance(rate) }
  mutating func choose(_ bound: Int) -> Int { random.below(bound) }
}

extension World {
  /// Whether a target was forgotten, by the newest generation that any leg has stored.
  func isForgotten(_ target: Int) -> Bool {
    guard steering.forgotten.contains(target), let member = targets[target].record?.member else {
      return false
    }
    let newest = newest
    return !newest.isEmpty && newest.allSatisfy { $0.member(member) == nil }
  }

  func steer(_ initiator: Initiator) {
    guard steering.isDue(), let keeping = initiator.keeping else { return }
    let leg = steering.choose(keeping.seats.count)
    do throws(OrderFault) {
      try keeping.steer(leg, choice: steering.choose(4))
    } catch {
      note(initiator.index, "an order about leg % is refused", leg)
    }
    initiator.turn()
  }

  /// Who was detached is a leg again in the end.
  func attachAll() {
    for initiator in initiators {
      guard let keeping = initiator.keeping else { continue }
      for leg in keeping.seats.indices
      where keeping.machine.leader?.isDetached(leg) == true {
        try? keeping.coordinator.attach(leg: leg, now: now)
      }
      initiator.turn()
    }
  }
}

extension Keeping {
  /// All legs are in sync.
  var isWhole: Bool {
    seats.indices.allSatisfy {
      (machine.leader?.isForgotten($0) ?? false) || machine.state(ofLeg: $0) == .inSync
    }
  }

  /// The targets of the legs.
  var targets: [Int] {
    seats.indices.filter { machine.leader?.isForgotten($0) != true }.map { seats[$0].target }
  }

  fileprivate func steer(_ leg: Int, choice: Int) throws(OrderFault) {
    let target = seats[leg].target
    let isAbsent = coordinator.state(ofLeg: leg) == .absent
    if coordinator.isForgotten(leg) {
      renew(target)
    } else if isAbsent, choice == 0 {
      try coordinator.forget(label: "T\(target)", now: world.now)
      world.note(initiator.index, "is to forget target %", target)
      world.steering.forgotten.insert(target)
      world.steering.released.remove(target)
      world.happens(.legLeft)
    } else if isAbsent, choice < 3 {
      try coordinator.attach(leg: leg, now: world.now)
      world.note(initiator.index, "is to attach leg %", leg)
    } else {
      let isJoined = coordinator.joinedLegs.contains(LegSet(leg))
      try coordinator.detach(leg: leg, now: world.now)
      world.note(initiator.index, "is to detach leg %", leg)
      if isJoined { awaited.insert(LegSet(leg)) }
      world.happens(.legLeft)
    }
  }

  /// A forgotten leg's record is taken away, and it is added as a new one.
  private func renew(_ target: Int) {
    let place = world.targets[target]
    guard world.isForgotten(target), place.isUp, place.keeping?.tenancy.channel == nil else {
      return
    }
    world.note(initiator.index, "target % is released and added", target)
    place.stop(losesPower: false)
    place.journal = JournalDisk()
    place.load()
    place.disk.makeDurable(0..<world.scenario.sectorCount)
    world.steering.forgotten.remove(target)
    world.steering.released.insert(target)
    place.start()
    _ = add(target)
  }
}

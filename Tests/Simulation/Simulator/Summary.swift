// How all stands when a run has failed, for people.
import Replication

extension World {
  /// One line for each node.
  var summary: [String] {
    targets.map(\.summary) + initiators.map(\.summary)
  }
}

extension Target {
  fileprivate var summary: String {
    var words = "T\(index): \(isUp ? "up" : "down")"
    if let pausedUntil { words += ", paused until \(pausedUntil / 1000) us" }
    words += ", \(disk.runningCount) operations"
    for registration in registrations {
      words += ", registration of channel \(registration.channel)"
      if registration.isEnding { words += " ending" }
      if !registration.receiver.isQuiescent { words += " busy" }
    }
    guard let keeping else { return words }
    let unit = keeping.unit
    words += ", \(unit.marks.count) marks, service \(unit.service)"
    if unit.isFailed { words += ", failed" }
    if let channel = keeping.tenancy.channel {
      words += ", claimed by channel \(channel)\(keeping.tenancy.isEnding ? ", ending" : "")"
    }
    words +=
      ", \(keeping.admissions.count) stores and \(keeping.tenancy.deferred.count) claims wait"
    if !journal.running.isEmpty { words += ", journal at work" }
    guard let record = unit.record else { return words + ", no record" }
    let states = record.generation.members.map { $0.state.word }.joined(separator: " ")
    return words + ", generation \(record.generation.counter): \(states)"
  }
}

extension Initiator {
  fileprivate var summary: String {
    var words = "I\(index): \(phase)"
    if let sender {
      words += ", \(sender.value.openWrites) open, active \(sender.value.activeLegs.rawValue)"
      words += ", unconfirmed \(sender.value.unconfirmedLegs.rawValue)"
      if sender.value.isFrozen { words += ", frozen" }
    }
    words += ", \(waiting.count) wait"
    if world.scenario.isShared {
      words += ", \(sharing.pending.count) pending\(sharing.isRetired ? ", retired" : "")"
    }
    guard let keeping else { return words }
    words += ", \(keeping.isLeader ? "leads" : "follows"), \(keeping.machine.phase)"
    for (leg, seat) in keeping.seats.enumerated() {
      words += "; leg \(leg) \(keeping.machine.state(ofLeg: leg).word)"
      if let link = seat.link { words += " link \(link)\(seat.isLinked ? "" : " unlinked")" }
      if let place = seat.place { words += " place \(place)" }
      if seat.isJoining { words += " joining" }
      if let left = keeping.machine.leader?.remaining(ofLeg: leg) { words += " lacks \(left)" }
    }
    if let join = keeping.join { words += "; join of \(join.leg) at \(join.stage)" }
    words += "; \(keeping.joinsWaiting.count) joins wait, \(keeping.settling.count) settle"
    words += ", \(keeping.holds.count) holds, \(keeping.comparisons.count) comparisons"
    words += ", awaited \(keeping.awaited.rawValue), \(flushCalls.count) flushes"
    words += ", \(keeping.copies.count) copies"
    if let desk = keeping.desk {
      words += "; \(desk.waitingCount) wait at the gate"
      if let hall = desk.hall { words += ", \(hall.isEmpty ? "no guests" : hall.words)" }
    }
    return words
  }
}

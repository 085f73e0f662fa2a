// Whether anything that the machines hold has outgrown its limit, or was left to them by their
// shells: asked after each turn of every eighth event, since what is beyond its limit stays so, and
// a look at a machine copies its outside.
import Replication

extension World {
  /// Whether it is time for that.
  var looksForGrowth: Bool { eventCount & 7 == 0 }
}

extension Target {
  func checkGrowth() {
    guard world.looksForGrowth else { return }
    var overgrown: StaticString?
    for registration in registrations {
      overgrown = overgrown ?? registration.receiver.overgrown
      if registration.receiver.isUntold { overgrown = "what a receiver has said" }
    }
    if let keeping {
      overgrown = overgrown ?? keeping.unit.overgrown
      if keeping.unit.isUntold { overgrown = "what a kept unit has said" }
    }
    if let overgrown { world.violate("\(overgrown) are more than may be at target \(index)") }
  }
}

extension Initiator {
  func checkGrowth() {
    guard world.looksForGrowth, world.isSound else { return }
    var overgrown: StaticString?
    if let sender {
      overgrown = sender.value.overgrown
      if sender.value.isUntold { overgrown = "what a sender has said" }
    }
    if let keeping {
      overgrown = overgrown ?? keeping.machine.overgrown
      if keeping.machine.isUntold { overgrown = "what the keeping has said" }
      if keeping.copies.count > world.scenario.copiesMax { overgrown = "copies" }
      overgrown = overgrown ?? keeping.desk?.gate.overgrown ?? keeping.desk?.hall?.overgrown
    }
    if let overgrown { world.violate("\(overgrown) are more than may be at initiator \(index)") }
  }
}

@testable import Replication

/// Three legs, and what is said of each when their mirror is opened.
struct OpeningLegs {
  var records: [MirrorRecord?]
  var marked = [0, 0, 0]
  var isIntact = [true, true, true]
  var wish = OpeningWish(name: "m", labels: ["a", "b", "c"])

  init(_ states: [MemberState] = [.inSync, .inSync, .inSync], required: Int = 2) {
    let members = zip(1..., states).map {
      MirrorMember(id: UInt64($0), label: "abc".map(String.init)[$0 - 1], state: $1)
    }
    var generation = MirrorGeneration(
      counter: 7, id: 70, members: members, requiredCount: required, madeAt: 1000)
    generation.ancestors = [60, 50]
    records = (1...3).map {
      MirrorRecord(mirror: 99, name: "m", member: UInt64($0), generation: generation)
    }
  }

  /// A leg stores what comes after the newest that it has.
  mutating func advance(_ leg: Int, id: UInt64, _ states: [MemberState]) {
    guard var record = records[leg] else { return }
    record.generation = record.generation.next(id: id, madeAt: 2000)
    for (index, state) in states.enumerated() { record.generation.members[index].state = state }
    records[leg] = record
  }

  func open(_ legs: [Int] = [0, 1, 2]) throws(OpeningRefusal) -> OpeningPlan {
    let reached = legs.map {
      ReachedLeg(
        leg: $0,
        descriptor: LegDescriptor(
          record: records[$0], layout: RegionLayout(byteCount: 1 << 30), markedCount: marked[$0],
          isIntact: isIntact[$0]))
    }
    var identities = Identities(seed: 1)
    return try Opening.plan(wish, reached: reached, wallSeconds: 3000) { identities.next() }
  }

  func states(_ legs: [Int] = [0, 1, 2]) throws(OpeningRefusal) -> [MemberState] {
    let plan = try open(legs)
    return plan.record.generation.members.map(\.state)
  }

  func refusal(_ legs: [Int] = [0, 1, 2]) -> OpeningRefusal.Kind? {
    do throws(OpeningRefusal) {
      _ = try open(legs)
      return nil
    } catch {
      return error.kind
    }
  }
}

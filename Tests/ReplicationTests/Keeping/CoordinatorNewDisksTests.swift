import Testing

@testable import Replication

/// Members whose disks know nothing of the mirror any more, and what people are told of legs.
@Suite struct CoordinatorNewDisksTests {
  private func told(_ mirror: VirtualKeeping, _ leg: Int) -> [MemberState] {
    mirror.events.compactMap { event in
      guard case .leg(leg, let state, _, _) = event else { return nil }
      return state
    }
  }

  private func notTaken(_ mirror: VirtualKeeping, _ leg: Int) -> String? {
    for case .notTaken(leg, let reason) in mirror.events.reversed() { return reason }
    return nil
  }

  @Test func `an opening goes on without a member whose disk is a new one`() throws {
    let mirror = try VirtualKeeping.opened()
    for region in 0..<16 { mirror.write(region, UInt8(region + 1)) }
    mirror.legs[2] = try VirtualKeeping.Leg(mirror.layout)
    mirror.restartInitiator(holder: 2)
    mirror.open()
    #expect(mirror.states == [.inSync, .inSync, .absent])
    #expect(notTaken(mirror, 2)?.contains("has to be added") == true)
    mirror.write(3, 99)
    mirror.pass(60_000_000_000)
    #expect(mirror.legs[2].data.allSatisfy { $0 == 0 })
    #expect(mirror.addAnew(2))
    mirror.pass(2_000_000_000)
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[2].data == mirror.legs[0].data)
  }

  @Test func `a new disk counts as one that is not there`() throws {
    let mirror = try VirtualKeeping.opened(required: .all)
    mirror.legs[2] = try VirtualKeeping.Leg(mirror.layout)
    mirror.restartInitiator(holder: 2)
    mirror.open()
    let kinds = mirror.events.compactMap { event in
      if case .refused(let refusal) = event { refusal.kind } else { nil }
    }
    #expect(kinds == [.tooFew])
  }

  @Test func `a member gets a new disk while the mirror is open`() throws {
    let mirror = try VirtualKeeping.opened()
    for region in 0..<16 { mirror.write(region, UInt8(region + 1)) }
    #expect(!mirror.addAnew(1))
    mirror.kill(1)
    mirror.legs[1] = try VirtualKeeping.Leg(mirror.layout)
    mirror.pass(60_000_000_000)
    #expect(mirror.states[1] == .absent)
    #expect(notTaken(mirror, 1)?.contains("has to be added") == true)
    #expect(mirror.addAnew(1))
    mirror.pass(2_000_000_000)
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
  }

  @Test func `the legs of a new mirror are told once each`() throws {
    let mirror = try VirtualKeeping()
    mirror.open()
    mirror.pass(2_000_000_000)
    #expect(told(mirror, 0) == [])
    #expect(told(mirror, 1) == [.unequal, .inSync])
    #expect(told(mirror, 2) == [.unequal, .inSync])
  }

  @Test func `a leg that is back before its loss is stored was absent all the same`() throws {
    let mirror = try VirtualKeeping.opened()
    mirror.events = []
    var isBack = false
    mirror.willDo = { order in
      guard case .ask(_, _, .adopt) = order, !isBack else { return true }
      isBack = true
      #expect(mirror.attach(1) == "")
      return true
    }
    mirror.coordinator.handleLost(leg: 1, words: "reset", now: mirror.now)
    mirror.run()
    mirror.pass(2_000_000_000)
    #expect(isBack)
    #expect(told(mirror, 1) == [.absent, .stale, .inSync])
  }
}

extension VirtualKeeping {
  fileprivate func addAnew(_ leg: Int) -> Bool {
    let isTaken = coordinator.addAnew(leg: leg, label: "leg\(leg)", now: now)
    run()
    return isTaken
  }
}

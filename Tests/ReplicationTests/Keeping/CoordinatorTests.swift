import Testing

@testable import Replication

/// Membership, losses, returns and copies, as the initiator of a kept mirror decides them.
@Suite struct CoordinatorTests {
  private func states(_ mirror: VirtualKeeping) -> [MemberState] {
    mirror.legs.indices.map { mirror.coordinator.state(ofLeg: $0) }
  }

  /// All stored states, as the legs' own records have them.
  private func stored(_ mirror: VirtualKeeping) -> [MemberState?] {
    mirror.legs.map { $0.unit.record?.state }
  }

  private func isTold(_ mirror: VirtualKeeping, _ leg: Int, _ state: MemberState) -> Bool {
    mirror.events.contains {
      if case .leg(leg, state, _, _) = $0 { true } else { false }
    }
  }

  @Test func `a new mirror compares its legs, copies what differs, and they are in sync`() throws {
    let mirror = try VirtualKeeping()
    mirror.legs[0].data = (0..<16).map { UInt8($0) }
    mirror.legs[2].data = (0..<16).map { UInt8($0) }
    mirror.open()
    #expect(mirror.coordinator.phase == .running)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(stored(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(mirror.holds.isEmpty)
    #expect(mirror.legs.allSatisfy { $0.unit.service == .readable })
  }

  @Test func `a lost leg is confirmed only when the others have stored that it is`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    var adopted: LegSet = []
    mirror.willDo = { order in
      if case .ask(let leg, _, .adopt) = order { adopted.insert(LegSet(leg)) }
      if case .confirm = order { #expect(adopted == LegSet([0, 1])) }
      return true
    }
    mirror.kill(2)
    #expect(mirror.confirmed == LegSet(2))
    #expect(states(mirror) == [.inSync, .inSync, .absent])
    #expect(isTold(mirror, 2, .absent))
  }

  @Test func `what an absent leg misses is copied when it is back, and nothing else`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.write(3, 30)
    mirror.kill(2)
    mirror.write(4, 40)
    mirror.write(9, 90)
    try mirror.restartLeg(2)
    // It would tell of itself that it is in sync.
    #expect(stored(mirror)[2] == .inSync)
    #expect(mirror.legs[2].unit.service == .mustBeOpened)
    var copied: [Int] = []
    mirror.willDo = { order in
      if case .copy(_, 0, LegSet(2), let bytes) = order {
        copied.append(mirror.layout.regions(of: bytes).lowerBound)
      }
      return true
    }
    mirror.pass(2_000_000_000)
    #expect(Set(copied) == [4, 9])
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[2].data == mirror.legs[0].data)
    #expect(mirror.legs[2].unit.service == .readable)
  }

  @Test func `a leg that has missed nothing is in sync, though nothing else happens`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(2)
    try mirror.restartLeg(2)
    // Once, for its return: later looks would hide that it was forgotten.
    mirror.pass(600_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(stored(mirror) == [.inSync, .inSync, .inSync])
    #expect(isTold(mirror, 2, .inSync))
  }

  @Test func `a leg that is being copied to serves no reads, and gets new writes`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(1)
    for region in 0..<16 { mirror.write(region, 7) }
    try mirror.restartLeg(1)
    var isCompared = false
    mirror.willDo = { order in
      guard case .compare = order, !isCompared else { return true }
      isCompared = true
      #expect(mirror.legs[1].unit.service == .beingCopied)
      mirror.write(15, 8)
      #expect(mirror.legs[1].data[15] == 8)
      return true
    }
    mirror.pass(2_000_000_000)
    #expect(isCompared)
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(states(mirror)[1] == .inSync)
  }

  @Test func `after the initiator's end all that was open is made equal`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.write(5, 50, only: LegSet(1), isEnded: false)
    mirror.restartInitiator(holder: 2)
    #expect(mirror.legs.allSatisfy { $0.unit.service == .mustBeOpened })
    mirror.open()
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(mirror.legs[2].data == mirror.legs[0].data)
  }

  @Test func `a source that dies while others are made equal to it leaves them equal`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.write(5, 50, only: LegSet(0), isEnded: false)
    mirror.restartInitiator(holder: 2)
    // The first leg that is made equal gets it; then the source dies.
    var isKilled = false
    mirror.willDo = { order in
      guard case .ask(2, _, .marks) = order, !isKilled else { return true }
      guard mirror.legs[1].data[5] == 50 else { return true }
      isKilled = true
      return true
    }
    mirror.coordinator.open(now: mirror.now)
    mirror.run()
    mirror.kill(0)
    mirror.pass(1_000_000)
    #expect(mirror.legs[1].data == mirror.legs[2].data)
    #expect(states(mirror) == [.absent, .inSync, .inSync])
  }

  @Test func `with too few legs writes wait, then the mirror stops`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(1)
    mirror.kill(2)
    #expect(mirror.confirmed == LegSet([1, 2]))
    #expect(mirror.events.contains { if case .suspended = $0 { true } else { false } })
    mirror.pass(29_000_000_000)
    #expect(mirror.coordinator.phase == .running)
    mirror.pass(2_000_000_000)
    #expect(mirror.coordinator.phase == .ended)
    #expect(mirror.events.contains { if case .stopped = $0 { true } else { false } })
  }

  @Test func `a mirror of which too few legs have everything takes writes once more have it`()
    throws
  {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(1)
    mirror.kill(2)
    mirror.write(3, 30)
    mirror.restartInitiator(holder: 2)
    try mirror.restartLeg(1)
    try mirror.restartLeg(2)
    var isSuspended = false
    mirror.willDo = { order in
      switch order {
      case .suspend: isSuspended = true
      case .tell(.opened): #expect(isSuspended)
      case .endSuspension:
        isSuspended = false
        #expect(
          mirror.legs[1].data == mirror.legs[0].data || mirror.legs[2].data == mirror.legs[0].data)
      default: break
      }
      return true
    }
    mirror.open()
    #expect(!isSuspended)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
  }

  @Test func `who comes back in time lets writes go on`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(1)
    mirror.kill(2)
    try mirror.restartLeg(2)
    mirror.pass(20_000_000_000)
    #expect(mirror.confirmed == LegSet([1, 2]))
    #expect(states(mirror) == [.inSync, .absent, .inSync])
    #expect(mirror.events.contains(.resumed))
  }

  @Test func `the last leg's end is the mirror's`() throws {
    let mirror = try VirtualKeeping(2) { $0.areEqual = true }
    mirror.open()
    mirror.kill(0)
    #expect(mirror.confirmed == LegSet(0))
    mirror.kill(1)
    #expect(mirror.coordinator.phase == .ended)
  }

  @Test func `a mirror that was ended in order is opened without a comparison`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(2)
    mirror.write(1, 10)
    mirror.coordinator.close(now: mirror.now)
    mirror.run()
    #expect(mirror.events.contains(.closed(failures: [:])))
    #expect(mirror.legs[0].unit.service == .readable)
    mirror.restartInitiator(holder: 2)
    var compared = 0
    mirror.willDo = {
      if case .compare = $0 { compared += 1 }
      return true
    }
    mirror.open()
    #expect(states(mirror) == [.inSync, .inSync, .absent])
    #expect(compared == 0)
  }

  @Test func `another initiator is kept out while one is there`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    var other = Coordinator(
      CoordinatorConfiguration(
        wish: OpeningWish(name: "m", labels: ["leg0", "leg1", "leg2"]), holder: 9, seed: 9))
    other.open(now: 0)
    other.orders = []
    other.handleConnected(leg: 0, now: 0)
    guard case .ask(0, let token, let request)? = other.orders.first else {
      Issue.record("it asks for nothing")
      return
    }
    mirror.legs[0].unit.handle(request, session: 1000, token: token, now: 0)
    let answer = mirror.legs[0].unit.answers.removeFirst().answer
    other.handleAnswer(leg: 0, token: token, answer, now: 0)
    #expect(other.phase == .ended)
  }

  @Test func `a range that no leg could write is copied from one to the others`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.legs[1].data[6] = 66
    var isMended = false
    mirror.willDo = {
      if case .mended = $0 { isMended = true }
      return true
    }
    mirror.coordinator.handleSuspect(mirror.layout.bytes(of: 6), now: mirror.now)
    mirror.run()
    #expect(isMended)
    #expect(mirror.legs[1].data == mirror.legs[0].data)
  }

  @Test func `a new leg gets all, while the mirror is in use`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    for region in 0..<16 { mirror.write(region, UInt8(region)) }
    let leg = try VirtualKeeping.Leg(mirror.layout)
    mirror.addLeg(leg)
    #expect(states(mirror) == [.inSync, .inSync, .inSync, .inSync])
    #expect(leg.data == mirror.legs[0].data)
    #expect(leg.unit.record?.generation.members.count == 4)
  }
}

import Testing

@testable import Replication

/// What people order of a mirror that is open.
@Suite struct CoordinatorOrdersTests {
  private func mirror(
    _ count: Int = 3, required: RequiredLegs? = nil
  ) throws -> VirtualKeeping {
    let mirror = try VirtualKeeping(count) {
      $0.areEqual = true
      $0.required = required
    }
    mirror.open()
    return mirror
  }

  private func states(_ mirror: VirtualKeeping) -> [MemberState] {
    mirror.legs.indices.map { mirror.coordinator.state(ofLeg: $0) }
  }

  private func fault(_ body: () throws(OrderFault) -> Void) -> String {
    do throws(OrderFault) {
      try body()
      return ""
    } catch {
      return error.words
    }
  }

  private func detach(_ mirror: VirtualKeeping, _ leg: Int) -> String {
    defer { mirror.run() }
    return fault { () throws(OrderFault) in
      try mirror.coordinator.detach(leg: leg, now: mirror.now)
    }
  }

  private func attach(_ mirror: VirtualKeeping, _ leg: Int) -> String {
    defer { mirror.run() }
    return fault { () throws(OrderFault) in
      try mirror.coordinator.attach(leg: leg, now: mirror.now)
    }
  }

  private func forget(_ mirror: VirtualKeeping, _ label: String) -> String {
    defer { mirror.run() }
    return fault { () throws(OrderFault) in
      try mirror.coordinator.forget(label: label, now: mirror.now)
    }
  }

  private func reason(_ mirror: VirtualKeeping, _ leg: Int) -> String? {
    for case .leg(leg, .absent, _, let reason) in mirror.events.reversed() { return reason }
    return nil
  }

  // MARK: Detach and attach

  @Test func `a detached leg is confirmed, not tried again, and brought back by order`() throws {
    let mirror = try mirror()
    #expect(detach(mirror, 1) == "")
    #expect(mirror.confirmed == LegSet(1))
    #expect(states(mirror) == [.inSync, .absent, .inSync])
    #expect(reason(mirror, 1) == "detached by order")
    #expect(mirror.coordinator.isDetached(1))
    mirror.write(4, 40)
    mirror.pass(60_000_000_000)
    #expect(states(mirror)[1] == .absent)
    #expect(mirror.legs[1].data[4] == 0)
    #expect(attach(mirror, 1) == "")
    mirror.pass(2_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(!mirror.coordinator.isDetached(1))
  }

  @Test func `no detach leaves fewer legs than the mirror needs`() throws {
    let majority = try mirror()
    #expect(detach(majority, 0) == "")
    #expect(detach(majority, 1) == "too few legs that have everything would be left")
    #expect(states(majority) == [.absent, .inSync, .inSync])
    let all = try mirror(2, required: .all)
    #expect(detach(all, 0) == "too few legs that have everything would be left")
    let named = try mirror(3, required: .named(LegSet(2)))
    #expect(detach(named, 2) == "too few legs that have everything would be left")
    #expect(detach(named, 0) == "")
    let one = try mirror(2)
    #expect(detach(one, 0) == "")
    #expect(detach(one, 1) == "too few legs that have everything would be left")
    #expect(!one.coordinator.isSuspended)
  }

  @Test func `a leg that is not here can be detached: it is not tried any more`() throws {
    let mirror = try mirror()
    mirror.kill(2)
    #expect(detach(mirror, 2) == "")
    #expect(reason(mirror, 2) == "detached by order")
    try mirror.restartLeg(2)
    mirror.pass(60_000_000_000)
    #expect(states(mirror)[2] == .absent)
    #expect(attach(mirror, 2) == "")
    #expect(states(mirror)[2] == .inSync)
  }

  @Test func `a mirror that is opened again has its detached leg back`() throws {
    let mirror = try mirror()
    #expect(detach(mirror, 1) == "")
    mirror.write(7, 70)
    mirror.restartInitiator(holder: 2)
    mirror.open()
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
  }

  @Test func `a leg is detached while it is copied to, and goes on afterwards`() throws {
    let mirror = try mirror()
    mirror.kill(1)
    for region in 0..<16 { mirror.write(region, UInt8(region + 1)) }
    try mirror.restartLeg(1)
    var isDone = false
    mirror.willDo = { order in
      guard case .hold = order, !isDone else { return true }
      isDone = true
      #expect(detach(mirror, 1) == "")
      return true
    }
    mirror.pass(2_000_000_000)
    mirror.willDo = { _ in true }
    #expect(isDone)
    #expect(states(mirror)[1] == .absent)
    #expect(mirror.holds.isEmpty)
    #expect(attach(mirror, 1) == "")
    mirror.pass(2_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
  }

  // MARK: Forget

  @Test func `a forgotten member is none, and the mirror is whole without it`() throws {
    let mirror = try mirror()
    mirror.kill(2)
    mirror.write(3, 30)
    #expect(mirror.coordinator.record?.generation.isDegraded == true)
    #expect(forget(mirror, "leg2") == "")
    let generation = try #require(mirror.coordinator.record?.generation)
    #expect(!generation.isDegraded)
    #expect(generation.members.map(\.label) == ["leg0", "leg1"])
    #expect(generation.requiredCount == 2)
    #expect(mirror.legs[0].unit.record?.generation == generation)
    let isTold = mirror.events.contains(
      .forgotten("leg2", generation: generation.counter))
    #expect(isTold)
    // Nobody lacks what was marked: it is taken away in its time.
    for leg in 0..<2 {
      mirror.legs[leg].unit.handleEnded(part: 1, below: .init(9), now: mirror.now)
      for turn in 1...4 {
        mirror.legs[leg].unit.handleTimeout(now: mirror.now + UInt64(turn) * 6_000_000_000)
        mirror.work(leg)
      }
      #expect(mirror.legs[leg].unit.marks.isEmpty)
    }
    try mirror.restartLeg(2)
    mirror.pass(60_000_000_000)
    #expect(!mirror.coordinator.joinedLegs.contains(LegSet(2)))
    #expect(attach(mirror, 2) == "it is no member any more: it has to be added")
    #expect(detach(mirror, 2) == "it is no member any more")
  }

  @Test func `only who is not here is forgotten, and only while enough are`() throws {
    let mirror = try mirror()
    #expect(forget(mirror, "leg1") == "it is in-sync: detach it first")
    #expect(forget(mirror, "leg9") == "the mirror has no such member")
    #expect(detach(mirror, 1) == "")
    #expect(forget(mirror, "leg1") == "")
    #expect(forget(mirror, "leg1") == "the mirror has no such member")
    // Two members are left, and both are still needed.
    mirror.kill(2)
    #expect(mirror.coordinator.isSuspended)
    #expect(forget(mirror, "leg2") == "too few legs are here to go on without it")
  }

  @Test func `no mark is taken away before all have stored that a member is none`() throws {
    let mirror = try mirror(4, required: .count(1))
    mirror.kill(3)
    mirror.kill(1)
    mirror.write(6, 60)
    try mirror.restartLeg(1)
    mirror.pass(2_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync, .absent])
    var stored: Set<UInt64> = []
    mirror.willDo = { order in
      switch order {
      case .ask(let leg, _, .adopt(let record, _)) where record.generation.members.count == 3:
        stored.insert(UInt64(leg))
      case .ask(_, _, .synced): #expect(stored.count == 3)
      case .tell(.forgotten): #expect(stored.count == 3)
      default: break
      }
      return true
    }
    #expect(forget(mirror, "leg3") == "")
    #expect(stored.count == 3)
  }

  @Test func `a forgotten member that returns is a stranger until its record is gone`() throws {
    let mirror = try mirror()
    #expect(detach(mirror, 2) == "")
    mirror.write(5, 50)
    #expect(forget(mirror, "leg2") == "")
    let old = mirror.legs[2]
    // Added as it is, it is refused by name.
    mirror.addLeg(old)
    var reasons: [String] = []
    for case .notTaken(3, let reason) in mirror.events { reasons.append(reason) }
    #expect(
      reasons == ["it was a member once, and is none any more: release it, then add it"])
    // And so is an opening with it.
    mirror.restartInitiator(holder: 2)
    mirror.legs.removeLast()
    mirror.restartInitiator(holder: 3)
    mirror.open()
    guard case .refused(let refusal) = mirror.events.last else {
      Issue.record("it was opened")
      return
    }
    #expect(refusal.kind == .otherMirror)
  }

  @Test func `a forgotten member whose record was taken away is added as a new one`() throws {
    let mirror = try mirror()
    #expect(detach(mirror, 2) == "")
    mirror.write(5, 50)
    #expect(forget(mirror, "leg2") == "")
    let blank = try VirtualKeeping.Leg(mirror.layout)
    mirror.addLeg(blank)
    mirror.pass(2_000_000_000)
    #expect(mirror.coordinator.state(ofLeg: 3) == .inSync)
    #expect(blank.data == mirror.legs[0].data)
    #expect(mirror.coordinator.record?.generation.members.count == 3)
  }

  @Test func `a member that none of the legs is can be forgotten`() throws {
    let mirror = try mirror()
    mirror.kill(2)
    mirror.legs.removeLast()
    mirror.restartInitiator(holder: 2)
    mirror.open()
    #expect(mirror.coordinator.strangers.map(\.label) == ["leg2"])
    #expect(forget(mirror, "leg2") == "")
    #expect(mirror.coordinator.strangers.isEmpty)
    #expect(mirror.coordinator.record?.generation.isDegraded == false)
  }

  @Test func `a mirror that isn't running takes no orders`() throws {
    let mirror = try VirtualKeeping(2)
    let words = "the mirror is being opened, or is ending"
    #expect(detach(mirror, 0) == words)
    #expect(attach(mirror, 0) == words)
    #expect(forget(mirror, "leg0") == words)
  }
}

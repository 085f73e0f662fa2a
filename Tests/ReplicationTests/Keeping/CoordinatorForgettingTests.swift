import Testing

@testable import Replication

/// Members that are gone for good, by order.
@Suite struct CoordinatorForgettingTests {
  @Test func `a forgotten member is none, and the mirror is whole without it`() throws {
    let mirror = try VirtualKeeping.opened()
    mirror.kill(2)
    mirror.write(3, 30)
    #expect(mirror.coordinator.record?.generation.isDegraded == true)
    #expect(mirror.forget("leg2") == "")
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
    #expect(mirror.attach(2) == "it is no member any more: it has to be added")
    #expect(mirror.detach(2) == "it is no member any more")
  }

  @Test func `only who is not here is forgotten, and only while enough are`() throws {
    let mirror = try VirtualKeeping.opened()
    #expect(mirror.forget("leg1") == "it is in-sync: detach it first")
    #expect(mirror.forget("leg9") == "the mirror has no such member")
    #expect(mirror.detach(1) == "")
    #expect(mirror.forget("leg1") == "")
    #expect(mirror.forget("leg1") == "the mirror has no such member")
    // Two members are left, and both are still needed.
    mirror.kill(2)
    #expect(mirror.coordinator.isSuspended)
    #expect(mirror.forget("leg2") == "too few legs are here to go on without it")
  }

  @Test func `no mark is taken away before all have stored that a member is none`() throws {
    let mirror = try VirtualKeeping.opened(4, required: .count(1))
    mirror.kill(3)
    mirror.kill(1)
    mirror.write(6, 60)
    try mirror.restartLeg(1)
    mirror.pass(2_000_000_000)
    #expect(mirror.states == [.inSync, .inSync, .inSync, .absent])
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
    #expect(mirror.forget("leg3") == "")
    #expect(stored.count == 3)
  }

  @Test func `a forgotten member that returns is a stranger until its record is gone`() throws {
    let mirror = try VirtualKeeping.opened()
    #expect(mirror.detach(2) == "")
    mirror.write(5, 50)
    #expect(mirror.forget("leg2") == "")
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
    let mirror = try VirtualKeeping.opened()
    #expect(mirror.detach(2) == "")
    mirror.write(5, 50)
    #expect(mirror.forget("leg2") == "")
    let blank = try VirtualKeeping.Leg(mirror.layout)
    mirror.addLeg(blank)
    mirror.pass(2_000_000_000)
    #expect(mirror.coordinator.state(ofLeg: 3) == .inSync)
    #expect(blank.data == mirror.legs[0].data)
    #expect(mirror.coordinator.record?.generation.members.count == 3)
  }

  @Test func `a member that none of the legs is can be forgotten`() throws {
    let mirror = try VirtualKeeping.opened()
    mirror.kill(2)
    mirror.legs.removeLast()
    mirror.restartInitiator(holder: 2)
    mirror.open()
    #expect(mirror.coordinator.strangers.map(\.label) == ["leg2"])
    #expect(mirror.forget("leg2") == "")
    #expect(mirror.coordinator.strangers.isEmpty)
    #expect(mirror.coordinator.record?.generation.isDegraded == false)
  }

  @Test func `a member that not all have stored to be forgotten is still one`() throws {
    let mirror = try VirtualKeeping.opened(3, required: .count(1))
    mirror.kill(1)
    // The first leg alone hears of it; a moment later another initiator makes a generation of its
    // own with the others, which the first leg doesn't take any more.
    mirror.willDo = { order in
      if case .ask(let leg, _, .adopt) = order { leg == 0 } else { true }
    }
    #expect(mirror.forget("leg1") == "")
    let forgetful = try #require(mirror.legs[0].unit.record)
    #expect(forgetful.generation.members.count == 2)
    mirror.willDo = { _ in true }
    let other = try #require(mirror.legs[2].unit.record)
    let reached = [
      descriptor(forgetful), descriptor(fork(of: other, at: 2)), descriptor(fork(of: other, at: 1)),
    ]
    var wish = OpeningWish(name: "m", labels: ["leg0", "leg2", "leg1"])
    wish.required = .count(1)
    var identity: UInt64 = 1000
    let plan = try Opening.plan(
      wish,
      reached: reached.enumerated().map { ReachedLeg(leg: $0.offset, descriptor: $0.element) },
      wallSeconds: 1
    ) {
      identity += 1
      return identity
    }
    #expect(plan.record.generation.members.count == 3)
    #expect(plan.state(ofLeg: 1).hasEverything)
  }

  private func descriptor(_ record: MirrorRecord) -> LegDescriptor {
    LegDescriptor(
      record: record, layout: RegionLayout(byteCount: 16 << 20, regionLength: 1 << 20),
      markedCount: 0, isIntact: true)
  }

  /// What came after a record, in another line, as one of its members has it.
  private func fork(of record: MirrorRecord, at place: Int) -> MirrorRecord {
    var fork = record.of(record.generation.members[place].id)
    fork.generation = record.generation.next(id: 0xf0f0, madeAt: 1)
    fork.generation.members[1].state = .stale
    return fork
  }
}

import Testing

@testable import Replication

/// What people order of a mirror that is open.
@Suite struct CoordinatorOrdersTests {
  private func reason(_ mirror: VirtualKeeping, _ leg: Int) -> String? {
    for case .leg(leg, .absent, _, let reason) in mirror.events.reversed() { return reason }
    return nil
  }

  // MARK: Detach and attach

  @Test func `a detached leg is confirmed, not tried again, and brought back by order`() throws {
    let mirror = try VirtualKeeping.opened()
    #expect(mirror.detach(1) == "")
    #expect(mirror.confirmed == LegSet(1))
    #expect(mirror.states == [.inSync, .absent, .inSync])
    #expect(reason(mirror, 1) == "detached by order")
    #expect(mirror.coordinator.isDetached(1))
    mirror.write(4, 40)
    mirror.pass(60_000_000_000)
    #expect(mirror.states[1] == .absent)
    #expect(mirror.legs[1].data[4] == 0)
    #expect(mirror.attach(1) == "")
    mirror.pass(2_000_000_000)
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(!mirror.coordinator.isDetached(1))
  }

  @Test func `no detach leaves fewer legs than the mirror needs`() throws {
    let majority = try VirtualKeeping.opened()
    #expect(majority.detach(0) == "")
    #expect(majority.detach(1) == "too few legs that have everything would be left")
    #expect(majority.states == [.absent, .inSync, .inSync])
    let all = try VirtualKeeping.opened(2, required: .all)
    #expect(all.detach(0) == "too few legs that have everything would be left")
    let named = try VirtualKeeping.opened(3, required: .named(LegSet(2)))
    #expect(named.detach(2) == "too few legs that have everything would be left")
    #expect(named.detach(0) == "")
    let one = try VirtualKeeping.opened(2)
    #expect(one.detach(0) == "")
    #expect(one.detach(1) == "too few legs that have everything would be left")
    #expect(!one.coordinator.isSuspended)
  }

  @Test func `a leg that is not here can be detached: it is not tried any more`() throws {
    let mirror = try VirtualKeeping.opened()
    mirror.kill(2)
    #expect(mirror.detach(2) == "")
    #expect(reason(mirror, 2) == "detached by order")
    try mirror.restartLeg(2)
    mirror.pass(60_000_000_000)
    #expect(mirror.states[2] == .absent)
    #expect(mirror.attach(2) == "")
    #expect(mirror.states[2] == .inSync)
  }

  @Test func `a mirror that is opened again has its detached leg back`() throws {
    let mirror = try VirtualKeeping.opened()
    #expect(mirror.detach(1) == "")
    mirror.write(7, 70)
    mirror.restartInitiator(holder: 2)
    mirror.open()
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
  }

  @Test func `a leg is detached while it is copied to, and goes on afterwards`() throws {
    let mirror = try VirtualKeeping.opened()
    mirror.kill(1)
    for region in 0..<16 { mirror.write(region, UInt8(region + 1)) }
    try mirror.restartLeg(1)
    var isDone = false
    mirror.willDo = { order in
      guard case .hold = order, !isDone else { return true }
      isDone = true
      #expect(mirror.detach(1) == "")
      return true
    }
    mirror.pass(2_000_000_000)
    mirror.willDo = { _ in true }
    #expect(isDone)
    #expect(mirror.states[1] == .absent)
    #expect(mirror.holds.isEmpty)
    #expect(mirror.attach(1) == "")
    mirror.pass(2_000_000_000)
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
  }

  @Test func `a mirror that isn't running takes no orders`() throws {
    let mirror = try VirtualKeeping(2)
    let words = "the mirror is being opened, or is ending"
    #expect(mirror.detach(0) == words)
    #expect(mirror.attach(0) == words)
    #expect(mirror.forget("leg0") == words)
  }
}

/// A mirror whose legs are equal, opened; and orders to it, each with the words that it is refused
/// by, none where it is not.
extension VirtualKeeping {
  static func opened(_ count: Int = 3, required: RequiredLegs? = nil) throws -> VirtualKeeping {
    let mirror = try VirtualKeeping(count) {
      $0.areEqual = true
      $0.required = required
    }
    mirror.open()
    return mirror
  }

  func detach(_ leg: Int) -> String {
    fault { (coordinator: inout Coordinator) throws(OrderFault) in
      try coordinator.detach(leg: leg, now: now)
    }
  }

  func attach(_ leg: Int) -> String {
    fault { (coordinator: inout Coordinator) throws(OrderFault) in
      try coordinator.attach(leg: leg, now: now)
    }
  }

  func forget(_ label: String) -> String {
    fault { (coordinator: inout Coordinator) throws(OrderFault) in
      try coordinator.forget(label: label, now: now)
    }
  }

  private func fault(_ body: (inout Coordinator) throws(OrderFault) -> Void) -> String {
    defer { run() }
    do throws(OrderFault) {
      try body(&coordinator)
      return ""
    } catch {
      return error.words
    }
  }
}

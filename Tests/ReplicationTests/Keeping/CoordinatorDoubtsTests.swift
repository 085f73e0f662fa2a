import Testing

@testable import Replication

/// Legs that may differ though none has left.
@Suite struct CoordinatorDoubtsTests {
  private func states(_ mirror: VirtualKeeping) -> [MemberState] {
    mirror.legs.indices.map { mirror.coordinator.state(ofLeg: $0) }
  }

  /// A mirror in which a leg is back and has something copied to it, which waits at an order.
  private func copying(
    until isReached: @escaping (CoordinatorOrder) -> Bool
  ) throws -> (VirtualKeeping, () -> CoordinatorOrder?) {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(2)
    mirror.write(6, 66)
    var stopped: CoordinatorOrder?
    mirror.willDo = { order in
      guard isReached(order), stopped == nil else { return true }
      stopped = order
      return false
    }
    try mirror.restartLeg(2)
    mirror.pass(60_000_000_000)
    return (mirror, { stopped })
  }

  @Test func `no state changes while a copy is on its way`() throws {
    let (mirror, stopped) = try copying { if case .copy = $0 { true } else { false } }
    guard case .copy(let token, _, let targets, _)? = stopped() else {
      Issue.record("nothing is copied")
      return
    }
    #expect(targets == LegSet(2))
    mirror.coordinator.handleVanishing()
    mirror.coordinator.handleVanished(now: mirror.now)
    mirror.coordinator.handleSuspect(mirror.layout.bytes(of: 3), now: mirror.now)
    mirror.run()
    // The second leg would store the copy, too, and nobody would wait for it.
    #expect(states(mirror) == [.inSync, .inSync, .stale])
    mirror.legs[2].data[6] = 66
    mirror.legs[1].data[9] = 1
    mirror.write(9, 0, only: LegSet(0), isEnded: false)
    mirror.coordinator.handleCopied(token: token, now: mirror.now)
    mirror.run()
    mirror.pass(1_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(mirror.legs[2].data == mirror.legs[0].data)
  }

  @Test func `nothing is called in sync while somebody who is gone may still write`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.kill(2)
    mirror.write(6, 66)
    mirror.coordinator.handleVanishing()
    try mirror.restartLeg(2)
    mirror.pass(60_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .stale])
    // It ends at one leg, half done at the other.
    mirror.write(4, 44, only: LegSet(1), isEnded: false)
    for leg in mirror.legs { leg.unit.handlePartEnded(part: 1, holder: 7) }
    mirror.coordinator.handleVanished(now: mirror.now)
    mirror.run()
    mirror.pass(60_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(mirror.legs[2].data == mirror.legs[0].data)
  }

  @Test func `a mirror that is closed meanwhile is not closed as if all were equal`() throws {
    let mirror = try VirtualKeeping { $0.areEqual = true }
    mirror.open()
    mirror.coordinator.handleVanishing()
    mirror.coordinator.close(now: mirror.now)
    mirror.run()
    // What another initiator has under way may still land.
    #expect(mirror.coordinator.phase == .closing)
    mirror.write(4, 44, only: LegSet(1), isEnded: false)
    for leg in mirror.legs { leg.unit.handlePartEnded(part: 1, holder: 7) }
    mirror.coordinator.handleVanished(now: mirror.now)
    mirror.run()
    #expect(mirror.coordinator.phase == .ended)
    #expect(states(mirror) == [.inSync, .unequal, .unequal])
    mirror.restartInitiator(holder: 9)
    mirror.open()
    mirror.pass(60_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[0].data)
    #expect(mirror.legs[2].data == mirror.legs[0].data)
  }

  @Test func `what was compared before says nothing of a range that is in doubt since`() throws {
    let (mirror, stopped) = try copying { if case .compare = $0 { true } else { false } }
    guard case .compare(let token, _, _, let bytes)? = stopped() else {
      Issue.record("nothing is compared")
      return
    }
    let count = UInt64(bytes.count) / mirror.coordinator.configuration.copyLength
    mirror.legs[2].data[6] = 66
    mirror.coordinator.handleSuspect(bytes, now: mirror.now)
    mirror.legs[0].data[6] = 67
    mirror.coordinator.handleCompared(
      token: token, differing: [LegSet](repeating: [], count: Int(count)), now: mirror.now)
    mirror.run()
    mirror.pass(60_000_000_000)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[1].data[6] == 67 && mirror.legs[2].data[6] == 67)
  }
}

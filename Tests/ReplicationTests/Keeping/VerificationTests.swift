import Testing

@testable import Replication

/// Whether legs have the same bytes, found out while writes go on.
@Suite struct VerificationTests {
  private func mirror(_ count: Int = 3) throws -> VirtualKeeping {
    let mirror = try VirtualKeeping(count) { $0.areEqual = true }
    mirror.open()
    mirror.events = []
    return mirror
  }

  private func wish(
    _ mirror: VirtualKeeping, _ repair: VerificationRepair = .none
  ) -> VerificationWish {
    VerificationWish(bytes: 0..<mirror.layout.byteCount, repair: repair)
  }

  private func begin(_ mirror: VirtualKeeping, _ repair: VerificationRepair = .none) {
    let isBegun = mirror.coordinator.verify(wish(mirror, repair), now: mirror.now)
    #expect(isBegun)
    mirror.run()
  }

  private func told(_ mirror: VirtualKeeping) -> VerificationReport? {
    mirror.events.compactMap { if case .verified(let report) = $0 { report } else { nil } }.last
  }

  private func regions(_ mirror: VirtualKeeping, _ report: VerificationReport) -> Set<Int> {
    Set(report.differences.map { mirror.layout.regions(of: $0.bytes).lowerBound })
  }

  private func states(_ mirror: VirtualKeeping) -> [MemberState] {
    mirror.legs.indices.map { mirror.coordinator.state(ofLeg: $0) }
  }

  private func areEqual(_ mirror: VirtualKeeping) -> Bool {
    mirror.legs.allSatisfy { $0.data == mirror.legs[0].data }
  }

  // MARK: Comparing

  @Test func `legs that are equal are compared wholly, and nothing is held`() throws {
    let mirror = try mirror()
    var held = 0
    mirror.willDo = {
      if case .hold = $0 { held += 1 }
      return true
    }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(report.differenceCount == 0)
    #expect(report.endWords == nil)
    #expect(report.comparedBytes == [16 << 20, 16 << 20, 16 << 20])
    #expect(held == 0)
    #expect(mirror.coordinator.verification == nil)
  }

  @Test func `what differs while a write is on its way, and is equal under the hold, is equal`()
    throws
  {
    let mirror = try mirror()
    var held = 0
    mirror.willDo = { order in
      switch order {
      case .compare(_, _, _, let bytes) where held == 0 && bytes.lowerBound == 3 << 20:
        mirror.legs[1].data[3] = 9
      case .hold:
        held += 1
        for leg in mirror.legs { leg.data[3] = 9 }
      default: break
      }
      return true
    }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(held == 4)
    #expect(report.differenceCount == 0)
    #expect(mirror.holds.isEmpty)
    #expect(!mirror.events.contains { if case .differing = $0 { true } else { false } })
  }

  @Test(arguments: [0, 1, 2]) func `of three legs the odd one is told`(odd: Int) throws {
    let mirror = try mirror()
    mirror.legs[odd].data[6] = 66
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(regions(mirror, report) == [6])
    #expect(report.differenceCount == 4)
    #expect(report.differences.allSatisfy { $0.odd == LegSet(odd) && !$0.isRepaired })
    #expect(report.differingRegions == 1)
    #expect(report.repairedRegions == 0)
    #expect(mirror.holds.isEmpty)
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[odd].data[6] == 66)
    let count = mirror.events.count { if case .differing = $0 { true } else { false } }
    #expect(count == 4)
  }

  @Test func `of two legs none is called odd but for the order`() throws {
    let mirror = try mirror(2)
    mirror.legs[0].data[6] = 66
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(report.differences.allSatisfy { $0.groups == [LegSet(0), LegSet(1)] })
    #expect(report.differenceCount == 4)
  }

  @Test func `three legs of which each has something else are three groups`() throws {
    let mirror = try mirror()
    for leg in 0..<3 { mirror.legs[leg].data[1] = UInt8(leg) }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(report.differences.first?.groups == [LegSet(0), LegSet(1), LegSet(2)])
  }

  @Test func `only what was asked for is compared, in whole regions`() throws {
    let mirror = try mirror()
    mirror.legs[1].data[2] = 1
    mirror.legs[1].data[9] = 1
    let isBegun = mirror.coordinator.verify(
      VerificationWish(bytes: 2_500_000..<(9 << 20)), now: 0)
    #expect(isBegun)
    mirror.run()
    let report = try #require(told(mirror))
    #expect(report.bytes == 2 << 20..<9 << 20)
    #expect(regions(mirror, report) == [2])
  }

  @Test func `there is one verification at a time, of what is on the disk`() throws {
    let mirror = try mirror()
    mirror.willDo = { if case .compare = $0 { false } else { true } }
    begin(mirror)
    let isTwice = mirror.coordinator.verify(wish(mirror), now: 0)
    #expect(!isTwice)
    mirror.coordinator.cancelVerification(now: 0)
    let isBeyond = mirror.coordinator.verify(
      VerificationWish(bytes: 0..<mirror.layout.byteCount + 1), now: 0)
    #expect(!isBeyond)
  }

  @Test func `callers' writes have their share of the time`() throws {
    let mirror = try mirror()
    mirror.coordinator.isBusy = true
    mirror.willDo = { order in
      if case .compare = order { mirror.now += 1_000_000 }
      return true
    }
    begin(mirror)
    #expect(told(mirror) == nil)
    mirror.pass(1_000_000_000)
    #expect(told(mirror)?.endWords == nil)
    // Sixteen regions, two at once, take at least three times as long as their comparisons.
    let rests = mirror.events.count { if case .verifying = $0 { true } else { false } }
    #expect(rests >= 1)
  }

  // MARK: Losses

  @Test func `a source that is lost while it is compared is no difference`() throws {
    let mirror = try mirror()
    var isKilled = false
    mirror.willDo = { order in
      guard case .compare(let token, 0, let targets, let bytes) = order, !isKilled else {
        return true
      }
      isKilled = true
      mirror.kill(0)
      let count = Int(UInt64(bytes.count) / mirror.coordinator.configuration.copyLength)
      mirror.coordinator.handleCompared(
        token: token, differing: [LegSet](repeating: targets, count: count), now: mirror.now)
      return false
    }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(isKilled)
    #expect(report.differenceCount == 0)
    #expect(report.endWords == nil)
    #expect(report.comparedBytes == [0, 16 << 20, 16 << 20])
  }

  @Test(arguments: [0, 1, 2])
  func `a leg that is lost under the hold is none of those that differ`(lost: Int) throws {
    let mirror = try mirror()
    mirror.legs[1].data[4] = 44
    var isKilled = false
    mirror.willDo = { order in
      if case .hold(_, let bytes) = order, bytes.lowerBound == 4 << 20, !isKilled {
        isKilled = true
        mirror.kill(lost)
      }
      return true
    }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(isKilled)
    #expect(mirror.holds.isEmpty)
    #expect(report.differenceCount == (lost == 1 ? 0 : 4))
    #expect(report.differences.allSatisfy { $0.groups.allSatisfy { !$0.contains(LegSet(lost)) } })
  }

  @Test func `a source that is lost while it is judged is judged by nobody`() throws {
    let mirror = try mirror()
    mirror.legs[2].data[4] = 44
    var isHeld = false
    mirror.willDo = { order in
      if case .hold = order { isHeld = true }
      guard case .compare(let token, 0, let targets, _) = order, isHeld else { return true }
      isHeld = false
      mirror.kill(0)
      mirror.coordinator.handleCompared(token: token, differing: [targets], now: mirror.now)
      return false
    }
    begin(mirror)
    let report = try #require(told(mirror))
    // The others are compared under the same hold.
    #expect(report.differenceCount == 4)
    #expect(report.differences.allSatisfy { $0.groups == [LegSet(1), LegSet(2)] })
    #expect(mirror.holds.isEmpty)
  }

  @Test func `a leg that may differ by a write that failed everywhere is not compared`() throws {
    let mirror = try mirror()
    var isSuspect = false
    mirror.willDo = { order in
      if case .compare(_, _, _, let bytes) = order, bytes.lowerBound == 5 << 20, !isSuspect {
        isSuspect = true
        mirror.legs[2].data[5] = 55
        mirror.coordinator.handleSuspect(mirror.layout.bytes(of: 5), now: mirror.now)
      }
      return true
    }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(isSuspect)
    #expect(report.differenceCount == 0)
    #expect(areEqual(mirror))
  }

  @Test func `with one leg that is in sync there is nothing to compare`() throws {
    let mirror = try mirror(2)
    var isKilled = false
    mirror.willDo = { order in
      guard case .compare = order, !isKilled else { return true }
      isKilled = true
      mirror.kill(1)
      return true
    }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(report.endWords == "fewer than two legs are in sync")
    #expect(report.differenceCount == 0)
  }

  @Test func `a hold that is granted late, after the verification's end, is let go`() throws {
    let mirror = try mirror()
    mirror.legs[1].data[4] = 44
    var asked: [UInt64] = []
    var released: [UInt64] = []
    mirror.willDo = { order in
      if case .hold(let token, _) = order {
        asked.append(token)
        return false
      }
      if case .release(let token) = order { released.append(token) }
      return true
    }
    begin(mirror)
    #expect(asked.count == 1)
    mirror.coordinator.cancelVerification(now: mirror.now)
    mirror.run()
    #expect(released == asked)
    #expect(told(mirror)?.endWords == "it was cancelled")
    for token in asked { mirror.coordinator.handleHeld(token: token, now: mirror.now) }
    mirror.run()
    #expect(released == asked + asked)
  }

  @Test func `the mirror's end is the verification's`() throws {
    let mirror = try mirror()
    mirror.willDo = { if case .compare = $0 { false } else { true } }
    begin(mirror)
    mirror.coordinator.close(now: mirror.now)
    mirror.run()
    #expect(told(mirror)?.endWords == "the mirror was closed")
    #expect(mirror.events.contains(.closed(failures: [:])))
  }

  // MARK: Unreadable

  @Test func `what a leg can't read is named, and not called equal`() throws {
    let mirror = try mirror()
    let start: UInt64 = (7 << 20) + (256 << 10)
    let bad = start..<start + (256 << 10)
    mirror.willDo = { order in
      guard case .compare(let token, let source, let targets, let bytes) = order,
        targets.union(LegSet(source)).contains(LegSet(1)), bytes.overlaps(bad)
      else { return true }
      mirror.coordinator.handleUnreadable(
        token: token, leg: 1, words: "MEDIUM ERROR", now: mirror.now)
      return false
    }
    begin(mirror)
    let report = try #require(told(mirror))
    #expect(report.unreadable == [UnreadableRange(leg: 1, bytes: bad, words: "MEDIUM ERROR")])
    let whole = mirror.layout.byteCount
    #expect(report.comparedBytes == [whole, whole - UInt64(bad.count), whole])
    #expect(report.differenceCount == 0)
    // It is a member as before.
    #expect(states(mirror) == [.inSync, .inSync, .inSync])
  }
}

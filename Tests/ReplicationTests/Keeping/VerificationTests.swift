import Testing

@testable import Replication

/// Whether legs have the same bytes, found out while writes go on.
@Suite struct VerificationTests {
  // MARK: Comparing

  @Test func `legs that are equal are compared wholly, and nothing is held`() throws {
    let mirror = try VirtualKeeping.verified()
    var held = 0
    mirror.willDo = {
      if case .hold = $0 { held += 1 }
      return true
    }
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(report.differenceCount == 0)
    #expect(report.endWords == nil)
    #expect(report.comparedBytes == [16 << 20, 16 << 20, 16 << 20])
    #expect(held == 0)
    #expect(mirror.coordinator.verification == nil)
  }

  @Test func `what differs while a write is on its way, and is equal under the hold, is equal`()
    throws
  {
    let mirror = try VirtualKeeping.verified()
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
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(held == 4)
    #expect(report.differenceCount == 0)
    #expect(mirror.holds.isEmpty)
    #expect(!mirror.events.contains { if case .differing = $0 { true } else { false } })
  }

  @Test(arguments: [0, 1, 2]) func `of three legs the odd one is told`(odd: Int) throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[odd].data[6] = 66
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(mirror.regions(report) == [6])
    #expect(report.differenceCount == 4)
    #expect(report.differences.allSatisfy { $0.odd == LegSet(odd) && !$0.isRepaired })
    #expect(report.differingRegions == 1)
    #expect(report.repairedRegions == 0)
    #expect(mirror.holds.isEmpty)
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(mirror.legs[odd].data[6] == 66)
    let count = mirror.events.count { if case .differing = $0 { true } else { false } }
    #expect(count == 4)
  }

  @Test func `of two legs none is called odd but for the order`() throws {
    let mirror = try VirtualKeeping.verified(2)
    mirror.legs[0].data[6] = 66
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(report.differences.allSatisfy { $0.groups == [LegSet(0), LegSet(1)] })
    #expect(report.differenceCount == 4)
  }

  @Test func `three legs of which each has something else are three groups`() throws {
    let mirror = try VirtualKeeping.verified()
    for leg in 0..<3 { mirror.legs[leg].data[1] = UInt8(leg) }
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(report.differences.first?.groups == [LegSet(0), LegSet(1), LegSet(2)])
  }

  @Test func `only what was asked for is compared, in whole regions`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[1].data[2] = 1
    mirror.legs[1].data[9] = 1
    let isBegun = mirror.coordinator.verify(
      VerificationWish(bytes: 2_500_000..<(9 << 20)), now: 0)
    #expect(isBegun)
    mirror.run()
    let report = try #require(mirror.verification)
    #expect(report.bytes == 2 << 20..<9 << 20)
    #expect(mirror.regions(report) == [2])
  }

  @Test func `there is one verification at a time, of what is on the disk`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.willDo = { if case .compare = $0 { false } else { true } }
    mirror.verify()
    let isTwice = mirror.coordinator.verify(
      VerificationWish(bytes: 0..<mirror.layout.byteCount), now: 0)
    #expect(!isTwice)
    mirror.coordinator.cancelVerification(now: 0)
    let isBeyond = mirror.coordinator.verify(
      VerificationWish(bytes: 0..<mirror.layout.byteCount + 1), now: 0)
    #expect(!isBeyond)
  }

  @Test func `callers' writes have their share of the time`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.coordinator.isBusy = true
    var endedAt: UInt64 = 0
    mirror.willDo = { order in
      if case .compare = order { mirror.now += 1_000_000 }
      if case .tell(.verified) = order { endedAt = mirror.now }
      return true
    }
    mirror.verify()
    #expect(mirror.verification == nil)
    mirror.pass(1_000_000_000)
    #expect(mirror.verification?.endWords == nil)
    // Sixteen comparisons of a millisecond, two at once, and three times as long nothing.
    #expect(endedAt >= 48_000_000)
  }
}

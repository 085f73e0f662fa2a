import Testing

@testable import Replication

/// What differs between legs is made equal, and whoever dies meanwhile nothing is worse.
@Suite struct VerificationRepairTests {
  @Test(arguments: [0, 1, 2]) func `an odd leg gets what the others have`(odd: Int) throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[odd].data[6] = 66
    var isMarked = false
    mirror.willDo = { order in
      if case .copy(_, let source, let targets, _) = order {
        #expect(source != odd)
        #expect(targets == LegSet(odd))
        let unit = mirror.legs[odd].unit
        isMarked = unit.marks.contains(6) && unit.record?.state == .unequal
        #expect(unit.service == .beingCopied)
      }
      return true
    }
    mirror.verify(.fromMost)
    let report = try #require(mirror.verification)
    #expect(isMarked)
    #expect(mirror.data(6) == [0, 0, 0])
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(report.differingRegions == 1)
    #expect(report.repairedRegions == 1)
    #expect(report.differences.allSatisfy { $0.isRepaired })
    #expect(mirror.holds.isEmpty)
    #expect(mirror.legs.allSatisfy { $0.unit.service == .readable })
  }

  @Test func `the named leg is right, though it is the odd one`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[2].data[6] = 66
    mirror.verify(.from(leg: 2))
    let report = try #require(mirror.verification)
    #expect(mirror.data(6) == [66, 66, 66])
    #expect(report.differences.allSatisfy { $0.groups == [LegSet(2), LegSet([0, 1])] })
    #expect(report.repairedRegions == 1)
  }

  @Test func `of two legs the first is right where none is named`() throws {
    let mirror = try VirtualKeeping.verified(2)
    mirror.legs[1].data[6] = 66
    mirror.verify(.fromMost)
    #expect(mirror.data(6) == [0, 0])
    #expect(mirror.verification?.repairedRegions == 1)
  }

  @Test func `where each leg is odd somewhere they are repaired one after the other`() throws {
    let mirror = try VirtualKeeping.verified()
    for leg in 0..<3 { mirror.legs[leg].data[3 * leg] = 99 }
    mirror.verify(.fromMost)
    for region in [0, 3, 6] { #expect(mirror.data(region) == [0, 0, 0]) }
    #expect(mirror.verification?.repairedRegions == 3)
    #expect(mirror.states == [.inSync, .inSync, .inSync])
  }

  @Test func `nothing is repaired unasked`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[1].data[6] = 66
    mirror.verify(.none)
    #expect(mirror.data(6) == [0, 66, 0])
    #expect(mirror.verification?.repairedRegions == 0)
  }

  @Test func `a named leg that is lost is right nowhere after that`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[1].data[6] = 66
    var isKilled = false
    mirror.willDo = { order in
      guard case .compare = order, !isKilled else { return true }
      isKilled = true
      mirror.kill(2)
      return true
    }
    mirror.verify(.from(leg: 2))
    let report = try #require(mirror.verification)
    #expect(report.differingRegions == 1)
    #expect(report.repairedRegions == 0)
    #expect(mirror.data(6)[1] == 66)
  }

  @Test func `a leg that is lost while it is repaired is told as not repaired`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[1].data[6] = 66
    var isKilled = false
    mirror.willDo = { order in
      guard case .hold = order, mirror.coordinator.state(ofLeg: 1) == .unequal, !isKilled else {
        return true
      }
      isKilled = true
      mirror.kill(1)
      return true
    }
    mirror.verify(.fromMost)
    let first = try #require(mirror.verification)
    #expect(isKilled)
    #expect(first.differingRegions == 1)
    #expect(first.repairedRegions == 0)
    // It had the mark, and so gets it when it is back.
    try mirror.restartLeg(1)
    mirror.pass(20_000_000_000)
    #expect(mirror.states == [.inSync, .inSync, .inSync])
    #expect(mirror.data(6) == [0, 0, 0])
  }

  @Test func `a source that is lost while others are repaired leaves them equal`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[0].data[6] = 66
    var isKilled = false
    mirror.willDo = { order in
      guard case .hold = order, mirror.coordinator.state(ofLeg: 1) == .unequal, !isKilled else {
        return true
      }
      isKilled = true
      mirror.kill(0)
      return true
    }
    mirror.verify(.from(leg: 0))
    let report = try #require(mirror.verification)
    #expect(isKilled)
    #expect(report.repairedRegions == 0)
    #expect(mirror.states == [.absent, .inSync, .inSync])
    #expect(mirror.legs[1].data == mirror.legs[2].data)
  }

  @Test func `a leg that got from a wrong one what it lacked gets it again`() throws {
    let mirror = try VirtualKeeping.verified(4)
    mirror.kill(3)
    mirror.write(6, 7)
    try mirror.restartLeg(3)
    mirror.legs[0].data[6] = 66
    var isBegun = false
    mirror.willDo = { order in
      if case .copy(_, 0, LegSet(3), _) = order, !isBegun {
        isBegun = true
        let wish = VerificationWish(bytes: 0..<mirror.layout.byteCount, repair: .fromMost)
        let isTaken = mirror.coordinator.verify(wish, now: mirror.now)
        #expect(isTaken)
      }
      return true
    }
    mirror.pass(1_000_000_000)
    #expect(isBegun)
    #expect(mirror.verification?.repairedRegions == 1)
    #expect(mirror.states == [.inSync, .inSync, .inSync, .inSync])
    #expect(mirror.data(6) == [7, 7, 7, 7])
  }

  @Test func `a write that comes between the verdict and the repair stays`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[1].data[6] = 66
    var isWritten = false
    mirror.willDo = { order in
      if case .ask(_, _, .marks) = order, !isWritten {
        isWritten = true
        mirror.write(6, 77)
      }
      return true
    }
    mirror.verify(.fromMost)
    #expect(isWritten)
    #expect(mirror.data(6) == [77, 77, 77])
    #expect(mirror.verification?.repairedRegions == 1)
  }

  @Test func `a region in which no leg is right everywhere needs a name`() {
    var work = VerificationWork(
      VerificationWish(bytes: 0..<4, repair: .fromMost), RegionLayout(byteCount: 4))
    _ = work.noteDifference(0..<1, region: 0, groups: [LegSet([0, 1]), LegSet(2)])
    _ = work.noteDifference(1..<2, region: 0, groups: [LegSet(0), LegSet([1, 2])])
    _ = work.noteDifference(2..<3, region: 0, groups: [LegSet([0, 2]), LegSet(1)])
    let mending = work.takeRepairs(LegSet([0, 1, 2]))
    #expect(mending == nil)
    work = VerificationWork(
      VerificationWish(bytes: 0..<4, repair: .from(leg: 1)), RegionLayout(byteCount: 4))
    _ = work.noteDifference(0..<1, region: 0, groups: [LegSet([0, 1]), LegSet(2)])
    _ = work.noteDifference(1..<2, region: 0, groups: [LegSet(0), LegSet([1, 2])])
    let named = work.takeRepairs(LegSet([0, 1, 2]))
    #expect(named?.legs == LegSet([0, 2]))
  }

  @Test func `more than is listed is counted`() {
    let layout = RegionLayout(byteCount: 4096, regionLength: 2)
    var work = VerificationWork(VerificationWish(bytes: 0..<4096), layout)
    for region in 0..<2000 {
      _ = work.noteDifference(
        layout.bytes(of: region), region: region, groups: [LegSet(0), LegSet(1)])
    }
    let report = work.finished(nil, layout, legCount: 2)
    #expect(report.differences.count == VerificationReport.listedMax)
    #expect(report.differenceCount == 2000)
    #expect(report.differingRegions == 2000)
  }
}

import Testing

@testable import Replication

/// Verifications in which legs are lost, can't be read or are not what they were.
@Suite struct VerificationLossTests {
  @Test func `a source that is lost while it is compared is no difference`() throws {
    let mirror = try VirtualKeeping.verified()
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
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(isKilled)
    #expect(report.differenceCount == 0)
    #expect(report.endWords == nil)
    #expect(report.comparedBytes == [0, 16 << 20, 16 << 20])
  }

  @Test(arguments: [0, 1, 2])
  func `a leg that is lost under the hold is none of those that differ`(lost: Int) throws {
    let mirror = try VirtualKeeping.verified()
    mirror.legs[1].data[4] = 44
    var isKilled = false
    mirror.willDo = { order in
      if case .hold(_, let bytes) = order, bytes.lowerBound == 4 << 20, !isKilled {
        isKilled = true
        mirror.kill(lost)
      }
      return true
    }
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(isKilled)
    #expect(mirror.holds.isEmpty)
    #expect(report.differenceCount == (lost == 1 ? 0 : 4))
    // It was compared there, and not judged.
    #expect(report.comparedBytes[lost] < mirror.layout.byteCount)
    #expect(report.differences.allSatisfy { $0.groups.allSatisfy { !$0.contains(LegSet(lost)) } })
  }

  @Test func `a source that is lost while it is judged is judged by nobody`() throws {
    let mirror = try VirtualKeeping.verified()
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
    mirror.verify()
    let report = try #require(mirror.verification)
    // The others are compared under the same hold.
    #expect(report.differenceCount == 4)
    #expect(report.differences.allSatisfy { $0.groups == [LegSet(1), LegSet(2)] })
    #expect(mirror.holds.isEmpty)
  }

  @Test func `a leg that may differ by a write that failed everywhere is not compared`() throws {
    let mirror = try VirtualKeeping.verified()
    var isSuspect = false
    mirror.willDo = { order in
      if case .compare(_, _, _, let bytes) = order, bytes.lowerBound == 5 << 20, !isSuspect {
        isSuspect = true
        mirror.legs[2].data[5] = 55
        mirror.coordinator.handleSuspect(mirror.layout.bytes(of: 5), now: mirror.now)
      }
      return true
    }
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(isSuspect)
    #expect(report.differenceCount == 0)
    #expect(mirror.data(5) == [0, 0, 0])
  }

  @Test func `with one leg that is in sync there is nothing to compare`() throws {
    let mirror = try VirtualKeeping.verified(2)
    var isKilled = false
    mirror.willDo = { order in
      guard case .compare = order, !isKilled else { return true }
      isKilled = true
      mirror.kill(1)
      return true
    }
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(report.endWords == "fewer than two legs are in sync")
    #expect(report.differenceCount == 0)
  }

  @Test func `a hold that is granted late, after the verification's end, is let go`() throws {
    let mirror = try VirtualKeeping.verified()
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
    mirror.verify()
    #expect(asked.count == 1)
    mirror.coordinator.cancelVerification(now: mirror.now)
    mirror.run()
    #expect(released == asked)
    #expect(mirror.verification?.endWords == "it was cancelled")
    for token in asked { mirror.coordinator.handleHeld(token: token, now: mirror.now) }
    mirror.run()
    #expect(released == asked + asked)
  }

  @Test func `the mirror's end is the verification's`() throws {
    let mirror = try VirtualKeeping.verified()
    mirror.willDo = { if case .compare = $0 { false } else { true } }
    mirror.verify()
    mirror.coordinator.close(now: mirror.now)
    mirror.run()
    #expect(mirror.verification?.endWords == "the mirror was closed")
    #expect(mirror.events.contains(.closed(failures: [:])))
  }

  // MARK: Unreadable

  @Test func `what a leg can't read is named, and not called equal`() throws {
    let mirror = try VirtualKeeping.verified()
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
    mirror.verify()
    let report = try #require(mirror.verification)
    #expect(report.unreadable == [UnreadableRange(leg: 1, bytes: bad, words: "MEDIUM ERROR")])
    let whole = mirror.layout.byteCount
    #expect(report.comparedBytes == [whole, whole - UInt64(bad.count), whole])
    #expect(report.differenceCount == 0)
    // It is a member as before.
    #expect(mirror.states == [.inSync, .inSync, .inSync])
  }
}

import NIOEmbedded
import Testing

@testable import Mirrorcast

@Suite struct `Places for connections` {
  private static func limits(
    sessions: Int = 8, logins: Int = 4, ofAddress: Int = 3, all: Int = 6, bytes: Int = 1000
  ) -> TargetLimits {
    var limits = TargetLimits()
    limits.sessionsMax = sessions
    limits.loginsMax = logins
    limits.loginsOfAddressMax = ofAddress
    limits.connectionsOfAddressMax = all
    limits.loginBytesMax = bytes
    return limits
  }

  @Test func `a newcomer takes the place of the oldest of the address that has the most`() {
    var places = ConnectionPlaces(limits: Self.limits())
    for (id, address) in [(1, 10), (2, 20), (3, 20), (4, 30)] as [(UInt64, UInt32)] {
      let admission = places.admit(id, from: .v4(address))
      #expect(admission == .admitted)
    }
    let fifth = places.admit(5, from: .v4(40))
    #expect(fifth == .inPlace(of: 2))
    // Each has one now: the oldest of all goes.
    let sixth = places.admit(6, from: .v4(50))
    #expect(sixth == .inPlace(of: 1))
    #expect(places.lentCount == 4)
  }

  @Test func `an address that has its share pushes out itself`() {
    var places = ConnectionPlaces(limits: Self.limits(logins: 100))
    for id in 1...3 as ClosedRange<UInt64> { _ = places.admit(id, from: .v6(7)) }
    let other = places.admit(4, from: .v6(8))
    #expect(other == .admitted)
    for id in 5...50 as ClosedRange<UInt64> {
      let admission = places.admit(id, from: .v6(7))
      #expect(admission == .inPlace(of: id < 8 ? id - 4 : id - 3))
    }
    #expect(places.contains(4) && places.lentCount == 4)
  }

  @Test func `sessions are never pushed out, and have an end by their own limits`() {
    var places = ConnectionPlaces(limits: Self.limits(sessions: 5, all: 4))
    for id in 1...4 as ClosedRange<UInt64> {
      _ = places.admit(id, from: .v4(1))
      let isSession = places.beginSession(id, replacing: 0)
      #expect(isSession)
    }
    let tooMany = places.admit(5, from: .v4(1))
    #expect(tooMany == .refused)
    for id in 6...200 as ClosedRange<UInt64> { _ = places.admit(id, from: .v4(UInt32(id))) }
    #expect((1...4).allSatisfy { places.contains($0) } && places.sessionCount == 4)
    let fifth = places.beginSession(200, replacing: 0)
    let sixth = places.beginSession(199, replacing: 0)
    let instead = places.beginSession(199, replacing: 1)
    #expect(fifth && !sixth && instead)
    let evicted = places.beginSession(6, replacing: 0)
    #expect(!evicted, "what was pushed out becomes no session")
  }

  @Test func `all memory of logins is bounded, and who holds the most gives it back`() {
    var places = ConnectionPlaces(limits: Self.limits())
    for (id, address) in [(1, 10), (2, 20), (3, 20)] as [(UInt64, UInt32)] {
      _ = places.admit(id, from: .v4(address))
    }
    let first = places.hold(1, byteCount: 500)
    let second = places.hold(2, byteCount: 100)
    let third = places.hold(3, byteCount: 400)
    #expect(first.isEmpty && second.isEmpty && third.isEmpty && places.byteCount == 1000)
    // Both addresses hold as much, then one holds more: its greediest goes.
    let fourth = places.hold(2, byteCount: 101)
    #expect(fourth == [3])
    #expect(places.byteCount == 601 && !places.contains(3))
    _ = places.hold(1, byteCount: 0)
    places.leave(2)
    #expect(places.byteCount == 0 && places.lentCount == 1)
  }

  /// A flood in virtual time: `rate` newcomers a second from `addresses`, each sitting still until
  /// it is pushed out or the deadline; every 50 ms a login comes that takes 20 ms.
  @Test(arguments: [(1, 20_000), (50, 20_000), (400, 20_000), (1_000_000, 20_000)])
  func `a login survives a flood`(addresses: Int, rate: Int) {
    let limits = TargetLimits()
    var places = ConnectionPlaces(limits: limits)
    var arrivals: [(id: UInt64, at: Int)] = []
    var (first, next, evicted, loggedIn) = (0, UInt64(1), 0, 0)
    var login: (id: UInt64, endsAt: Int)?
    for microsecond in stride(from: 0, to: 10_000_000, by: 1_000_000 / rate) {
      while first < arrivals.count,
        arrivals[first].at + Int(limits.loginMilliseconds) * 1000 < microsecond
      {
        places.leave(arrivals[first].id)
        first += 1
      }
      if let (id, endsAt) = login, endsAt <= microsecond {
        let isSession = places.beginSession(id, replacing: 0)
        #expect(isSession, "at \(microsecond) µs")
        loggedIn += 1
        places.leave(id)
        login = nil
      }
      if login == nil, microsecond % 50_000 < 1_000_000 / rate {
        login = (next, microsecond + 20_000)
        _ = places.admit(next, from: .v4(0xffff_ffff))
        next += 1
      }
      if places.admit(next, from: .v4(UInt32(Int(next) * 7 % addresses))) != .admitted {
        evicted += 1
      }
      arrivals.append((next, microsecond))
      next += 1
      #expect(places.lentCount <= limits.loginsMax)
    }
    #expect(loggedIn == 200)
    #expect(evicted > rate)
  }
}

@Suite struct `Lines that peers can cause` {
  @Test func `a flood makes a line and a count a second`() {
    var throttle = LineThrottle(linesMax: 1)
    let second = LineThrottle.intervalNanoseconds
    var (written, told, sum) = (0, 0, 0)
    var due: UInt64?
    // 10 seconds of 1,000 lines each, in virtual time.
    for now in stride(from: second, to: 11 * second, by: Int(second / 1000)) {
      if let time = due, now >= time {
        sum += throttle.takeCount(now: now)
        told += 1
        due = nil
      }
      switch throttle.note(now: now) {
      case .write: written += 1
      case .countUntil(let time): due = time
      case .count: break
      }
    }
    sum += throttle.takeCount(now: 12 * second)
    #expect(written == 1 && told == 9)
    #expect(written + sum == 10_000, "none is lost")
  }

  @Test func `few lines are all written`() {
    var throttle = LineThrottle(linesMax: 2)
    for now in stride(from: 0, to: 5_000_000_000, by: 600_000_000) as StrideTo<UInt64> {
      let verdict = throttle.note(now: now)
      #expect(verdict == .write)
    }
  }
}

@Suite struct `A register of connections` {
  @Test func `says why somebody gets no place, and counts it`() throws {
    var limits = TargetLimits()
    limits.sessionsMax = 70_000
    limits.loginsMax = 70_000
    limits.loginsOfAddressMax = 70_000
    limits.connectionsOfAddressMax = 1
    let register = ConnectionRegister(limits: limits)
    let first = try register.admit(from: .v4(0))
    let nexus = ConnectionRegister.Nexus(initiatorName: "a", isid: 1, targetName: "b")
    guard case .admitted = register.logIn(first.id, nexus) else {
      Issue.record("no session")
      return
    }
    #expect(throws: ConnectionRegister.Refusal.addressIsFull) { try register.admit(from: .v4(0)) }
    for address in 1..<60_000 as Range<UInt32> { _ = try register.admit(from: .v4(address)) }
    #expect(throws: ConnectionRegister.Refusal.noHandle) { try register.admit(from: .v4(60_000)) }
    register.leave(first.id)
    _ = try register.admit(from: .v4(60_000))
    _ = register.close()
    #expect(throws: ConnectionRegister.Refusal.daemonEnds) { try register.admit(from: .v4(0)) }
    let statistics = register.statistics
    #expect(statistics.refusedByAddress == 1)
    #expect(statistics.refusedByHandles == 1)
    #expect(statistics.refusedAtEnd == 1)
    #expect(statistics.accepted == 60_001)
  }
}

@Suite struct `A connection that is gone before it is begun` {
  @Test func `gives its place back`() throws {
    let target = try VirtualTarget()
    let before = target.register.statistics
    let channel = EmbeddedChannel()
    _ = try channel.finish()
    #expect(throws: (any Error).self) {
      try Portal.admit(channel, target.serving, TargetScene.logger)
    }
    let after = target.register.statistics
    #expect(after.accepted == before.accepted + 1)
    #expect(after.loginsNow == before.loginsNow)
  }
}

@Suite struct `Limits of a daemon` {
  @Test func `their defaults are right, and what can't work is told by its name`() throws {
    try TargetLimits().check()
    var limits = TargetLimits()
    limits.idleMilliseconds = 0
    let error = #expect(throws: MirrorcastError.self) { try limits.check() }
    #expect(error?.what == "0 is no limit for idleMilliseconds")
    #expect(error?.advice == "Take one from 10 to 3600000.")
    limits = TargetLimits()
    limits.sessionsMax = -1
    let negative = #expect(throws: MirrorcastError.self) { try limits.check() }
    #expect(negative?.what == "-1 is no limit for sessionsMax")
    limits.sessionsMax = 1
    limits.loginMilliseconds = .min
    #expect(throws: MirrorcastError.self) { try limits.check() }
  }

  @Test(arguments: [4, 64, 1000, 1500, 2047])
  func `few descriptors make few connections`(descriptors: Int) {
    let fitting = TargetLimits().fitting(descriptors: descriptors, disks: 0)
    #expect(fitting.sessionsMax >= 1 && fitting.loginsMax >= 1)
    #expect(fitting.sessionsMax + fitting.loginsMax <= max(descriptors, 4))
    #expect(fitting.loginsMax <= fitting.sessionsMax)
    #expect(fitting != TargetLimits())
    #expect(TargetLimits().fitting(descriptors: 2048, disks: 0) == TargetLimits())
  }

  @Test func `each file or device that is served has two descriptors beside them`() throws {
    let configuration = try TargetConfiguration(
      portal: PortalAddress(parsing: "127.0.0.1:0"), targetName: TargetScene.name,
      logicalUnits: ["0=memory:1M", "1=file:a", "2=device:b", "3=file:c,size=1M"])
    #expect(configuration.diskDescriptors == 6)
    let limits = TargetLimits()
    #expect(limits.descriptorsWanted(disks: 3) == limits.descriptorsWanted(disks: 0) + 3)
    #expect(limits.fitting(descriptors: 2048, disks: 1) != limits)
    for (descriptors, disks) in [(2048, 256), (1024, 600), (1024, 2000)] {
      let fitting = limits.fitting(descriptors: descriptors, disks: disks)
      let connections = fitting.sessionsMax + fitting.loginsMax
      #expect(connections <= max(descriptors - disks, 2), "\(descriptors), \(disks)")
      #expect(fitting.sessionsMax >= 1 && fitting.loginsMax >= 1)
    }
  }
}

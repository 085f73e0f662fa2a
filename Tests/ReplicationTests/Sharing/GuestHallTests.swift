import Testing

@testable import Replication

/// A hall of three legs, each a member of its own, and what it has ordered.
private struct Bench {
  var hall: GuestHall
  var here = LegSet([0, 1, 2])

  init() {
    hall = GuestHall(RegionLayout(byteCount: 16 << 20, regionLength: 1 << 20))
    hall.members = [10, 11, 12]
  }

  mutating func take() -> [GuestHall.Order] {
    defer { hall.orders = [] }
    return hall.orders
  }

  mutating func hear(_ message: SharingMessage, from guest: UInt64 = 7) {
    hall.handle(message, from: guest, here: here, now: 0)
  }

  /// A guest is let in at all legs, and has registered.
  mutating func admit(_ guest: UInt64 = 7) {
    hall.handleHello(guest, here: here, now: 0)
    here.forEach { hall.handleAdmitted(leg: $0, guest: guest, here: here) }
    hear(.ready, from: guest)
    hall.orders = []
  }

  /// It has regions that the leader had.
  mutating func give(_ regions: Range<Int>, to guest: UInt64 = 7) {
    hear(.ask(regions), from: guest)
    hall.handleReleased(regions)
    hall.orders = []
  }
}

@Suite struct GuestHallTests {
  @Test func `a guest is let in at every leg, then told the mirror`() {
    var bench = Bench()
    bench.hall.handleHello(7, here: bench.here, now: 0)
    #expect(bench.take() == [0, 1, 2].map { .admit(leg: $0, guest: 7) })
    for leg in [0, 1] { bench.hall.handleAdmitted(leg: leg, guest: 7, here: bench.here) }
    #expect(bench.take().isEmpty)
    bench.hall.handleAdmitted(leg: 2, guest: 7, here: bench.here)
    #expect(bench.take() == [.welcome(guest: 7, bench.here)])
    #expect(!bench.hall.isPresent(7) && !bench.hall.mayJoin)
    bench.hear(.ready)
    #expect(bench.take() == [.tell(.came(7))])
    #expect(bench.hall.isPresent(7) && bench.hall.mayJoin && bench.hall.nextDeadline == nil)
  }

  @Test func `who comes when a leg has just left waits until that is stored`() {
    var bench = Bench()
    bench.here = LegSet([0, 1])
    bench.hall.unconfirmed = LegSet(2)
    bench.hall.handleHello(7, here: bench.here, now: 0)
    bench.here.forEach { bench.hall.handleAdmitted(leg: $0, guest: 7, here: bench.here) }
    #expect(bench.take() == [0, 1].map { .admit(leg: $0, guest: 7) })
    bench.hall.unconfirmed = []
    bench.hall.noteConfirmed(LegSet(2))
    #expect(bench.take() == [.welcome(guest: 7, LegSet([0, 1]))])
  }

  @Test func `a leg that leaves while a guest is let in is not waited for`() {
    var bench = Bench()
    bench.hall.handleHello(7, here: bench.here, now: 0)
    for leg in [0, 1] { bench.hall.handleAdmitted(leg: leg, guest: 7, here: bench.here) }
    bench.hall.orders = []
    bench.here = LegSet([0, 1])
    bench.hall.unconfirmed = LegSet(2)
    bench.hall.noteLost(leg: 2, words: "gone", here: bench.here)
    #expect(bench.take().isEmpty)
    bench.hall.unconfirmed = []
    bench.hall.noteConfirmed(LegSet(2))
    #expect(bench.take() == [.welcome(guest: 7, LegSet([0, 1]))])
  }

  @Test func `a guest hears of a loss before it hears that it is stored, once`() {
    var bench = Bench()
    bench.admit()
    bench.here = LegSet([0, 1])
    bench.hall.noteLost(leg: 2, words: "gone", here: bench.here)
    bench.hall.noteLost(leg: 2, words: "again", here: bench.here)
    bench.hall.noteConfirmed(LegSet(2))
    bench.hall.noteConfirmed(LegSet(2))
    #expect(
      bench.take() == [
        .send(guest: 7, .lost(member: 12, turn: 0, words: "gone")),
        .send(guest: 7, .confirmed(member: 12)),
      ])
    // It was told: what it says of that is old.
    bench.hear(.lost(member: 12, turn: 0, words: "mine, too"))
    #expect(bench.take().isEmpty)
  }

  @Test func `a leg that a guest has lost is lost for all`() {
    var bench = Bench()
    bench.admit()
    bench.hear(.lost(member: 11, turn: 0, words: "reset"))
    bench.hear(.lost(member: 99, turn: 0, words: "no such member"))
    bench.hear(.lost(member: 11, turn: 4, words: "of no turn"))
    #expect(bench.take() == [.lose(leg: 1, words: "lost to a guest: reset")])
  }

  @Test func `a leg comes when all guests reach it, and one that is gone is not waited for`() {
    var bench = Bench()
    bench.here = LegSet([0, 1])
    bench.admit(7)
    bench.admit(8)
    bench.hall.beginJoin(leg: 2, label: "T2")
    #expect(bench.take() == [.admit(leg: 2, guest: 7), .admit(leg: 2, guest: 8)])
    #expect(!bench.hall.mayJoin)
    bench.hall.handleAdmitted(leg: 2, guest: 7, here: bench.here)
    #expect(bench.take() == [.send(guest: 7, .join(member: 12, turn: 1, label: "T2"))])
    bench.hear(.joined(member: 12, turn: 0), from: 7)
    #expect(bench.take().isEmpty, "of another turn")
    bench.hear(.joined(member: 12, turn: 1), from: 7)
    #expect(bench.take().isEmpty)
    // Who comes meanwhile waits.
    bench.hall.handleHello(9, here: bench.here, now: 0)
    #expect(bench.take().isEmpty)
    bench.hall.handleGone(8, words: "reset", here: bench.here)
    let orders = bench.take()
    #expect(orders.contains(.joined(leg: 2)))
    #expect(orders.contains(.expel(leg: 2, guest: 8)), "the leg may know it already")
    bench.here = LegSet([0, 1, 2])
    bench.hall.endJoin(here: bench.here)
    #expect(bench.take() == [0, 1, 2].map { .admit(leg: $0, guest: 9) })
  }

  @Test func `with no guests a leg has come at once`() {
    var bench = Bench()
    bench.hall.beginJoin(leg: 2, label: "T2")
    #expect(bench.take() == [.joined(leg: 2)])
  }

  @Test func `what a guest had that is gone is kept until every leg has ended it`() {
    var bench = Bench()
    bench.admit(7)
    bench.admit(8)
    bench.give(3..<5, to: 7)
    bench.hall.handleGone(7, words: "reset", here: bench.here)
    #expect(
      bench.take() == [.close(guest: 7, words: "reset"), .tell(.went(7, reason: "reset"))]
        + [.beginMend] + [0, 1, 2].map { .expel(leg: $0, guest: 7) })
    #expect(bench.hall.keptRegions == 2)
    bench.hear(.ask(4..<6), from: 8)
    bench.hall.handleReleased(5..<6)
    for leg in [0, 1] { bench.hall.handleExpelled(leg: leg, guest: 7, here: bench.here) }
    let early = bench.take()
    #expect(!early.contains(.mend) && !early.contains(.send(guest: 8, .granted(4..<6))))
    // The last one leaves: it has nothing of the guest that counts.
    bench.here = LegSet([0, 1])
    bench.hall.noteLost(leg: 2, words: "gone", here: bench.here)
    #expect(
      bench.take() == [
        .send(guest: 8, .lost(member: 12, turn: 0, words: "gone")), .mend,
        .send(guest: 8, .granted(4..<6)),
      ])
    #expect(bench.hall.keptRegions == 0)
  }

  @Test func `who has ended in order, or had no regions, leaves nothing to be mended`() {
    var bench = Bench()
    bench.admit(7)
    bench.admit(8)
    bench.give(3..<5, to: 7)
    bench.hear(.leaving, from: 7)
    bench.hall.handleGone(8, words: "reset", here: bench.here)
    for guest in [7, 8] as [UInt64] {
      bench.here.forEach { bench.hall.handleExpelled(leg: $0, guest: guest, here: bench.here) }
    }
    let orders = bench.take()
    #expect(!orders.contains(.beginMend) && !orders.contains(.mend))
    #expect(bench.hall.isEmpty && bench.hall.keptRegions == 0)
  }

  @Test func `a guest that takes too long to register is none`() {
    var bench = Bench()
    bench.hall.handleHello(7, here: bench.here, now: 5)
    let due = bench.hall.nextDeadline
    #expect(due == 5 + GuestHall.registerNanoseconds)
    bench.hall.orders = []
    bench.hall.handleTimeout(now: due ?? 0, here: bench.here)
    #expect(bench.take().count(where: { if case .expel = $0 { true } else { false } }) == 3)
    #expect(bench.hall.mayJoin)
  }

  @Test(
    arguments: [
      .granted(0..<1), .released(0..<1), .ask(0..<17), .suspect(0..<0),
      .suspect((16 << 20) - 512..<(16 << 20) + 512), .hello(guest: 7, secret: 1), .ready,
      .call(0..<1), .stop("no"), .confirmed(member: 10),
    ] as [SharingMessage])
  func `who says what it may not say is gone`(_ message: SharingMessage) {
    var bench = Bench()
    bench.admit()
    bench.hear(message)
    #expect(!bench.hall.isPresent(7))
    #expect(bench.take().first == .close(guest: 7, words: "it said what it may not say"))
  }

  @Test func `no more guests are let in than there are numbers for`() {
    var bench = Bench()
    for guest in 1...UInt64(GuestHall.guestsMax) { bench.admit(guest) }
    bench.hall.handleHello(99, here: bench.here, now: 0)
    #expect(bench.take() == [.close(guest: 99, words: "no more than 15 guests")])
    bench.hall.handleHello(3, here: bench.here, now: 0)
    #expect(bench.take().count == 1, "a number is one guest's")
  }

  @Test func `ranges that are told as suspect are told as mended, to whom told them`() {
    var bench = Bench()
    bench.admit(7)
    bench.admit(8)
    for _ in 0..<2 { bench.hear(.suspect(512..<1024), from: 8) }
    #expect(bench.take() == [.suspect(512..<1024), .suspect(512..<1024)])
    bench.hall.noteMended()
    bench.hall.noteMended()
    #expect(bench.take() == [.send(guest: 8, .mended(2))])
  }
}

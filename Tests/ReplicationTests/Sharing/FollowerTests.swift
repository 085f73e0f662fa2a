import Testing

@testable import Replication

/// A guest of a mirror of three legs, and what it has ordered and said.
private struct Bench {
  var follower: Follower

  init(here: [UInt64] = [10, 11, 12], isSuspended: Bool = false) {
    let members = [10, 11, 12].map {
      MirrorMember(id: $0, label: "T\($0 - 10)", state: .inSync)
    }
    let record = MirrorRecord(
      mirror: 1, name: "m", member: 10,
      generation: MirrorGeneration(
        counter: 4, id: 44, members: members, requiredCount: 2, madeAt: 0))
    follower = Follower(
      SharedMirror(
        record: record, layout: RegionLayout(byteCount: 16 << 20, regionLength: 1 << 20),
        group: "239.0.0.1", port: 3260, virtualLUN: 1, here: here, isSuspended: isSuspended))
  }

  /// What it has ordered, without what people are told.
  mutating func orders() -> [CoordinatorOrder] {
    defer { follower.orders = [] }
    return follower.orders.filter { if case .tell = $0 { false } else { true } }
  }

  mutating func said() -> [SharingMessage] {
    defer { follower.messages = [] }
    return follower.messages
  }

  /// It has registered with all legs that are here.
  mutating func begin(_ legs: LegSet = LegSet([0, 1, 2])) {
    follower.open()
    legs.forEach { follower.handleConnected(leg: $0) }
    follower.handleBegun(legs)
    follower.orders = []
    follower.messages = []
  }
}

@Suite struct FollowerTests {
  @Test func `it registers with all legs that are here, then says so`() {
    var bench = Bench(here: [10, 12], isSuspended: true)
    bench.follower.open()
    #expect(bench.orders() == [.connect(leg: 0), .connect(leg: 2)])
    bench.follower.handleConnected(leg: 0)
    #expect(bench.orders().isEmpty)
    bench.follower.handleConnected(leg: 2)
    #expect(bench.orders() == [.begin(LegSet([0, 2]))])
    #expect(bench.said().isEmpty)
    bench.follower.handleBegun(LegSet([0, 2]))
    #expect(bench.orders() == [.suspend])
    #expect(bench.said() == [.ready])
    #expect(bench.follower.joinedLegs == LegSet([0, 2]))
    #expect(bench.follower.state(ofLeg: 1) == .absent)
  }

  @Test func `a leg that it can't reach makes it leave, and say so`() {
    var bench = Bench()
    bench.follower.open()
    bench.follower.handleConnected(leg: 0)
    bench.follower.handleUnreachable(leg: 1, words: "no route")
    #expect(bench.said() == [.leaving])
    #expect(bench.follower.phase == .ended)
  }

  @Test func `what the leader says early is heard when the mirror has begun`() {
    var bench = Bench()
    bench.follower.open()
    bench.follower.handle(.lost(member: 11, turn: 0, words: "gone"))
    for leg in 0...2 { bench.follower.handleConnected(leg: leg) }
    bench.follower.handle(.confirmed(member: 11))
    bench.follower.orders = []
    bench.follower.handleBegun(LegSet([0, 1, 2]))
    #expect(bench.orders() == [.leave(leg: 1, words: "gone"), .confirm(LegSet(1))])
    #expect(bench.said() == [.ready])
  }

  @Test func `a leg that is lost before the mirror has begun is told as lost`() {
    var bench = Bench()
    bench.follower.open()
    for leg in 0...2 { bench.follower.handleConnected(leg: leg) }
    bench.follower.handleLost(leg: 2, words: "reset")
    bench.follower.handleBegun(LegSet([0, 1]))
    #expect(bench.said() == [.lost(member: 12, turn: 0, words: "reset"), .ready])
  }

  @Test func `a leg that it loses is the leader's to store, and both may say so at once`() {
    var bench = Bench()
    bench.begin()
    bench.follower.handleLost(leg: 2, words: "reset")
    #expect(bench.said() == [.lost(member: 12, turn: 0, words: "reset")])
    bench.follower.handle(.lost(member: 12, turn: 0, words: "mine, too"))
    #expect(bench.orders().isEmpty)
    bench.follower.handle(.confirmed(member: 12))
    #expect(bench.orders() == [.confirm(LegSet(2))])
    #expect(bench.follower.joinedLegs == LegSet([0, 1]))
  }

  @Test func `a leg that comes is here once it is joined, and is spoken of by its turn`() {
    var bench = Bench(here: [10, 11])
    bench.begin(LegSet([0, 1]))
    bench.follower.handle(.join(member: 12, turn: 3, label: "T2"))
    #expect(bench.orders() == [.connect(leg: 2)])
    bench.follower.handleConnected(leg: 2)
    #expect(bench.orders() == [.join(leg: 2)])
    #expect(!bench.follower.joinedLegs.contains(LegSet(2)))
    bench.follower.handleJoined(leg: 2)
    #expect(bench.said() == [.joined(member: 12, turn: 3)])
    bench.follower.handleLost(leg: 2, words: "reset")
    #expect(bench.said() == [.lost(member: 12, turn: 3, words: "reset")])
  }

  @Test func `a leg that is lost on its way in, or not reached, has not joined`() {
    var bench = Bench(here: [10, 11])
    bench.begin(LegSet([0, 1]))
    bench.follower.handle(.join(member: 12, turn: 1, label: "T2"))
    bench.follower.handleUnreachable(leg: 2, words: "refused")
    bench.follower.handle(.join(member: 12, turn: 2, label: "T2"))
    bench.follower.handleConnected(leg: 2)
    bench.follower.handleLost(leg: 2, words: "reset")
    #expect(
      bench.said() == [
        .notJoined(member: 12, turn: 1, words: "refused"),
        .notJoined(member: 12, turn: 2, words: "reset"),
      ])
  }

  @Test func `a member that it has not known gets a place of its own`() {
    var bench = Bench()
    bench.begin()
    #expect(bench.follower.leg(13) == nil)
    let leg = bench.follower.add(member: 13)
    #expect(leg == 3 && bench.follower.leg(13) == 3)
    bench.follower.handle(.join(member: 13, turn: 1, label: "T3"))
    #expect(bench.orders() == [.connect(leg: 3)])
  }

  @Test func `without its leader all that is open is lost here`() {
    var bench = Bench()
    bench.begin()
    bench.follower.end("gone")
    #expect(bench.orders() == [.stop("gone")])
    #expect(bench.follower.phase == .ended && bench.said().isEmpty)
    bench.follower.handle(.suspend)
    bench.follower.handleLost(leg: 0, words: "reset")
    bench.follower.close()
    #expect(bench.orders().isEmpty && bench.said().isEmpty)
  }

  @Test func `it ends in order by one word`() {
    var bench = Bench()
    bench.begin()
    bench.follower.close()
    bench.follower.close()
    #expect(bench.said() == [.leaving])
    #expect(bench.follower.orders == [.tell(.closed(failures: [:]))])
  }
}

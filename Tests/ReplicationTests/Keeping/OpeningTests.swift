import Testing

@testable import Replication

/// Three legs, and what is said of each when their mirror is opened.
private struct Legs {
  var records: [MirrorRecord?]
  var marked = [0, 0, 0]
  var isIntact = [true, true, true]
  var wish = OpeningWish(name: "m", labels: ["a", "b", "c"])

  init(_ states: [MemberState] = [.inSync, .inSync, .inSync], required: Int = 2) {
    let members = zip(1..., states).map {
      MirrorMember(id: UInt64($0), label: "abc".map(String.init)[$0 - 1], state: $1)
    }
    var generation = MirrorGeneration(
      counter: 7, id: 70, members: members, requiredCount: required, madeAt: 1000)
    generation.ancestors = [60, 50]
    records = (1...3).map {
      MirrorRecord(mirror: 99, name: "m", member: UInt64($0), generation: generation)
    }
  }

  /// A leg stores what comes after the newest that it has.
  mutating func advance(_ leg: Int, id: UInt64, _ states: [MemberState]) {
    guard var record = records[leg] else { return }
    record.generation = record.generation.next(id: id, madeAt: 2000)
    for (index, state) in states.enumerated() { record.generation.members[index].state = state }
    records[leg] = record
  }

  func open(_ legs: [Int] = [0, 1, 2]) throws(OpeningRefusal) -> OpeningPlan {
    let reached = legs.map {
      ReachedLeg(
        leg: $0,
        descriptor: LegDescriptor(
          record: records[$0], layout: RegionLayout(byteCount: 1 << 30), markedCount: marked[$0],
          isIntact: isIntact[$0]))
    }
    var identities = Identities(seed: 1)
    return try Opening.plan(wish, reached: reached, wallSeconds: 3000) { identities.next() }
  }

  func states(_ legs: [Int] = [0, 1, 2]) throws(OpeningRefusal) -> [MemberState] {
    let plan = try open(legs)
    return plan.record.generation.members.map(\.state)
  }

  func refusal(_ legs: [Int] = [0, 1, 2]) -> OpeningRefusal.Kind? {
    do throws(OpeningRefusal) {
      _ = try open(legs)
      return nil
    } catch {
      return error.kind
    }
  }
}

@Suite struct OpeningTests {
  @Test func `a new mirror takes the first leg's bytes, and compares all of the others`() throws {
    var legs = Legs()
    legs.records = [nil, nil, nil]
    let plan = try legs.open()
    #expect(plan.record.generation.counter == 1)
    #expect(plan.record.generation.members.map(\.state) == [.inSync, .fresh, .fresh])
    #expect(plan.record.generation.requiredCount == 2)
    #expect(legs.refusal([0, 1]) == .unreached)
  }

  @Test func `legs that are equal, says the operator, are in sync at once`() throws {
    var legs = Legs()
    legs.records = [nil, nil, nil]
    legs.wish.areEqual = true
    legs.wish.required = .all
    let plan = try legs.open()
    #expect(plan.record.generation.members.allSatisfy { $0.state == .inSync })
    #expect(plan.record.generation.requiredCount == 3)
  }

  @Test func `without marks all are equal still`() throws {
    let plan = try Legs().open()
    #expect(plan.record.generation.members.allSatisfy { $0.state == .inSync })
    #expect(plan.record.generation.counter == 8)
    #expect(plan.record.generation.ancestors == [70, 60, 50])
  }

  @Test func `what was open when the mirror stopped is made equal to one leg`() throws {
    var legs = Legs()
    legs.marked = [0, 3, 0]
    #expect(try legs.states() == [.inSync, .unequal, .unequal])
  }

  @Test func `marks on an absent leg's account say nothing of legs that were ended in order`()
    throws
  {
    var legs = Legs([.inSync, .inSync, .absent])
    legs.marked = [5, 5, 0]
    legs.records[0]?.isClosed = true
    #expect(try legs.states([0, 1]) == [.inSync, .unequal, .absent])
    legs.records[1]?.isClosed = true
    #expect(try legs.states([0, 1]) == [.inSync, .inSync, .absent])
  }

  @Test func `a leg that lost its power lacks what it never flushed, where another didn't`() throws
  {
    var legs = Legs()
    legs.marked = [4, 4, 4]
    legs.isIntact = [false, true, false]
    // One that has everything is too few of three: the others get it first.
    #expect(try legs.states() == [.stale, .inSync, .stale])
  }

  @Test func `who was called lost has what another lost with its power before it stored that`()
    throws
  {
    var legs = Legs([.inSync, .inSync, .stale], required: 1)
    legs.marked = [4, 4, 4]
    legs.isIntact = [true, false, true]
    legs.advance(2, id: 80, [.absent, .inSync, .stale])
    #expect(try legs.states() == [.inSync, .stale, .stale])
    // Not reached it is waited for; where nobody lost its power it isn't needed.
    #expect(legs.refusal([1, 2]) == .missing)
    legs.isIntact[1] = true
    #expect(try legs.states([1, 2]) == [.absent, .inSync, .stale])
    // It lacks what was acknowledged when the other had stored it, too.
    legs.advance(1, id: 80, [.absent, .inSync, .stale])
    #expect(try legs.states() == [.stale, .inSync, .stale])
    // What comes after that on the way to the others changes nothing.
    legs.advance(2, id: 90, [.absent, .inSync, .inSync])
    #expect(try legs.states() == [.stale, .inSync, .stale])
  }

  @Test func `who missed two generations that nobody confirmed has what counts, too`() throws {
    var legs = Legs([.inSync, .inSync, .fresh], required: 1)
    legs.marked = [4, 4, 4]
    legs.isIntact = [true, false, true]
    // The third is taken in, which the first never stored; that is called lost, and the second
    // loses its power.
    for leg in [1, 2] { legs.advance(leg, id: 80, [.inSync, .inSync, .stale]) }
    legs.advance(2, id: 90, [.absent, .inSync, .stale])
    #expect(try legs.states() == [.inSync, .stale, .fresh])
  }

  @Test func `fewer legs are asked for only where as many as before agree`() throws {
    var legs = Legs(required: 2)
    legs.wish.required = .count(1)
    #expect(legs.refusal([0]) != nil)
    #expect(try legs.open([0, 1]).record.generation.requiredCount == 1)
    legs = Legs(required: 3)
    legs.wish.required = .count(1)
    #expect(legs.refusal([0, 1]) == .tooFew)
    legs.wish.kept = 0
    #expect(try legs.open([0, 1]).record.generation.requiredCount == 1)
  }

  @Test func `where all lost their power one of them is right`() throws {
    var legs = Legs()
    legs.marked = [4, 4, 4]
    legs.isIntact = [false, false, false]
    #expect(try legs.states() == [.inSync, .unequal, .unequal])
    // Who is away may not have lost its own.
    #expect(legs.refusal([0, 1]) == .missing)
  }

  @Test func `an absent leg that alone suffices might be ahead`() throws {
    #expect(Legs(required: 1).refusal([0, 1]) == .missing)
    #expect(try Legs(required: 2).states([0, 1]) == [.inSync, .inSync, .absent])
    #expect(Legs(required: 2).refusal([0]) == .missing)
    #expect(Legs(required: 3).refusal([0, 1]) == .tooFew)
  }

  @Test func `whoever was away is stale, whatever its own record says`() throws {
    var legs = Legs()
    for leg in [0, 1] { legs.advance(leg, id: 80, [.inSync, .inSync, .absent]) }
    #expect(try legs.states() == [.inSync, .inSync, .stale])
    #expect(try legs.states([1, 2]) == [.absent, .inSync, .stale])
    #expect(legs.refusal([2]) == .missing)
  }

  @Test func `a leg that is away since long before is known by those that went on`() throws {
    var legs = Legs()
    for id in UInt64(100)..<140 {
      for leg in [0, 1] { legs.advance(leg, id: id, [.inSync, .inSync, .absent]) }
    }
    let plan = try legs.open()
    #expect(plan.record.generation.members.map(\.state) == [.inSync, .inSync, .stale])
  }

  @Test func `two that went on alone are refused, and each is named`() throws {
    var legs = Legs(required: 1)
    legs.advance(0, id: 80, [.inSync, .absent, .absent])
    legs.advance(1, id: 81, [.absent, .inSync, .absent])
    legs.advance(1, id: 82, [.absent, .inSync, .absent])
    do {
      _ = try legs.open()
      Issue.record("a split brain was opened")
    } catch {
      #expect(error.kind == .splitBrain)
      #expect(error.lines.count == 3)
      #expect(error.lines[1].contains("generation 9 (52) of 2000"))
      #expect(error.lines[1].contains("without a, c"))
    }
  }

  @Test func `the operator's choice makes one half's legs stale, and compares all of them`() throws
  {
    var legs = Legs(required: 1)
    legs.advance(0, id: 80, [.inSync, .absent, .absent])
    legs.advance(1, id: 81, [.absent, .inSync, .absent])
    legs.advance(1, id: 82, [.absent, .inSync, .absent])
    legs.wish.kept = 0
    let plan = try legs.open()
    #expect(plan.record.generation.members.map(\.state) == [.inSync, .fresh, .stale])
    #expect(plan.replaced == LegSet(1))
    // Nobody who has stored the other half's takes this one for older.
    #expect(plan.record.generation.counter == 10)
    #expect(plan.record.generation.ancestors.first == 80)
  }

  @Test func `the operator may go on without legs that are gone for good`() throws {
    var legs = Legs()
    #expect(legs.refusal([2]) == .missing)
    legs.wish.kept = 2
    let plan = try legs.open([2])
    #expect(plan.record.generation.members.map(\.state) == [.absent, .absent, .inSync])
    #expect(plan.record.generation.requiredCount == 1)
  }

  @Test func `a generation that not all of its members stored binds nobody`() throws {
    // One leg was told that the third is gone; the initiator died before the second was.
    var legs = Legs()
    legs.advance(0, id: 80, [.inSync, .inSync, .absent])
    #expect(try legs.states() == [.inSync, .inSync, .inSync])
    legs.marked = [4, 4, 4]
    #expect(try legs.states() == [.inSync, .unequal, .unequal])
    legs.marked = [0, 0, 0]
    // The others went on without it, which they may: nothing was acknowledged by it alone.
    for leg in [1, 2] { legs.advance(leg, id: 81, [.absent, .inSync, .inSync]) }
    #expect(try legs.states() == [.fresh, .inSync, .inSync])
    // Even where it was told more.
    legs.advance(0, id: 90, [.inSync, .inSync, .absent])
    legs.advance(0, id: 91, [.inSync, .inSync, .absent])
    let plan = try legs.open()
    #expect(plan.record.generation.members.map(\.state) == [.fresh, .inSync, .inSync])
    #expect(plan.record.generation.counter == 11)
    #expect(plan.replaced == LegSet(0))
  }

  @Test func `a leg of another mirror, without one, or of another size is refused`() throws {
    var legs = Legs()
    legs.records[1]?.name = "n"
    #expect(legs.refusal() == .otherMirror)
    legs = Legs()
    legs.records[1]?.mirror = 98
    #expect(legs.refusal() == .otherMirror)
    legs = Legs()
    legs.records[1] = nil
    #expect(legs.refusal() == .blank)
    legs.wish.added = LegSet(1)
    // It takes the place of the member that was reached there, and is compared as a whole.
    #expect(try legs.states() == [.inSync, .fresh, .inSync])
  }

  @Test func `named legs are needed, however many others are here`() throws {
    var legs = Legs(required: 1)
    legs.wish.required = .named(LegSet(0))
    let plan = try legs.open()
    #expect(plan.record.generation.members.map(\.isRequired) == [true, false, false])
    for leg in [0, 1, 2] { legs.records[leg] = plan.record.of(UInt64(leg + 1)) }
    legs.wish.required = nil
    // The named one might have gone on alone, the others could not; nor may they now.
    #expect(legs.refusal([1, 2]) == .missing)
    #expect(legs.refusal([0, 1]) == nil)
  }

  @Test func `of generations of which nothing was acknowledged one with a source counts`() throws {
    var legs = Legs()
    // The third leg alone has stored that the first is away; the other two stored an opening that
    // the third refused, since it had that by then.
    legs.advance(2, id: 80, [.inSync, .inSync, .absent])
    legs.advance(2, id: 90, [.absent, .inSync, .stale])
    for leg in [0, 1] { legs.advance(leg, id: 81, [.inSync, .inSync, .inSync]) }
    let plan = try legs.open()
    #expect(plan.record.generation.members.map(\.state) == [.inSync, .inSync, .fresh])
    #expect(plan.replaced == LegSet(2))
    #expect(plan.record.generation.counter > 9)
  }
}

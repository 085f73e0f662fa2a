import Testing

@testable import Replication

@Suite struct OpeningTests {
  @Test func `a new mirror takes the first leg's bytes, and compares all of the others`() throws {
    var legs = OpeningLegs()
    legs.records = [nil, nil, nil]
    let plan = try legs.open()
    #expect(plan.record.generation.counter == 1)
    #expect(plan.record.generation.members.map(\.state) == [.inSync, .fresh, .fresh])
    #expect(plan.record.generation.requiredCount == 2)
    #expect(legs.refusal([0, 1]) == .unreached)
  }

  @Test func `legs that are equal, says the operator, are in sync at once`() throws {
    var legs = OpeningLegs()
    legs.records = [nil, nil, nil]
    legs.wish.areEqual = true
    legs.wish.required = .all
    let plan = try legs.open()
    #expect(plan.record.generation.members.allSatisfy { $0.state == .inSync })
    #expect(plan.record.generation.requiredCount == 3)
  }

  @Test func `without marks all are equal still`() throws {
    let plan = try OpeningLegs().open()
    #expect(plan.record.generation.members.allSatisfy { $0.state == .inSync })
    #expect(plan.record.generation.counter == 8)
    #expect(plan.record.generation.ancestors == [70, 60, 50])
  }

  @Test func `what was open when the mirror stopped is made equal to one leg`() throws {
    var legs = OpeningLegs()
    legs.marked = [0, 3, 0]
    #expect(try legs.states() == [.inSync, .unequal, .unequal])
  }

  @Test func `marks on an absent leg's account say nothing of legs that were ended in order`()
    throws
  {
    var legs = OpeningLegs([.inSync, .inSync, .absent])
    legs.marked = [5, 5, 0]
    legs.records[0]?.isClosed = true
    #expect(try legs.states([0, 1]) == [.inSync, .unequal, .absent])
    legs.records[1]?.isClosed = true
    #expect(try legs.states([0, 1]) == [.inSync, .inSync, .absent])
  }

  @Test func `a leg that lost its power lacks what it never flushed, where another didn't`() throws
  {
    var legs = OpeningLegs()
    legs.marked = [4, 4, 4]
    legs.isIntact = [false, true, false]
    // One that has everything is too few of three: the others get it first.
    #expect(try legs.states() == [.stale, .inSync, .stale])
  }

  @Test func `who was called lost has what another lost with its power before it stored that`()
    throws
  {
    var legs = OpeningLegs([.inSync, .inSync, .stale], required: 1)
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
    var legs = OpeningLegs([.inSync, .inSync, .fresh], required: 1)
    legs.marked = [4, 4, 4]
    legs.isIntact = [true, false, true]
    // The third is taken in, which the first never stored; that is called lost, and the second
    // loses its power.
    for leg in [1, 2] { legs.advance(leg, id: 80, [.inSync, .inSync, .stale]) }
    legs.advance(2, id: 90, [.absent, .inSync, .stale])
    #expect(try legs.states() == [.inSync, .stale, .fresh])
  }

  @Test func `fewer legs are asked for only where as many as before agree`() throws {
    var legs = OpeningLegs(required: 2)
    legs.wish.required = .count(1)
    #expect(legs.refusal([0]) != nil)
    #expect(try legs.open([0, 1]).record.generation.requiredCount == 1)
    legs = OpeningLegs(required: 3)
    legs.wish.required = .count(1)
    #expect(legs.refusal([0, 1]) == .tooFew)
    legs.wish.kept = 0
    #expect(try legs.open([0, 1]).record.generation.requiredCount == 1)
  }

  @Test func `where all lost their power one of them is right`() throws {
    var legs = OpeningLegs()
    legs.marked = [4, 4, 4]
    legs.isIntact = [false, false, false]
    #expect(try legs.states() == [.inSync, .unequal, .unequal])
    // Who is away may not have lost its own.
    #expect(legs.refusal([0, 1]) == .missing)
  }

  @Test func `an absent leg that alone suffices might be ahead`() throws {
    #expect(OpeningLegs(required: 1).refusal([0, 1]) == .missing)
    #expect(try OpeningLegs(required: 2).states([0, 1]) == [.inSync, .inSync, .absent])
    #expect(OpeningLegs(required: 2).refusal([0]) == .missing)
    #expect(OpeningLegs(required: 3).refusal([0, 1]) == .tooFew)
  }

  @Test func `a leg that nobody names is not left behind in silence`() throws {
    var legs = OpeningLegs()
    legs.wish.labels = ["a", "b"]
    #expect(legs.refusal([0, 1]) == .unnamed)
    legs.wish.kept = 0
    #expect(try legs.states([0, 1]) == [.inSync, .stale, .absent])
  }

  @Test func `one disk under two names is refused`() {
    var legs = OpeningLegs()
    legs.records[2] = legs.records[0]
    #expect(legs.refusal() == .otherMirror)
    #expect(legs.refusal([0, 1]) == nil)
  }

  @Test func `a former member is refused, or left out by whoever could not know`() throws {
    var legs = OpeningLegs()
    for leg in [0, 1] {
      legs.advance(leg, id: 80, [.inSync, .inSync, .absent])
      legs.records[leg]?.generation.members.removeLast()
    }
    #expect(legs.refusal() == .otherMirror)
    legs.wish.leavesOutFormer = true
    #expect(try legs.states() == [.inSync, .inSync])
    #expect(try legs.open().former == LegSet(2))
  }

  @Test func `a leg that was absent before may be left out`() throws {
    var legs = OpeningLegs()
    for leg in [0, 1] { legs.advance(leg, id: 80, [.inSync, .inSync, .absent]) }
    legs.wish.labels = ["a", "b"]
    #expect(try legs.states([0, 1]) == [.inSync, .inSync, .absent])
    // By another address than the mirror knows, it is here all the same.
    legs.wish.labels = ["x", "y"]
    #expect(try legs.states([0, 1]) == [.inSync, .inSync, .absent])
    // A name by which another member is reached is that one's.
    legs = OpeningLegs()
    legs.wish.labels = ["a", "c"]
    #expect(legs.refusal([0, 1]) == .unnamed)
    for leg in [0, 1] { legs.advance(leg, id: 80, [.inSync, .inSync, .absent]) }
    legs.isIntact = [false, false, true]
    legs.records[1] = nil
    #expect(legs.refusal([0]) == .unnamed)
  }

  @Test func `whoever was away is stale, whatever its own record says`() throws {
    var legs = OpeningLegs()
    for leg in [0, 1] { legs.advance(leg, id: 80, [.inSync, .inSync, .absent]) }
    #expect(try legs.states() == [.inSync, .inSync, .stale])
    #expect(try legs.states([1, 2]) == [.absent, .inSync, .stale])
    #expect(legs.refusal([2]) == .missing)
  }

  @Test func `a leg that is away since long before is known by those that went on`() throws {
    var legs = OpeningLegs()
    for id in UInt64(100)..<140 {
      for leg in [0, 1] { legs.advance(leg, id: id, [.inSync, .inSync, .absent]) }
    }
    let plan = try legs.open()
    #expect(plan.record.generation.members.map(\.state) == [.inSync, .inSync, .stale])
  }

  @Test func `two that went on alone are refused, and each is named`() throws {
    var legs = OpeningLegs(required: 1)
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
    var legs = OpeningLegs(required: 1)
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
    var legs = OpeningLegs()
    #expect(legs.refusal([2]) == .missing)
    legs.wish.kept = 2
    let plan = try legs.open([2])
    #expect(plan.record.generation.members.map(\.state) == [.absent, .absent, .inSync])
    #expect(plan.record.generation.requiredCount == 1)
  }

  @Test func `a generation that not all of its members stored binds nobody`() throws {
    // One leg was told that the third is gone; the initiator died before the second was.
    var legs = OpeningLegs()
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
    var legs = OpeningLegs()
    legs.records[1]?.name = "n"
    #expect(legs.refusal() == .otherMirror)
    legs = OpeningLegs()
    legs.records[1]?.mirror = 98
    #expect(legs.refusal() == .otherMirror)
    legs = OpeningLegs()
    legs.records[1] = nil
    // A member's new disk is as one that isn't there; another one would be a new member.
    #expect(try legs.states() == [.inSync, .absent, .inSync])
    #expect(try legs.open().blank == LegSet(1))
    legs.wish.labels[1] = "d"
    #expect(legs.refusal() == .blank)
    legs.wish.labels[1] = "b"
    legs.wish.added = LegSet(1)
    // It takes the place of the member that was reached there, and is compared as a whole.
    #expect(try legs.states() == [.inSync, .fresh, .inSync])
  }

  @Test func `named legs are needed, however many others are here`() throws {
    var legs = OpeningLegs(required: 1)
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
    var legs = OpeningLegs()
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

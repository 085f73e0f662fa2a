import Testing

@testable import Replication

/// Who is right in all of a region.
@Suite struct VerifiedRegionTests {
  private static let each = [LegSet(0), LegSet(1), LegSet(2)]

  @Test func `where as many have something else the first is right`() {
    let region = VerifiedRegion(groups: Self.each, candidates: LegSet([0, 1, 2]))
    #expect(region.right == LegSet(0))
  }

  @Test func `another piece decides between legs that are as good as each other`() {
    var region = VerifiedRegion(groups: Self.each, candidates: LegSet([0, 1, 2]))
    region.narrow([LegSet(0), LegSet([1, 2])], LegSet([1, 2]))
    #expect(region.right == LegSet(1))
    region.narrow([LegSet([0, 2]), LegSet(1)], LegSet([0, 2]))
    #expect(region.right == LegSet(2))
  }

  @Test func `legs that are equal in all pieces are right together`() {
    var region = VerifiedRegion(
      groups: [LegSet([0, 1, 2]), LegSet(3)], candidates: LegSet([0, 1, 2]))
    region.narrow([LegSet(0), LegSet([1, 2, 3])], LegSet([1, 2, 3]))
    #expect(region.right == LegSet([1, 2]))
  }

  @Test func `a leg that is lost between two pieces is right nowhere`() {
    var region = VerifiedRegion(groups: [LegSet([0, 1]), LegSet(2)], candidates: LegSet([0, 1]))
    region.narrow([LegSet(1), LegSet(2)], LegSet([1, 2]))
    #expect(region.right == LegSet(1))
  }

  @Test func `a leg that is right here and wrong there is right nowhere`() {
    var region = VerifiedRegion(groups: [LegSet([0, 1]), LegSet(2)], candidates: LegSet([0, 1]))
    region.narrow([LegSet(0), LegSet([1, 2])], LegSet([1, 2]))
    region.narrow([LegSet([0, 2]), LegSet(1)], LegSet([0, 2]))
    #expect(region.right.isEmpty)
  }
}

import Testing

@testable import Replication

/// Regions in and out of a set, across words.
@Suite struct RegionMapTests {
  @Test func `ranges are told in order, a few at a time, none next to another`() {
    var map = RegionMap(regionCount: 200)
    map.insert(3..<5)
    map.insert(5)
    map.insert(60..<130)
    map.insert(199)
    #expect(map.count == 74)
    #expect(map.ranges().ranges == [3..<6, 60..<130, 199..<200])
    let some = map.ranges(from: 4, max: 1)
    #expect(some.ranges == [4..<6])
    #expect(some.next == 60)
    #expect(map.ranges(from: 60, max: 2).next == nil)
    #expect(map.ranges(from: 200).ranges == [])
    #expect(map.contains(60..<130))
    #expect(!map.contains(59..<61))
  }

  @Test func `a map that is full has all regions and none behind the last`() {
    for count in [1, 63, 64, 65, 128, 1000] {
      var map = RegionMap(regionCount: count, isFull: true)
      #expect(map.count == count)
      #expect(map.ranges().ranges == [0..<count])
      map.setWord(map.words.count - 1, .max)
      #expect(map.count == count)
      map.remove(0..<count)
      #expect(map.isEmpty)
      #expect(map.first() == nil)
    }
  }

  @Test func `union, intersection and difference are those of sets, with their counts`() {
    var random = SeededRandom(7)
    for _ in 0..<50 {
      let one = Set((0..<40).map { _ in Int.random(in: 0..<150, using: &random) })
      let other = Set((0..<40).map { _ in Int.random(in: 0..<150, using: &random) })
      func map(_ set: Set<Int>) -> RegionMap {
        var map = RegionMap(regionCount: 150)
        for region in set { map.insert(region) }
        return map
      }
      var union = map(one)
      union.formUnion(map(other))
      var common = map(one)
      common.formIntersection(map(other))
      var rest = map(one)
      rest.subtract(map(other))
      let isUnion = union == map(one.union(other))
      let isCommon = common == map(one.intersection(other))
      let isRest = rest == map(one.subtracting(other))
      #expect(isUnion && isCommon && isRest)
    }
  }
}

// One bit for each region of a disk: which ones may differ, were touched, have open writes.
//
// Words of 64 bits, so that a whole disk is looked through in microseconds: what a leg clears every
// few seconds is found by a handful of operations on each word, not by lists that would have to be
// kept in order while writes come.

/// A set of the regions of one disk.
package struct RegionMap: Sendable, Equatable {
  package private(set) var words: [UInt64]
  package let regionCount: Int
  /// Regions in the set.
  package private(set) var count = 0

  /// Takes the memory for all regions at once.
  package init(regionCount: Int, isFull: Bool = false) {
    precondition((1...RegionLayout.regionsMax).contains(regionCount), "a disk has regions")
    words = [UInt64](repeating: 0, count: (regionCount + 63) / 64)
    self.regionCount = regionCount
    if isFull { insert(0..<regionCount) }
  }

  package var isEmpty: Bool { count == 0 }

  package func contains(_ region: Int) -> Bool {
    words[region >> 6] & (1 << UInt64(region & 63)) != 0
  }

  /// Whether all of these are in the set.
  package func contains(_ regions: Range<Int>) -> Bool {
    for region in regions where !contains(region) { return false }
    return true
  }

  /// Returns whether the region is new in the set.
  @discardableResult
  package mutating func insert(_ region: Int) -> Bool {
    precondition(region < regionCount, "no such region")
    let bit: UInt64 = 1 << UInt64(region & 63)
    guard words[region >> 6] & bit == 0 else { return false }
    words[region >> 6] |= bit
    count += 1
    return true
  }

  package mutating func insert(_ regions: Range<Int>) {
    for region in regions { insert(region) }
  }

  /// Returns whether the region was in the set.
  @discardableResult
  package mutating func remove(_ region: Int) -> Bool {
    let bit: UInt64 = 1 << UInt64(region & 63)
    guard words[region >> 6] & bit != 0 else { return false }
    words[region >> 6] &= ~bit
    count -= 1
    return true
  }

  package mutating func remove(_ regions: Range<Int>) {
    for region in regions { remove(region) }
  }

  package mutating func removeAll() {
    guard count > 0 else { return }
    for index in words.indices { words[index] = 0 }
    count = 0
  }

  package mutating func formUnion(_ other: RegionMap) {
    combine(other) { $0 | $1 }
  }

  package mutating func formIntersection(_ other: RegionMap) {
    combine(other) { $0 & $1 }
  }

  package mutating func subtract(_ other: RegionMap) {
    combine(other) { $0 & ~$1 }
  }

  private mutating func combine(_ other: RegionMap, _ operation: (UInt64, UInt64) -> UInt64) {
    precondition(other.regionCount == regionCount, "maps of two disks")
    count = 0
    for index in words.indices {
      words[index] = operation(words[index], other.words[index])
      count += words[index].nonzeroBitCount
    }
  }

  /// Sets one word of 64 regions; bits behind the last region are nothing.
  mutating func setWord(_ index: Int, _ word: UInt64) {
    let room = regionCount - index * 64
    let kept = room >= 64 ? word : word & ((1 << UInt64(room)) - 1)
    count += kept.nonzeroBitCount - words[index].nonzeroBitCount
    words[index] = kept
  }

  /// The first region of the set at or after `start`, nil when there is none.
  package func first(from start: Int = 0) -> Int? {
    scan(from: start) { $0 }
  }

  /// The end of the run of regions in the set that begins at `start`.
  package func runEnd(from start: Int) -> Int {
    scan(from: start) { ~$0 } ?? regionCount
  }

  private func scan(from start: Int, _ look: (UInt64) -> UInt64) -> Int? {
    guard start < regionCount else { return nil }
    var index = start >> 6
    var word = look(words[index]) & (UInt64.max << UInt64(start & 63))
    while word == 0 {
      index += 1
      guard index < words.count else { return nil }
      word = look(words[index])
    }
    let region = index * 64 + word.trailingZeroBitCount
    return region < regionCount ? region : nil
  }

  /// At most `max` ranges of the set from a region on, in order, none next to another, and where
  /// to ask on; nil when there are no more.
  package func ranges(from start: Int = 0, max: Int = .max) -> (ranges: [Range<Int>], next: Int?) {
    var found: [Range<Int>] = []
    var next = first(from: start)
    while let region = next, found.count < max {
      let end = runEnd(from: region)
      found.append(region..<end)
      next = first(from: end)
    }
    return (found, next)
  }
}

// Sequential writing is foreseen: who writes region after region would wait for a flush at each
// one's border. So a few regions on are marked in the same round, and more of them as soon as the
// last half of those is entered, while the writes go on: a flush's time is hidden as long as it is
// less than what half of them takes to write (four regions of 4 MiB: 16 MiB).
//
// What is marked and never written costs a comparison after a crash, and goes with the next
// clearing. Several streams are followed, since hosts have more than one file; the one that was
// begun first gives way.

/// What to mark beside what must be.
struct MarkAhead: Sendable {
  /// Regions that are marked ahead of a sequential writer.
  static let regionCount = 8
  static let streamsMax = 4

  let regionsMax: Int
  private var streams = [MarkStream](repeating: MarkStream(), count: streamsMax)
  private var oldest = 0

  /// - Parameter regionCount: the disk's.
  init(regionCount: Int) { regionsMax = regionCount }

  /// A store needs marks for these. Returns what to mark.
  mutating func needed(_ regions: Range<Int>) -> Range<Int> {
    for index in streams.indices {
      let marked = streams[index].marked
      guard marked.lowerBound <= regions.lowerBound, regions.lowerBound <= marked.upperBound,
        !marked.isEmpty
      else { continue }
      // It asks again, or its marks were taken away meanwhile.
      if regions.upperBound <= marked.upperBound { return regions }
      streams[index].extend(
        from: regions.lowerBound, to: regions.upperBound + Self.regionCount, max: regionsMax)
      return regions.lowerBound..<streams[index].marked.upperBound
    }
    streams[oldest] = MarkStream(marked: regions)
    oldest = (oldest + 1) % Self.streamsMax
    return regions
  }

  /// A store goes on in regions that are marked. Returns what to mark meanwhile, if anything.
  mutating func entered(_ regions: Range<Int>) -> Range<Int>? {
    for index in streams.indices
    where regions.upperBound > streams[index].trigger
      && regions.lowerBound < streams[index].marked.upperBound
    {
      let end = streams[index].marked.upperBound
      streams[index].extend(from: regions.lowerBound, to: end + Self.regionCount, max: regionsMax)
      let next = end..<streams[index].marked.upperBound
      return next.isEmpty ? nil : next
    }
    return nil
  }
}

/// One sequential writer.
private struct MarkStream: Sendable {
  /// What it was given last, with what is marked ahead.
  var marked = 0..<0
  /// Whoever enters this region or a later one of `marked` gets more.
  var trigger = Int.max

  mutating func extend(from start: Int, to end: Int, max: Int) {
    let end = min(end, max)
    marked = start..<end
    trigger = end < max ? end - MarkAhead.regionCount / 2 : .max
  }
}

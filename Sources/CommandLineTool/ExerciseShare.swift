// Several exercises on one mirror at once, each from an initiator of its own: the disk is cut into
// chunks, far smaller than the regions in which a mirror orders its initiators, so that they meet
// all the time. Each has chunks of its own, in which it judges what it reads; and some are of all,
// where nobody knows whose write is the last one, but all legs have to hold the same in the end.
import Mirrorcast

/// Which sectors an exercise writes: `I/N`, the I-th of N.
struct ExerciseShare: Sendable {
  static let whole = ExerciseShare(index: 0, count: 1)
  /// Sectors of a chunk.
  static let chunkSectors = 64
  private static let countMax = 16

  let index: Int
  let count: Int

  private init(index: Int, count: Int) {
    self.index = index
    self.count = count
  }

  init(parsing text: String) throws(MirrorcastError) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let index = parts[0], let count = parts[1],
      (2...Self.countMax).contains(count), (1...count).contains(index)
    else {
      throw MirrorcastError(
        "'\(text)' is no share", advice: "Write I/N, such as 1/2 and 2/2 for two initiators.")
    }
    self.init(index: index - 1, count: count)
  }

  var isWhole: Bool { count == 1 }

  /// The longest write, in sectors.
  var lengthMax: Int { isWhole ? .max : Self.chunkSectors }

  /// Whether nobody else writes there.
  func owns(_ sector: Int) -> Bool { isWhole || kind(sector) == index }

  private func kind(_ sector: Int) -> Int { sector / Self.chunkSectors % (count + 1) }

  /// Where a write may be that was to begin at a sector: in a chunk of its own, or in everybody's.
  func place(_ sectors: Range<Int>, of all: Int) -> Range<Int> {
    guard !isWhole else { return sectors }
    var chunk = sectors.lowerBound / Self.chunkSectors
    let chunks = max(all / Self.chunkSectors, 1)
    for _ in 0...count
    where kind(chunk * Self.chunkSectors) != index
      && kind(chunk * Self.chunkSectors) != count
    { chunk = (chunk + 1) % chunks }
    let length = min(sectors.count, Self.chunkSectors)
    let inside = sectors.lowerBound % (Self.chunkSectors - length + 1)
    let first = min(chunk * Self.chunkSectors + inside, all - length)
    return first..<first + length
  }
}

import Bytes

/// Which blocks of a write are missing, one bit each, with the count of them kept.
package struct BlockBitmap: Sendable, Equatable {
  package private(set) var words: [UInt64]
  /// Blocks of the write now tracked.
  package private(set) var blockCount = 0
  package private(set) var missingCount = 0

  /// Takes the memory for `capacity` blocks at once; tracking starts with `restart`.
  package init(capacity: Int) {
    words = [UInt64](repeating: 0, count: (capacity + 63) / 64)
  }

  /// Tracks a write of `blockCount` blocks, all missing.
  package mutating func restart(blockCount: Int, allMissing: Bool = true) {
    precondition(blockCount <= words.count * 64, "more blocks than the bitmap holds")
    self.blockCount = blockCount
    missingCount = allMissing ? blockCount : 0
    for index in words.indices {
      let below = min(max(blockCount - index * 64, 0), 64)
      words[index] = !allMissing || below == 0 ? 0 : UInt64.max >> (64 - UInt64(below))
    }
  }

  package func isMissing(_ block: Int) -> Bool {
    words[block >> 6] & (1 << UInt64(block & 63)) != 0
  }

  /// Marks a block as there. Returns whether it was missing.
  package mutating func markPresent(_ block: Int) -> Bool {
    guard isMissing(block) else { return false }
    words[block >> 6] &= ~(1 << UInt64(block & 63))
    missingCount -= 1
    return true
  }

  /// Marks blocks as there, all of which are missing.
  package mutating func markPresent(_ blocks: Range<Int>) {
    var block = blocks.lowerBound
    while block < blocks.upperBound {
      let end = min((block >> 6 + 1) << 6, blocks.upperBound)
      let mask = (UInt64.max >> UInt64(64 - (end - block))) << UInt64(block & 63)
      precondition(words[block >> 6] & mask == mask, "a block that is there already")
      words[block >> 6] &= ~mask
      block = end
    }
    missingCount -= blocks.count
  }

  /// How many blocks from `start` on are missing, none present between them; at most `most`.
  package func missingRun(from start: Int, most: Int) -> Int {
    let end = min(start + most, blockCount)
    var block = start
    while block < end {
      // Of one word; zeros that are shifted in stand behind its end.
      let run = (~words[block >> 6] >> UInt64(block & 63)).trailingZeroBitCount
      let room = 64 - block & 63
      guard run >= room else { return min(block + run, end) - start }
      block += room
    }
    return max(end - start, 0)
  }

  /// Marks a block as missing.
  package mutating func markMissing(_ block: Int) {
    precondition(block < blockCount, "no such block")
    guard !isMissing(block) else { return }
    words[block >> 6] |= 1 << UInt64(block & 63)
    missingCount += 1
  }

  /// The first missing block at or after `start`, nil when there is none.
  package func firstMissing(from start: Int = 0) -> Int? {
    guard start < blockCount else { return nil }
    var index = start >> 6
    var word = words[index] & (UInt64.max << UInt64(start & 63))
    while word == 0 {
      index += 1
      guard index * 64 < blockCount else { return nil }
      word = words[index]
    }
    return index * 64 + word.trailingZeroBitCount
  }

  /// The last block that is there, -1 when there is none.
  package var lastPresent: Int {
    var block = blockCount - 1
    while block >= 0, isMissing(block) { block -= 1 }
    return block
  }

  /// The last missing block, nil when there is none.
  package var lastMissing: Int? {
    for index in words.indices.reversed() where words[index] != 0 {
      return index * 64 + 63 - words[index].leadingZeroBitCount
    }
    return nil
  }

  /// Tracks only the first `count` blocks from now on. False when one that would be cut off is
  /// there already.
  package mutating func narrow(to count: Int) -> Bool {
    precondition(count <= blockCount, "a bitmap only grows by `restart`")
    let cut = blockCount - count
    var missingBeyond = 0
    for index in (count >> 6)..<words.count {
      let kept: UInt64 = index == count >> 6 ? (1 << UInt64(count & 63)) - 1 : 0
      missingBeyond += (words[index] & ~kept).nonzeroBitCount
      words[index] &= kept
    }
    blockCount = count
    missingCount -= missingBeyond
    return missingBeyond == cut
  }

  /// Marks blocks that another bitmap of the same write misses as missing, too.
  package mutating func formUnion(_ other: BlockBitmap) {
    precondition(other.blockCount == blockCount, "bitmaps of two writes")
    missingCount = 0
    for index in words.indices {
      if index < other.words.count { words[index] |= other.words[index] }
      missingCount += words[index].nonzeroBitCount
    }
  }

  /// Marks the blocks that another bitmap of the same write misses as present.
  package mutating func subtract(_ other: BlockBitmap) {
    precondition(other.blockCount == blockCount, "bitmaps of two writes")
    missingCount = 0
    for index in words.indices {
      if index < other.words.count { words[index] &= ~other.words[index] }
      missingCount += words[index].nonzeroBitCount
    }
  }

  /// As on the wire: block n is bit 7 − n mod 8 of byte n ÷ 8, 1 for missing.
  package func serialize() -> [UInt8] { serialize(first: blockCount) }

  /// The same of the first `count` blocks; the bits that fill up the last byte are blocks', too,
  /// where there are blocks.
  package func serialize(first count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: (count + 7) / 8)
    let end = min(bytes.count * 8, blockCount)
    var next = firstMissing()
    while let block = next, block < end {
      bytes[block >> 3] |= 0x80 >> UInt8(block & 7)
      next = firstMissing(from: block + 1)
    }
    return bytes
  }

  /// Reads what a leg lacks of a write whose length it doesn't know: what its bitmap doesn't reach
  /// is missing, what it names beyond the write's end is nothing. Nil when it is too long.
  package init?(reaching bytes: RawSpan, blockCount: Int, capacity: Int) {
    guard bytes.byteCount <= (capacity + 7) / 8 else { return nil }
    self.init(capacity: blockCount)
    restart(blockCount: blockCount)
    for block in 0..<min(bytes.byteCount * 8, blockCount)
    where bytes.byte(at: block >> 3) & 0x80 >> UInt8(block & 7) == 0 {
      _ = markPresent(block)
    }
  }

  /// Reads a bitmap from the wire for a write of `blockCount` blocks; nil when its length is wrong
  /// or it names blocks that the write doesn't have.
  package init?(_ bytes: RawSpan, blockCount: Int) {
    guard bytes.byteCount == (blockCount + 7) / 8 else { return nil }
    self.init(capacity: blockCount)
    self.blockCount = blockCount
    for index in 0..<bytes.byteCount {
      var byte = bytes.byte(at: index)
      while byte != 0 {
        let bit = byte.leadingZeroBitCount
        let block = index * 8 + bit
        guard block < blockCount else { return nil }
        words[block >> 6] |= 1 << UInt64(block & 63)
        missingCount += 1
        byte &= ~(0x80 >> UInt8(bit))
      }
    }
  }
}

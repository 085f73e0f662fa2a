import Testing

@testable import Mirrorcast

@Suite struct `The pieces of a write` {
  @Test func `of one part are as long as may be, from its own beginning`() {
    let pieces = StripePieces(offset: 512, count: 2500, length: 1024, partCount: 1)
    let ranges = (0..<pieces.pieceCount).map { pieces[$0].range }
    #expect(ranges == [0..<1024, 1024..<2048, 2048..<2500])
    #expect((0..<pieces.pieceCount).allSatisfy { pieces[$0].part == 0 })
  }

  @Test func `of several parts end at the borders of stripes`() {
    let pieces = StripePieces(offset: 512 + 3 * 1024, count: 2500, length: 1024, partCount: 3)
    let found = (0..<pieces.pieceCount).map { pieces[$0] }
    #expect(found.map(\.range) == [0..<512, 512..<1536, 1536..<2500])
    #expect(found.map(\.part) == [0, 1, 2])
  }

  @Test(arguments: 1...5) func `are all of it, and each byte is always the same part's`(
    partCount: Int
  ) {
    var random = Seeded(UInt64(partCount))
    for _ in 0..<2000 {
      let length = UInt64.random(in: 1...9, using: &random)
      let offset = UInt64.random(in: 0...100, using: &random)
      let count = Int.random(in: 1...60, using: &random)
      let pieces = StripePieces(
        offset: offset, count: count, length: length, partCount: partCount)
      var next = 0
      for index in 0..<pieces.pieceCount {
        let (range, part) = pieces[index]
        #expect(range.lowerBound == next && !range.isEmpty && range.count <= Int(length))
        next = range.upperBound
        guard partCount > 1 else { continue }
        for byte in range {
          #expect(Int((offset + UInt64(byte)) / length % UInt64(partCount)) == part)
        }
      }
      #expect(next == count)
    }
  }
}

import SCSI
import Storage
import Testing

/// What a LUN in memory tells of its pages.
struct MemoryMapTests {
  private let size: UInt64 = 8 << 20

  private func extents(
    _ memory: MemoryBacking, _ offset: UInt64 = 0, _ end: UInt64? = nil, countMax: Int = 256
  ) throws -> [BackingExtent] {
    let range = ByteRange(offset: offset, length: (end ?? size) - offset)
    return try memory.extents(of: range, countMax: countMax)
  }

  /// Whether a byte is said to have space.
  private func isMapped(_ extents: [BackingExtent], _ byte: UInt64) -> Bool? {
    var offset: UInt64 = 0
    for extent in extents {
      offset += extent.length
      if byte < offset { return extent.isMapped }
    }
    return nil
  }

  @Test func `has space where something was written, and none where that was given back`() throws {
    let memory = try MemoryBacking(size: size)
    #expect(try extents(memory) == [BackingExtent(length: size, isMapped: false)])
    try memory.put([UInt8](repeating: 1, count: 1 << 20), at: 2 << 20)
    let written = try extents(memory)
    // The kernel may take larger pages than were asked for.
    #expect(isMapped(written, 2 << 20) == true && isMapped(written, (3 << 20) - 1) == true)
    #expect(isMapped(written, 6 << 20) == false)
    #expect(written.reduce(0) { $0 + $1.length } == size)
    _ = try memory.perform(.zero([ByteRange(offset: 2 << 20, length: 512 << 10)]))
    let zeroed = try extents(memory)
    #expect(isMapped(zeroed, 2 << 20) == false && isMapped(zeroed, (5 << 19) - 1) == false)
    #expect(isMapped(zeroed, 5 << 19) == true)
    // What is not asked for is not told.
    #expect(
      try extents(memory, (2 << 20) + 512, (2 << 20) + 1024)
        == [BackingExtent(length: 512, isMapped: false)])
    #expect(
      try extents(memory, (5 << 19) + 512, (5 << 19) + 8192)
        == [BackingExtent(length: 7680, isMapped: true)])
    #expect(try extents(memory, countMax: 1).count == 1)
    #expect(try memory.bytes(2 << 20, 4096).allSatisfy { $0 == 0 })
    _ = try memory.perform(.zero([ByteRange(offset: 0, length: size)]))
    #expect(try extents(memory) == [BackingExtent(length: size, isMapped: false)])
  }

  @Test func `of a large one a part is told at a time`() throws {
    let size: UInt64 = 1 << 40
    let memory = try MemoryBacking(size: size)
    try memory.put([1], at: (64 << 20) + 4096)
    let first = try extents(memory, 0, size)
    #expect(first == [BackingExtent(length: 64 << 20, isMapped: false)])
    let next = try extents(memory, 64 << 20, size)
    #expect(isMapped(next, 4096) == true)
    #expect(next.reduce(0) { $0 + $1.length } == 64 << 20)
  }
}

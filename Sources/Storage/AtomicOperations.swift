// What reads before it writes, and what tells of space instead of bytes.

import Glibc
import SCSI

extension BlockBacking {
  /// SBC-3 §5.3: writes the second half of `buffer` where the first half is what stands there.
  func compareAndWrite(
    _ range: ByteRange, _ buffer: UnsafeRawBufferPointer
  ) throws(StorageError) {
    let length = Int(range.length)
    precondition(buffer.count >= 2 * length, "a buffer shorter than its operation")
    // Safe: both halves lie within the buffer, whose length was just compared.
    try unsafe compare(range, with: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
    try unsafe write(
      UnsafeRawBufferPointer(rebasing: buffer[length..<2 * length]), at: range.offset)
  }

  /// SBC-3 §5.7: what stands there, ORed with `buffer`.
  func orWrite(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
    let scratch = Scratch(byteCountMax: UInt64(buffer.count))
    var done = 0
    while done < buffer.count {
      let count = min(scratch.byteCount, buffer.count - done)
      // Safe: count is at most the scratch's length and what is left of the buffer.
      let piece = unsafe scratch.prefix(count)
      try unsafe read(into: piece, at: offset + UInt64(done))
      for index in 0..<count { unsafe piece[index] |= buffer[done + index] }
      try unsafe write(UnsafeRawBufferPointer(piece), at: offset + UInt64(done))
      done += count
    }
  }

  /// GET LBA STATUS data in `buffer`: as many descriptors as it has room for.
  func tellAllocation(
    of range: ByteRange, blockLength: UInt32, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageError) {
    let countMax = LBAStatus.descriptorCount(in: buffer.count)
    let extents = try extents(of: range, countMax: countMax)
    var descriptors: [UInt8] = []
    for piece in BlockExtents(extents, from: range, blockLength: UInt64(blockLength))
      .pieces.prefix(countMax)
    {
      LBAStatus.append(piece.address, piece.count, isMapped: piece.isMapped, to: &descriptors)
    }
    let data = LBAStatus.data(descriptors)
    // Safe: no more is copied than the buffer has room for.
    unsafe buffer.copyBytes(from: data.prefix(buffer.count))
  }
}

/// Extents in blocks: a block that has some space has space.
struct BlockExtents {
  /// Blocks that are alike, as many as 32 bits count.
  struct Piece: Equatable {
    var address: UInt64
    var count: UInt32
    var isMapped: Bool
  }

  private(set) var pieces: [Piece] = []

  init(_ extents: [BackingExtent], from range: ByteRange, blockLength: UInt64) {
    var offset = range.offset
    var address = range.offset / blockLength
    for extent in extents {
      offset += extent.length
      let end = extent.isMapped ? (offset + blockLength - 1) / blockLength : offset / blockLength
      while address < end {
        let count = UInt32(clamping: end - address)
        append(Piece(address: address, count: count, isMapped: extent.isMapped))
        address += UInt64(count)
      }
    }
  }

  private mutating func append(_ piece: Piece) {
    if let last = pieces.last, last.isMapped == piece.isMapped,
      piece.count <= UInt32.max - last.count
    {
      pieces[pieces.count - 1].count += piece.count
    } else {
      pieces.append(piece)
    }
  }
}

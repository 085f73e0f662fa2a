import Glibc
package import SCSI

extension BlockBacking {
  /// Runs one operation; `buffer` holds its data, or receives it, and may be longer than needed.
  package func perform(
    _ operation: DiskOperation, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageError) {
    // Safe: the caller's buffer, passed on.
    guard let claim = operation.claim else { return try unsafe run(operation, buffer) }
    try exclusion.with(claim.range, alone: claim.isAlone) { () throws(StorageError) in
      try unsafe run(operation, buffer)
    }
  }

  /// Runs a read that the cache can serve, or a write that the cache takes, where no other
  /// operation has to be waited for; false, and nothing is done, for all else. Only a write may
  /// still wait, for a cache that has no room.
  package func performAtOnce(
    _ operation: DiskOperation, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageError) -> Bool {
    // Safe: `part` compares the range's length with the buffer's; the caller keeps the buffer.
    switch operation {
    case .read(let range):
      return try exclusion.withoutWaiting(range) { () throws(StorageError) in
        unsafe readAtHand(into: part(of: buffer, range), at: range.offset)
      }
    case .write(let range, isForced: false):
      return try exclusion.withoutWaiting(range) { () throws(StorageError) in
        try unsafe write(UnsafeRawBufferPointer(part(of: buffer, range)), at: range.offset)
        return true
      }
    default: return false
    }
  }

  private func run(
    _ operation: DiskOperation, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageError) {
    // Safe: `part` compares the range's length with the buffer's; the caller keeps the buffer.
    switch operation {
    case .read(let range):
      try unsafe read(into: part(of: buffer, range), at: range.offset)
    case .write(let range, let isForced), .writeAtomic(let range, let isForced):
      try unsafe write(UnsafeRawBufferPointer(part(of: buffer, range)), at: range.offset)
      if isForced { try flush() }
    case .orWrite(let range, let isForced):
      try unsafe orWrite(UnsafeRawBufferPointer(part(of: buffer, range)), at: range.offset)
      if isForced { try flush() }
    case .compareAndWrite(let range, let isForced):
      try unsafe compareAndWrite(range, UnsafeRawBufferPointer(buffer))
      if isForced { try flush() }
    case .writeAndCompare(let range):
      try unsafe write(UnsafeRawBufferPointer(part(of: buffer, range)), at: range.offset)
      try flush()
      try unsafe compare(range, with: UnsafeRawBufferPointer(part(of: buffer, range)))
    case .compare(let range):
      try unsafe compare(range, with: UnsafeRawBufferPointer(part(of: buffer, range)))
    case .verify(let range): try unsafe compare(range, with: nil)
    case .fill(let range): try unsafe fill(range, with: UnsafeRawBufferPointer(buffer))
    case .zero(let ranges): for range in ranges { try zero(range) }
    case .prefetch(let range): prefetch(range)
    case .allocation(let range, let blockLength):
      try unsafe tellAllocation(of: range, blockLength: blockLength, into: buffer)
    case .flush: try flush()
    }
  }

  private func part(
    of buffer: UnsafeMutableRawBufferPointer, _ range: ByteRange
  ) -> UnsafeMutableRawBufferPointer {
    precondition(range.length <= UInt64(buffer.count), "a buffer shorter than its operation")
    // Safe: the length was compared with the buffer's just above.
    return unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(range.length)])
  }

  /// Reads the range through, comparing it with `expected` where there is something to compare.
  func compare(
    _ range: ByteRange, with expected: UnsafeRawBufferPointer?
  ) throws(StorageError) {
    let scratch = Scratch(byteCountMax: range.length)
    var done: UInt64 = 0
    while done < range.length {
      let count = min(scratch.byteCount, Int(range.length - done))
      // Safe: count is at most the scratch's length and what is left of `expected`.
      let piece = unsafe scratch.prefix(count)
      try unsafe read(into: piece, at: range.offset + done)
      if let expected = unsafe expected {
        let wanted = unsafe UnsafeRawBufferPointer(
          rebasing: expected[Int(done)..<Int(done) + count])
        if let index = unsafe firstDifference(UnsafeRawBufferPointer(piece), wanted) {
          throw .differs(offset: done + UInt64(index))
        }
      }
      done += UInt64(count)
    }
  }

  /// The block in `pattern` again and again; a block of zeros gives its space back.
  private func fill(
    _ range: ByteRange, with pattern: UnsafeRawBufferPointer
  ) throws(StorageError) {
    // Safe: reads within the pattern, whose count it knows.
    if unsafe pattern.allSatisfy({ $0 == 0 }) { return try zero(range) }
    try unsafe overwrite(range, with: pattern)
  }

  /// The block in `pattern` again and again, zeros written like all others.
  package func overwrite(
    _ range: ByteRange, with pattern: UnsafeRawBufferPointer
  ) throws(StorageError) {
    // Safe: copies within the scratch, whose count it knows.
    precondition(
      range.length % UInt64(pattern.count) == 0, "a pattern that doesn't fit its range")
    let scratch = Scratch(byteCountMax: range.length)
    let chunk = scratch.byteCount - scratch.byteCount % pattern.count
    precondition(chunk > 0, "a pattern longer than the scratch")
    for offset in stride(from: 0, to: chunk, by: pattern.count) {
      unsafe UnsafeMutableRawBufferPointer(rebasing: scratch.prefix(chunk)[offset...])
        .copyMemory(from: pattern)
    }
    var done: UInt64 = 0
    while done < range.length {
      let count = min(chunk, Int(range.length - done))
      try unsafe write(UnsafeRawBufferPointer(scratch.prefix(count)), at: range.offset + done)
      done += UInt64(count)
    }
  }

  /// Zeros, written: for a backing that has no quicker way.
  func writeZeros(_ range: ByteRange) throws(StorageError) {
    let scratch = Scratch(byteCountMax: range.length)
    var done: UInt64 = 0
    while done < range.length {
      let count = min(scratch.byteCount, Int(range.length - done))
      // Safe: count is at most the scratch's length.
      try unsafe write(UnsafeRawBufferPointer(scratch.prefix(count)), at: range.offset + done)
      done += UInt64(count)
    }
  }
}

/// Where two buffers of one length differ first.
private func firstDifference(
  _ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer
) -> Int? {
  guard let left = one.baseAddress, let right = other.baseAddress else { return nil }
  precondition(one.count == other.count, "buffers of two lengths compared")
  // Safe: both are as long as the count that was just compared.
  guard unsafe memcmp(left, right, one.count) != 0 else { return nil }
  return unsafe zip(one, other).enumerated().first { $1.0 != $1.1 }?.offset
}

/// Zeroed memory for the rare operations that need some of their own.
@safe struct Scratch: ~Copyable {
  private let memory: UnsafeMutableRawBufferPointer

  init(byteCountMax: UInt64) {
    let count = Int(min(byteCountMax, 256 << 10))
    // Safe: ours alone until deinit; filled before anyone reads it.
    unsafe memory = .allocate(byteCount: count, alignment: 4096)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit {
    // Safe: allocated in init, released once.
    unsafe memory.deallocate()
  }

  var byteCount: Int { unsafe memory.count }

  func prefix(_ count: Int) -> UnsafeMutableRawBufferPointer {
    // Safe: slicing checks the count; callers use it before the scratch ends.
    unsafe UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
  }
}

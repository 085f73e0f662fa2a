import CDigest
import Glibc
package import SCSI

/// A LUN in anonymous memory: gone with the process, and as fast as a copy.
@safe package final class MemoryBacking: BlockBacking {
  /// A larger disk's bytes are not in the cache when they are written, and need not be afterwards.
  private static let cachedByteCountMax: UInt64 = 16 << 20
  /// Shorter pieces are quicker by the cache.
  private static let pieceByteCountMin = 512
  /// How much of the disk one question for its map is answered for: it is asked on an event loop.
  private static let mapByteCountMax: UInt64 = 64 << 20
  private static let pageLength = UInt64(sysconf(Int32(_SC_PAGESIZE)))

  package let byteCount: UInt64
  package let exclusion = RangeExclusion()
  package let isThin: Bool
  package let isInline = true
  // Safe: mapped in init, unmapped in deinit; every access is compared with byteCount first.
  // Overlapping accesses of two threads mix bytes, as the protocol allows, and nothing else.
  nonisolated(unsafe) private let memory: UnsafeMutableRawPointer

  package init(size: UInt64, isThin: Bool = true) throws(BackingRefusal) {
    self.isThin = isThin
    guard size > 0, size % 512 == 0, let length = Int(exactly: size) else {
      throw BackingRefusal("memory", "\(size) bytes make no disk: a multiple of 512 does")
    }
    // Safe: a fresh mapping; MAP_FAILED is told by its all-ones address.
    let mapping = unsafe mmap(
      nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else {
      throw BackingRefusal("memory", "\(size) bytes can't be had: \(words(of: errno))")
    }
    // Safe: advice about our own mapping, which may be ignored. Large pages cost fewer faults and
    // walks; only where they would be refused is there nothing to gain.
    unsafe _ = madvise(mapping, length, MADV_HUGEPAGE)
    unsafe memory = mapping
    byteCount = size
  }

  deinit {
    // Safe: mapped in init with this length; nobody holds a pointer into it.
    unsafe _ = munmap(memory, Int(byteCount))
  }

  package func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(StorageError) {
    requireInside(offset, buffer.count)
    // Safe: both ranges were compared with their owners' lengths.
    unsafe buffer.copyMemory(
      from: UnsafeRawBufferPointer(start: memory + Int(offset), count: buffer.count))
  }

  package func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
    requireInside(offset, buffer.count)
    guard let source = buffer.baseAddress else { return }
    // Safe: both ranges were compared with their owners' lengths.
    unsafe (memory + Int(offset)).copyMemory(from: source, byteCount: buffer.count)
  }

  /// Puts bytes in that come one piece after the other, past the cache where the disk is larger
  /// than that: `finishPlacing` before anybody is told of them.
  package func place(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) {
    requireInside(offset, bytes.count)
    guard let source = bytes.baseAddress else { return }
    // Safe: both ranges were compared with their owners' lengths.
    if goesPastCache(pieceByteCount: bytes.count) {
      unsafe mirrorcast_copy_past_cache(memory + Int(offset), source, bytes.count)
    } else {
      unsafe (memory + Int(offset)).copyMemory(from: source, byteCount: bytes.count)
    }
  }

  /// The bytes of a range, for who places more than one piece in it.
  @unsafe package func place(at offset: UInt64, byteCount: Int) -> UnsafeMutableRawBufferPointer {
    requireInside(offset, byteCount)
    // Safe: the range was compared with the disk's.
    return unsafe UnsafeMutableRawBufferPointer(start: memory + Int(offset), count: byteCount)
  }

  /// Whether such pieces are better copied past the cache.
  package func goesPastCache(pieceByteCount: Int) -> Bool {
    byteCount >= Self.cachedByteCountMax && pieceByteCount >= Self.pieceByteCountMin
  }

  /// Makes what was placed visible to other threads.
  package static func finishPlacing() { mirrorcast_copy_fence() }

  package func flush() {}

  package func zero(_ range: ByteRange) throws(StorageError) {
    requireInside(range.offset, Int(range.length))
    let page = Self.pageLength
    let first = min((range.offset + page - 1) / page * page, range.end)
    let last = max(range.end / page * page, first)
    clear(range.offset, to: first)
    // Safe: whole pages inside the mapping; private anonymous pages come back as zeros.
    if last > first, unsafe madvise(memory + Int(first), Int(last - first), MADV_DONTNEED) != 0 {
      clear(first, to: last)
    }
    clear(last, to: range.end)
  }

  /// By the kernel's own map of our pages: one that is neither in memory nor swapped out was never
  /// written, or was given back, and reads as zeros. All counts as mapped where that can't be had.
  package func extents(
    of range: ByteRange, countMax: Int
  ) throws(StorageError) -> [BackingExtent] {
    requireInside(range.offset, Int(range.length))
    let page = Self.pageLength
    let first = range.offset / page
    let end = min(range.end, (first * page) + Self.mapByteCountMax)
    let entries = pageEntries(first, count: Int((end + page - 1) / page - first))
    guard !entries.isEmpty else { return [BackingExtent(length: range.length, isMapped: true)] }
    var extents: [BackingExtent] = []
    var start = range.offset
    // Bits 63 and 62: present, swapped.
    var isMapped = entries[0] >> 62 != 0
    for index in 1...entries.count {
      let isNext = index < entries.count ? entries[index] >> 62 != 0 : !isMapped
      guard isNext != isMapped else { continue }
      let border = min((first + UInt64(index)) * page, end)
      extents.append(BackingExtent(length: border - start, isMapped: isMapped))
      guard extents.count < countMax else { break }
      (start, isMapped) = (border, isNext)
    }
    return extents
  }

  /// Of each page from `first` on what the kernel says of it; none where it doesn't.
  private func pageEntries(_ first: UInt64, count: Int) -> [UInt64] {
    // Safe: the path is a literal.
    let map = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    guard map >= 0 else { return [] }
    defer { _ = close(map) }
    // Safe: the address is only a number here; the array's own memory is filled, eight bytes each.
    let address = unsafe UInt64(UInt(bitPattern: memory)) / Self.pageLength + first
    var entries = [UInt64](repeating: 0, count: count)
    let got = unsafe entries.withUnsafeMutableBytes { bytes in
      unsafe pread(map, bytes.baseAddress, bytes.count, off_t(address * 8))
    }
    return got == count * 8 ? entries : []
  }

  private func clear(_ start: UInt64, to end: UInt64) {
    guard end > start else { return }
    // Safe: the whole range was compared with byteCount.
    unsafe _ = memset(memory + Int(start), 0, Int(end - start))
  }
}

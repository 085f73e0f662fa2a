// The data path's memory: taken once, on one NUMA node, and touched only when it is used.

internal import CDatagram

#if NUMA
  internal import CNUMA
#endif

/// A fixed number of equal slots of raw memory with a free list, owned by one thread.
@safe
package final class Slab {
  package let slotCount: Int
  package let slotByteCount: Int
  /// The node that the pages were asked from; nil when the kernel chooses.
  package let node: Int?
  private let pages: UnsafeMutableRawPointer
  private let free: UnsafeMutablePointer<UInt32>
  private let isHeld: UnsafeMutablePointer<Bool>
  package private(set) var freeCount: Int

  private var byteCount: Int { slotCount * slotByteCount }

  /// Takes the address space; the pages come when they are first touched.
  package init(slotCount: Int, slotByteCount: Int, node: Int? = nil) throws(SystemError) {
    precondition(slotCount > 0 && slotCount < Int(UInt32.max), "a slab has slots")
    precondition(slotByteCount > 0 && slotByteCount % 16 == 0, "slots are aligned to 16 bytes")
    let (bytes, overflow) = slotCount.multipliedReportingOverflow(by: slotByteCount)
    precondition(!overflow, "a slab larger than the address space")
    let doing = "take \(bytes) bytes of memory"
    let onNode = NUMANodes.exists(node) ? node : nil
    // Safe: all three are given back by deinit; the lists have slotCount cells.
    guard let taken = unsafe Self.take(bytes, onNode) else {
      throw SystemError(doing: doing, number: 12)
    }
    self.slotCount = slotCount
    self.slotByteCount = slotByteCount
    self.node = onNode
    unsafe pages = taken
    unsafe free = .allocate(capacity: slotCount)
    unsafe isHeld = .allocate(capacity: slotCount)
    freeCount = slotCount
    for index in 0..<slotCount {
      // Slot 0 is on top and stays warm.
      unsafe (free + index).initialize(to: UInt32(slotCount - 1 - index))
      unsafe (isHeld + index).initialize(to: false)
    }
  }

  deinit {
    // Safe: all is given back the way it was taken, the pages with the same length.
    unsafe free.deallocate()
    unsafe isHeld.deallocate()
    #if NUMA
      if node != nil {
        unsafe numa_free(pages, byteCount)
        return
      }
    #endif
    unsafe mirrorcast_unmap_pages(pages, byteCount)
  }

  private static func take(_ bytes: Int, _ node: Int?) -> UnsafeMutableRawPointer? {
    #if NUMA
      if let node {
        // Safe: the node exists; nil on failure.
        return unsafe numa_alloc_onnode(bytes, Int32(node))
      }
    #endif
    // Safe: private pages, nil on failure.
    return unsafe mirrorcast_map_pages(bytes)
  }

  /// The index of a slot that is now the caller's; nil when all are held.
  package func acquire() -> Int? {
    guard freeCount > 0 else { return nil }
    freeCount -= 1
    // Safe: freeCount is the number of valid entries, all of them slot indices.
    let index = unsafe Int(free[freeCount])
    unsafe isHeld[index] = true
    return index
  }

  /// Gives a slot back.
  package func release(_ index: Int) {
    precondition(index >= 0 && index < slotCount, "no such slot")
    // Safe: the index was checked just above; so each slot is in the free list at most once.
    unsafe precondition(isHeld[index], "a slot released twice, or never acquired")
    unsafe isHeld[index] = false
    unsafe free[freeCount] = UInt32(index)
    freeCount += 1
  }

  /// The memory of a slot; valid as long as the slab, meaningful while the slot is held.
  @unsafe
  package func slot(_ index: Int) -> UnsafeMutableRawBufferPointer {
    precondition(index >= 0 && index < slotCount, "no such slot")
    // Safe: the index was checked just above.
    return unsafe UnsafeMutableRawBufferPointer(
      start: pages + index * slotByteCount, count: slotByteCount)
  }
}

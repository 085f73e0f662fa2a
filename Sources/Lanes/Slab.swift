// The data path's memory: taken once, on one NUMA node, and touched only when it is used.

/// A fixed number of equal slots of raw memory with a free list, owned by one thread.
@safe
package final class Slab {
  package let slotCount: Int
  package let slotByteCount: Int
  private let pages: Pages
  private let free: UnsafeMutablePointer<UInt32>
  private let isHeld: UnsafeMutablePointer<Bool>
  package private(set) var freeCount: Int

  /// What the memory is made of.
  package var pageKind: PageKind { pages.kind }
  /// The node that the pages were asked from; nil when the kernel chooses.
  package var node: Int? { pages.node }

  /// Takes the address space; the pages come when they are first touched, the pool's at once.
  package init(
    slotCount: Int, slotByteCount: Int, node: Int? = nil, policy: PagePolicy = .automatic
  ) throws(SystemError) {
    precondition(slotCount > 0 && slotCount < Int(UInt32.max), "a slab has slots")
    precondition(slotByteCount > 0 && slotByteCount % 16 == 0, "slots are aligned to 16 bytes")
    let (bytes, overflow) = slotCount.multipliedReportingOverflow(by: slotByteCount)
    precondition(!overflow, "a slab larger than the address space")
    pages = try Pages(byteCount: bytes, node: node, policy: policy)
    self.slotCount = slotCount
    self.slotByteCount = slotByteCount
    // Safe: both are given back by deinit; the lists have slotCount cells.
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
    // Safe: both were taken by init, and nobody else has them.
    unsafe free.deallocate()
    unsafe isHeld.deallocate()
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
      start: pages.start + index * slotByteCount, count: slotByteCount)
  }

  /// The node that a slot's first byte lies on; nil when it was never touched.
  package func node(of index: Int) -> Int? {
    precondition(index >= 0 && index < slotCount, "no such slot")
    return pages.node(of: index * slotByteCount)
  }
}

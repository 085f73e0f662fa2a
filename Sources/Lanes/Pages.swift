// Memory for the data path. A page of 2 MiB takes one entry of the processor's address cache where
// ordinary ones take 512, so: the pool's huge pages where an administrator keeps some, else
// transparent ones where the kernel may make them, else ordinary ones. All are preferred on one
// node rather than bound to it: a full node costs time, a binding would cost the process.

internal import CDatagram
internal import Glibc

/// What a piece of memory is made of.
package enum PageKind: Sendable, CustomStringConvertible {
  /// Huge pages of the pool (vm.nr_hugepages): there for certain.
  case hugetlb
  /// Huge where the kernel finds room when they are first touched.
  case transparent
  case ordinary

  package var description: String {
    switch self {
    case .hugetlb: "hugetlb pages"
    case .transparent: "transparent huge pages"
    case .ordinary: "ordinary pages"
    }
  }

  fileprivate var raw: mirrorcast_page_kind {
    switch self {
    case .hugetlb: mirrorcast_pages_hugetlb
    case .transparent: mirrorcast_pages_transparent
    case .ordinary: mirrorcast_pages_ordinary
    }
  }

  /// Whether the kernel makes huge pages for those who ask.
  package static var hasTransparent: Bool {
    let text = smallFile("/sys/kernel/mm/transparent_hugepage/enabled")
    return text.contains("[always]") || text.contains("[madvise]")
  }

  /// How many huge pages of 2 MiB the pool has free.
  package static var freeInPool: Int {
    let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
    return Int(smallFile(path).prefix { $0.isNumber }) ?? 0
  }

  private static func smallFile(_ path: String) -> String {
    let room = 128
    // Safe: the call ends what it reads with a zero inside the room.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: room) { buffer in
      guard let start = buffer.baseAddress,
        unsafe mirrorcast_read_small_file(path, start, room) > 0
      else { return "" }
      return unsafe String(cString: start)
    }
  }
}

/// Which pages a caller wants.
package enum PagePolicy: Equatable, Sendable {
  /// The best that can be had, for memory that is large enough to gain by it.
  case automatic
  /// Ordinary ones.
  case off
  /// Huge ones, or an error.
  case required
  /// Behave as if the kernel refused huge pages: to see the way without them.
  case failsAtFirstUse

  fileprivate var kinds: [PageKind] {
    switch self {
    case .off: [.ordinary]
    case .required: [.hugetlb, .transparent]
    case .automatic, .failsAtFirstUse: [.hugetlb, .transparent, .ordinary]
    }
  }
}

/// Zeroed memory of one kind of pages, given back when its owner goes.
@safe
package struct Pages: ~Copyable {
  /// What is smaller gains little by huge pages, and would waste most of one: a batch of trains is
  /// larger, a stream's buffers are not.
  package static let hugeFromByteCount = 192 << 10

  package let kind: PageKind
  /// The node that the pages are asked from; nil when the kernel chooses.
  package let node: Int?
  /// What was asked for, or more.
  package let byteCount: Int
  @unsafe package let start: UnsafeMutableRawPointer

  package init(
    byteCount: Int, node: Int? = nil, policy: PagePolicy = .automatic
  ) throws(SystemError) {
    precondition(byteCount > 0, "some memory")
    var number = ENOMEM
    let isSmall = byteCount < Self.hugeFromByteCount && policy != .required
    for kind in isSmall ? [.ordinary] : policy.kinds {
      let isPretence = policy == .failsAtFirstUse && kind != .ordinary
      var taken: UnsafeMutableRawPointer?
      // Safe: private pages, and nothing when it fails.
      let (size, result) = unsafe isPretence ? (0, -ENOMEM) : Self.map(byteCount, kind, &taken)
      guard result == 0, let start = unsafe taken else {
        number = -result
        continue
      }
      let hasNode = unsafe NUMANodes.exists(node) && Self.prefer(node, start, size)
      if kind == .hugetlb {
        let result = unsafe mirrorcast_fill_pages(start, size)
        // A kernel that doesn't know how says EINVAL; the pages are reserved nevertheless.
        guard result == 0 || result == -EINVAL else {
          unsafe mirrorcast_unmap_pages(start, size)
          number = -result
          continue
        }
      }
      self.kind = kind
      self.node = hasNode ? node : nil
      self.byteCount = size
      unsafe self.start = start
      return
    }
    throw SystemError(doing: "take \(byteCount) bytes of memory", number: number)
  }

  /// Memory for something that can't be without; as with any allocation, there is no going on.
  package static func taken(
    byteCount: Int, node: Int?, policy: PagePolicy = .automatic
  ) -> Pages {
    do throws(SystemError) {
      return try Pages(byteCount: byteCount, node: node, policy: policy)
    } catch {
      preconditionFailure("\(error)")
    }
  }

  deinit {
    // Safe: mapped by init with that length, and nobody else has them.
    unsafe mirrorcast_unmap_pages(start, byteCount)
  }

  private static func map(
    _ byteCount: Int, _ kind: PageKind, _ start: inout UnsafeMutableRawPointer?
  ) -> (size: Int, result: Int32) {
    if kind == .transparent && !PageKind.hasTransparent { return (0, -ENOSYS) }
    let unit = kind == .ordinary ? 1 : Int(mirrorcast_huge_page)
    let (padded, overflow) = byteCount.addingReportingOverflow(unit - 1)
    guard !overflow else { return (0, -ENOMEM) }
    let size = padded / unit * unit
    // Safe: one pointer to fill.
    return unsafe (size, mirrorcast_map_pages(size, kind.raw, &start))
  }

  private static func prefer(
    _ node: Int?, _ start: UnsafeMutableRawPointer, _ byteCount: Int
  ) -> Bool {
    guard let node = node.flatMap({ Int32(exactly: $0) }) else { return false }
    // Safe: the pages were just mapped, and nobody has touched them.
    return unsafe mirrorcast_prefer_node(start, byteCount, node) == 0
  }

  /// The node that a byte lies on; nil when it was never touched, or when that can't be known.
  package func node(of offset: Int) -> Int? {
    precondition(offset >= 0 && offset < byteCount, "no such byte")
    // Safe: the offset was checked just above; nothing is read there.
    let node = unsafe mirrorcast_node_of(start + offset)
    return node >= 0 ? Int(node) : nil
  }
}

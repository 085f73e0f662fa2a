// What the lanes know of the machine's memory: nothing, in a build without libnuma.

internal import CDatagram

#if NUMA
  internal import CNUMA
#endif

/// The NUMA nodes of this machine, as far as libnuma shows them.
package enum NUMANodes {
  #if NUMA
    private static let isAvailable = numa_available() >= 0
  #endif

  /// How many nodes there are; 0 when that can't be known.
  package static var count: Int {
    #if NUMA
      return isAvailable ? Int(numa_max_node()) + 1 : 0
    #else
      return 0
    #endif
  }

  /// Whether a node of that number has memory that can be asked for.
  package static func exists(_ node: Int?) -> Bool {
    guard let node else { return false }
    #if NUMA
      guard node >= 0 && node < count else { return false }
      return numa_node_size64(Int32(node), nil) > 0
    #else
      return false
    #endif
  }

  /// The node that an interface's device is attached to; nil when it has none.
  package static func node(ofInterface name: String) -> Int? {
    guard !name.contains("/"), !name.isEmpty else { return nil }
    // A virtual adapter's device doesn't say; the PCI device that it sits on does.
    for place in ["device", "device/.."] {
      if let node = number(in: "/sys/class/net/\(name)/\(place)/numa_node"), node >= 0 {
        return node
      }
    }
    return nil
  }

  private static func number(in path: String) -> Int? {
    let room = 32
    // Safe: the call ends what it reads with a zero inside the room.
    let text = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: room) { buffer in
      guard let start = buffer.baseAddress else { return "" }
      guard unsafe mirrorcast_read_small_file(path, start, room) > 0 else { return "" }
      return unsafe String(cString: start)
    }
    return Int(text.prefix { $0 == "-" || $0.isNumber })
  }

  /// The cores of a node, as a set; empty when they can't be known.
  static func cores(of node: Int) -> CoreSet {
    var cores = CoreSet()
    #if NUMA
      guard node >= 0 && node < count else { return cores }
      // Safe: the mask is libnuma's own, long enough for every core, and freed below.
      guard let mask = unsafe numa_allocate_cpumask() else { return cores }
      if unsafe numa_node_to_cpus(Int32(node), mask) == 0 {
        for core in 0..<CoreSet.coreMax
        where unsafe numa_bitmask_isbitset(mask, UInt32(core)) != 0 {
          cores.insert(core)
        }
      }
      unsafe numa_bitmask_free(mask)
    #endif
    return cores
  }

  /// Lets the calling thread's memory come from a node where it can.
  static func prefer(_ node: Int) {
    #if NUMA
      numa_set_preferred(Int32(node))
    #endif
  }
}

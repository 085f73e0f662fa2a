// Where a lane runs. By default on the node of its interface, any core of it: several daemons on
// one host must not all sit on core 0. A core that an operator names is a promise: if it can't be
// had the lane doesn't start. A set given from outside (taskset, a container) is never widened.

internal import CDatagram

/// The cores a lane may run on.
package enum LanePlacement: Equatable, Sendable, CustomStringConvertible {
  case anywhere
  case node(Int)
  case core(Int)

  /// Reads `any`, `node:N` or `core:N`.
  package init(_ text: String) throws(PlacementError) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let number = parts.count == 2 ? Int(parts[1]) : nil
    switch (parts.first, number) {
    case ("any", _) where parts.count == 1: self = .anywhere
    case ("node", .some(let node)) where node >= 0: self = .node(node)
    case ("core", .some(let core)) where core >= 0: self = .core(core)
    default: throw .notAPlacement(text)
    }
  }

  /// The node of an interface's device, if this thread may run there; the only node, where there
  /// is only one. Nobody asked for it, so it is never an error.
  package static func near(interface name: String) -> LanePlacement {
    if let node = NUMANodes.node(ofInterface: name), NUMANodes.exists(node) {
      let cores = (try? CoreSet.allowed())?.intersection(NUMANodes.cores(of: node))
      return cores?.count ?? 0 > 0 ? .node(node) : .anywhere
    }
    return NUMANodes.count == 1 ? .node(0) : .anywhere
  }

  package var description: String {
    switch self {
    case .anywhere: "any"
    case .node(let node): "node:\(node)"
    case .core(let core): "core:\(core)"
    }
  }

  /// The node whose memory suits this placement; nil when the kernel may choose.
  package var memoryNode: Int? {
    switch self {
    case .anywhere: nil
    case .node(let node): NUMANodes.exists(node) ? node : nil
    case .core(let core):
      (0..<NUMANodes.count).first { NUMANodes.cores(of: $0).contains(core) }
    }
  }

  /// Pins the calling thread and says what it got.
  package func pinCurrentThread() throws(PlacementError) -> PlacementReport {
    let allowed = try CoreSet.allowed()
    switch self {
    case .anywhere:
      return PlacementReport(asked: self, node: nil, cores: allowed.count)
    case .node(let node):
      guard NUMANodes.count > 0 else {
        return PlacementReport(asked: self, node: nil, cores: allowed.count)
      }
      guard NUMANodes.exists(node) else { throw .noSuchNode(node, of: NUMANodes.count) }
      let cores = NUMANodes.cores(of: node).intersection(allowed)
      guard cores.count > 0 else { throw .noCoreOfNode(node) }
      try cores.pinCurrentThread()
      NUMANodes.prefer(node)
      return PlacementReport(asked: self, node: node, cores: cores.count)
    case .core(let core):
      guard allowed.contains(core) else { throw .noSuchCore(core) }
      var cores = CoreSet()
      cores.insert(core)
      try cores.pinCurrentThread()
      if let node = memoryNode { NUMANodes.prefer(node) }
      return PlacementReport(asked: self, node: memoryNode, cores: 1)
    }
  }
}

/// What a lane got of the placement that was asked for.
package struct PlacementReport: Equatable, Sendable, CustomStringConvertible {
  package let asked: LanePlacement
  /// The node that it is pinned to, nil when it is not.
  package let node: Int?
  /// How many cores it may run on.
  package let cores: Int

  package var description: String {
    let place = node.map { "node \($0)" } ?? "no node"
    return "\(asked): \(place), \(cores) core\(cores == 1 ? "" : "s")"
  }
}

/// Why a placement can't be had, and what to do.
package enum PlacementError: Error, Equatable, Sendable, CustomStringConvertible {
  case notAPlacement(String)
  case noSuchCore(Int)
  case noSuchNode(Int, of: Int)
  case noCoreOfNode(Int)
  case system(SystemError)

  package var description: String {
    switch self {
    case .notAPlacement(let text):
      "'\(text)' is no placement: write any, node:N or core:N"
    case .noSuchCore(let core):
      "core \(core) can't be had: this process may not run there (see taskset -p, or lscpu -e)"
    case .noSuchNode(let node, let count):
      "NUMA node \(node) can't be had: this machine has \(count) (see numactl -H)"
    case .noCoreOfNode(let node):
      "this process may not run on any core of NUMA node \(node) (see taskset -p)"
    case .system(let error): error.description
    }
  }
}

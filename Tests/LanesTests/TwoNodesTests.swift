import Foundation
import Synchronization
import Testing

@testable import Lanes

/// What only shows where there are several nodes; Tests/System/numa runs these in such a machine.
@Suite(.enabled(if: NUMANodes.count > 1, "this machine has one NUMA node"))
struct TwoNodesTests {
  /// The nodes that have cores, as the kernel lists them.
  static let nodes: [Int: [Int]] = {
    var nodes: [Int: [Int]] = [:]
    for node in 0..<max(0, NUMANodes.count) {
      let path = "/sys/devices/system/node/node\(node)/cpulist"
      let cores = numbers((try? String(contentsOfFile: path, encoding: .utf8)) ?? "")
      if !cores.isEmpty { nodes[node] = cores }
    }
    return nodes
  }()

  @Test func `a slab's pages lie on its node, whoever touches them first`() throws {
    for node in Self.nodes.keys {
      for toucher in Self.nodes.keys {
        let slab = try Slab(slotCount: 64, slotByteCount: 4096, node: node)
        #expect(slab.node == node)
        #expect(try Self.touchedPages(of: slab, from: toucher) == [node], "from \(toucher)")
      }
    }
  }

  @Test func `a slab of no node lies where its lane runs`() throws {
    for node in Self.nodes.keys {
      let slab = try Slab(slotCount: 64, slotByteCount: 4096)
      #expect(try Self.touchedPages(of: slab, from: node) == [node])
    }
  }

  @Test func `a lane on a node may run on that node's cores, and no others`() throws {
    for (node, cores) in Self.nodes {
      let (report, allowed) = try onThread {
        (try LanePlacement.node(node).pinCurrentThread(), try CoreSet.allowed())
      }
      #expect(report == PlacementReport(asked: .node(node), node: node, cores: cores.count))
      #expect((0..<CoreSet.coreMax).filter(allowed.contains) == cores)
    }
  }

  @Test func `a core's lane has the memory of that core's node`() throws {
    for (node, cores) in Self.nodes {
      for core in cores {
        #expect(LanePlacement.core(core).memoryNode == node)
        let report = try onThread { try LanePlacement.core(core).pinCurrentThread() }
        #expect(report == PlacementReport(asked: .core(core), node: node, cores: 1))
      }
    }
  }

  @Test func `a set of cores given from outside is never widened`() throws {
    for (node, cores) in Self.nodes {
      let other = try #require(Self.nodes.first { $0.key != node })
      #expect(throws: PlacementError.noCoreOfNode(other.key)) {
        try onThread {
          _ = try LanePlacement.core(cores[0]).pinCurrentThread()
          _ = try LanePlacement.node(other.key).pinCurrentThread()
        }
      }
      #expect(throws: PlacementError.noSuchCore(other.value[0])) {
        try onThread {
          _ = try LanePlacement.node(node).pinCurrentThread()
          _ = try LanePlacement.core(other.value[0]).pinCurrentThread()
        }
      }
    }
  }

  @Test func `a node of memory alone takes slabs, but no lanes`() throws {
    for node in 0..<NUMANodes.count where Self.nodes[node] == nil && NUMANodes.exists(node) {
      let slab = try Slab(slotCount: 64, slotByteCount: 4096, node: node)
      #expect(try Self.touchedPages(of: slab, from: 0) == [node])
      #expect(throws: PlacementError.noCoreOfNode(node)) {
        try onThread { try LanePlacement.node(node).pinCurrentThread() }
      }
    }
  }

  @Test func `near an adapter is its node, or anywhere when that can't be had`() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: "/sys/class/net")
    for name in names {
      guard let node = NUMANodes.node(ofInterface: name), Self.nodes[node] != nil else { continue }
      #expect(LanePlacement.near(interface: name) == .node(node))
      let other = try #require(Self.nodes.keys.first { $0 != node })
      let placement = try onThread {
        _ = try LanePlacement.node(other).pinCurrentThread()
        return LanePlacement.near(interface: name)
      }
      #expect(placement == .anywhere)
    }
  }

  /// Touches all of a slab from a thread on a node, and says on which nodes its pages are.
  private static func touchedPages(of slab: Slab, from node: Int) throws -> Set<Int> {
    let handed = Handed(slab: slab)
    return try onThread {
      _ = try LanePlacement.node(node).pinCurrentThread()
      let slots = (0..<handed.slab.slotCount).map { handed.slab.slot($0) }
      for slot in slots { slot[0] = 1 }
      return try nodes(ofPages: slots.map(\.baseAddress))
    }
  }

  /// Asks the kernel: move_pages(2), told no place to move to, says where pages are.
  private static func nodes(ofPages pages: [UnsafeMutableRawPointer?]) throws -> Set<Int> {
    typealias MovePages =
      @convention(c) (
        Int32, UInt, UnsafePointer<UnsafeMutableRawPointer?>, UnsafePointer<Int32>?,
        UnsafeMutablePointer<Int32>, Int32
      ) -> Int
    let library = try #require(dlopen("libnuma.so.1", RTLD_NOW))
    let call = unsafeBitCast(try #require(dlsym(library, "move_pages")), to: MovePages.self)
    var nodes = [Int32](repeating: -1, count: pages.count)
    try #require(call(0, UInt(pages.count), pages, nil, &nodes, 0) == 0)
    return Set(nodes.map(Int.init))
  }

  /// `0,2-4` as a list.
  private static func numbers(_ text: String) -> [Int] {
    text.split(whereSeparator: { $0 == "," || $0.isWhitespace }).flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      return ends.isEmpty ? [] : Array(ends[0]...ends[ends.count - 1])
    }
  }
}

/// A slab that goes to one other thread, and back when that has ended.
private struct Handed: @unchecked Sendable {
  let slab: Slab
}

/// Runs a body on a thread of its own, whose placement goes with it.
private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
  let result = Mutex<Result<T, any Error>?>(nil)
  onThreads(1) { _ in
    let outcome = Result { try body() }
    result.withLock { $0 = outcome }
  }
  return try #require(result.withLock { $0 }).get()
}

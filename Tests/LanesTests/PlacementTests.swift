import Testing

@testable import Lanes

@Suite struct PlacementTests {
  @Test func `placements are read`() throws {
    #expect(try LanePlacement("any") == .anywhere)
    #expect(try LanePlacement("node:3") == .node(3))
    #expect(try LanePlacement("core:0") == .core(0))
    #expect(try LanePlacement("core:12").description == "core:12")
  }

  @Test(arguments: ["", "core", "core:", "core:-1", "core:1:2", "any:1", "node:x", "cpu:1", "1"])
  func `what is no placement is refused`(text: String) {
    #expect(throws: PlacementError.notAPlacement(text)) { try LanePlacement(text) }
  }

  @Test func `loopback has no device, so the only node is near`() {
    #expect(NUMANodes.node(ofInterface: "lo") == nil)
    #expect(NUMANodes.node(ofInterface: "../lo") == nil)
    let near = LanePlacement.near(interface: "lo")
    #expect(near == (NUMANodes.count == 1 ? .node(0) : .anywhere))
  }

  @Test func `a set of cores`() {
    var cores = CoreSet()
    cores.insert(1)
    cores.insert(1)
    cores.insert(1023)
    #expect(cores.count == 2)
    #expect(cores.contains(1) && cores.contains(1023) && !cores.contains(0))
    #expect(!cores.contains(-1) && !cores.contains(5000))
    var other = CoreSet()
    other.insert(1023)
    #expect(cores.intersection(other).count == 1)
  }
}

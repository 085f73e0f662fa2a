import Foundation
import Lanes
import Testing

@testable import Datagrams

@Suite struct OffloadProbeTests {
  @Test func `this kernel cuts trains up and couples them`() {
    let probe = OffloadProbe.run()
    #expect(probe.segmentation == .on)
    #expect(probe.coalescing == .on)
    #expect(probe.batching == .on)
    #expect(probe.hasTransparentHugePages == PageKind.hasTransparent)
  }

  @Test func `what is off or fails is told, and nothing else suffers`() {
    let off = OffloadProbe.run(segmentation: .off, coalescing: .off)
    #expect(off.segmentation == .off)
    #expect(off.coalescing == .off)
    #expect(off.batching == .on)
    let refused = OffloadProbe.run(segmentation: .failsAtFirstUse, coalescing: .failsAtFirstUse)
    #expect(
      refused.segmentation == .failed(SystemError(doing: "send trains", number: EIO)))
    #expect(
      refused.coalescing
        == .unavailable(SystemError(doing: "receive trains whole", number: ENOPROTOOPT)))
    #expect(refused.batching == .on)
  }

  @Test(.enabled(if: Namespace.isPossible))
  func `where datagrams vanish, nothing is said to work`() throws {
    try Namespace.runAlone {
      try Namespace.tool("ip", "link", "set", "lo", "down")
      let probe = OffloadProbe.run()
      #expect(probe.segmentation != .on)
      #expect(probe.batching != .on)
    }
  }
}

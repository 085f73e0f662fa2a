import Testing

@testable import Replication

extension VirtualKeeping {
  /// Legs that are equal, and a mirror that runs.
  static func verified(_ count: Int = 3) throws -> VirtualKeeping {
    let mirror = try VirtualKeeping(count) { $0.areEqual = true }
    mirror.open()
    mirror.events = []
    return mirror
  }

  func verify(_ repair: VerificationRepair = .none) {
    let isBegun = coordinator.verify(
      VerificationWish(bytes: 0..<layout.byteCount, repair: repair), now: now)
    #expect(isBegun)
    run()
  }

  /// What the last verification found.
  var verification: VerificationReport? {
    events.compactMap { if case .verified(let report) = $0 { report } else { nil } }.last
  }

  func regions(_ report: VerificationReport) -> Set<Int> {
    Set(report.differences.map { layout.regions(of: $0.bytes).lowerBound })
  }

  var states: [MemberState] { legs.indices.map { coordinator.state(ofLeg: $0) } }

  func data(_ region: Int) -> [UInt8] { legs.map { $0.data[region] } }
}

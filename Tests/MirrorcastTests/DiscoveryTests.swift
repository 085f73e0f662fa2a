import ISCSI
import Testing

@testable import Mirrorcast

/// A portal's list is made by others: nothing of it may play with a terminal, a path or a script.
@Suite struct `What a portal lists` {
  private static let hostile = [
    "iqn.a/../x", "iqn.2026-01.test:a b", "iqn.2026-01.test:$(id)", "iqn.2026-01.test:é", "iqn.",
    "-oProxyCommand=x", "iqn.2026-01.test:" + String(repeating: "a", count: 223),
  ]

  private func list(
    _ listing: [TargetListing], _ heard: RecordedLog
  ) async throws -> [DiscoveredTarget] {
    let target = try ScriptedTarget(listing: listing) { event, session in
      if case .command(let task) = event {
        session.completeCommand(task.handle, ordinaryAnswer(task))
      }
      return .goOn
    }
    defer { target.end() }
    return try await Discovery.list(
      portal: PortalAddress(parsing: "127.0.0.1:\(target.port)"),
      identity: .init(name: initiator), logger: heard.logger)
  }

  @Test func `is left out and counted where it is no name`() async throws {
    let heard = RecordedLog()
    let good = TargetListing(
      name: "iqn.2026-01.test:last", portals: ["[fe80::1%eth0]:3260,1", "10.0.0.1 ; id", "[::]\\x"])
    let bad = Self.hostile.map { TargetListing(name: $0, portals: ["10.6.6.6:3260,1"]) }
    let found = try await list(bad + [good], heard)
    #expect(found.map(\.name) == [ScriptedTarget.name, good.name])
    // An address of somebody who is left out is nobody else's.
    #expect(found[0].portals.count == 1 && found[0].portals[0].hasPrefix("127.0.0.1:"))
    #expect(found[1].portals == ["[fe80::1%eth0]:3260,1"])
    let warnings = heard.lines.filter { $0.hasPrefix("names or addresses") }
    #expect(warnings.count == 1 && warnings[0].contains("\(Self.hostile.count + 2)"))
    for name in Self.hostile where name != "iqn." {
      #expect(!heard.lines.contains { $0.contains(name) }, "\(name)")
    }
  }

  /// By number: the test's own output goes to a terminal, too.
  @Test(arguments: [0x202e, 0x2066, 0x1b, 0x9b, 0x0a] as [UInt32])
  func `is refused whole where it would play with a terminal`(mark: UInt32) async throws {
    let heard = RecordedLog()
    let scalar = try #require(Unicode.Scalar(mark))
    let hostile = TargetListing(name: "iqn.2026-01.test:\(scalar)a", portals: [])
    let error = await #expect(throws: MirrorcastError.self) {
      try await list([hostile], heard)
    }
    let words = "\(error?.description ?? "") \(heard.lines.joined(separator: " "))"
    #expect(words.contains("malformed PDU"))
    #expect(words.unicodeScalars.allSatisfy { (0x20...0x7e).contains($0.value) }, "\(words)")
  }

  /// RFC 7143 §11.13.5: a class 01h status tells where the target is now.
  @Test(arguments: [
    ("10.0.0.9:3260", "has moved from"), ("10.0.0.9 -x", "status 0x0102"),
    ("\u{e9}", "status 0x0102"),
  ])
  func `or says of a target's new place is told where it is one`(place: String, words: String)
    throws
  {
    let request = InitiatorLoginRequest(identity: .init(name: initiator), targetName: "iqn.x:a")
    let error = MirrorcastError.login(
      .refused(code: 0x0102, movedTo: place), portal: "10.0.0.1:3260", request: request)
    #expect(error.what.contains(words), "\(error.what)")
    #expect(error.what.contains(place) == words.hasPrefix("has moved"))
  }
}

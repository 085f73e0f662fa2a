import ISCSI
import Testing

@testable import Mirrorcast

/// A secret proves a name, and the session is that name's.
@Suite struct `An initiator that proves its name` {
  private static let victim = "iqn.2026-01.test:victim"
  private static let mallory = "iqn.2026-01.test:mallory"
  private static let accounts = """
    initiator iqn.2026-01.test:victim secret-of-the-victim
    initiator iqn.2026-01.test:mallory secret-of-mallory
    initiator bound secret-of-the-bound iqn.2026-01.test:victim iqn.2026-01.test:third
    initiator any secret-of-anybody
    """

  private static func secrets(_ text: String) throws -> CHAPSecrets {
    try CHAPSecrets(parsing: text, path: "secrets")
  }

  private static func configuration(
    secrets text: String = accounts, initiators: Set<String>? = [victim]
  ) throws -> Mirrorcast.TargetConfiguration {
    var target = try TargetDefinition(name: TargetScene.name, logicalUnits: ["0=memory:1M"])
    target.access.initiators = initiators
    var configuration = try TargetConfiguration(
      portals: [PortalAddress(parsing: "127.0.0.1:0")], targets: [target])
    configuration.secrets = try secrets(text)
    return configuration
  }

  @Test func `is let in as itself alone`() async throws {
    try await TargetScene.serving(try Self.configuration()) { scene in
      let portal = try PortalAddress(parsing: "127.0.0.1:\(scene.port)")
      let url = try LogicalUnitURL(
        parsing: "iscsi://127.0.0.1:\(scene.port)/\(TargetScene.name)/0")
      func identity(_ name: String, _ line: String) throws -> InitiatorIdentity {
        InitiatorIdentity(name: name, secrets: try Self.secrets("initiator \(line)"))
      }
      let own = try await LogicalUnitSession.open(
        url, identity: try identity(Self.victim, "\(Self.victim) secret-of-the-victim"),
        logger: TargetScene.logger)
      for (line, isAdmitted) in [
        ("\(Self.mallory) secret-of-mallory", false), ("bound secret-of-the-bound", true),
        ("any secret-of-anybody", true), ("any secret-of-the-bound", false),
      ] {
        let identity = try identity(Self.victim, line)
        let session = try? await LogicalUnitSession.open(
          url, identity: identity, logger: TargetScene.logger)
        #expect((session != nil) == isAdmitted, "\(line)")
        await session?.close()
        let list = try? await Discovery.list(
          portal: portal, identity: identity, logger: TargetScene.logger)
        #expect(list?.map(\.name) == (isAdmitted ? [TargetScene.name] : nil), "\(line)")
      }
      // A name that the account is not for is not let in to see even that there is nothing.
      let stranger = try identity(Self.mallory, "bound secret-of-the-bound")
      await #expect(throws: MirrorcastError.self) {
        try await Discovery.list(portal: portal, identity: stranger, logger: TargetScene.logger)
      }
      #expect(scene.daemon.connections.replaced == 0)
      #expect(try await own.read(at: 0, count: 512).count == 512)
      await own.close()
    }
  }

  @Test func `may play any of a list by a secret that is for all, and that is told`() throws {
    let loose = try Self.configuration()
    let words = "by the secret of any every initiator of the list may be played"
    #expect(loose.warnings == ["\(TargetScene.name): \(words)"])
    let two = try Self.configuration(secrets: Self.accounts + "\ninitiator b secret-of-the-b")
    #expect(two.warnings.first?.contains("the secret of any and 1 more") == true)
    let bound = Self.accounts.split(separator: "\n").dropLast().joined(separator: "\n")
    #expect(try Self.configuration(secrets: bound).warnings == [])
    #expect(try Self.configuration(initiators: nil).warnings == [])
    // A target's own secrets count instead of the daemon's.
    var own = loose.targets[0]
    own.secrets = try Self.secrets(bound)
    #expect(own.warning(secrets: loose.secrets) == nil)
    #expect(loose.targets[0].warning(secrets: nil) == nil)
  }
}

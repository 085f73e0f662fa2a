package import ISCSI
import Synchronization

/// Who logs in to what, and whether the mirror's protocol is offered.
package struct InitiatorLoginRequest: Sendable {
  package var identity: InitiatorIdentity
  /// nil for a discovery session, which only lists targets.
  package var targetName: String?
  /// Whether `X-org.mirrorcast.version` is offered; a target of another make doesn't mind.
  package var offersMirror: Bool
  /// Whether this side's secret, where it has one, has to be asked for.
  package var mustProve = false
  /// What is offered otherwise.
  package var parameters = OperationalParameters.wanted
  package var limits = InitiatorLimits()

  package init(identity: InitiatorIdentity, targetName: String?, offersMirror: Bool = false) {
    self.identity = identity
    self.targetName = targetName
    self.offersMirror = offersMirror
  }

  /// The machine's configuration, with an identifier that no other session of this host has;
  /// throws where the secrets are not this side's.
  func configuration() throws(MirrorcastError) -> InitiatorConfiguration {
    var configuration = InitiatorConfiguration(
      initiatorName: identity.name, targetName: targetName, isid: SessionIdentifiers.next())
    configuration.proof = try identity.secrets?.proof()
    configuration.mustProve = mustProve
    configuration.wanted = parameters
    configuration.wanted.mirrorVersion = offersMirror ? parameters.mirrorVersion : nil
    return configuration
  }
}

// RFC 7143 §11.12.5: an ISID of the random format has 10b, 24 random bits, then a qualifier. A
// target takes two sessions of one name and ISID for one session that was reinstated, and ends the
// first: so the qualifier counts, and the process differs from others by chance.
private enum SessionIdentifiers {
  private static let process = UInt64.random(in: 0...0xff_ffff)
  private static let last = Atomic<UInt64>(0)

  static func next() -> UInt64 {
    let qualifier = last.wrappingAdd(1, ordering: .relaxed).newValue & 0xffff
    return 0x80 << 40 | process << 16 | qualifier
  }
}

/// What an initiator's session is told before it meets its target.
package struct InitiatorConfiguration: Sendable {
  package var initiatorName: String
  /// nil in a discovery session.
  package var targetName: String?
  /// The session's identifier, 48 bits, unique among this initiator's sessions with the target.
  package var isid: UInt64
  /// What is offered; `mirrorVersion` nil where the mirror's protocol shall not be offered.
  package var wanted = OperationalParameters.wanted
  /// Begin at once in the operational stage; else AuthMethod=None is settled first.
  package var skipsSecurityStage = false
  /// How this initiator proves itself where a target wants it, and what it wants proved.
  package var proof: CHAPProof?
  /// Whether a target that wants no proof is left: whoever can't check one may be anybody.
  package var mustProve = false
  /// CmdSN of login and of the first command.
  package var firstCommandNumber: UInt32 = 1

  package init(initiatorName: String, targetName: String?, isid: UInt64) {
    precondition(isid < 1 << 48, "an ISID has 48 bits")
    self.initiatorName = initiatorName
    self.targetName = targetName
    self.isid = isid
  }

  package var type: SessionType { targetName == nil ? .discovery : .normal }
}

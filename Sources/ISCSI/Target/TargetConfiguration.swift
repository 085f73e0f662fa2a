/// A target's name and where it is reached, as SendTargets lists it.
package struct TargetListing: Sendable {
  package var name: String
  /// `address:port,portal group tag`, IPv6 addresses in brackets.
  package var portals: [String]
  /// Whether it may be seen from where the connection comes from.
  package var admitsAddress = true
  /// The initiators that see it, by name; nil: all.
  package var initiators: Set<String>?
  /// What an initiator must prove; nil: nothing.
  package var authentication: CHAPRequirement?

  package init(name: String, portals: [String]) {
    self.name = name
    self.portals = portals
  }

  func isVisible(to initiator: String) -> Bool {
    admitsAddress && initiators?.contains(initiator) ?? true
  }
}

/// What a target's session is told before it meets its initiator.
package struct TargetConfiguration: Sendable {
  package var targets: [TargetListing]
  /// The session's handle, not zero, unique among the target's sessions.
  package var tsih: UInt16
  /// What an initiator must prove before it is told of targets; nil: nothing.
  package var discoveryAuthentication: CHAPRequirement?
  package var wanted: OperationalParameters
  /// How many commands may be open at once.
  package var commandWindow = 64
  /// How many immediate commands may be open beside them.
  package var immediateCommandsMax = 16
  /// The longest WRITE that is collected, in bytes; a longer one is handed on without its data.
  package var writeLengthMax = 32 * 1024 * 1024
  /// How much data may be asked for, or held for the owner, at once, in bytes.
  package var writeBytesMax = 64 * 1024 * 1024

  /// How long data that was asked for, or announced, may be silent before its task ends.
  package var dataOutNanoseconds: UInt64 = 30_000_000_000
  /// How long the rest of a sequence is awaited whose task was aborted with others: initiators may
  /// end it, or stop at once.
  package var abortedDataNanoseconds: UInt64 = 1_000_000_000
  /// How many bytes of data segments that are too long are skipped before the session ends.
  package var skippedBytesMax = 64 * 1024 * 1024

  /// How often data that was lost is asked for again, for one WRITE.
  package var recoveriesMax = 16
  /// How much of what was sent is kept until it is acknowledged, in bytes: statuses and the data of
  /// reads together.
  package var recoveryBytesMax = 32 * 1024 * 1024
  /// How many PDUs may wait to be sent for a SNACK to be answered.
  package var resendingOutputMax = 1024
  /// The longest text of a login or a text request, in bytes.
  package var textBytesMax = TextKeys.byteCountMax
  /// Whether the owner is asked before a login succeeds, by `TargetEvent.admission`.
  package var asksForAdmission = false

  package init(targets: [TargetListing], tsih: UInt16) {
    wanted = .wanted
    // RFC 7143 §13.20: recovery within a connection, for those who offer it.
    wanted.errorRecoveryLevel = 1
    precondition(tsih != 0, "a session's handle is not zero")
    self.targets = targets
    self.tsih = tsih
  }
}

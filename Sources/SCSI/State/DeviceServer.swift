// The device server of one disk, SAM-5 §4.6: a value that judges every command by what happened
// before it, and says what the disk must do for those that it lets through.
//
//   attach, detach     a session begins, and is gone
//   begin              a command comes; done, or an operation, or parameters are wanted first
//   handleParameters   those parameters have come
//   finish…            what was asked for has ended
//   conclude           what changes what is kept has its turn, and is durable
//   reset              by task management
//
// Its owner keeps it behind a lock, for sessions live on several threads. Data never passes through
// here: the owner holds the buffers. What it remembers are small machines of their own, in the
// order in which they judge: unit attentions, reservations, SANITIZE, the medium, mode parameters.

/// What surrounds a command: what its session can reach, and whether a mirror has the disk.
package struct Surroundings: Sendable {
  package let units: [ReachableUnit]
  /// The medium is a mirror's: it is neither taken out nor sanitized.
  package let isMirrored: Bool
  /// Whether a mirror keeps the medium from being read.
  package let readiness: MirrorReadiness

  package init(
    units: [ReachableUnit], isMirrored: Bool = false, readiness: MirrorReadiness = .ready
  ) {
    self.units = units
    self.isMirrored = isMirrored
    self.readiness = readiness
  }
}

/// One disk's answer to commands, and all it remembers between them.
package struct DeviceServer: Sendable {
  static let copiesMax = 32

  package let unit: LogicalUnit
  var attentions = UnitAttentions()
  var reservations = Reservations()
  var medium = MediumState()
  var modes = ModeParameters()
  var sanitizing = SanitizeState.idle
  var copies: [CopyStatus] = []

  package init(_ unit: LogicalUnit) {
    self.unit = unit
  }

  // MARK: Look

  /// Whether a write of anybody goes through: no reservation, nothing protects, nothing is missing.
  package var isOpenToAll: Bool {
    reservations.isEmpty && mayWrite && medium.isLoaded && sanitizing == .idle
  }

  /// Whether a write of anybody goes through, nobody has anything to hear before, sense has the
  /// fixed format, and writes may stay in the cache: then nobody need ask.
  package var isPlain: Bool {
    isOpenToAll && attentions.isEmpty && !modes.usesDescriptors && modes.hasWriteCache
  }

  /// WCE of the caching mode page; without, each write is a forced one.
  package var hasWriteCache: Bool { modes.hasWriteCache }

  /// D_SENSE of the control mode page.
  package var usesDescriptors: Bool { modes.usesDescriptors }

  package var isSanitizing: Bool { sanitizing.isRunning }

  /// What a command hears that was let through before a SANITIZE began, and has done nothing yet.
  package var refusalWhileSanitizing: CommandResult? {
    isSanitizing ? sanitizing.sense.map { sealed(CommandResult($0)) } : nil
  }

  var mayWrite: Bool { !unit.isWriteProtected && !modes.isWriteProtected }

  /// Why a write that comes by another way than a command is refused: by a mirror, or by a copy.
  /// - Parameter isOfMirror: it only brings a leg of a mirror what the others have, which is no
  ///   initiator's write: reservations are not asked.
  package func refusal(
    ofWriteFrom session: UInt64, isOfMirror: Bool = false
  ) -> CommandResult? {
    if let result = refusal(of: isOfMirror ? .none : .writing, from: session) { return result }
    return mayWrite ? nil : sealed(CommandResult(.writeProtected))
  }

  /// As `refusal(ofWriteFrom:)`, of a copy's source.
  package func refusal(ofReadFrom session: UInt64) -> CommandResult? {
    refusal(of: .reading, from: session)
  }

  private func refusal(
    of exclusion: CommandDescription.Exclusion, from session: UInt64
  ) -> CommandResult? {
    // A session that is gone has no rights left.
    let nexus = attentions.nexus(of: session)
    if nexus.map({ reservations.conflicts(exclusion, $0) })
      ?? (exclusion != .none && !reservations.isEmpty)
    {
      return CommandResult(status: .reservationConflict)
    }
    if let sense = sanitizing.sense { return sealed(CommandResult(sense)) }
    return medium.isLoaded
      ? nil : sealed(CommandResult(SenseData(.notReady, .mediumNotPresent)))
  }

  private func sealed(_ result: CommandResult) -> CommandResult {
    var result = result
    seal(&result)
    return result
  }

  // MARK: Handle

  /// What a session is to hear before its next write, by whatever way that comes, is done.
  package mutating func takeAttention(of session: UInt64) -> CommandResult? {
    attentions.take(session).map { sealed(CommandResult($0)) }
  }

  package mutating func attach(_ nexus: Nexus) { attentions.attach(nexus) }

  /// A session is gone, and with it all that was its own; `isLost`: it has not logged out.
  package mutating func detach(_ session: UInt64, isLost: Bool = false) {
    attentions.detach(session, isLost: isLost)
    reservations.detach(session)
    medium.detach(session)
    copies.removeAll { $0.session == session }
  }

  /// SAM-5 §6.3.3: a reset of the disk; every session hears of it.
  package mutating func reset() {
    reservations.reset()
    medium.reset()
    modes.reset()
    copies = []
    attentions.tell(.resetOccurred)
  }

  /// SAM-5 §5.14: another session has cleared commands of this one.
  package mutating func noteCleared(_ session: UInt64) {
    attentions.tell(.commandsCleared, to: session)
  }

  /// SPC-4 §6.33: the session's target has other disks than before.
  package mutating func noteInventoryChange(for session: UInt64) {
    attentions.tell(.inventoryChanged, to: session)
  }

  /// SAM-5 §5.14: who has asked which disks there are need not be told.
  package mutating func forgetInventoryChange(for session: UInt64) {
    attentions.forget(.inventoryChanged, to: session)
  }

  /// What to do about a command.
  package mutating func begin(
    _ request: CommandRequest, from nexus: Nexus, _ around: Surroundings
  ) -> Outcome {
    sealed { server throws(SenseData) in
      let cdb = CommandDescriptorBlock(request.cdb)
      let description = try CommandTable.description(of: cdb)
      guard description.provision == .every || server.unit.takesUnmap else {
        throw .invalidOperationCode
      }
      try server.checkAttention(description.code, nexus)
      if server.reservations.conflicts(description.exclusion(of: cdb), nexus) {
        return .done(CommandResult(status: .reservationConflict))
      }
      try server.checkReady(description, around.readiness)
      try description.check(cdb)
      let command = try BlockCommand.command(description, cdb)
      return try server.outcome(of: command, request, nexus, around)
    }
  }

  /// The parameters that `begin` asked for have come.
  package mutating func handleParameters(
    _ data: RawSpan, of request: CommandRequest, from nexus: Nexus, _ around: Surroundings
  ) -> Outcome {
    var outcome: Outcome
    do throws(SenseData) {
      outcome = try parametersOutcome(data, of: request, nexus, around)
    } catch {
      outcome = .done(CommandResult(error))
    }
    seal(&outcome)
    return outcome
  }

  /// The end of an operation that `begin` asked for.
  package func finish(
    _ request: DiskRequest, _ failure: DiskFailure?, dataInLength: Int = 0
  ) -> CommandResult {
    var result: CommandResult
    if let failure {
      result = CommandResult(SenseData(failure, unit.geometry))
    } else {
      result = CommandResult(expectedTransfer: request.expectedTransfer ?? dataInLength)
    }
    seal(&result)
    return result
  }

  /// A result that was made elsewhere, in the format that this disk's sense has.
  package func seal(_ result: inout CommandResult) {
    result.usesDescriptors = modes.usesDescriptors
  }

  // MARK: In order

  private mutating func sealed(
    _ body: (inout DeviceServer) throws(SenseData) -> Outcome
  ) -> Outcome {
    var outcome: Outcome
    do throws(SenseData) {
      outcome = try body(&self)
    } catch {
      outcome = .done(CommandResult(error))
    }
    seal(&outcome)
    return outcome
  }

  func seal(_ outcome: inout Outcome) {
    guard modes.usesDescriptors else { return }
    switch outcome {
    case .done(var result):
      seal(&result)
      outcome = .done(result)
    default: break
    }
  }

  /// SAM-5 §5.14: INQUIRY, REPORT LUNS and REQUEST SENSE go on in spite of a unit attention.
  private mutating func checkAttention(
    _ code: OperationCode, _ nexus: Nexus
  ) throws(SenseData) {
    switch code {
    case .inquiry, .reportLUNs, .requestSense: return
    default: break
    }
    if let sense = attentions.take(nexus.session) { throw sense }
  }

  private func checkReady(
    _ description: CommandDescription, _ mirror: MirrorReadiness
  ) throws(SenseData) {
    let readiness = description.readiness
    guard readiness != .always else { return }
    // SBC-3 §4.11.2: a failed SANITIZE leaves only what is not about the medium.
    if let sense = sanitizing.sense, readiness == .medium || sanitizing.isRunning { throw sense }
    guard readiness != .medium || medium.isLoaded else {
      throw SenseData(.notReady, .mediumNotPresent)
    }
    // A change of the medium is refused as such, by whoever is about to make it. How large a disk
    // is stays the same.
    guard readiness == .medium, !description.changesMedium, !description.code.tellsCapacity,
      let sense = mirror.sense
    else { return }
    throw sense
  }
}

extension CommandDescription {
  /// How reservations treat this command, its fields considered.
  func exclusion(of cdb: CommandDescriptorBlock) -> Exclusion {
    switch code {
    // SBC-3 table 13: starting, and allowing removal, is for all.
    case .startStopUnit: cdb[4] & 0xf3 == 0x01 ? .legacy : .writing
    case .preventAllowMediumRemoval: cdb[4] & 0x03 == 0 ? .none : .writing
    default: exclusion
    }
  }
}

extension SenseData {
  /// What a backing's failure is called on the wire.
  package init(_ failure: DiskFailure, _ geometry: BlockGeometry) {
    let blockLength = UInt64(geometry.blockLength)
    switch failure {
    case .readError(let offset):
      self.init(.mediumError, .unrecoveredReadError, information: offset / blockLength)
    case .writeError(let offset):
      self.init(.mediumError, .writeError, information: offset / blockLength)
    // SBC-3 §4.7.3.6: no space left for a thin block is DATA PROTECT.
    case .noSpace: self.init(.dataProtect, .spaceAllocationFailed)
    case .readOnly: self = .writeProtected
    case .differs(let offset):
      self.init(.miscompare, .miscompareDuringVerify, information: offset)
    case .stopped: self.init(.notReady, .notReady)
    }
  }
}

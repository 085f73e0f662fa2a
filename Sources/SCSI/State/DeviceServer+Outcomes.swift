// What each command that was let through comes to.
import Bytes

extension DeviceServer {
  mutating func outcome(
    of command: BlockCommand, _ request: CommandRequest, _ nexus: Nexus, _ around: Surroundings
  ) throws(SenseData) -> Outcome {
    switch command {
    case .testUnitReady: return .done(CommandResult())
    case .requestSense(let isDescriptorFormat, let allocationLength):
      let sense = senseAsked(nexus, around.readiness)
      return .done(
        isDescriptorFormat ? sense.descriptorFormat : sense.fixedFormat, allocationLength)
    case .inquiry(let page, let allocationLength):
      return .done(try unit.inquiryData(page: page), allocationLength)
    case .readCapacity10: return .done(unit.capacity10, 8)
    case .readCapacity16(let allocationLength): return .done(unit.capacity16, allocationLength)
    case .reportLUNs(let selection, let allocationLength):
      let numbers = around.units.map(\.identity.number)
      return .done(try ReportLUNs.data(selection, allocationLength, numbers), allocationLength)
    case .reportSupportedOperationCodes(let wanted):
      return .done(try unit.supportedOperationCodes(wanted), wanted.allocationLength)
    case .modeSense(let sense): return .done(try modeData(sense), sense.allocationLength)
    case .modeSelect(let select):
      guard select.parameterListLength > 0 else { return .done(CommandResult()) }
      // SPC-4 §6.9.1: without PF the parameters would be a vendor's.
      guard select.hasPageFormat else { throw .invalidField(1) }
      return try parameters(select.parameterListLength, request)
    case .reserve6: return Self.conflict(unless: reservations.reserve(nexus))
    case .release6: return Self.conflict(unless: reservations.release(nexus))
    case .preventAllowMediumRemoval(let prevents):
      medium.setPrevented(prevents & 1 != 0, by: nexus.session)
      return .done(CommandResult())
    case .startStopUnit(let startStop): return try move(startStop, nexus, around)
    case .sanitize(let sanitize): return try begin(sanitize, request, around)
    case .persistentReserveIn, .persistentReserveOut:
      return try persistentReserve(command, request)
    case .extendedCopy(let length):
      guard length > 0 else { return .done(CommandResult()) }
      guard length <= ExtendedCopy.headerLength + ExtendedCopy.listLengthMax else {
        throw .parameterListLengthError
      }
      return try parameters(length, request)
    case .receiveCopyResults(let what, let identifier, let allocationLength):
      return try copyResults(what, identifier, allocationLength, nexus)
    default:
      let outcome = try unit.mediumOutcome(of: command, request, mayWrite: mayWrite)
      guard !modes.hasWriteCache, case .disk(let disk) = outcome else { return outcome }
      return .disk(disk.forced)
    }
  }

  private static func conflict(unless isDone: Bool) -> Outcome {
    .done(isDone ? CommandResult() : CommandResult(status: .reservationConflict))
  }

  /// All of a parameter list, which the initiator must be ready to send.
  private func parameters(
    _ length: Int, _ request: CommandRequest
  ) throws(SenseData) -> Outcome {
    guard request.expectedDataOut >= length else { throw .parameterListLengthError }
    return .parameters(byteCount: length)
  }

  // SPC-4 §6.39: what waits for the session, else what keeps the disk from being ready.
  private mutating func senseAsked(_ nexus: Nexus, _ mirror: MirrorReadiness) -> SenseData {
    if let sense = attentions.take(nexus.session) { return sense }
    if sanitizing.isRunning, let sense = sanitizing.sense { return sense }
    guard medium.isLoaded else { return SenseData(.notReady, .mediumNotPresent) }
    return mirror.sense ?? .noSense
  }

  // SBC-3 §5.25: there are no power conditions to change; a fixed disk has nothing to take out.
  private mutating func move(
    _ startStop: BlockCommand.StartStop, _ nexus: Nexus, _ around: Surroundings
  ) throws(SenseData) -> Outcome {
    // SBC-3 table 104: with a power condition START and LOEJ are ignored.
    guard startStop.powerCondition == 0 else { return .done(CommandResult()) }
    guard startStop.loadsOrEjects else {
      let flushes = !startStop.starts && startStop.flushes && medium.isLoaded
      return flushes ? .disk(DiskRequest(.flush)) : .done(CommandResult())
    }
    guard unit.isRemovable else { throw .invalidField(4) }
    guard startStop.starts else {
      try medium.eject(isHeld: around.isMirrored)
      return .disk(DiskRequest(.flush))
    }
    if try medium.load() { attentions.tell(.mediumMayHaveChanged, exceptTo: nexus.session) }
    return .done(CommandResult())
  }

  // MARK: Parameters

  mutating func parametersOutcome(
    _ data: RawSpan, of request: CommandRequest, _ nexus: Nexus, _ around: Surroundings
  ) throws(SenseData) -> Outcome {
    switch try BlockCommand(cdb: request.cdb) {
    case .unmap:
      guard mayWrite else { throw .writeProtected }
      let ranges = try unit.unmapRanges(data)
      guard !ranges.isEmpty else {
        return .done(CommandResult(expectedTransfer: data.byteCount))
      }
      return .disk(DiskRequest(.zero(ranges), expectedTransfer: data.byteCount))
    case .modeSelect(let select):
      if try modes.select(data, isLong: select.isLong, unit.geometry) {
        attentions.tell(.modeParametersChanged, exceptTo: nexus.session)
      }
      return .done(CommandResult(expectedTransfer: data.byteCount))
    case .persistentReserveOut(let command):
      return .conclude(try conclusion(command, data, nexus))
    case .sanitize(let command):
      return start(
        try SanitizeRequest(
          command, overwriting: data, blockLength: unit.geometry.blockLength))
    case .extendedCopy:
      let copy = try ExtendedCopy(units: around.units).request(data)
      if let identifier = copy.listIdentifier {
        copies.removeAll { $0.session == nexus.session && $0.listIdentifier == identifier }
      }
      guard !copy.segments.isEmpty else {
        return .done(CommandResult(expectedTransfer: data.byteCount))
      }
      return .copy(copy)
    default: throw .invalidOperationCode
    }
  }

  // MARK: SANITIZE

  private mutating func begin(
    _ command: BlockCommand.Sanitize, _ request: CommandRequest, _ around: Surroundings
  ) throws(SenseData) -> Outcome {
    guard command.action == .overwrite || command.parameterListLength == 0 else {
      throw .invalidField(7)
    }
    if command.action == .exitFailureMode {
      return .conclude(Conclusion(change: .sanitizeFailure))
    }
    guard medium.isLoaded else { throw SenseData(.notReady, .mediumNotPresent) }
    // SBC-3 §5.24.1: nothing that is protected, by whatever, is sanitized.
    guard mayWrite, !around.isMirrored else { throw .writeProtected }
    guard command.action == .overwrite else { return start(SanitizeRequest(command)) }
    // SBC-3 §5.24.2.2: four bytes and a pattern of one block at most.
    let length = command.parameterListLength
    guard length > 4, length <= Int(unit.geometry.blockLength) + 4 else { throw .invalidField(7) }
    return try parameters(length, request)
  }

  private mutating func start(_ request: SanitizeRequest) -> Outcome {
    sanitizing = .running(request, progress: 0)
    return .sanitize(request)
  }

  /// What is to be sanitized on from an earlier life of the daemon.
  package var pendingSanitize: SanitizeRequest? {
    if case .running(let request, _) = sanitizing { request } else { nil }
  }

  package mutating func noteSanitized(_ byteCount: UInt64, of total: UInt64) {
    guard total > 0, byteCount < total else { return sanitizing.note(progress: .max) }
    let part = byteCount.multipliedFullWidth(by: 65536)
    let progress = total.dividingFullWidth(part).quotient
    sanitizing.note(progress: UInt16(clamping: progress))
  }

  /// It has ended; how its command, where that still waits, is answered.
  package mutating func finishSanitize(_ failure: DiskFailure?) -> CommandResult {
    sanitizing.end(hasFailed: failure != nil)
    var result =
      failure == nil
      ? CommandResult() : CommandResult(SenseData(.mediumError, .sanitizeFailed))
    seal(&result)
    return result
  }

  // MARK: What is kept

  /// What is to be durable of all this.
  package var keptState: [UInt8] { reservations.kept + sanitizing.kept }

  /// Takes what an earlier life of the daemon kept; false when it can't be read.
  package mutating func restore(_ state: RawSpan) -> Bool {
    var offset = 0
    guard let reservations = Reservations(kept: state, at: &offset),
      let sanitizing = SanitizeState(kept: state, at: &offset), offset == state.byteCount
    else { return false }
    self.reservations = reservations
    self.sanitizing = sanitizing
    return true
  }
}

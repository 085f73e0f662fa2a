// PERSISTENT RESERVE IN and OUT, and EXTENDED COPY's results: what a command asks of the small
// machines, and what others are to hear of it.
import Bytes

extension DeviceServer {
  func persistentReserve(
    _ command: BlockCommand, _ request: CommandRequest
  ) throws(SenseData) -> Outcome {
    // SPC-4 §5.13.3: not while there is a RESERVE (6).
    guard reservations.legacyHolder == nil else {
      return .done(CommandResult(status: .reservationConflict))
    }
    switch command {
    case .persistentReserveIn(let action, let allocationLength):
      return .done(
        reservations.data(action, canKeep: unit.keepsState), allocationLength)
    case .persistentReserveOut(let out):
      let length = out.parameterListLength
      // SPC-4 §6.16.1: 24 bytes, or more where TransportIDs follow.
      let lengthMax =
        PersistentReserveParameters.byteCount
        + (out.action == .registerAndMove
          ? InitiatorPort.transportIDMax
          : 4 + Reservations.specifiedMax * InitiatorPort.transportIDMax)
      guard length >= PersistentReserveParameters.byteCount, length <= lengthMax,
        request.expectedDataOut >= length
      else { throw .parameterListLengthError }
      return .parameters(byteCount: length)
    default: throw .invalidOperationCode
    }
  }

  func conclusion(
    _ command: BlockCommand.PersistentReserveOut, _ data: RawSpan, _ nexus: Nexus
  ) throws(SenseData) -> Conclusion {
    let parameters =
      command.action == .registerAndMove
      ? try PersistentReserveParameters(moving: data)
      : try PersistentReserveParameters(data, command.action)
    // SPC-4 §6.16.3: APTPL where nothing can be kept is an error.
    guard !parameters.isKept || unit.keepsState else {
      throw .invalidParameter(command.action == .registerAndMove ? 17 : 20)
    }
    return Conclusion(
      change: .reservations(command, parameters, nexus.port), parameterByteCount: data.byteCount)
  }

  // MARK: EXTENDED COPY

  /// A copy has ended: with the failure of one of its disks, or without.
  package mutating func finishCopy(
    _ request: CopyRequest, _ refusal: CommandResult?, done: Int, bytes: UInt64,
    from nexus: Nexus
  ) -> CommandResult {
    if let identifier = request.listIdentifier {
      if copies.count >= Self.copiesMax { copies.removeFirst() }
      copies.append(
        CopyStatus(
          session: nexus.session, listIdentifier: identifier, hasFailed: refusal != nil,
          segmentCount: done, byteCount: bytes))
    }
    // SPC-4 §6.4.1: COPY ABORTED, whatever one of the disks said.
    var result =
      refusal == nil
      ? CommandResult(expectedTransfer: request.byteCount)
      : CommandResult(SenseData(.copyAborted, .copyTargetNotReachable))
    seal(&result)
    return result
  }

  mutating func copyResults(
    _ what: BlockCommand.CopyResult, _ identifier: UInt8, _ allocationLength: Int,
    _ nexus: Nexus
  ) throws(SenseData) -> Outcome {
    guard what == .copyStatus else {
      return .done(ExtendedCopy.operatingParameters, allocationLength)
    }
    // SPC-4 §6.23: of the asking nexus's copies, and told once.
    let index = copies.firstIndex {
      $0.session == nexus.session && $0.listIdentifier == identifier
    }
    guard let index else { throw .invalidField(2) }
    return .done(copies.remove(at: index).data, allocationLength)
  }
}

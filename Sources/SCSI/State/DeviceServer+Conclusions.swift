// What changes what a disk keeps over a restart. Such a command counts only once that is durable,
// and where it can't be, it fails and has changed nothing: so it is judged twice. One at a time:
//
//   changedState        what would be kept after it; nothing has changed yet
//   conclude            that is durable, now it counts
//   abandonConclusion   or it can't be kept: all is as it was
//
// Other commands that come meanwhile find everything as it was before.

extension DeviceServer {
  /// What is to be durable before this is concluded; nil where nothing is.
  package mutating func changedState(by conclusion: Conclusion) -> [UInt8]? {
    var after = self
    _ = after.conclude(conclusion)
    let state = after.keptState
    guard unit.keepsState, state != keptState else { return nil }
    reservations.isChanging = true
    return state
  }

  /// Carries it out; its answer, and whose tasks end before that.
  package mutating func conclude(_ conclusion: Conclusion) -> Concluded {
    reservations.isChanging = false
    var concluded: Concluded
    do throws(SenseData) {
      concluded = try carryOut(conclusion)
    } catch {
      concluded = Concluded(CommandResult(error))
    }
    seal(&concluded.result)
    return concluded
  }

  /// What it changes can't be kept; its answer.
  package mutating func abandonConclusion() -> Concluded {
    reservations.isChanging = false
    var result = CommandResult(SenseData(.hardwareError, .internalTargetFailure))
    seal(&result)
    return Concluded(result)
  }

  private mutating func carryOut(_ conclusion: Conclusion) throws(SenseData) -> Concluded {
    switch conclusion.change {
    case .sanitizeFailure:
      try sanitizing.exitFailureMode()
      return Concluded(CommandResult())
    case .reservations(let command, let parameters, let port):
      // SPC-4 §5.13.3: another may have got a RESERVE (6) since the command came.
      guard reservations.legacyHolder == nil else {
        return Concluded(CommandResult(status: .reservationConflict))
      }
      let change = try reservations.out(command, parameters, from: port)
      guard !change.isRefused else {
        return Concluded(CommandResult(status: .reservationConflict))
      }
      for (other, sense) in change.news where other != port {
        attentions.tell(sense, port: other)
      }
      return Concluded(
        CommandResult(expectedTransfer: conclusion.parameterByteCount),
        aborted: change.aborted.flatMap { attentions.sessions(of: $0) })
    }
  }
}

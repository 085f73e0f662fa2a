// What an initiator's session and its owner say to each other.

/// A command to be sent.
package struct InitiatorCommand: Sendable {
  /// Which way data goes.
  package enum Transfer: Sendable {
    case none
    /// At most so many bytes come.
    case read(lengthMax: Int)
    case write(ArraySlice<UInt8>)
  }

  package var lun: UInt64
  package var commandDescriptorBlock: InlineArray<16, UInt8>
  package var transfer: Transfer
  /// Task attribute, RFC 7143 §11.3.1; 1 is simple.
  package var attribute: UInt8 = 1
  package var isImmediate = false

  package init(
    lun: UInt64, commandDescriptorBlock: InlineArray<16, UInt8>, transfer: Transfer
  ) {
    self.lun = lun
    self.commandDescriptorBlock = commandDescriptorBlock
    self.transfer = transfer
  }
}

/// How a command ended.
package struct CommandResult: Sendable {
  package var taskTag: UInt32
  /// RFC 7143 §11.4.3: 0 completed at the target, 1 target failure, others by vendor.
  package var response: UInt8
  package var status: UInt8
  package var sense: [UInt8]
  package var dataIn: [UInt8]
  package var residual: Residual?

  package var isGood: Bool { response == 0 && status == 0 }
}

/// What a target did that the standard doesn't allow; the session can't be trusted after it.
package enum ProtocolViolation: Equatable, Sendable {
  case unexpectedOpcode(UInt8)
  /// An answer to a task that isn't open: by accident or forged.
  case unknownTask(opcode: UInt8, taskTag: UInt32)
  case dataOutOfPlace(taskTag: UInt32)
  case badReadyToTransfer(taskTag: UInt32)
  case malformed(opcode: UInt8)
  case dataSegmentTooLong
  /// A digest was wrong: RFC 7143 §7.8, at ErrorRecoveryLevel 0 the session is over.
  case damaged
}

/// What an initiator's session has to tell its owner.
package enum InitiatorEvent: Sendable {
  case loggedIn(SessionDescription)
  case loginFailed(LoginFailure)
  case completed(CommandResult)
  /// The answer to `sendText` of this tag.
  case text(TextKeys, taskTag: UInt32)
  /// The answer to `manageTasks`, and the commands that ended by it without a result.
  case taskManagementDone(taskTag: UInt32, TaskManagementResponse, ended: [UInt32])
  case pingAnswered(taskTag: UInt32)
  /// Traffic of mirrored writes: R2T, response, report, statuses.
  case mirrored(PDU)
  /// Unasked news of the target, with its three parameters.
  case asyncMessage(AsyncEvent, parameters: (UInt16, UInt16, UInt16), lun: UInt64, data: [UInt8])
  /// The target rejected a PDU; its header as the target saw it, and the task that died of it.
  case rejected(reason: UInt8, header: BasicHeaderSegment?, taskTag: UInt32?)
  case loggedOut(response: UInt8)
  /// Close the connection: nothing of it can be trusted.
  case violation(ProtocolViolation)
}

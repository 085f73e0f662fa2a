/// A command as it comes, with the bytes that the initiator expects to move each way.
package struct CommandRequest: Sendable {
  package var cdb: InlineArray<16, UInt8>
  package var expectedDataIn: Int
  package var expectedDataOut: Int

  package init(cdb: InlineArray<16, UInt8>, expectedDataIn: Int = 0, expectedDataOut: Int = 0) {
    precondition(expectedDataIn >= 0 && expectedDataOut >= 0, "a negative transfer length")
    self.cdb = cdb
    self.expectedDataIn = expectedDataIn
    self.expectedDataOut = expectedDataOut
  }
}

/// The end of a command: status, sense, and what there is to send back.
package struct CommandResult: Equatable, Sendable {
  package var status: Status
  package var sense: SenseData?
  /// Whether the sense goes out in the descriptor format, SPC-4 §7.5.8: D_SENSE.
  package var usesDescriptors = false
  /// Parameter data, whole: the caller sends no more of it than the initiator expects.
  package var dataIn: [UInt8]
  /// Bytes that the command asked to move, whatever the initiator expected.
  package var expectedTransfer: Int

  package init(dataIn: [UInt8] = [], expectedTransfer: Int? = nil) {
    status = .good
    self.dataIn = dataIn
    self.expectedTransfer = expectedTransfer ?? dataIn.count
  }

  package init(_ sense: SenseData) {
    status = .checkCondition
    self.sense = sense
    dataIn = []
    expectedTransfer = 0
  }

  package init(status: Status) {
    self.status = status
    dataIn = []
    expectedTransfer = 0
  }

  /// The sense as it stands behind the response; empty where there is none.
  package var senseBytes: [UInt8] {
    guard let sense else { return [] }
    return usesDescriptors ? sense.descriptorFormat : sense.fixedFormat
  }

  /// What differs between the command's length and the initiator's expectation.
  package func residual(expected: Int) -> Residual {
    Residual(expected: expected, asked: expectedTransfer)
  }
}

/// The U and O bits of a response with their count, RFC 7143 §11.4.5.
package enum Residual: Equatable, Sendable {
  case none
  case underflow(UInt32)
  case overflow(UInt32)

  package init(expected: Int, asked: Int) {
    // RFC 7143 §11.4.5.1: what wasn't moved because the initiator expected less, or more.
    if asked > expected {
      self = .overflow(UInt32(clamping: asked - expected))
    } else if asked < expected {
      self = .underflow(UInt32(clamping: expected - asked))
    } else {
      self = .none
    }
  }
}

/// What to do about a command.
package enum Outcome: Equatable, Sendable {
  case done(CommandResult)
  /// Collect `dataOutLength` bytes, run the operation, then ask `finish`.
  case disk(DiskRequest)
  /// Collect that many bytes, then ask `handleParameters`.
  case parameters(byteCount: Int)
  /// Copy between disks, then ask `finishCopy`.
  case copy(CopyRequest)
  /// Ask `changedState`, make that durable, then ask `conclude`; one after another.
  case conclude(Conclusion)
  /// The medium is being sanitized from now on; answered at once, or when that has ended.
  case sanitize(SanitizeRequest)
}

/// A command that changes what a disk keeps over a restart: it counts once that is durable.
package struct Conclusion: Equatable, Sendable {
  /// What it changes.
  enum Change: Equatable, Sendable {
    case reservations(
      BlockCommand.PersistentReserveOut, PersistentReserveParameters, InitiatorPort)
    case sanitizeFailure
  }

  let change: Change
  /// How long its parameters were.
  var parameterByteCount = 0
}

/// What a `Conclusion` has come to.
package struct Concluded: Equatable, Sendable {
  package var result: CommandResult
  /// Sessions whose tasks at this disk end without an answer, before the answer.
  package var aborted: [UInt64]

  package init(_ result: CommandResult, aborted: [UInt64] = []) {
    self.result = result
    self.aborted = aborted
  }
}

// SANITIZE, SBC-3 §4.11: nothing on the medium can be read any more. It runs by itself once begun:
// neither the end of its session nor a reset stops it, and while it runs the disk isn't ready.
//
//     idle ──SANITIZE──▶ running ──all done──▶ idle
//      ▲                    └──the disk fails──▶ failed ──EXIT FAILURE MODE, or another SANITIZE──┐
//      └──────────────────────────────────────────────────────────────────────────────────────────┘
import Bytes

/// How a medium is to be made unreadable.
package struct SanitizeRequest: Equatable, Sendable {
  package let action: BlockCommand.Sanitize.Action
  /// OVERWRITE: what stands in every block, over and over; empty for zeros.
  package let pattern: [UInt8]
  package let passes: UInt8
  /// OVERWRITE: each pass writes the complement of the one before.
  package let inverts: Bool
  /// The command is answered when it has begun.
  package let isImmediate: Bool
  package let allowsUnrestrictedExit: Bool

  package init(
    action: BlockCommand.Sanitize.Action, pattern: [UInt8], passes: UInt8, inverts: Bool,
    isImmediate: Bool, allowsUnrestrictedExit: Bool
  ) {
    self.action = action
    self.pattern = pattern
    self.passes = passes
    self.inverts = inverts
    self.isImmediate = isImmediate
    self.allowsUnrestrictedExit = allowsUnrestrictedExit
  }

  /// One block as pass number `pass` (from 0) writes it.
  package func block(pass: UInt8, blockLength: Int) -> [UInt8] {
    guard !pattern.isEmpty else { return [UInt8](repeating: 0, count: blockLength) }
    // SBC-3 §5.24.2.2: with INVERT the last pass writes the pattern as it was sent.
    let isInverted = inverts && (passes - 1 - pass) & 1 == 1
    return (0..<blockLength).map { index in
      let byte = pattern[index % pattern.count]
      return isInverted ? ~byte : byte
    }
  }

  /// Reads the parameters of an OVERWRITE, SBC-3 §5.24.2.2.
  init(
    _ command: BlockCommand.Sanitize, overwriting data: RawSpan, blockLength: UInt32
  ) throws(SenseData) {
    let passes = data.byte(at: 0) & 0x1f
    let length = Int(data.bigEndian16(at: 2))
    // SBC-3 §5.24.2.2: what is wrong in here is told as a field of the command.
    guard passes > 0, data.byte(at: 0) & 0x60 == 0, data.byte(at: 1) == 0, length > 0,
      length <= Int(blockLength), length == data.byteCount - 4
    else { throw .invalidField(7) }
    self.init(
      action: .overwrite, pattern: data.extracting(4...).array(), passes: passes,
      inverts: data.byte(at: 0) & 0x80 != 0, isImmediate: command.isImmediate,
      allowsUnrestrictedExit: command.allowsUnrestrictedExit)
  }

  /// An erase, which has no parameters.
  init(_ command: BlockCommand.Sanitize) {
    self.init(
      action: command.action, pattern: [], passes: 1, inverts: false,
      isImmediate: command.isImmediate,
      allowsUnrestrictedExit: command.allowsUnrestrictedExit)
  }
}

/// Where a disk's SANITIZE stands.
enum SanitizeState: Equatable, Sendable {
  case idle
  /// How far, in parts of 65536.
  case running(SanitizeRequest, progress: UInt16)
  case failed(allowsExit: Bool)

  /// Why a command that wants a quiet disk isn't answered; nil where it is.
  var sense: SenseData? {
    switch self {
    case .idle: return nil
    case .running(_, let progress):
      var sense = SenseData(.notReady, .sanitizeInProgress)
      sense.progress = progress
      return sense
    case .failed: return SenseData(.mediumError, .sanitizeFailed)
    }
  }

  var isRunning: Bool {
    if case .running = self { true } else { false }
  }

  mutating func note(progress: UInt16) {
    guard case .running(let request, _) = self else { return }
    self = .running(request, progress: progress)
  }

  /// It has ended.
  mutating func end(hasFailed: Bool) {
    guard case .running(let request, _) = self else { return }
    self = hasFailed ? .failed(allowsExit: request.allowsUnrestrictedExit) : .idle
  }

  /// SBC-3 §5.24.2.5: EXIT FAILURE MODE.
  mutating func exitFailureMode() throws(SenseData) {
    guard case .failed(let allowsExit) = self else { return }
    guard allowsExit else { throw .invalidField(1) }
    self = .idle
  }
}

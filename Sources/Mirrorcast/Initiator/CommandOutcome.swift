import Bytes
package import ISCSI
package import SCSI

/// How a command ended at its target: whatever its status, it has been answered.
package struct CommandOutcome: Sendable {
  package var status: Status
  package var sense: SenseData?
  /// What was read; less than was asked for where the target had less.
  package var data: [UInt8]
  package var residual: ISCSI.Residual?

  package var isGood: Bool { status == .good }

  /// The status, and the sense that goes with it, in words.
  package var text: String {
    guard let sense else { return "\(status)" }
    return "\(status) \(sense)"
  }

  /// Takes the machine's result, data moved and not copied.
  init(_ result: consuming ISCSI.CommandResult) {
    status = Status(rawValue: result.status)
    // Safe: the span over the result's own bytes ends with the expression.
    sense = unsafe SenseData(result.sense.span.bytes)
    data = result.dataIn
    residual = result.residual
  }

  private init(_ status: Status) {
    self.status = status
    sense = nil
    data = []
    residual = nil
  }

  /// Task management of this side has ended it.
  static let taskAborted = CommandOutcome(.taskAborted)
}

/// Whether a command that did not end well is sent again, and when. A unit attention only tells
/// news, and BUSY asks for patience: neither is a failure yet, and neither goes on for ever.
struct CommandRetry {
  /// What to do with a command that has ended.
  enum Decision: Equatable {
    case end
    case again(milliseconds: Int)
  }

  static let attentionsMax = 16
  static let waitsMax = 24
  static let waitMillisecondsMax = 500

  private var attentions = 0
  private var waits = 0

  mutating func decide(_ status: Status, _ sense: SenseData?) -> Decision {
    switch (status, sense?.key) {
    case (.checkCondition, .unitAttention):
      // SAM-5 §5.14: reported once and then cleared, but several may be pending.
      attentions += 1
      return attentions > Self.attentionsMax ? .end : .again(milliseconds: 0)
    case (.busy, _), (.taskSetFull, _):
      return wait()
    case (.checkCondition, .notReady) where sense?.additional == AdditionalSense(0x04, 0x01):
      // SPC-4: in the process of becoming ready.
      return wait()
    default:
      return .end
    }
  }

  private mutating func wait() -> Decision {
    waits += 1
    guard waits <= Self.waitsMax else { return .end }
    return .again(milliseconds: min(5 << waits, Self.waitMillisecondsMax))
  }
}

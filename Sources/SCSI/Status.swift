/// How a command ended, SAM-5 §5.3.1.
package struct Status: RawRepresentable, Equatable, Hashable, Sendable, BitwiseCopyable {
  package var rawValue: UInt8

  package init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  package static let good = Status(rawValue: 0x00)
  package static let checkCondition = Status(rawValue: 0x02)
  package static let conditionMet = Status(rawValue: 0x04)
  package static let busy = Status(rawValue: 0x08)
  package static let reservationConflict = Status(rawValue: 0x18)
  package static let taskSetFull = Status(rawValue: 0x28)
  package static let acaActive = Status(rawValue: 0x30)
  package static let taskAborted = Status(rawValue: 0x40)
}

extension Status: CustomStringConvertible {
  package var description: String {
    switch self {
    case .good: "GOOD"
    case .checkCondition: "CHECK CONDITION"
    case .conditionMet: "CONDITION MET"
    case .busy: "BUSY"
    case .reservationConflict: "RESERVATION CONFLICT"
    case .taskSetFull: "TASK SET FULL"
    case .acaActive: "ACA ACTIVE"
    case .taskAborted: "TASK ABORTED"
    default: "STATUS 0x" + String(rawValue, radix: 16)
    }
  }
}

// Fields of Login Request and Response, RFC 7143 §11.12 and §11.13.

/// A stage of login, and what follows it.
package enum LoginStage: UInt8, Sendable {
  case security = 0
  case operational = 1
  case fullFeature = 3
}

extension BasicHeaderSegment {
  /// The T bit: ready to leave the stage.
  package var isTransit: Bool { flags & 0x80 != 0 }
  /// The C bit: the text goes on in the next PDU.
  package var isContinued: Bool { flags & 0x40 != 0 }
  package var currentStage: LoginStage? { LoginStage(rawValue: flags >> 2 & 3) }
  package var nextStage: LoginStage? { LoginStage(rawValue: flags & 3) }

  package var isid: UInt64 {
    get { lun >> 16 }
    set { lun = newValue << 16 | UInt64(tsih) }
  }

  package var tsih: UInt16 {
    get { uint16(at: 14) }
    set { setUInt16(newValue, at: 14) }
  }

  package var connectionID: UInt16 {
    get { uint16(at: 20) }
    set { setUInt16(newValue, at: 20) }
  }

  package var loginStatusCode: UInt16 {
    get { uint16(at: 36) }
    set { setUInt16(newValue, at: 36) }
  }

  mutating func setStages(
    current: LoginStage, next: LoginStage?, isContinued: Bool = false
  ) {
    flags =
      (next == nil ? 0 : 0x80) | (isContinued ? 0x40 : 0) | current.rawValue << 2
      | (next?.rawValue ?? 0)
  }
}

// The small numbers of RFC 7143 that say how something ended.

/// Why a PDU was rejected, RFC 7143 §11.17.1.
package enum RejectReason: UInt8, Sendable {
  case dataDigestError = 0x02
  case snackReject = 0x03
  case protocolError = 0x04
  case commandNotSupported = 0x05
  case immediateCommandReject = 0x06
  case taskInProgress = 0x07
  case invalidDataAcknowledgement = 0x08
  case invalidPDUField = 0x09
  case longOperationReject = 0x0a
  case waitingForLogout = 0x0c
}

/// Status class and detail of a Login Response, RFC 7143 §11.13.5.
package enum LoginStatus: UInt16, Error, Sendable {
  case success = 0x0000
  case targetMovedTemporarily = 0x0101
  case targetMovedPermanently = 0x0102
  case initiatorError = 0x0200
  case authenticationFailure = 0x0201
  case authorizationFailure = 0x0202
  case targetNotFound = 0x0203
  case targetRemoved = 0x0204
  case unsupportedVersion = 0x0205
  case tooManyConnections = 0x0206
  case missingParameter = 0x0207
  case cannotIncludeInSession = 0x0208
  case sessionTypeNotSupported = 0x0209
  case sessionDoesNotExist = 0x020a
  case invalidDuringLogin = 0x020b
  case targetError = 0x0300
  case serviceUnavailable = 0x0301
  case outOfResources = 0x0302
}

/// What a task management request asks for, RFC 7143 §11.5.1.
package enum TaskManagementFunction: UInt8, Sendable {
  case abortTask = 1
  case abortTaskSet = 2
  case clearACA = 3
  case clearTaskSet = 4
  case logicalUnitReset = 5
  case targetWarmReset = 6
  case targetColdReset = 7
  case taskReassign = 8
}

/// How a task management function ended, RFC 7143 §11.6.1.
package enum TaskManagementResponse: UInt8, Sendable {
  case complete = 0
  case taskDoesNotExist = 1
  case lunDoesNotExist = 2
  case taskStillAllegiant = 3
  case reassignmentNotSupported = 4
  case notSupported = 5
  case authorizationFailed = 6
  case rejected = 255
}

/// What an Asynchronous Message announces, RFC 7143 §11.9.1.
package enum AsyncEvent: UInt8, Sendable {
  case scsiEvent = 0
  case logoutRequest = 1
  case connectionDrop = 2
  case sessionDrop = 3
  case negotiationRequest = 4
  case taskTermination = 5
}

/// What went wrong with a command's data, with the sense that the standard gives it.
package enum TransferFailure: Sendable {
  case unexpectedUnsolicitedData
  case incorrectAmountOfData
  case lostData

  // RFC 7143 §11.4.7.2: ABORTED COMMAND and these additional sense codes, in fixed format.
  package var sense: [UInt8] {
    let code: (UInt8, UInt8) =
      switch self {
      case .unexpectedUnsolicitedData: (0x0c, 0x0c)
      case .incorrectAmountOfData: (0x0c, 0x0d)
      case .lostData: (0x47, 0x05)
      }
    return [0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, code.0, code.1, 0, 0, 0, 0]
  }
}

extension PDUFault {
  package var rejectReason: RejectReason {
    switch self {
    case .damaged: .dataDigestError
    case .tooLong: .protocolError
    }
  }
}

/// The value of a tag that names nothing, RFC 7143 §11.2.1.8.
package let reservedTag: UInt32 = 0xffff_ffff

extension UInt32 {
  /// Whether an initiator task tag lies in the half kept for mirrored writes.
  package var isMirroredTag: Bool { self >= 0x8000_0000 && self != reservedTag }
}

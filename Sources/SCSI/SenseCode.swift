/// The class of a sense, SPC-4 §4.5.6.
package enum SenseKey: UInt8, Equatable, Sendable {
  case noSense = 0x0
  case recoveredError = 0x1
  case notReady = 0x2
  case mediumError = 0x3
  case hardwareError = 0x4
  case illegalRequest = 0x5
  case unitAttention = 0x6
  case dataProtect = 0x7
  case blankCheck = 0x8
  case vendorSpecific = 0x9
  case copyAborted = 0xa
  case abortedCommand = 0xb
  case reserved = 0xc
  case volumeOverflow = 0xd
  case miscompare = 0xe
  case completed = 0xf
}

extension SenseKey: CustomStringConvertible {
  package var description: String {
    switch self {
    case .noSense: "no sense"
    case .recoveredError: "recovered error"
    case .notReady: "not ready"
    case .mediumError: "medium error"
    case .hardwareError: "hardware error"
    case .illegalRequest: "illegal request"
    case .unitAttention: "unit attention"
    case .dataProtect: "data protect"
    case .blankCheck: "blank check"
    case .vendorSpecific: "vendor specific"
    case .copyAborted: "copy aborted"
    case .abortedCommand: "aborted command"
    case .reserved: "reserved"
    case .volumeOverflow: "volume overflow"
    case .miscompare: "miscompare"
    case .completed: "completed"
    }
  }
}

/// What exactly happened: the additional sense code and its qualifier, SPC-4 §4.5.2.1.
package struct AdditionalSense: Equatable, Hashable, Sendable, BitwiseCopyable {
  package var code: UInt8
  package var qualifier: UInt8

  package init(_ code: UInt8, _ qualifier: UInt8) {
    self.code = code
    self.qualifier = qualifier
  }

  package static let none = AdditionalSense(0x00, 0x00)
  package static let notReady = AdditionalSense(0x04, 0x00)
  package static let initializingCommandRequired = AdditionalSense(0x04, 0x02)
  package static let rebuildInProgress = AdditionalSense(0x04, 0x05)
  package static let sanitizeInProgress = AdditionalSense(0x04, 0x1b)
  package static let unreachableCopyTarget = AdditionalSense(0x08, 0x04)
  package static let copyTargetNotReachable = AdditionalSense(0x0d, 0x02)
  package static let tooManyTargetDescriptors = AdditionalSense(0x26, 0x06)
  package static let unsupportedTargetDescriptor = AdditionalSense(0x26, 0x07)
  package static let tooManySegmentDescriptors = AdditionalSense(0x26, 0x08)
  package static let unsupportedSegmentDescriptor = AdditionalSense(0x26, 0x09)
  package static let mediumMayHaveChanged = AdditionalSense(0x28, 0x00)
  package static let resetOccurred = AdditionalSense(0x29, 0x03)
  package static let modeParametersChanged = AdditionalSense(0x2a, 0x01)
  package static let reservationsPreempted = AdditionalSense(0x2a, 0x03)
  package static let reservationsReleased = AdditionalSense(0x2a, 0x04)
  package static let registrationsPreempted = AdditionalSense(0x2a, 0x05)
  package static let defectListNotFound = AdditionalSense(0x1c, 0x00)
  package static let invalidReleaseOfReservation = AdditionalSense(0x26, 0x04)
  package static let commandsCleared = AdditionalSense(0x2f, 0x00)
  package static let sanitizeFailed = AdditionalSense(0x31, 0x03)
  package static let mediumNotPresent = AdditionalSense(0x3a, 0x00)
  package static let mediumRemovalPrevented = AdditionalSense(0x53, 0x02)
  package static let insufficientRegistrationResources = AdditionalSense(0x55, 0x04)
  package static let writeError = AdditionalSense(0x0c, 0x00)
  package static let unexpectedUnsolicitedData = AdditionalSense(0x0c, 0x0c)
  package static let notEnoughUnsolicitedData = AdditionalSense(0x0c, 0x0d)
  package static let unrecoveredReadError = AdditionalSense(0x11, 0x00)
  package static let parameterListLengthError = AdditionalSense(0x1a, 0x00)
  package static let miscompareDuringVerify = AdditionalSense(0x1d, 0x00)
  package static let invalidOperationCode = AdditionalSense(0x20, 0x00)
  package static let blockAddressOutOfRange = AdditionalSense(0x21, 0x00)
  package static let invalidFieldInCommand = AdditionalSense(0x24, 0x00)
  package static let logicalUnitNotSupported = AdditionalSense(0x25, 0x00)
  package static let invalidFieldInParameters = AdditionalSense(0x26, 0x00)
  package static let writeProtected = AdditionalSense(0x27, 0x00)
  package static let spaceAllocationFailed = AdditionalSense(0x27, 0x07)
  package static let powerOnOrReset = AdditionalSense(0x29, 0x00)
  package static let nexusLoss = AdditionalSense(0x29, 0x07)
  package static let capacityChanged = AdditionalSense(0x2a, 0x09)
  package static let savingParametersNotSupported = AdditionalSense(0x39, 0x00)
  package static let inventoryChanged = AdditionalSense(0x3f, 0x0e)
  package static let internalTargetFailure = AdditionalSense(0x44, 0x00)
  package static let protocolServiceDataCRC = AdditionalSense(0x47, 0x05)
}

extension AdditionalSense: CustomStringConvertible {
  package var description: String {
    switch self {
    case .none: "no additional sense"
    case .notReady: "logical unit not ready"
    case .initializingCommandRequired: "the mirror that it belongs to has to be opened first"
    case .rebuildInProgress: "it is being copied from another member of its mirror"
    case .sanitizeInProgress: "sanitize in progress"
    case .unreachableCopyTarget: "a disk of the copy can't be reached"
    case .copyTargetNotReachable: "a disk of the copy can't be reached"
    case .tooManyTargetDescriptors: "too many target descriptors"
    case .unsupportedTargetDescriptor: "unsupported target descriptor"
    case .tooManySegmentDescriptors: "too many segment descriptors"
    case .unsupportedSegmentDescriptor: "unsupported segment descriptor"
    case .mediumMayHaveChanged: "medium may have changed"
    case .resetOccurred: "reset by an initiator"
    case .modeParametersChanged: "mode parameters have changed"
    case .reservationsPreempted: "reservations preempted"
    case .reservationsReleased: "reservations released"
    case .registrationsPreempted: "registrations preempted"
    case .defectListNotFound: "defect list not found"
    case .invalidReleaseOfReservation: "invalid release of a persistent reservation"
    case .commandsCleared: "commands cleared by another initiator"
    case .sanitizeFailed: "sanitize failed"
    case .mediumNotPresent: "no medium"
    case .mediumRemovalPrevented: "medium removal prevented"
    case .insufficientRegistrationResources: "no room for more registrations"
    case .writeError: "write error"
    case .unexpectedUnsolicitedData: "unexpected unsolicited data"
    case .notEnoughUnsolicitedData: "not enough unsolicited data"
    case .unrecoveredReadError: "unrecovered read error"
    case .parameterListLengthError: "parameter list length error"
    case .miscompareDuringVerify: "miscompare during verify operation"
    case .invalidOperationCode: "invalid command operation code"
    case .blockAddressOutOfRange: "logical block address out of range"
    case .invalidFieldInCommand: "invalid field in command"
    case .logicalUnitNotSupported: "logical unit not supported"
    case .invalidFieldInParameters: "invalid field in parameter list"
    case .writeProtected: "write protected"
    case .spaceAllocationFailed: "space allocation failed, the backing store is full"
    case .powerOnOrReset: "power on or reset"
    case .nexusLoss: "session lost"
    case .capacityChanged: "capacity has changed"
    case .savingParametersNotSupported: "saving parameters not supported"
    case .inventoryChanged: "list of logical units has changed"
    case .internalTargetFailure: "internal target failure"
    case .protocolServiceDataCRC: "data lost or damaged on the way"
    default: "additional sense"
    }
  }

  /// The two numbers as data sheets print them: `24/00`.
  package var numbers: String {
    Self.hex(code) + "/" + Self.hex(qualifier)
  }

  private static func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }
}

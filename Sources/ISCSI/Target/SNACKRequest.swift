/// What an initiator asks to be sent again, or says that it has: RFC 7143 §11.16.
struct SNACKRequest: Equatable, Sendable {
  /// Type, with what goes along.
  enum Kind: Equatable, Sendable {
    /// Data-In PDUs, or R2Ts, of this task.
    case data(tag: UInt32)
    /// PDUs with a StatSN.
    case status
    /// All Data-In PDUs before the first number are there; the tag and LUN came with one of them.
    case dataAcknowledgement(transferTag: UInt32, lun: UInt64)
    /// All of a task's Data-In PDUs that weren't acknowledged, in the length that is right now.
    case resegmentedData(tag: UInt32, snackTag: UInt32)
  }

  let kind: Kind
  /// BegRun.
  let first: UInt32
  /// RunLength; 0: all that there are.
  let count: UInt32

  /// Both zero: all that was not acknowledged.
  var isUnacknowledged: Bool { first == 0 && count == 0 }

  /// Nil where a field can't be.
  init?(_ header: BasicHeaderSegment) {
    first = header.word40
    count = header.word44
    let tag = header.initiatorTaskTag
    let transferTag = header.word20
    // RFC 7143 §11.16.4, §11.16.5: which tags go with which type.
    switch header.flags & 0x8f {
    case 0x80 where tag != reservedTag && transferTag == reservedTag:
      kind = .data(tag: tag)
    case 0x81 where tag == reservedTag && transferTag == reservedTag:
      kind = .status
    case 0x82 where tag == reservedTag && transferTag != reservedTag && count == 0:
      kind = .dataAcknowledgement(transferTag: transferTag, lun: header.lun)
    case 0x83
    where tag != reservedTag && transferTag != reservedTag && transferTag != 0 && first == 0
      && count == 0:
      kind = .resegmentedData(tag: tag, snackTag: transferTag)
    default: return nil
    }
  }
}

/// What becomes of a SNACK, where it isn't answered by what it asks for.
struct SNACKRefusal: Error, Equatable, Sendable {
  let reason: RejectReason
  /// The number that the target would use next, where the reason is a number.
  var nextNumber: UInt32 = 0

  // RFC 7143 §11.17.1: it may be asked for again, or what is asked for can't be.
  static let notKept = SNACKRefusal(reason: .snackReject)
  static let invalidField = SNACKRefusal(reason: .invalidPDUField)

  // RFC 7143 §11.16: what was not sent yet, or was acknowledged.
  static func outOfRange(next: UInt32 = 0) -> SNACKRefusal {
    SNACKRefusal(reason: .protocolError, nextNumber: next)
  }
}

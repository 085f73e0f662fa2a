// The data of one WRITE on its way in, RFC 7143 §4.2.5.2 and §11.7.
//
//     unsolicited ──F──▶ waiting ──R2T──▶ solicited ──F──▶ waiting … ▶ complete
//
// DataPDUInOrder and DataSequenceInOrder are Yes, so what comes next is always known: Buffer Offset
// equals what is here. A sequence that has gone wrong is drained up to its F bit and then failed,
// or when no more of it comes.

/// Collects and judges the Data-Out PDUs of one WRITE.
package struct DataCollection: Sendable {
  /// Where the collection stands.
  package enum Phase: Equatable, Sendable {
    /// Data may come unasked until `end` bytes are here.
    case unsolicited(end: Int)
    /// An R2T is due.
    case waiting
    /// An R2T with this transfer tag is out, for data up to `end`.
    case solicited(tag: UInt32, end: Int)
    case complete
  }

  /// What a Data-Out PDU led to.
  package struct Verdict: Equatable, Sendable {
    /// Answer the PDU with a Reject.
    package var isRejected = false
    /// End the task so.
    package var failure: TransferFailure?
    /// Nothing was changed by it: it belongs to no sequence that is due.
    package var isStray = false

    static let stray = Verdict(isRejected: true, isStray: true)
  }

  package let expectedLength: Int
  package private(set) var bytes: [UInt8]
  package private(set) var phase: Phase
  /// How many R2Ts were sent.
  package private(set) var requestCount: UInt32 = 0
  private var nextDataNumber: UInt32 = 0
  private var pendingFailure: TransferFailure?

  /// Begins with a command's immediate data; `unsolicitedEnd` where more follows unasked, `failure`
  /// where the task fails after that.
  package init(
    expectedLength: Int, immediate: ArraySlice<UInt8>, unsolicitedEnd: Int?,
    failure: TransferFailure? = nil
  ) {
    pendingFailure = failure
    self.expectedLength = expectedLength
    bytes = Array(immediate)
    if let unsolicitedEnd {
      phase = .unsolicited(end: unsolicitedEnd)
    } else {
      phase = immediate.count == expectedLength ? .complete : .waiting
    }
  }

  package mutating func receive(_ pdu: PDU) -> Verdict {
    let end: Int
    switch phase {
    case .unsolicited(let limit):
      guard pdu.header.word20 == reservedTag else { return .stray }
      end = limit
    case .solicited(let tag, let limit):
      // RFC 7143 §11.7.4: a copy of the R2T's transfer tag.
      guard pdu.header.word20 == tag else { return .stray }
      end = limit
    case .waiting, .complete:
      return .stray
    }
    let isFinal = pdu.header.isFinal
    if let pendingFailure {
      return Verdict(failure: isFinal ? pendingFailure : nil)
    }
    // RFC 7143 §7.8: rejected, and the task fails once its sequence is here.
    switch pdu.fault {
    case .damaged: return postpone(.lostData, isRejected: true, isFinal)
    case .tooLong: return postpone(.incorrectAmountOfData, isRejected: true, isFinal)
    case nil: break
    }
    guard Int(pdu.header.word40) == bytes.count else {
      return postpone(.incorrectAmountOfData, isRejected: true, isFinal)
    }
    guard pdu.data.count <= end - bytes.count else {
      return postpone(.incorrectAmountOfData, isRejected: true, isFinal)
    }
    // RFC 7143 §11.7.5, §7.8: numbers start at 0 in each sequence; a gap is lost data.
    guard pdu.header.word36 == nextDataNumber else {
      return postpone(.lostData, isRejected: false, isFinal)
    }
    bytes.append(contentsOf: pdu.data)
    nextDataNumber &+= 1
    guard isFinal else { return Verdict() }
    return endSequence(at: end)
  }

  /// Asks for the next burst under `tag`; nil unless one is due.
  package mutating func request(tag: UInt32, burstMax: Int) -> (offset: Int, length: Int)? {
    guard phase == .waiting else { return nil }
    if bytes.isEmpty { bytes.reserveCapacity(expectedLength) }
    // RFC 7143 §11.8: never zero, never more than MaxBurstLength.
    let length = min(burstMax, expectedLength - bytes.count)
    phase = .solicited(tag: tag, end: bytes.count + length)
    nextDataNumber = 0
    requestCount += 1
    return (bytes.count, length)
  }

  /// Grows with everything that counts.
  package var progress: Int { bytes.count + Int(requestCount) }

  /// Whether data is due from the initiator.
  package var isAwaiting: Bool {
    switch phase {
    case .unsolicited, .solicited: true
    case .waiting, .complete: false
    }
  }

  /// Nothing more of the sequence that is due has come for too long.
  // RFC 7143 §7.1.4.1, §7.9: as if the last of it had been lost.
  package func silenceVerdict() -> Verdict {
    Verdict(failure: pendingFailure ?? .lostData)
  }

  /// The collected bytes; the collection keeps none.
  package mutating func takeBytes() -> [UInt8] {
    let taken = bytes
    bytes = []
    return taken
  }

  private mutating func endSequence(at end: Int) -> Verdict {
    // RFC 7143 §11.4.7.2: less than was asked for, or less unasked than was announced.
    guard bytes.count == end else { return Verdict(failure: .incorrectAmountOfData) }
    phase = bytes.count == expectedLength ? .complete : .waiting
    return Verdict()
  }

  private mutating func postpone(
    _ failure: TransferFailure, isRejected: Bool, _ isFinal: Bool
  ) -> Verdict {
    pendingFailure = failure
    return Verdict(isRejected: isRejected, failure: isFinal ? failure : nil)
  }
}

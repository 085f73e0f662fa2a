// The data of one WRITE on its way in, RFC 7143 §4.2.5.2 and §11.7.
//
//     unsolicited ──F──▶ waiting ──R2T──▶ solicited ──F──▶ waiting … ▶ complete
//
// DataPDUInOrder and DataSequenceInOrder are Yes, so what comes next is always known. Without
// recovery Buffer Offset equals what is here; a sequence that has gone wrong is drained up to its F
// bit and then failed, or when no more of it comes. With recovery (ErrorRecoveryLevel 1) what is
// lost of a sequence is a gap: what follows it is taken, and once the sequence is over, or silent
// for too long, each gap is asked for again by a Recovery R2T, as often as a limit allows. What
// then still comes of a sequence that was given up is dropped. More than was asked for fails the
// task at either level: who sends that has lost nothing.

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
    /// The sequence is over, and what comes next is due.
    package var isOver = false
    /// It belongs to a sequence that was given up.
    package var isLate = false
  }

  /// What an R2T asks for.
  package struct Request: Equatable, Sendable {
    package let number: UInt32
    package let tag: UInt32
    package let range: Range<Int>
  }

  package let expectedLength: Int
  package private(set) var bytes: [UInt8]
  package private(set) var phase: Phase
  /// How many R2Ts were sent.
  package private(set) var requestCount: UInt32 = 0
  /// With recovery, the R2Ts whose own F bit has not come.
  package private(set) var unanswered: [Request] = []
  /// How many Recovery R2Ts may still be sent; nil where there is no recovery.
  private var recoveries: Int?
  private var gaps = DataGaps()
  /// Where the sequence that is due goes on.
  private var next: Int
  private var nextDataNumber: UInt32 = 0
  private var isUnsolicitedLate = false
  private var pendingFailure: TransferFailure?
  /// Bytes of a sequence that has gone wrong, as they come: no more than it may have.
  private var drained = 0

  /// Begins with a command's immediate data; `unsolicitedEnd` where more follows unasked, `failure`
  /// where the task fails after that, `recoveries` where lost data may be asked for again.
  package init(
    expectedLength: Int, immediate: ArraySlice<UInt8>, unsolicitedEnd: Int?,
    failure: TransferFailure? = nil, recoveries: Int? = nil
  ) {
    pendingFailure = failure
    self.expectedLength = expectedLength
    self.recoveries = recoveries
    bytes = Array(immediate)
    next = immediate.count
    if let unsolicitedEnd {
      phase = .unsolicited(end: unsolicitedEnd)
    } else {
      phase = immediate.count == expectedLength ? .complete : .waiting
    }
  }

  /// Where it stands: another number after everything that counts.
  package var progress: UInt64 { UInt64(requestCount) << 32 + UInt64(next) + UInt64(drained) }

  /// Whether data is due from the initiator.
  package var isAwaiting: Bool {
    switch phase {
    case .unsolicited, .solicited: true
    case .waiting, .complete: false
    }
  }

  // MARK: What comes

  package mutating func receive(_ pdu: PDU) -> Verdict {
    let tag = pdu.header.word20
    let end: Int
    switch phase {
    // RFC 7143 §11.7.4: with a copy of the R2T's transfer tag, or with none.
    case .unsolicited(let limit) where tag == reservedTag: end = limit
    case .solicited(tag, let limit): end = limit
    default: return isLate(tag) ? Verdict(isLate: true) : Verdict(isRejected: true)
    }
    let isFinal = pdu.header.isFinal
    defer { if pendingFailure != nil { drain(pdu, end) } }
    if let pendingFailure { return Verdict(failure: isFinal ? pendingFailure : nil) }
    guard pdu.fault != .tooLong else {
      return postpone(.incorrectAmountOfData, isRejected: true, isFinal)
    }
    let verdict =
      recoveries == nil ? takeInOrder(pdu, end, isFinal) : takeAround(pdu, end, isFinal)
    guard let verdict else { return isFinal ? endSequence(at: end) : Verdict() }
    guard isFinal, recoveries != nil, verdict.failure == nil else { return verdict }
    var ended = endSequence(at: end)
    ended.isRejected = verdict.isRejected
    return ended
  }

  // Who sends more than was asked for isn't taken for one who goes on.
  private mutating func drain(_ pdu: PDU, _ end: Int) {
    let count = pdu.fault == .tooLong ? pdu.header.dataSegmentLength : pdu.data.count
    drained = min(drained + count, end)
  }

  /// Takes what is next, and nothing else; nil where all is well.
  private mutating func takeInOrder(_ pdu: PDU, _ end: Int, _ isFinal: Bool) -> Verdict? {
    // RFC 7143 §7.8: rejected, and the task fails once its sequence is here.
    guard pdu.fault == nil else { return postpone(.lostData, isRejected: true, isFinal) }
    guard Int(pdu.header.word40) == next, pdu.data.count <= end - next else {
      return postpone(.incorrectAmountOfData, isRejected: true, isFinal)
    }
    // RFC 7143 §11.7.5, §7.8: numbers start at 0 in each sequence; a gap is lost data.
    guard pdu.header.word36 == nextDataNumber else {
      return postpone(.lostData, isRejected: false, isFinal)
    }
    store(pdu.data, at: next)
    next += pdu.data.count
    nextDataNumber &+= 1
    return nil
  }

  /// Takes what follows, and notes what was lost before it; nil where nothing is to be said.
  private mutating func takeAround(_ pdu: PDU, _ end: Int, _ isFinal: Bool) -> Verdict? {
    let offset = Int(pdu.header.word40)
    guard offset >= next, offset <= end, pdu.data.count <= end - offset else {
      return postpone(.incorrectAmountOfData, isRejected: true, isFinal)
    }
    let past = offset + pdu.data.count
    // RFC 7143 §7.9: a number ahead of its turn means that something was lost, and an offset says
    // what. Where the two don't agree nothing is known of this PDU's bytes either.
    let isNext = offset == next && pdu.header.word36 == nextDataNumber
    let isAfterLoss = offset > next && pdu.header.word36 > nextDataNumber
    let isWhole = pdu.fault == nil && (isNext || isAfterLoss)
    lose(next..<(isWhole ? offset : past))
    if isWhole { store(pdu.data, at: offset) }
    next = past
    // RFC 7143 §7.3: a rejected PDU counts.
    nextDataNumber = pdu.header.word36 &+ 1
    return pdu.fault == nil ? nil : Verdict(isRejected: true)
  }

  private mutating func store(_ data: ArraySlice<UInt8>, at offset: Int) {
    guard offset < bytes.count else { return bytes.append(contentsOf: data) }
    bytes.replaceSubrange(offset..<offset + data.count, with: data)
  }

  private mutating func lose(_ range: Range<Int>) {
    gaps.insert(range)
    guard range.upperBound > bytes.count else { return }
    bytes.append(contentsOf: repeatElement(0, count: range.upperBound - bytes.count))
  }

  /// Whether a sequence of that tag was given up: its data comes late, or comes twice.
  private func isLate(_ tag: UInt32) -> Bool {
    tag == reservedTag ? isUnsolicitedLate : unanswered.contains { $0.tag == tag }
  }

  // MARK: The end of a sequence

  private mutating func endSequence(at end: Int) -> Verdict {
    if case .solicited(let tag, _) = phase { unanswered.removeAll { $0.tag == tag } }
    return close(at: end)
  }

  /// Nothing more of the sequence that is due has come for too long.
  // RFC 7143 §7.1.4.1, §7.9: as if the rest of it had been lost.
  package mutating func handleSilence() -> Verdict {
    if let pendingFailure { return Verdict(failure: pendingFailure) }
    switch phase {
    case .unsolicited(let end):
      isUnsolicitedLate = true
      return recoveries == nil ? Verdict(failure: .lostData) : close(at: end)
    case .solicited(_, let end):
      return recoveries == nil ? Verdict(failure: .lostData) : close(at: end)
    case .waiting, .complete: return Verdict()
    }
  }

  /// The task was aborted: false where nothing is due on an R2T; else that is taken, and dropped,
  /// and its end is a failure.
  package mutating func abandon() -> Bool {
    guard case .solicited = phase else { return false }
    pendingFailure = .lostData
    recoveries = nil
    bytes = []
    return true
  }

  private mutating func close(at end: Int) -> Verdict {
    guard let recoveries else {
      // RFC 7143 §11.4.7.2: less than was asked for, or less unasked than was announced.
      guard next == end else { return Verdict(failure: .incorrectAmountOfData) }
      phase = next == expectedLength ? .complete : .waiting
      return Verdict(isOver: true)
    }
    lose(next..<end)
    guard gaps.isEmpty || recoveries > 0 else { return Verdict(failure: .lostData) }
    phase = gaps.isEmpty && bytes.count == expectedLength ? .complete : .waiting
    return Verdict(isOver: true)
  }

  private mutating func postpone(
    _ failure: TransferFailure, isRejected: Bool, _ isFinal: Bool
  ) -> Verdict {
    pendingFailure = failure
    return Verdict(isRejected: isRejected, failure: isFinal ? failure : nil)
  }

  // MARK: What is asked for

  /// Asks for the first gap, or for the next burst, under `tag`; nil unless one is due.
  package mutating func request(tag: UInt32, burstMax: Int) -> Request? {
    guard phase == .waiting else { return nil }
    // Behind immediate data, too: what grows is copied again and again.
    if requestCount == 0 { bytes.reserveCapacity(expectedLength) }
    let range: Range<Int>
    if let gap = gaps.takeFirst(burstMax) {
      recoveries = recoveries.map { $0 - 1 }
      range = gap
    } else {
      // RFC 7143 §11.8: never zero, never more than MaxBurstLength.
      range = bytes.count..<(bytes.count + min(burstMax, expectedLength - bytes.count))
    }
    phase = .solicited(tag: tag, end: range.upperBound)
    next = range.lowerBound
    nextDataNumber = 0
    // RFC 7143 §11.8: a Recovery R2T has the next number that isn't used.
    let request = Request(number: requestCount, tag: tag, range: range)
    requestCount += 1
    if recoveries != nil { unanswered.append(request) }
    return request
  }

  /// The collected bytes; the collection keeps none.
  package mutating func takeBytes() -> [UInt8] {
    let taken = bytes
    bytes = []
    return taken
  }
}

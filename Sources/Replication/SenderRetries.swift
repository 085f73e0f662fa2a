// A write that some legs did and one failed, in a kept mirror: before that leg leaves it gets the
// write again, alone, over its connection. A disk that is busy, or fails once, need not cost a
// resync; one that fails for good leaves a little later. Meanwhile the write is open: nothing that
// overlaps it begins, no mark of its region is taken away, and its caller waits.
//
// A leg that does not answer at all needs no such retry: what it lacks is sent to it again and
// again until the deadline (`SenderRepair`).
import ISCSI
import SCSI

extension LegFailure {
  /// Whether the same write may be GOOD when it is sent to the leg again.
  var isPassing: Bool {
    guard case .status = self else { return false }
    return !isNews && !isConflict && !hasStoredNothing
  }
}

extension Submission {
  /// It goes to single legs again, which the others don't hear of.
  var isRetry: Bool { retries > 0 }

  /// All legs are to have it anew.
  mutating func forgetRetries() {
    retries = 0
    (targets, stored, firstNumber, dataDigest) = ([], [], nil, nil)
  }
}

extension Sender {
  /// How mirrored bytes of a write go to a leg.
  func path(_ leg: Int, _ submission: Submission) -> LegDescription.Path {
    let path = legs[leg].description.path
    return submission.isRetry && path == .datagrams ? .connection : path
  }

  /// The legs that have failed a write and may get it again.
  private func retried(_ slot: Int) -> LegSet {
    var failed: LegSet = []
    for outcome in writes[slot].failures where legs[outcome.leg].isActive {
      guard outcome.failure.isPassing else { return [] }
      failed.insert(LegSet(outcome.leg))
    }
    return failed
  }

  /// Keeps a write open that has ended everywhere, until it is sent again to those that failed it.
  mutating func postpone(_ slot: Int, now: UInt64) -> Bool {
    let submission = writes[slot].submission
    let failed = retried(slot)
    guard configuration.isKept, !submission.isCopy, !withheld.isStopped,
      submission.retries < configuration.retriesMax, !failed.isEmpty, !storing(slot).isEmpty
    else { return false }
    for outcome in writes[slot].failures where failed.contains(LegSet(outcome.leg)) {
      events.append(.retried(leg: outcome.leg, outcome.failure))
    }
    let pause = Limits.retryPauseNanoseconds << UInt64(submission.retries)
    writes[slot].phase = .pausing
    writes[slot].deadline = now + min(pause, Limits.retryPauseMaxNanoseconds)
    timerDue = min(timerDue, writes[slot].deadline)
    return true
  }

  /// The pause is over.
  mutating func retry(_ slot: Int, now: UInt64) {
    let failed = retried(slot)
    // Who failed it may have left meanwhile.
    guard !failed.isEmpty, mayRepeat else { return conclude(slot, now: now) }
    var submission = writes[slot].submission
    submission.stored = storing(slot)
    submission.targets = failed
    submission.firstNumber = submission.firstNumber ?? writes[slot].number
    submission.dataDigest = submission.dataDigest ?? dataDigest(slot)
    submission.retries += 1
    submission.isTold = writes[slot].isTold
    putFirst(submission, from: slot)
  }
}

// MARK: A buffer that changes between tries

extension Sender {
  /// Whether those that got a retry got other bytes than those that had it before.
  func hasChanged(_ slot: Int) -> Bool {
    guard let first = writes[slot].submission.dataDigest, writes[slot].submission.isRetry,
      writes[slot].failures.isEmpty, !writes[slot].isAborting, let own = dataDigest(slot)
    else { return false }
    return own != first
  }

  /// A digest of all of a write's data, whatever its number; nil where not all of it was sent by
  /// datagrams, or none is digested.
  ///
  /// Nothing is read for it: CRC32C is linear, so a header's part in its datagram's digest is its
  /// own digest with as many zeros behind it as there is data.
  private func dataDigest(_ slot: Int) -> UInt64? {
    let write = writes[slot]
    guard !configuration.omitsDataDigest, let commandDigest = write.commandDigest,
      write.unsent.missingCount == 0
    else { return nil }
    let blockLength = configuration.blockLength
    let zeros = [UInt8](repeating: 0, count: (blockLength + 3) & ~3)
    var header = [UInt8](repeating: 0, count: BasicHeaderSegment.byteCount)
    var all: UInt64 = 0xcbf2_9ce4_8422_2325
    for block in 0..<write.blockCount {
      let count = min(blockLength, write.submission.length - block * blockLength)
      let isCommand = block == 0 && write.hasImmediateData
      // Safe: the spans over our own arrays end before these are used again.
      do {
        var span = header.mutableSpan
        var bytes = unsafe span.mutableBytes
        if isCommand {
          commandHeader(slot, immediate: count).store(to: &bytes)
        } else {
          storeDataHeader(slot, block: block, count: count, into: &bytes)
        }
      }
      var checksum = Checksum()
      unsafe checksum.update(header.span.bytes)
      unsafe checksum.update(zeros.span.bytes.extracting(0..<(count + 3) & ~3))
      let content = isCommand ? commandDigest : write.digests[block]
      all = (all ^ UInt64(content ^ checksum.state)) &* 0x0000_0100_0000_01b3
    }
    return all
  }
}

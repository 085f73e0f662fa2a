// A kept mirror that is verified: one caller's order, how it gets to the coordinator, and what
// comes back.
import Replication

/// A verification that a caller waits for.
struct KeptVerificationOrder: Sendable {
  /// By which its caller takes it back.
  let number: UInt64
  let range: Range<UInt64>?
  let repair: KeptRepair
  let onProgress: @Sendable (KeptVerificationProgress) -> Void
  let waiter: CheckedContinuation<KeptVerification, any Error>
}

extension Mirror {
  /// Compares the legs that are in sync with each other, by digests that the targets make, while
  /// writes go on; what differs is compared again while no write is open there. Ends early, and
  /// says so, where the task is cancelled, the mirror ends, or fewer than two legs are in sync.
  ///
  /// Throws where that can't begin: the mirror isn't kept or has ended, another verification is
  /// under way, the range isn't on the disk.
  /// - Parameters:
  ///   - range: rounded out to whole regions; nil: all.
  ///   - repairing: legs that differ are made equal to others, as after a write that failed
  ///     everywhere. They serve no reads meanwhile.
  public func verify(
    range: Range<UInt64>? = nil, repairing: KeptRepair = .none,
    onProgress: @escaping @Sendable (KeptVerificationProgress) -> Void = { _ in }
  ) async throws -> KeptVerification {
    if let current = succession?.current {
      return try await current.verify(
        range: range, repairing: repairing, onProgress: onProgress)
    }
    guard let inbox = keeping?.inbox else {
      throw MirrorcastError(
        "the mirror is not kept: what its legs lack is not known",
        advice: "Give it a name, or compare its disks when nobody writes.")
    }
    let number = UInt64.random(in: 1...UInt64.max)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { waiter in
        inbox.post(
          .verify(
            KeptVerificationOrder(
              number: number, range: range, repair: repairing, onProgress: onProgress,
              waiter: waiter)))
        // A task that was cancelled before this has taken back what was not there.
        if Task.isCancelled { inbox.post(.endVerification(number)) }
      }
    } onCancel: {
      inbox.post(.endVerification(number))
    }
  }
}

extension KeepingLoop {
  mutating func verify(_ order: KeptVerificationOrder, now: UInt64) {
    do throws(MirrorcastError) {
      let wish = try wish(order)
      guard let isBegun = machine.lead({ $0.verify(wish, now: now) }) else {
        throw MirrorcastError(
          "another initiator leads the mirror, and only that one verifies it",
          advice: "Order it there, or open the mirror when that one has ended.")
      }
      guard isBegun else {
        throw MirrorcastError(
          machine.phase == .running
            ? "the mirror is being verified already" : "the mirror takes no verification now")
      }
      callers.verifying = order
    } catch {
      order.waiter.resume(throwing: error)
    }
  }

  mutating func endVerification(_ number: UInt64, now: UInt64) {
    guard callers.verifying?.number == number else { return }
    machine.lead { $0.cancelVerification(now: now) }
  }

  private func wish(_ order: KeptVerificationOrder) throws(MirrorcastError) -> VerificationWish {
    let bytes = order.range ?? 0..<lanes.byteCount
    guard !bytes.isEmpty, bytes.upperBound <= lanes.byteCount else {
      throw MirrorcastError(
        "there are no bytes \(bytes.lowerBound) to \(bytes.upperBound) on a disk of"
          + " \(lanes.byteCount)")
    }
    switch order.repair {
    case .none: return VerificationWish(bytes: bytes, repair: .none)
    case .fromMost: return VerificationWish(bytes: bytes, repair: .fromMost)
    case .from(let url):
      guard let leg = seats.firstIndex(where: { $0.url == url }),
        machine.joinedLegs.contains(LegSet(leg)), machine.state(ofLeg: leg) == .inSync
      else {
        throw MirrorcastError(
          "\(url) is no leg that is in sync", advice: "Name one that is: see its state.")
      }
      return VerificationWish(bytes: bytes, repair: .from(leg: leg))
    }
  }

  /// Tells who waits for it.
  mutating func tellVerification(_ event: KeepingEvent) {
    guard let order = callers.verifying else { return }
    switch event {
    case .verifying(let done, let all):
      order.onProgress(KeptVerificationProgress(doneBytes: done, byteCount: all))
    case .verified(let report):
      callers.verifying = nil
      order.waiter.resume(returning: KeptVerification(report) { seats[$0].url })
    default: break
    }
  }
}

extension KeptDifference {
  init(_ difference: LegDifference, url: (Int) -> LogicalUnitURL) {
    bytes = difference.bytes
    isRepaired = difference.isRepaired
    groups = difference.groups.map { set in
      var urls: [LogicalUnitURL] = []
      set.forEach { urls.append(url($0)) }
      return urls
    }
  }
}

extension KeptUnreadable {
  init(_ range: UnreadableRange, url: (Int) -> LogicalUnitURL) {
    self.init(url: url(range.leg), bytes: range.bytes, reason: range.words)
  }
}

extension KeptVerification {
  init(_ report: VerificationReport, url: (Int) -> LogicalUnitURL) {
    bytes = report.bytes
    legs = report.comparedBytes.indices.filter { !report.forgotten.contains(LegSet($0)) }.map {
      KeptVerifiedLeg(url: url($0), comparedBytes: report.comparedBytes[$0])
    }
    differences = []
    differingPieces = report.differenceCount
    differingRegions = report.differingRegions
    repairedRegions = report.repairedRegions
    unreadable = report.unreadable.map { KeptUnreadable($0, url: url) }
    unreadableCount = report.unreadableCount
    endReason = report.endWords
    let inOrder = report.differences.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
    for difference in inOrder.map({ KeptDifference($0, url: url) }) {
      if let last = differences.last, last.bytes.upperBound == difference.bytes.lowerBound,
        last.groups == difference.groups, last.isRepaired == difference.isRepaired
      {
        differences[differences.count - 1].bytes =
          last.bytes.lowerBound..<difference.bytes.upperBound
      } else {
        differences.append(difference)
      }
    }
  }
}

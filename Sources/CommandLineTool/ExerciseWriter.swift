// The writes of an exercise: one thread begins them and hears of their ends, so that what is
// acknowledged is stored durably, where that is asked, before it counts and before its slot is used
// again. Lanes' threads only hand the ends over.

import Dispatch
import Mirrorcast
import Synchronization

/// Writes at random places until time is over, or the mirror is.
final class ExerciseWriter: Sendable {
  /// What is asked of it.
  struct Plan: Sendable {
    var seconds: Double
    var depth: Int
    var lengthMax: Int
    var seed: UInt64
    var firstWrite: UInt64
    /// Which part of the writes has FUA.
    var forcedPart: Double
  }

  /// What it did.
  struct Outcome: Sendable {
    var acknowledged: UInt64 = 0
    var failed: UInt64 = 0
    var bytes: UInt64 = 0
    /// The longest time in which writes were open and none ended.
    var pauseNanosecondsMax: UInt64 = 0
    /// The first write that was not GOOD, in words.
    var firstFailure: String?
  }

  private struct Flight: Sendable {
    var sectors = 0..<0
    var write: UInt64 = 0
    var isForced = false
  }

  private struct Ended: Sendable {
    var slot: Int
    var result: WriteResult
    var at: ContinuousClock.Instant
  }

  /// Writes that fail one after the other until the exercise gives up.
  private static let failuresMax = 64

  private let mirror: Mirror
  private let model: ExerciseModel
  private let plan: Plan
  private let slab: Slab
  private let ended = Mutex<[Ended]>([])
  private let isAnyEnded = DispatchSemaphore(value: 0)

  init(_ plan: Plan, _ model: ExerciseModel, through mirror: Mirror) {
    self.plan = plan
    self.model = model
    self.mirror = mirror
    slab = Slab(sliceLength: plan.lengthMax, count: plan.depth)
  }

  /// Runs on a thread of its own; `record` stores what was acknowledged, and may throw. Where some
  /// writes have FUA the others aren't stored: a power cut may take them.
  func perform(
    record: ([ExerciseRecord.Entry]) throws -> Void
  ) throws -> Outcome {
    var outcome = Outcome()
    var random = SplitMix64(seed: plan.seed)
    var flights = [Flight](repeating: Flight(), count: plan.depth)
    var next = plan.firstWrite
    var openCount = 0
    var failuresInRow = 0
    let end = ContinuousClock.now.advanced(by: .seconds(plan.seconds))
    var lastEnd = ContinuousClock.now
    for slot in 0..<plan.depth {
      begin(slot, &flights[slot], &next, &random)
      openCount += 1
    }
    while openCount > 0 {
      isAnyEnded.wait()
      let batch = ended.withLock { list in
        defer { list.removeAll(keepingCapacity: true) }
        return list
      }
      for one in batch {
        outcome.pauseNanosecondsMax = max(
          outcome.pauseNanosecondsMax, nanoseconds(lastEnd.duration(to: one.at)))
        lastEnd = max(lastEnd, one.at)
      }
      let good = batch.filter(\.result.isGood)
      try record(
        good.map { flights[$0.slot] }.filter { $0.isForced || plan.forcedPart == 0 }
          .map { .init(sectors: $0.sectors, write: $0.write) })
      for one in batch {
        let flight = flights[one.slot]
        openCount -= 1
        if one.result.isGood {
          model.acknowledge(flight.sectors, write: flight.write)
          outcome.acknowledged += 1
          outcome.bytes += UInt64(flight.sectors.count * model.sectorSize)
          failuresInRow = 0
        } else {
          outcome.failed += 1
          failuresInRow += 1
          outcome.firstFailure = outcome.firstFailure ?? Self.words(one.result)
        }
        guard ContinuousClock.now < end, failuresInRow < Self.failuresMax else { continue }
        begin(one.slot, &flights[one.slot], &next, &random)
        openCount += 1
      }
    }
    return outcome
  }

  private func begin(
    _ slot: Int, _ flight: inout Flight, _ next: inout UInt64, _ random: inout SplitMix64
  ) {
    let count = sectorCount(&random)
    let start = Int.random(in: 0...model.sectorCount - count, using: &random)
    let sectors = model.share.place(start..<start + count, of: model.sectorCount)
    let isForced = plan.forcedPart > 0 && Double.random(in: 0..<1, using: &random) < plan.forcedPart
    flight = Flight(sectors: sectors, write: next, isForced: isForced)
    next += 1
    model.begin(sectors, write: flight.write)
    let (first, length) = (sectors.lowerBound, sectors.count * model.sectorSize)
    // Safe: the slot's slice is this write's alone until its end was heard, and the slab lives as
    // long as this object, which the completion holds.
    let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: slab[slot][..<length])
    unsafe StampedSector.fill(
      bytes, sectorSize: model.sectorSize, first: UInt64(first), write: flight.write)
    unsafe mirror.submit(
      UnsafeRawBufferPointer(bytes), at: UInt64(first * model.sectorSize),
      forceUnitAccess: isForced
    ) { [self] result in
      ended.withLock { $0.append(Ended(slot: slot, result: result, at: .now)) }
      isAnyEnded.signal()
    }
  }

  /// Small ones mostly, long ones at times.
  private func sectorCount(_ random: inout SplitMix64) -> Int {
    let most = min(plan.lengthMax / model.sectorSize, model.sectorCount, model.share.lengthMax)
    let power = Int.random(
      in: 0...max(Int.bitWidth - most.leadingZeroBitCount - 1, 0), using: &random)
    return min(max(Int.random(in: 1...max(1 << power, 1), using: &random), 1), most)
  }

  private static func words(_ result: WriteResult) -> String {
    result.failures.map { "\($0.url): \($0.text)" }.joined(separator: "; ")
  }
}

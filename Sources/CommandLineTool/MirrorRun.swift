// What `mirror` and `bench` have in common: establish, write, flush, terminate, and the result.

import Logging
import Mirrorcast
import Synchronization

/// Counts of the writes of one run, filled by the lanes as writes end.
final class WriteTally: Sendable {
  /// What has been counted so far.
  struct Counts: Sendable {
    var bytes: UInt64 = 0
    var writes: UInt64 = 0
    var latencies = LatencyHistogram()
    /// The longest time in which writes were in flight and none ended.
    var stallNanosecondsMax: UInt64 = 0
    var lastEnd: ContinuousClock.Instant?
  }

  private let counts = Mutex(Counts())

  /// A write stored by no leg counts for nothing.
  func record(_ ended: WriteWindow.Ended, legCount: Int) {
    guard ended.result.failures.count < legCount else { return }
    counts.withLock {
      $0.bytes += UInt64(ended.length)
      $0.writes += 1
      $0.latencies.record(nanoseconds: nanoseconds(ended.start.duration(to: ended.end)))
      let since = max($0.lastEnd ?? ended.start, ended.start)
      let stall = nanoseconds(since.duration(to: ended.end))
      $0.stallNanosecondsMax = max($0.stallNanosecondsMax, stall)
      $0.lastEnd = ended.end
    }
  }

  var result: Counts { counts.withLock { $0 } }
}

/// One run of writes as it was measured.
struct RunResult: Sendable {
  var counts: WriteTally.Counts
  var seconds: Double
  var statistics: MirrorStatistics
  var legs: [LegOutcome]
  var notices: [String]
  /// None where the mirror is not kept.
  var keptLegs: [KeptLeg] = []

  var isGood: Bool { legs.allSatisfy(\.isGood) }
}

/// A mirror under a command: every leg's failure is told as it happens.
struct MirrorRun {
  let mirror: Mirror
  let watch: LegWatch
  let tally = WriteTally()

  /// Establishes the mirror, lets `write` fill it, and ends it; `write` is what is timed. It may
  /// ask for `mirror.byteCount` and throw before it has written anything.
  static func perform(
    _ options: MirrorOptions, legs: [LogicalUnitURL], logger: Logger, isQuiet: Bool,
    write: (MirrorRun) async throws -> Void
  ) async throws -> RunResult {
    let mirror = try await Mirror.establish(options, logger: logger)
    if !isQuiet { Console.shared.note(mirror.notices) }
    let run = MirrorRun(mirror: mirror, watch: LegWatch(legs: legs, isKept: options.name != nil))
    let start = ContinuousClock.now
    do {
      try await write(run)
    } catch {
      _ = await mirror.terminate()
      throw error
    }
    let elapsed = seconds(start.duration(to: .now))
    await KeptRun.waitInSync(mirror, wait: 0, isQuiet: isQuiet)
    run.watch.record(await mirror.flush(), place: "flushing")
    let keptLegs = mirror.keptLegs
    let statistics = mirror.statistics()
    run.watch.record(statistics.legs.map(\.status), place: "by the mirror's own account")
    run.watch.record(await mirror.terminate(), place: "terminating")
    return RunResult(
      counts: run.tally.result, seconds: elapsed, statistics: statistics,
      legs: run.watch.outcomes(statistics), notices: mirror.notices, keptLegs: keptLegs)
  }

  /// Whole blocks, at most what was asked and what is in force.
  func writeLength(wanted: Int) -> Int {
    let length = min(wanted, mirror.writeLengthMax)
    return max(mirror.blockSize, length - length % mirror.blockSize)
  }

  /// A window whose writes are counted, watched and shown.
  func window(depth: Int, spareSlots: Int, progress: Progress) -> WriteWindow {
    WriteWindow(mirror: mirror, depth: depth, spareSlots: spareSlots) { ended in
      record(ended)
      progress.advance(by: ended.length)
    }
  }

  /// Counts a write that has ended, and tells which legs failed it.
  func record(_ ended: WriteWindow.Ended) {
    watch.record(ended.result.failures, place: "writing at byte \(ended.offset)")
    tally.record(ended, legCount: watch.legs.count)
  }

  var repaired: @Sendable () -> UInt64 {
    { [mirror] in mirror.statistics().legs.reduce(0) { $0 + $1.repairedBlocks } }
  }
}

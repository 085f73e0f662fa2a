// The reads of an exercise, at legs that are in sync: some while it writes, and all of the disk at
// its end. What was acknowledged before a read begins, at a leg that is in sync after that was
// looked up, has to be there: a leg that is lost is called absent before any write is good without
// it.

import Mirrorcast
import Synchronization

/// Reads and judges.
final class ExerciseReads: Sendable {
  /// What was read, and what was wrong.
  struct Outcome: Sendable {
    var reads: UInt64 = 0
    var bytes: UInt64 = 0
    /// Reads that a leg didn't answer.
    var failed: UInt64 = 0
    var faults: [String] = []
    var faultCount: UInt64 = 0
    /// Ranges that differ between legs, at the end.
    var differing: UInt64 = 0
    /// Some leg was read from its beginning to its end, at the end.
    var isWhole = false
  }

  private static let faultsMax = 16
  private static let triesMax = 50

  private let mirror: Mirror
  private let model: ExerciseModel
  private let lengthMax: Int
  private let outcome = Mutex(Outcome())

  init(_ model: ExerciseModel, through mirror: Mirror) {
    self.model = model
    self.mirror = mirror
    lengthMax = min(1 << 20, mirror.writeLengthMax) / model.sectorSize * model.sectorSize
  }

  var result: Outcome { outcome.withLock { $0 } }

  /// Reads here and there until it is cancelled.
  func roam(seed: UInt64) async {
    var random = SplitMix64(seed: seed)
    while !Task.isCancelled {
      let most = min(lengthMax / model.sectorSize, model.sectorCount)
      let count = Int.random(in: 1...min(most, 256), using: &random)
      let first = Int.random(in: 0...model.sectorCount - count, using: &random)
      let sectors = first..<first + count
      let acknowledged = model.acknowledged(sectors)
      guard let leg = inSync.randomElement(using: &random) else {
        try? await Task.sleep(for: .milliseconds(20))
        continue
      }
      guard let bytes = await read(sectors, leg) else {
        try? await Task.sleep(for: .milliseconds(20))
        continue
      }
      judge(bytes, sectors, leg, acknowledged, isWriting: true)
    }
  }

  /// Reads all of each leg that is in sync, and compares them; one that is lost meanwhile is none.
  func readAll(_ progress: Progress) async {
    var legs = inSync
    outcome.withLock { $0.isWhole = false }
    let step = lengthMax / model.sectorSize
    for first in stride(from: 0, to: model.sectorCount, by: step) {
      let sectors = first..<min(first + step, model.sectorCount)
      let acknowledged = model.acknowledged(sectors)
      var kept: [UInt8]?
      for leg in legs {
        guard let bytes = await readWhileInSync(sectors, leg) else {
          if inSync.contains(leg) { note("\(leg): can't be read at sector \(first)") }
          legs.removeAll { $0 == leg }
          continue
        }
        judge(bytes, sectors, leg, acknowledged)
        if let kept, !model.areEqual(kept, bytes, sectors) {
          outcome.withLock { $0.differing += 1 }
        }
        kept = kept ?? bytes
        progress.advance(by: bytes.count)
      }
    }
    outcome.withLock { [legs] in $0.isWhole = !legs.isEmpty }
  }

  /// Reads until it is done, or the leg is called lost: the one may be seen before the other.
  private func readWhileInSync(
    _ sectors: Range<Int>, _ leg: LogicalUnitURL
  ) async -> [UInt8]? {
    for _ in 0..<Self.triesMax where inSync.contains(leg) {
      if let bytes = await read(sectors, leg) { return bytes }
      try? await Task.sleep(for: .milliseconds(100))
    }
    return nil
  }

  var inSync: [LogicalUnitURL] {
    mirror.keptLegs.filter { $0.isHere && $0.state == .inSync }.map(\.url)
  }

  private func read(_ sectors: Range<Int>, _ leg: LogicalUnitURL) async -> [UInt8]? {
    do throws(MirrorcastError) {
      let bytes = try await mirror.read(
        at: UInt64(sectors.lowerBound * model.sectorSize), count: sectors.count * model.sectorSize,
        from: leg)
      outcome.withLock {
        $0.reads += 1
        $0.bytes += UInt64(bytes.count)
      }
      return bytes
    } catch {
      outcome.withLock { $0.failed += 1 }
      return nil
    }
  }

  private func judge(
    _ bytes: [UInt8], _ sectors: Range<Int>, _ leg: LogicalUnitURL, _ acknowledged: [UInt64],
    isWriting: Bool = false
  ) {
    for fault in model.judge(
      bytes, sectors, acknowledged: acknowledged, isWriting: isWriting)
    {
      note("\(leg): sector \(fault.sector) \(fault.words)")
    }
  }

  private func note(_ words: String) {
    let isTold = outcome.withLock { outcome in
      outcome.faultCount += 1
      guard outcome.faults.count < Self.faultsMax else { return false }
      outcome.faults.append(words)
      return true
    }
    if isTold { Console.shared.complain(words, advice: nil) }
  }
}

// What an exercise knows of each sector: the last write that was acknowledged there, and the last
// one that was begun. Overlapping writes of one mirror end in the order in which they were begun,
// so a sector is right when it is of the first, of the second, or of one in between.

import Synchronization

/// The sectors of an exercise, for its writer and its readers.
final class ExerciseModel: Sendable {
  private struct State {
    var acknowledged: [UInt64]
    var begun: [UInt64]
  }

  /// What is wrong with bytes that were read.
  struct Fault: Sendable, Equatable {
    var sector: UInt64
    var words: String
  }

  let sectorSize: Int
  let sectorCount: Int
  let share: ExerciseShare
  private let state: Mutex<State>
  /// Of the run itself; later runs begin far behind it.
  private let firstWrite: UInt64

  /// - Parameters:
  ///   - acknowledged: from earlier runs, by sector.
  ///   - firstWrite: the first number of this run, higher than all before.
  init(
    sectorSize: Int, acknowledged: [UInt64], firstWrite: UInt64, share: ExerciseShare = .whole
  ) {
    self.sectorSize = sectorSize
    self.share = share
    self.firstWrite = firstWrite
    sectorCount = acknowledged.count
    // What an earlier run had begun, and wasn't told the end of, has a number before this run's.
    let begun = [UInt64](repeating: firstWrite - 1, count: acknowledged.count)
    state = Mutex(State(acknowledged: acknowledged, begun: begun))
  }

  func begin(_ sectors: Range<Int>, write: UInt64) {
    state.withLock { state in
      for sector in sectors { state.begun[sector] = max(state.begun[sector], write) }
    }
  }

  func acknowledge(_ sectors: Range<Int>, write: UInt64) {
    state.withLock { state in
      for sector in sectors {
        state.acknowledged[sector] = max(state.acknowledged[sector], write)
      }
    }
  }

  /// What is acknowledged now: a read that begins later has to show that, or something later.
  func acknowledged(_ sectors: Range<Int>) -> [UInt64] {
    state.withLock { Array($0.acknowledged[sectors]) }
  }

  /// Judges bytes that were read after `acknowledged` was asked; the faults, at most so many.
  /// - Parameter isWriting: writes were under way: a sector of one that is open may be read torn,
  ///   since reads and writes of a disk that overlap are not one step.
  func judge(
    _ bytes: [UInt8], _ sectors: Range<Int>, acknowledged: [UInt64], isWriting: Bool = false,
    faultsMax: Int = 4
  ) -> [Fault] {
    let begun = state.withLock { Array($0.begun[sectors]) }
    var faults: [Fault] = []
    for (index, sector) in sectors.enumerated()
    where faults.count < faultsMax && share.owns(sector) {
      let content = bytes[index * sectorSize..<(index + 1) * sectorSize]
      let finding = StampedSector.judge(content, sector: UInt64(sector))
      if isWriting, finding == .damaged, begun[index] > acknowledged[index] { continue }
      let words = fault(finding, from: acknowledged[index], to: begun[index])
      if let words { faults.append(Fault(sector: UInt64(sector), words: words)) }
    }
    return faults
  }

  /// Whether two legs hold the same, where nobody else writes.
  func areEqual(_ one: [UInt8], _ other: [UInt8], _ sectors: Range<Int>) -> Bool {
    guard !share.isWhole else { return one == other }
    for (index, sector) in sectors.enumerated() where share.owns(sector) {
      let bytes = index * sectorSize..<(index + 1) * sectorSize
      guard one[bytes] == other[bytes] else { return false }
    }
    return true
  }

  private func fault(
    _ finding: StampedSector.Finding, from lowest: UInt64, to highest: UInt64
  ) -> String? {
    switch finding {
    case .foreign:
      lowest == 0 ? nil : "holds none of our writes, though \(lowest) was acknowledged"
    case .damaged: "is torn or damaged"
    case .write(let write):
      write < lowest
        ? "is of write \(write), though \(lowest) was acknowledged"
        : write > highest ? "is of write \(write), which was never begun" : nil
    }
  }
}

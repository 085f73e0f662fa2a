import Mirrorcast
import Synchronization

/// What became of one leg by the end of a run.
struct LegOutcome: Sendable {
  var url: LogicalUnitURL
  /// `GOOD`, or the first failure in words.
  var status: String
  var isGood: Bool
  var servedBy: String
  var lostBlocks: UInt64
  var repairedBlocks: UInt64
  var reports: UInt64 = 0
  var unproven: UInt64 = 0
}

/// Remembers each leg's first failure and tells it at once; the other legs go on.
final class LegWatch: Sendable {
  let legs: [LogicalUnitURL]
  private let advice: String
  private let failures = Mutex<[LogicalUnitURL: String]>([:])

  init(legs: [LogicalUnitURL], isKept: Bool = false) {
    self.legs = legs
    advice =
      isKept
      ? "When the leg is well again, bring it up to date by: mirrorcast resync."
      : "The other legs go on. When the leg is well again, mirror the whole image anew."
  }

  /// Takes statuses, good ones too; `place` says when it was: `writing at byte 4096`.
  func record(_ statuses: [LegStatus], place: @autoclosure () -> String) {
    guard statuses.contains(where: { !$0.isGood }) else { return }
    for status in statuses where !status.isGood {
      let isNew = failures.withLock { $0.updateValueIfAbsent(status.text, for: status.url) }
      guard isNew else { continue }
      Console.shared.complain(
        "leg \(status.url) failed, \(place()): \(status.text)",
        advice: advice)
    }
  }

  /// Whether there is no leg left to write to.
  var everyLegFailed: Bool { failures.withLock { $0.count } >= legs.count }

  /// All legs as they stand, with the mirror's own counts.
  func outcomes(_ statistics: MirrorStatistics) -> [LegOutcome] {
    let failures = failures.withLock { $0 }
    return legs.map { url in
      let counted = statistics.legs.first { $0.url == url }
      let failure = failures[url]
      return LegOutcome(
        url: url, status: failure ?? "GOOD", isGood: failure == nil,
        servedBy: counted?.servedBy ?? "nothing", lostBlocks: counted?.lostBlocks ?? 0,
        repairedBlocks: counted?.repairedBlocks ?? 0, reports: counted?.reports ?? 0,
        unproven: counted?.unproven ?? 0)
    }
  }
}

extension [LogicalUnitURL: String] {
  /// Stores a value for a key that has none; whether it did.
  fileprivate mutating func updateValueIfAbsent(_ value: String, for key: LogicalUnitURL) -> Bool {
    guard self[key] == nil else { return false }
    self[key] = value
    return true
  }
}

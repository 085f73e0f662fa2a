// Requests that can't be answered at once: each waits for a round of the journal, or for a flush of
// the medium and then a round.
//
// Marks and their taking away go on side by side, since a detach must not wait for a flush of the
// medium that takes seconds; what changes the record goes one after the other.

/// A request that waits.
struct KeepingAsk: Sendable {
  /// What it waits for.
  enum Stage: Sendable, Equatable {
    /// For the change of the record before it.
    case turn
    /// For a flush of the medium to begin.
    case wantsMedium
    /// For its end.
    case flushingMedium
    /// For the end of a round.
    case round(UInt64)
  }

  /// What it is.
  enum Kind: Sendable {
    case mark
    /// The regions that have not been written since, and how many were named.
    case synced(RegionMap, asked: Int)
    case adopt(MirrorRecord, replaces: Bool)
    /// The regions without open stores as the flush begins.
    case close(RegionMap)
    case release
    /// A claim. A record of the claim before it may be on its way: that is there, or is not, before
    /// anybody is told what is.
    case describe

    /// Whether it changes the record.
    var isOfRecord: Bool {
      switch self {
      case .mark, .synced: false
      case .adopt, .close, .release, .describe: true
      }
    }
  }

  var session: UInt64
  var token: UInt64
  var kind: Kind
  var stage: Stage
}

/// The requests that wait, in the order in which they came.
struct KeepingAsks: Sendable {
  /// Requests that wait at once; more are refused.
  static let countMax = 16

  var asks: [KeepingAsk] = []
  /// How many of them have regions that a store would touch.
  private(set) var syncedCount = 0

  var isFull: Bool { asks.count >= Self.countMax }

  mutating func append(_ ask: KeepingAsk) {
    asks.append(ask)
    if case .synced = ask.kind { syncedCount += 1 }
  }

  mutating func remove(at index: Int) -> KeepingAsk {
    let ask = asks.remove(at: index)
    if case .synced = ask.kind { syncedCount -= 1 }
    return ask
  }

  mutating func removeAll(of session: UInt64) {
    for index in asks.indices.reversed() where asks[index].session == session {
      _ = remove(at: index)
    }
  }

  /// These are not equal any more, or not known to be.
  mutating func touch(_ regions: Range<Int>) {
    for index in asks.indices {
      guard case .synced(var synced, let asked) = asks[index].kind else { continue }
      // So that there is one owner of the map, which is changed in place.
      asks[index].kind = .mark
      synced.remove(regions)
      asks[index].kind = .synced(synced, asked: asked)
    }
  }

  /// No round is needed any more by what is about marks.
  mutating func endMarks() {
    for index in asks.indices where !asks[index].kind.isOfRecord {
      if case .round = asks[index].stage { asks[index].stage = .round(0) }
    }
  }

  /// The first change of the record that has not begun, if none is under way.
  var nextOfRecord: Int? {
    guard let index = asks.firstIndex(where: { $0.kind.isOfRecord }) else { return nil }
    return asks[index].stage == .turn ? index : nil
  }

  /// A request by its stage.
  func first(_ isSuch: (KeepingAsk.Stage) -> Bool) -> Int? {
    asks.firstIndex { isSuch($0.stage) }
  }
}

// What a verification of a kept mirror has found, for callers.

/// Whether and from whom legs that differ are made equal.
public enum KeptRepair: Sendable, Equatable {
  case none
  /// What most legs have is right; where as many have something else, what the first leg has.
  case fromMost
  /// What that leg has is right.
  case from(LogicalUnitURL)
}

/// A range in which legs that are in sync have different bytes, though no write is open there.
public struct KeptDifference: Sendable, Equatable {
  public var bytes: Range<UInt64>
  /// Legs that have the same bytes; those that are taken for right first.
  public var groups: [[LogicalUnitURL]]
  /// They are equal there again.
  public var isRepaired = false

  /// The legs that are not taken for right.
  public var odd: [LogicalUnitURL] { groups.dropFirst().flatMap { $0 } }
}

/// A range that a leg can't read.
public struct KeptUnreadable: Sendable, Equatable {
  public var url: LogicalUnitURL
  public var bytes: Range<UInt64>
  public var reason: String
}

/// A leg that was verified.
public struct KeptVerifiedLeg: Sendable, Equatable {
  public var url: LogicalUnitURL
  /// Bytes that were compared with another leg's.
  public var comparedBytes: UInt64
}

/// How far a verification has come.
public struct KeptVerificationProgress: Sendable, Equatable {
  public var doneBytes: UInt64
  public var byteCount: UInt64
}

/// What a verification of a kept mirror has found.
public struct KeptVerification: Sendable, Equatable {
  /// What was to be compared: whole regions.
  public var bytes: Range<UInt64>
  public var legs: [KeptVerifiedLeg]
  /// In order, those next to each other as one; of a thousand pieces that differ at most.
  public var differences: [KeptDifference]
  /// Pieces of 256 KiB that differ, listed or not.
  public var differingPieces: Int
  /// Regions in which anything differs.
  public var differingRegions: Int
  /// Of these, the ones in which all legs are equal again.
  public var repairedRegions: Int
  public var unreadable: [KeptUnreadable]
  public var unreadableCount: Int
  /// Why it ended before all was compared; nil where it didn't.
  public var endReason: String?

  /// Every leg was compared from the beginning to the end.
  public var isWhole: Bool {
    endReason == nil && legs.allSatisfy { $0.comparedBytes == UInt64(bytes.count) }
  }

  /// All legs have the same bytes, by now.
  public var isEqual: Bool {
    isWhole && unreadableCount == 0 && differingRegions == repairedRegions
  }
}

extension KeptDifference: CustomStringConvertible {
  /// One line for people.
  public var description: String {
    func words(_ legs: [LogicalUnitURL]) -> String {
      legs.map { "\($0)" }.joined(separator: ", ")
    }
    let others = groups.dropFirst().map { words($0) }.joined(separator: "; and from ")
    return "bytes \(bytes.lowerBound) to \(bytes.upperBound): \(others)"
      + " differ\(groups.count == 2 && groups[1].count == 1 ? "s" : "") from"
      + " \(words(groups.first ?? []))\(isRepaired ? ", repaired" : "")"
  }
}

extension KeptUnreadable: CustomStringConvertible {
  /// One line for people.
  public var description: String {
    "bytes \(bytes.lowerBound) to \(bytes.upperBound): \(url) can't be read: \(reason)"
  }
}

extension KeptVerification: CustomStringConvertible {
  /// Lines for people: all that was found, and the verdict.
  public var description: String {
    var lines = differences.map(\.description) + unreadable.map(\.description)
    for leg in legs where leg.comparedBytes < UInt64(bytes.count) {
      lines.append("\(leg.url): only \(leg.comparedBytes) of \(bytes.count) bytes were compared")
    }
    lines.append(verdict)
    return lines.joined(separator: "\n")
  }

  /// One line: how it ended.
  public var verdict: String {
    if let endReason { return "not verified to the end: \(endReason)" }
    guard differingRegions > 0 else {
      let isDone = isWhole && unreadableCount == 0
      return isDone
        ? "identical: \(bytes.count) bytes on each leg" : "no difference, but not all was compared"
    }
    let left = differingRegions - repairedRegions
    let found = "\(differingPieces) pieces differed in \(differingRegions) regions"
    return left == 0 ? "\(found), all repaired" : "\(found), \(left) of them do still"
  }
}

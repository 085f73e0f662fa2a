// Losses, duplicates and reordering on purpose, from one seed: so that anyone can see recovery
// work, and a run that went wrong can be had again.

/// Draws what happens to each datagram.
package struct FaultInjector: Sendable {
  /// What is to be done with a datagram.
  package enum Verdict: Sendable, BitwiseCopyable {
    case pass
    case drop
    case duplicate
    /// Keep it back, until this many others have passed.
    case hold(Int)
  }

  package static let holdMax = 8

  private var state: UInt64
  private let dropBelow: Double
  private let duplicateBelow: Double
  private let holdBelow: Double

  /// Probabilities of 0 to 1, at most 1 together; nil when they are not.
  package init?(drop: Double, duplicate: Double, reorder: Double, seed: UInt64) {
    guard [drop, duplicate, reorder].allSatisfy({ $0 >= 0 && $0 <= 1 }) else { return nil }
    guard drop + duplicate + reorder <= 1.000_000_001 else { return nil }
    dropBelow = drop
    duplicateBelow = drop + duplicate
    holdBelow = drop + duplicate + reorder
    state = seed
  }

  /// Whether anything can happen at all.
  package var isActive: Bool { holdBelow > 0 }

  package mutating func decide() -> Verdict {
    let draw = Double(nextRandom() >> 11) * 0x1p-53
    guard draw < holdBelow else { return .pass }
    if draw < dropBelow { return .drop }
    if draw < duplicateBelow { return .duplicate }
    return .hold(1 + Int(nextRandom() % UInt64(Self.holdMax)))
  }

  // SplitMix64, by Sebastiano Vigna.
  private mutating func nextRandom() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

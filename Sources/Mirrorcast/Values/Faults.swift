import Datagrams

/// Datagrams lost, doubled and put out of order on purpose, so that anyone can see recovery work.
public struct Faults: Sendable, Equatable {
  /// The share of datagrams that is dropped, 0 to 1.
  public var drop: Double
  /// The share that is delivered twice, 0 to 1.
  public var duplicate: Double
  /// The share that is held back behind later ones, 0 to 1.
  public var reorder: Double
  /// The same seed makes the same choices again.
  public var seed: UInt64

  public init(drop: Double, duplicate: Double, reorder: Double, seed: UInt64) {
    self.drop = drop
    self.duplicate = duplicate
    self.reorder = reorder
    self.seed = seed
  }

  /// Every datagram passes as it is.
  public static let none = Faults(drop: 0, duplicate: 0, reorder: 0, seed: 1)
}

extension Faults {
  /// The injector, nil where no fault is asked for.
  func injector() throws(MirrorcastError) -> FaultInjector? {
    guard self != Faults(drop: 0, duplicate: 0, reorder: 0, seed: seed) else { return nil }
    guard
      let injector = FaultInjector(
        drop: drop, duplicate: duplicate, reorder: reorder, seed: seed)
    else {
      throw MirrorcastError(
        "faults of \(drop), \(duplicate) and \(reorder) are no probabilities",
        advice: "Each is from 0 to 1, and together they are at most 1.")
    }
    return injector
  }
}

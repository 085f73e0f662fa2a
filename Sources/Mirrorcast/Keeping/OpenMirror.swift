// A kept mirror that somebody has open, as that one says to everybody else how it stands.
import Replication

/// A kept mirror that an initiator has open, as that one says it stands.
public struct OpenMirror: Sendable {
  /// A leg, or a member that none of the initiator's legs is.
  public struct Leg: Sendable, Equatable {
    /// Its URL, as the mirror's records have it.
    public var label: String
    public var state: LegState
    /// Why it is called so.
    public var reason: String
    /// The generation that calls it so.
    public var generation: UInt64
    /// Mirrored writes reach it.
    public var isHere: Bool
    /// It was let go by order, and is not tried again before it is attached.
    public var isDetached: Bool
    /// It is not tried again, since it can't be taken back as it is.
    public var isGivenUp: Bool
    /// Regions that are still to be compared; nil while that isn't known.
    public var remainingRegions: Int?
    /// Regions that had to be compared when that began.
    public var totalRegions: Int?
    /// Bytes that were copied to it since it is here.
    public var copiedBytes: UInt64
    /// How its data gets there: `udp`, `rdma`, `tcp`; empty where none does.
    public var servedBy: String
  }

  /// The leg that the mirror was asked through.
  public var door: LogicalUnitURL
  /// What people call the mirror.
  public var name: String
  public var generation: UInt64
  /// How many legs that have everything the mirror needs to take a write.
  public var requiredCount: Int
  /// It is ending.
  public var isClosing: Bool
  /// Too few legs are here: writes wait.
  public var isSuspended: Bool
  public var legs: [Leg]

  init(_ standing: MirrorStanding, through door: LogicalUnitURL) {
    self.door = door
    name = standing.name
    generation = standing.generation
    requiredCount = standing.requiredCount
    isClosing = standing.isClosing
    isSuspended = standing.isSuspended
    legs = standing.legs.map(Leg.init)
  }

  /// The leg of that URL.
  public func leg(_ url: LogicalUnitURL) -> Leg? { legs.first { $0.label == "\(url)" } }

  /// All are in sync.
  public var isWhole: Bool { legs.allSatisfy { $0.state == .inSync } }
}

extension OpenMirror.Leg {
  fileprivate init(_ leg: LegStanding) {
    self.init(
      label: leg.label, state: LegState(leg.state), reason: leg.reason,
      generation: leg.generation, isHere: leg.isHere, isDetached: leg.isDetached,
      isGivenUp: leg.isGivenUp, remainingRegions: leg.remaining, totalRegions: leg.total,
      copiedBytes: leg.copiedBytes, servedBy: leg.servedBy)
  }
}

/// Who may use a mirror's LUNs, as every leg tells it: persistent reservations, SPC-4 §5.13.
public struct MirrorReservation: Sendable, Equatable {
  /// What a reservation keeps others from, SPC-4 table 81.
  public enum Kind: UInt8, Sendable, CaseIterable {
    /// Only its holder writes.
    case writeExclusive = 1
    /// Only its holder reads and writes.
    case exclusiveAccess = 3
    /// Only who is registered writes.
    case writeExclusiveRegistrantsOnly = 5
    /// Only who is registered reads and writes.
    case exclusiveAccessRegistrantsOnly = 6
    /// The same, and it lasts until the last registrant is gone.
    case writeExclusiveAllRegistrants = 7
    case exclusiveAccessAllRegistrants = 8
  }

  /// The keys that are registered, each once, in their order.
  public var keys: [UInt64]
  /// Nil where nobody holds a reservation.
  public var kind: Kind?
  /// The key of who holds it; zero where all registrants do.
  public var holderKey: UInt64?

  public init(keys: [UInt64] = [], kind: Kind? = nil, holderKey: UInt64? = nil) {
    self.keys = keys
    self.kind = kind
    self.holderKey = holderKey
  }
}

extension MirrorReservation: CustomStringConvertible {
  public var description: String {
    let keys = keys.map { "0x\(String($0, radix: 16))" }.joined(separator: ", ")
    let registered = keys.isEmpty ? "nobody is registered" : "registered: \(keys)"
    guard let kind, let holderKey else { return "\(registered); nothing is reserved" }
    let holder = holderKey == 0 ? "all of them" : "0x\(String(holderKey, radix: 16))"
    return "\(registered); \(kind) by \(holder)"
  }
}

/// Why a mirror's reservations are not what was asked for.
public struct MirrorReservationError: Error, Sendable, CustomStringConvertible {
  /// What stands against it.
  public enum Reason: String, Sendable {
    /// Another holds a reservation, or this mirror's registration was taken away. No leg was
    /// changed.
    case conflict
    /// The mirror has no key: `register` comes first.
    case notRegistered
    /// Some legs do it and others don't.
    case differs
    /// The first leg refuses it for another reason, or it can't be asked for at all.
    case refused
    /// No leg answers.
    case lost
  }

  public var reason: Reason
  /// For people.
  public var what: String
  /// What each leg that was asked has answered.
  public var legs: [LegStatus]

  init(_ reason: Reason, _ what: String, _ legs: [LegStatus] = []) {
    self.reason = reason
    self.what = what
    self.legs = legs
  }

  public var description: String {
    ([what] + legs.map { "  \($0.url): \($0.text)" }).joined(separator: "\n")
  }
}

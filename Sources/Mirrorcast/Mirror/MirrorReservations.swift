// Persistent reservations through a mirror, for callers. They belong to the mirror that a process
// holds open: they end with it, however it ends, and last while its legs come and go.
import SCSI

/// SPC-4 §5.13 by one mirror. All throw `MirrorReservationError`.
extension Mirror {
  /// Registers a key at every leg, in place of one that was registered before; zero takes the
  /// registration away, and with it what it holds.
  ///
  /// A key is one mirror's: what is registered by it already is taken for what an earlier life of
  /// this initiator left, and becomes this one's.
  public func register(key: UInt64) async throws { try await perform(.register(key)) }

  /// Reserves the LUNs of every leg; who is registered already holds it, or nobody, or this is a
  /// conflict, by which no leg changes.
  public func reserve(_ kind: MirrorReservation.Kind) async throws {
    try await perform(.reserve(kind.type))
  }

  /// Ends the reservation that this mirror holds; without one nothing happens.
  public func release() async throws { try await perform(.release) }

  /// Takes the registrations by another's key away, and with them the reservation that it holds:
  /// that is this mirror's then.
  /// - Parameter kind: of the reservation that is taken over; nil: as it was.
  public func preempt(key: UInt64, _ kind: MirrorReservation.Kind? = nil) async throws {
    try await perform(.preempt(key, kind?.type))
  }

  /// Takes away all registrations, this mirror's too, and what is reserved.
  public func clear() async throws { try await perform(.clear) }

  /// What holds at every leg; legs that differ are an error that lists what each tells.
  public func reservation() async throws -> MirrorReservation {
    try await (succession?.current ?? self).reservations.read()
  }

  private func perform(_ wish: ReservationWish) async throws {
    try await (succession?.current ?? self).reservations.perform(wish)
  }
}

extension MirrorReservation.Kind {
  /// As it is on the wire.
  var type: ReservationType {
    switch self {
    case .writeExclusive: .writeExclusive
    case .exclusiveAccess: .exclusiveAccess
    case .writeExclusiveRegistrantsOnly: .writeExclusiveRegistrants
    case .exclusiveAccessRegistrantsOnly: .exclusiveAccessRegistrants
    case .writeExclusiveAllRegistrants: .writeExclusiveAll
    case .exclusiveAccessAllRegistrants: .exclusiveAccessAll
    }
  }
}

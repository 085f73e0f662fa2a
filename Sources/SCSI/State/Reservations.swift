// Who may use a disk: RESERVE (6) of SPC-2 and the persistent reservations of SPC-4 §5.13.
//
//     RESERVE (6)     a session has it, until it releases it, ends, or the disk is reset
//     registrations   ports with their keys; they outlast sessions and resets
//     reservation     one registered port has it, or all of them (types 7 and 8)
//
// The two don't mix: while a RESERVE (6) holds, PERSISTENT RESERVE is refused, and the other way.

/// What a persistent reservation keeps others from, SPC-4 table 81.
package enum ReservationType: UInt8, CaseIterable, Sendable {
  case writeExclusive = 1
  case exclusiveAccess = 3
  case writeExclusiveRegistrants = 5
  case exclusiveAccessRegistrants = 6
  case writeExclusiveAll = 7
  case exclusiveAccessAll = 8

  /// Whether readers are kept out, too.
  var excludesReaders: Bool {
    switch self {
    case .writeExclusive, .writeExclusiveRegistrants, .writeExclusiveAll: false
    case .exclusiveAccess, .exclusiveAccessRegistrants, .exclusiveAccessAll: true
    }
  }

  /// Whether whoever is registered may do as the holder may.
  package var admitsRegistrants: Bool { self != .writeExclusive && self != .exclusiveAccess }

  /// Whether all registrants hold it.
  package var isOfAll: Bool { self == .writeExclusiveAll || self == .exclusiveAccessAll }
}

/// A port that has said who it is.
struct PersistentRegistration: Equatable, Sendable {
  var port: InitiatorPort
  var key: UInt64
}

/// The persistent reservation that there is.
struct PersistentReservation: Equatable, Sendable {
  var type: ReservationType
  /// The port that made it; of the types that all hold it is one of them.
  var holder: InitiatorPort
}

/// The reservations of one disk.
struct Reservations: Sendable {
  static let registrationsMax = 128
  /// Ports that one REGISTER may specify beside its own.
  static let specifiedMax = 32

  /// The session that holds a RESERVE (6).
  private(set) var legacyHolder: UInt64?
  var registrations: [PersistentRegistration] = []
  var reservation: PersistentReservation?
  /// PRGENERATION, SPC-4 §6.15.2: counts what changed registrations, from the start of the daemon.
  var generation: UInt32 = 0
  /// APTPL: kept over a restart.
  var isKept = false
  /// A change is being kept; it counts when that is done.
  var isChanging = false

  /// Whether anybody may be kept out.
  var isEmpty: Bool { legacyHolder == nil && reservation == nil }

  func key(of port: InitiatorPort) -> UInt64? {
    registrations.first { $0.port == port }?.key
  }

  func isHolder(_ port: InitiatorPort) -> Bool {
    guard let reservation else { return false }
    return reservation.type.isOfAll ? key(of: port) != nil : reservation.holder == port
  }

  // MARK: Judging

  /// Whether a command that reservations treat so is refused to a nexus.
  func conflicts(_ exclusion: CommandDescription.Exclusion, _ nexus: Nexus) -> Bool {
    guard exclusion != .none, exclusion != .own else { return false }
    if let legacyHolder { return legacyHolder != nexus.session }
    guard exclusion != .legacy, let reservation, !isHolder(nexus.port) else { return false }
    if reservation.type.admitsRegistrants, key(of: nexus.port) != nil { return false }
    return exclusion == .writing || reservation.type.excludesReaders
  }

  // MARK: RESERVE (6) and RELEASE (6)

  /// False: a reservation conflict.
  mutating func reserve(_ nexus: Nexus) -> Bool {
    guard registrations.isEmpty, !isChanging, legacyHolder ?? nexus.session == nexus.session
    else {
      // SPC-4 §5.13.3: with registrations made, a registrant's RESERVE does nothing (CRH).
      return legacyHolder == nil && key(of: nexus.port) != nil
        && (reservation == nil || isHolder(nexus.port))
    }
    legacyHolder = nexus.session
    return true
  }

  /// SPC-2 §7.18: releasing what another holds does nothing and is no error.
  mutating func release(_ nexus: Nexus) -> Bool {
    guard registrations.isEmpty || key(of: nexus.port) != nil else { return false }
    if legacyHolder == nexus.session { legacyHolder = nil }
    return true
  }

  // MARK: Losses

  mutating func detach(_ session: UInt64) {
    if legacyHolder == session { legacyHolder = nil }
  }

  // SPC-4 §5.13.6: persistent reservations outlast every reset.
  mutating func reset() { legacyHolder = nil }
}

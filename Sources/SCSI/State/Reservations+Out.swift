// PERSISTENT RESERVE OUT, SPC-4 §5.13.5 to §5.13.11: one function a service action. Each tells what
// the others are to hear; the one that caused it hears nothing.
import Bytes

/// The parameters of a PERSISTENT RESERVE OUT, SPC-4 §6.16.3.
struct PersistentReserveParameters: Equatable, Sendable {
  static let byteCount = 24

  var key: UInt64
  var actionKey: UInt64
  var isKept: Bool
  /// REGISTER AND MOVE: its sender's registration ends.
  var unregisters = false
  /// REGISTER AND MOVE: who gets the reservation.
  var destination: InitiatorPort?
  /// SPEC_I_PT: the ports that are registered with the sender's; nil without it.
  var specified: [InitiatorPort]?

  init(_ data: RawSpan, _ action: BlockCommand.PersistentReserveOut.Action) throws(SenseData) {
    guard data.byteCount >= Self.byteCount else { throw .parameterListLengthError }
    key = data.bigEndian64(at: 0)
    actionKey = data.bigEndian64(at: 8)
    // ALL_TG_PT changes nothing, for there is one target port.
    guard data.byte(at: 20) & ~0x0d == 0 else { throw .invalidParameter(20) }
    isKept = data.byte(at: 20) & 0x01 != 0
    guard data.byte(at: 20) & 0x08 != 0 else {
      // SPC-4 §6.16.3: exactly 24 bytes where no TransportID follows.
      guard data.byteCount == Self.byteCount else { throw .parameterListLengthError }
      return
    }
    // SPC-4 §6.16.3: ports are specified to REGISTER and to nothing else.
    guard action == .register else { throw .invalidParameter(20) }
    specified = try Self.ports(data.extracting(Self.byteCount...))
  }

  /// The TransportIDs behind their length.
  private static func ports(_ data: RawSpan) throws(SenseData) -> [InitiatorPort] {
    guard data.byteCount >= 4, UInt64(data.bigEndian32(at: 0)) == UInt64(data.byteCount - 4) else {
      throw .parameterListLengthError
    }
    var ports: [InitiatorPort] = []
    var offset = 4
    while offset < data.byteCount {
      // SPC-4 §6.16.3: a TransportID that is cut off is an error of the list's length.
      guard data.byteCount >= offset + 4 else { throw .parameterListLengthError }
      let end = offset + 4 + Int(data.bigEndian16(at: offset + 2))
      guard end <= data.byteCount else { throw .parameterListLengthError }
      guard let port = InitiatorPort(transportID: data.extracting(offset..<end)),
        !ports.contains(port)
      else { throw .invalidParameter(byteCount + offset) }
      ports.append(port)
      offset = end
    }
    return ports
  }

  /// Of REGISTER AND MOVE, SPC-4 §6.16.4.
  init(moving data: RawSpan) throws(SenseData) {
    guard data.byteCount >= Self.byteCount else { throw .parameterListLengthError }
    key = data.bigEndian64(at: 0)
    actionKey = data.bigEndian64(at: 8)
    guard data.byte(at: 17) & ~0x03 == 0 else { throw .invalidParameter(17) }
    unregisters = data.byte(at: 17) & 0x02 != 0
    isKept = data.byte(at: 17) & 0x01 != 0
    // SPC-4 §6.16.4: the relative target port; there is one.
    guard data.bigEndian16(at: 18) <= 1 else { throw .invalidParameter(18) }
    let length = data.bigEndian32(at: 20)
    guard UInt64(length) == UInt64(data.byteCount - Self.byteCount) else {
      throw .parameterListLengthError
    }
    guard let port = InitiatorPort(transportID: data.extracting(Self.byteCount...)) else {
      throw .invalidParameter(Self.byteCount)
    }
    destination = port
  }
}

/// What a PERSISTENT RESERVE OUT led to.
struct ReservationChange: Sendable {
  /// Nil: a reservation conflict.
  var isRefused = false
  /// Who is to hear what.
  var news: [(port: InitiatorPort, sense: AdditionalSense)] = []
  /// Whose tasks end.
  var aborted: [InitiatorPort] = []

  static let refused = ReservationChange(isRefused: true)
  static let nothing = ReservationChange()
}

extension Reservations {
  mutating func out(
    _ command: BlockCommand.PersistentReserveOut, _ parameters: PersistentReserveParameters,
    from port: InitiatorPort
  ) throws(SenseData) -> ReservationChange {
    switch command.action {
    case .register, .registerAndIgnoreExistingKey:
      return try register(
        parameters, from: port, ignoresKey: command.action != .register)
    case .reserve, .release, .clear, .preempt, .preemptAndAbort, .registerAndMove: break
    }
    // SPC-4 §5.13.5: all others are for registrants that know their key.
    guard let own = key(of: port), own == parameters.key else { return .refused }
    switch command.action {
    case .reserve: return try reserve(command, from: port)
    case .release: return try release(command, from: port)
    case .clear: return clear(from: port)
    case .preempt, .preemptAndAbort: return try preempt(command, parameters, from: port)
    case .registerAndMove: return try move(parameters, from: port)
    case .register, .registerAndIgnoreExistingKey: preconditionFailure("registered already")
    }
  }

  private static func type(
    _ command: BlockCommand.PersistentReserveOut
  ) throws(SenseData) -> ReservationType {
    // SPC-4 §6.16.2: scope 0, the logical unit.
    guard command.scope == 0, let type = ReservationType(rawValue: command.type) else {
      throw .invalidField(2)
    }
    return type
  }

  // SPC-4 §5.13.7
  private mutating func register(
    _ parameters: PersistentReserveParameters, from port: InitiatorPort, ignoresKey: Bool
  ) throws(SenseData) -> ReservationChange {
    let own = key(of: port)
    guard ignoresKey || (own ?? 0) == parameters.key else { return .refused }
    guard parameters.actionKey != 0 else {
      guard own != nil else { return .nothing }
      generation &+= 1
      isKept = parameters.isKept
      return ReservationChange(news: unregister(port))
    }
    if let specified = parameters.specified { try register(specified, parameters, own) }
    if let index = registrations.firstIndex(where: { $0.port == port }) {
      registrations[index].key = parameters.actionKey
    } else {
      guard registrations.count < Self.registrationsMax else {
        throw SenseData(.illegalRequest, .insufficientRegistrationResources)
      }
      registrations.append(PersistentRegistration(port: port, key: parameters.actionKey))
    }
    generation &+= 1
    isKept = parameters.isKept
    return ReservationChange()
  }

  /// SPEC_I_PT: all of these and the sender, or none.
  // SPC-4 table 58: by a nexus that isn't registered, for others that aren't.
  private mutating func register(
    _ specified: [InitiatorPort], _ parameters: PersistentReserveParameters, _ own: UInt64?
  ) throws(SenseData) {
    guard own == nil else { throw .invalidParameter(20) }
    guard specified.allSatisfy({ key(of: $0) == nil }) else {
      throw .invalidParameter(PersistentReserveParameters.byteCount)
    }
    guard registrations.count + specified.count < Self.registrationsMax else {
      throw SenseData(.illegalRequest, .insufficientRegistrationResources)
    }
    registrations += specified.map {
      PersistentRegistration(port: $0, key: parameters.actionKey)
    }
  }

  /// Forgets a registration, and the reservation that it held; what the other registrants hear.
  private mutating func unregister(
    _ port: InitiatorPort
  ) -> [(port: InitiatorPort, sense: AdditionalSense)] {
    let heldIt = isHolder(port)
    registrations.removeAll { $0.port == port }
    guard heldIt, let reservation else { return [] }
    if reservation.type.isOfAll {
      guard let other = registrations.first?.port else {
        self.reservation = nil
        return []
      }
      self.reservation?.holder = other
      return []
    }
    self.reservation = nil
    // SPC-4 §5.13.11.2: registrants-only reservations are told to be gone, to the others.
    guard reservation.type.admitsRegistrants else { return [] }
    return registrations.map { ($0.port, .reservationsReleased) }
  }

  // SPC-4 §5.13.9
  private mutating func reserve(
    _ command: BlockCommand.PersistentReserveOut, from port: InitiatorPort
  ) throws(SenseData) -> ReservationChange {
    let type = try Self.type(command)
    if let reservation {
      guard isHolder(port), reservation.type == type else { return .refused }
      return .nothing
    }
    reservation = PersistentReservation(type: type, holder: port)
    return ReservationChange()
  }

  // SPC-4 §5.13.11.2
  private mutating func release(
    _ command: BlockCommand.PersistentReserveOut, from port: InitiatorPort
  ) throws(SenseData) -> ReservationChange {
    guard let reservation, isHolder(port) else { return .nothing }
    guard command.scope == 0, command.type == reservation.type.rawValue else {
      throw SenseData(.illegalRequest, .invalidReleaseOfReservation)
    }
    self.reservation = nil
    guard reservation.type.admitsRegistrants else { return ReservationChange() }
    let others = registrations.filter { $0.port != port }
    return ReservationChange(news: others.map { ($0.port, .reservationsReleased) })
  }

  // SPC-4 §5.13.11.6
  private mutating func clear(from port: InitiatorPort) -> ReservationChange {
    let others = registrations.filter { $0.port != port }
    registrations = []
    reservation = nil
    generation &+= 1
    return ReservationChange(news: others.map { ($0.port, .reservationsPreempted) })
  }

  // SPC-4 §5.13.11.4
  private mutating func preempt(
    _ command: BlockCommand.PersistentReserveOut, _ parameters: PersistentReserveParameters,
    from port: InitiatorPort
  ) throws(SenseData) -> ReservationChange {
    let type = try Self.type(command)
    let wanted = parameters.actionKey
    let isOfAll = reservation?.type.isOfAll ?? false
    let holderKey = reservation.flatMap { key(of: $0.holder) }
    let takesReservation = reservation != nil && (isOfAll ? wanted == 0 : holderKey == wanted)
    if wanted == 0, !takesReservation { throw .invalidParameter(8) }
    let leaving = registrations.filter {
      $0.port != port && (isOfAll && wanted == 0 || $0.key == wanted)
    }
    guard takesReservation || registrations.contains(where: { $0.key == wanted }) else {
      return .refused
    }
    let oldType = reservation?.type
    let removed = Set(leaving.map(\.port))
    registrations.removeAll { removed.contains($0.port) }
    generation &+= 1
    var news = leaving.map { ($0.port, AdditionalSense.registrationsPreempted) }
    if takesReservation {
      reservation = PersistentReservation(type: type, holder: port)
      if let oldType, oldType != type {
        news += registrations.filter { $0.port != port }.map { ($0.port, .reservationsReleased) }
      }
    } else if isOfAll, let holder = reservation?.holder, removed.contains(holder) {
      reservation?.holder = port
    }
    return ReservationChange(
      news: news, aborted: command.action == .preemptAndAbort ? leaving.map(\.port) : [])
  }

  // SPC-4 §5.13.8
  private mutating func move(
    _ parameters: PersistentReserveParameters, from port: InitiatorPort
  ) throws(SenseData) -> ReservationChange {
    guard let reservation, isHolder(port), !reservation.type.isOfAll else { return .refused }
    guard parameters.actionKey != 0 else { throw .invalidParameter(8) }
    guard let destination = parameters.destination, destination != port else {
      throw .invalidParameter(PersistentReserveParameters.byteCount)
    }
    if let index = registrations.firstIndex(where: { $0.port == destination }) {
      registrations[index].key = parameters.actionKey
    } else {
      guard registrations.count < Self.registrationsMax else {
        throw SenseData(.illegalRequest, .insufficientRegistrationResources)
      }
      registrations.append(PersistentRegistration(port: destination, key: parameters.actionKey))
    }
    self.reservation?.holder = destination
    if parameters.unregisters { registrations.removeAll { $0.port == port } }
    generation &+= 1
    isKept = parameters.isKept
    return ReservationChange()
  }
}

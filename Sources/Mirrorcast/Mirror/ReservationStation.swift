// Persistent reservations at one LUN of one leg, by the sessions that a mirror has there. Each lane
// has a session of its own, which is an I_T nexus of its own: all are registered by one key, and
// the first holds what is reserved.
//
// Law: a key is one mirror's. Sessions come and go, each under an identifier that no other has:
// what is registered by the mirror's key at a leg and is none of its present sessions' is left of
// an earlier one of its own, and taken over (PREEMPT of its own key, SPC-4 §5.13.11.4).
import ISCSI
import SCSI

/// One LUN of a leg, for reservations.
struct ReservationStation: Sendable {
  /// Why a leg does not do it.
  enum Failure: Error, Sendable {
    case lost(String)
    /// RESERVATION CONFLICT.
    case conflict(String)
    case refused(String)

    var words: String {
      switch self {
      case .lost(let words), .conflict(let words), .refused(let words): words
      }
    }
  }

  let url: LogicalUnitURL
  /// Its place in the lanes.
  let leg: Int
  let stay: Int
  /// One of each lane.
  let connections: [InitiatorConnection]
  let seconds: Double

  typealias Action = BlockCommand.PersistentReserveOut.Action

  // MARK: Asking

  /// All keys, also those of several ports.
  func keys() async throws(Failure) -> Set<UInt64> {
    let data = try await read(.readKeys, RegisteredKeys.allocationLength)
    // Safe: the span over the answer ends with the expression.
    guard let told = unsafe RegisteredKeys(data.span.bytes) else {
      throw .refused("READ KEYS: its answer can't be read")
    }
    return Set(told.keys)
  }

  /// Nil where nobody holds one.
  func held() async throws(Failure) -> HeldReservation? {
    let data = try await read(.readReservation, HeldReservation.allocationLength)
    // Safe: the span over the answer ends with the expression.
    guard let told = unsafe ReservationAnswer(data.span.bytes) else {
      throw .refused("READ RESERVATION: its answer can't be read")
    }
    return told.held
  }

  /// The reservation, where it is that of who is registered by `key`.
  func held(by key: UInt64) async throws(Failure) -> HeldReservation? {
    guard let held = try await held() else { return nil }
    return held.type.isOfAll || held.key == key ? held : nil
  }

  private func read(
    _ action: BlockCommand.PersistentReserveIn, _ length: UInt16
  ) async throws(Failure) -> [UInt8] {
    try await command(
      .persistentReserveIn(action, allocationLength: length),
      .read(lengthMax: Int(length)), by: 0, "PERSISTENT RESERVE IN")
  }

  // MARK: Doing

  func out(
    _ action: Action, type: ReservationType? = nil, key: UInt64, _ actionKey: UInt64 = 0,
    by part: Int = 0
  ) async throws(Failure) {
    let words = PersistentReserveWords(key: key, actionKey: actionKey).bytes
    _ = try await command(
      .persistentReserveOut(action, type: type), .write(words[...]), by: part,
      "PERSISTENT RESERVE OUT (\(action))")
  }

  private func command(
    _ block: CommandDescriptorBlock, _ transfer: InitiatorCommand.Transfer, by part: Int,
    _ name: String
  ) async throws(Failure) -> [UInt8] {
    let outcome: CommandOutcome
    do throws(LinkFailure) {
      outcome = try await LegBulk(url: url, connection: connections[part])
        .command(block, transfer: transfer, within: seconds)
    } catch {
      throw .lost(error.words)
    }
    guard !outcome.isGood else { return outcome.data }
    let words = "\(name): \(outcome.text)"
    throw outcome.status == .reservationConflict ? .conflict(words) : .refused(words)
  }

  /// All sessions are registered by that key, whatever they were before; by none where it is zero.
  func registerAll(_ key: UInt64) async throws(Failure) {
    for part in connections.indices {
      try await out(.registerAndIgnoreExistingKey, key: 0, key, by: part)
    }
  }

  /// The same where an earlier session of this mirror, or of an earlier life of it, may be
  /// registered by that key: that one's registration goes, and its reservation is this one's.
  func takeOver(_ key: UInt64) async throws(Failure) {
    let held = try await held()
    try await out(.registerAndIgnoreExistingKey, key: 0, key)
    // Of no matter where it was not the holder's.
    let type = held?.type ?? .writeExclusiveRegistrants
    try await out(.preempt, type: type, key: key, key)
    for part in connections.indices.dropFirst() {
      try await out(.registerAndIgnoreExistingKey, key: 0, key, by: part)
    }
  }

  /// Holds a reservation as the `first` leg does. Who holds another one here and isn't even
  /// registered there has no right to it any more.
  func align(
    _ type: ReservationType, key: UInt64, like first: ReservationStation
  ) async throws(Failure) {
    for _ in 0..<3 {
      do throws(Failure) {
        return try await out(.reserve, type: type, key: key)
      } catch {
        guard case .conflict = error, let held = try await held() else { throw error }
        if held.key == key || held.type.isOfAll {
          try await release(key)
          continue
        }
        guard try await !first.keys().contains(held.key) else {
          throw .conflict("\(error.words), by key 0x\(String(held.key, radix: 16))")
        }
        try await out(.preempt, type: type, key: key, held.key)
      }
    }
    throw .conflict("its reservation changes again and again")
  }

  /// Where it is that key's.
  func release(_ key: UInt64) async throws(Failure) {
    guard let held = try await held(by: key) else { return }
    try await out(.release, type: held.type, key: key)
  }

  /// Nobody is registered by a key any more, and nothing is reserved by it.
  /// - Parameter own: by which this mirror is registered here; zero: it is not.
  func remove(_ gone: UInt64, own: UInt64) async throws(Failure) {
    guard try await keys().contains(gone) else { return }
    let held = try await held()
    let key = own == 0 ? UInt64.random(in: 1...UInt64.max) : own
    if own == 0 { try await out(.registerAndIgnoreExistingKey, key: 0, key) }
    do throws(Failure) {
      try await out(
        .preempt, type: held?.type ?? .writeExclusiveRegistrants, key: key, gone)
      if let held, !held.type.isOfAll, held.key == gone {
        try await out(.release, type: held.type, key: key)
      }
    } catch {
      // It may have gone meanwhile.
      guard case .conflict = error else { throw error }
    }
    if own == 0 { try await out(.registerAndIgnoreExistingKey, key: 0, 0) }
  }
}

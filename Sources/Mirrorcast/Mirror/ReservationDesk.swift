// Persistent reservations of a mirror: made at all of its legs, or told not to be.
//
// Law: the legs are asked one after the other, in the order of their names, which is the same for
// all initiators. The first one decides: who loses there has changed nothing anywhere. A later leg
// that answers otherwise differs from the first, and is made like it; where that can't be done it
// leaves a kept mirror, so that it comes back later and is made like the others then; in a mirror
// that isn't kept the difference is told. The road not taken was all legs at once, which would be a
// race that everybody may lose, at another leg each.
//
// While reservations change a write may be refused at one leg and done at another: a kept mirror
// makes the legs equal there (`Sender.judge`).
import Logging
import Replication
import SCSI
import Synchronization

/// What is to be done at each leg.
enum ReservationWish: Sendable {
  case register(UInt64)
  case reserve(ReservationType)
  case release
  case preempt(UInt64, ReservationType?)
  case clear
}

/// The reservations of one mirror.
final class ReservationDesk: Sendable {
  typealias Failure = ReservationStation.Failure

  let memory: ReservationMemory
  private let parts: [MirrorPart]
  /// Nil where the mirror is not kept.
  private let keeping: KeptMirror?
  let seconds: Double
  let logger: Logger

  init(_ parts: [MirrorPart], _ establishment: Establishment) {
    self.parts = parts
    keeping = establishment.keeping
    seconds = establishment.options.deadlineSeconds
    logger = establishment.logger
    memory = establishment.keeping?.sharing?.succession.reservations ?? ReservationMemory()
  }

  /// Whether all of a mirror's writes go by one session at each leg.
  var isOneSession: Bool { parts.count == 1 }

  // MARK: Legs

  /// The members that are here, in the order in which all initiators ask them.
  func stations(but excluded: Int? = nil) -> [ReservationStation] {
    let legs = parts.map { $0.membership.withLock { $0.legs } }
    let present = parts[0].membership.withLock { $0.present }
    var stations: [ReservationStation] = []
    for (index, leg) in present where index != excluded {
      let connections = legs.filter { index < $0.count }.map { $0[index].connection }
      guard connections.count == parts.count else { continue }
      stations += leg.urls.map {
        ReservationStation(
          url: $0, leg: index, stay: leg.stay, connections: connections, seconds: seconds)
      }
    }
    return stations.sorted { "\($0.url)" < "\($1.url)" }
  }

  func lose(_ station: ReservationStation, _ words: String) {
    logger.warning("reservations: \(station.url) leaves", metadata: ["reason": "\(words)"])
    parts[0].inbox.post(.lost(leg: station.leg, stay: station.stay, words))
  }

  /// The other initiators of a shared mirror hear of it before a leg does.
  func tell(_ key: UInt64) {
    guard let keeping, keeping.sharing != nil else { return }
    keeping.inbox.post(.keyed(key))
  }

  func taking<Result>(
    _ body: () async throws -> Result
  ) async throws -> Result {
    await memory.turns.take()
    defer { memory.turns.give() }
    return try await body()
  }

  // MARK: Doing

  /// At all legs, or throws a `MirrorReservationError`.
  func perform(_ wish: ReservationWish) async throws {
    try await taking {
      let before = memory.own
      try check(wish, before)
      if case .register(let key) = wish, key != 0 { tell(key) }
      var first: ReservationStation?
      var answers: [LegStatus] = []
      for station in stations() {
        do throws(Failure) {
          try await carryOut(wish, before, at: station, like: first)
          answers.append(LegStatus(url: station.url, isGood: true, text: "GOOD"))
          if first == nil {
            first = station
            try await note(wish, before, at: station)
          }
        } catch {
          answers.append(LegStatus(url: station.url, isGood: false, text: error.words))
          if first == nil, await hasRefused(error, wish, before, station) {
            throw Self.error(error, answers)
          }
          guard keeping != nil else { continue }
          lose(station, "its reservations can't be made like the others': \(error.words)")
        }
      }
      guard first != nil else {
        throw MirrorReservationError(.lost, "no leg answers", answers)
      }
      guard keeping == nil, answers.contains(where: { !$0.isGood }) else { return }
      throw MirrorReservationError(.differs, "the legs' reservations differ", answers)
    }
  }

  private func check(
    _ wish: ReservationWish, _ own: ReservationMemory.Own
  ) throws(MirrorReservationError) {
    var wanted: ReservationType?
    switch wish {
    case .register: return
    case .reserve(let type): wanted = type
    case .preempt(let key, let type):
      wanted = type
      guard key != own.key || key == 0 else {
        throw MirrorReservationError(.refused, "that key is this mirror's own")
      }
    case .release, .clear: break
    }
    guard own.key != 0 else {
      throw MirrorReservationError(.notRegistered, "register a key first")
    }
    // One that only its holder writes under is one session's.
    guard let wanted, !isOneSession, !wanted.admitsRegistrants else { return }
    throw MirrorReservationError(
      .refused,
      "a mirror of \(parts.count) lanes writes by as many sessions at each leg, and such a"
        + " reservation is for one: take one of registrants")
  }

  private func carryOut(
    _ wish: ReservationWish, _ own: ReservationMemory.Own, at station: ReservationStation,
    like first: ReservationStation?
  ) async throws(Failure) {
    switch wish {
    case .register(0): try await station.registerAll(0)
    case .register(let key):
      // Else it is what an earlier life of this initiator has left.
      if key != own.key, try await station.keys().contains(key) {
        try await station.takeOver(key)
      } else {
        try await station.registerAll(key)
      }
    case .reserve(let type):
      guard let first else { return try await station.out(.reserve, type: type, key: own.key) }
      try await station.align(type, key: own.key, like: first)
    case .release: try await station.release(own.key)
    case .clear: try await station.out(.clear, key: own.key)
    case .preempt(let key, let type):
      let held = try await station.held()
      let type = type ?? replacement(held?.type)
      // A later leg need not have it.
      var isThere = first == nil || key == 0
      if !isThere { isThere = try await station.keys().contains(key) }
      if isThere {
        try await station.out(.preempt, type: type, key: own.key, key)
      }
      if let first, let held = try await first.held(by: own.key) {
        try await station.align(held.type, key: own.key, like: first)
      }
    }
  }

  /// What may take the place of a reservation of that type, by as many sessions as there are.
  private func replacement(_ type: ReservationType?) -> ReservationType {
    switch type {
    case .writeExclusive where !isOneSession: .writeExclusiveRegistrants
    case .exclusiveAccess where !isOneSession: .exclusiveAccessRegistrants
    default: type ?? .writeExclusiveRegistrants
    }
  }

  /// The first leg has done it: it holds from now on.
  private func note(
    _ wish: ReservationWish, _ before: ReservationMemory.Own, at station: ReservationStation
  ) async throws(Failure) {
    switch wish {
    case .register(let key):
      if key == 0 { tell(0) }
      var own = ReservationMemory.Own(key: key)
      if key != 0 { own.type = try await station.held(by: key)?.type }
      memory.setOwn(own)
    case .reserve(let type): memory.setType(type)
    case .release: memory.setType(nil)
    case .preempt: memory.setType(try await station.held(by: before.key)?.type)
    case .clear:
      memory.setOwn(.init())
      tell(0)
    }
  }

  /// Whether the first leg's answer is everybody's; a leg that is lost decides nothing.
  private func hasRefused(
    _ failure: Failure, _ wish: ReservationWish, _ before: ReservationMemory.Own,
    _ station: ReservationStation
  ) async -> Bool {
    if case .lost = failure { return false }
    if case .register = wish {
      // Some of its sessions may be registered already.
      try? await station.registerAll(before.key)
      tell(before.key)
    }
    return true
  }

  private static func error(
    _ failure: Failure, _ answers: [LegStatus]
  ) -> MirrorReservationError {
    switch failure {
    case .conflict: MirrorReservationError(.conflict, "another has it", answers)
    case .refused(let words), .lost(let words): MirrorReservationError(.refused, words, answers)
    }
  }
}

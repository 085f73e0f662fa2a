// Reservations where legs or initiators come and go: a leg that comes gets what holds at the others
// before a write reaches it, a mirror that follows another makes anew what that one had, and what
// was an initiator's that is gone is taken away.
import Logging
import SCSI

extension ReservationDesk {
  // MARK: Legs that come

  /// Takes a leg in that has this mirror's registrations, and what it holds. Nothing changes
  /// meanwhile.
  func admitting<Result>(
    _ sessions: [LegSession], as index: Int, _ join: () async throws -> Result
  ) async throws -> Result {
    try await taking {
      for (number, url) in sessions[0].urls.enumerated() {
        let station = ReservationStation(
          url: sessions[0].urls[number], leg: index, stay: sessions[0].stay,
          connections: sessions.map(\.connection), seconds: seconds)
        do throws(Failure) {
          try await bring(station)
        } catch {
          throw MirrorcastError("\(url) does not take the mirror's reservations: \(error.words)")
        }
      }
      return try await join()
    }
  }

  private func bring(_ station: ReservationStation) async throws(Failure) {
    let own = memory.own
    for key in memory.gone where key != own.key {
      try await station.remove(key, own: 0)
    }
    guard own.key != 0 else { return }
    var (first, type) = (station, own.type)
    for other in stations(but: station.leg) {
      guard let keys = try? await other.keys() else { continue }
      guard keys.contains(own.key) else {
        // Another has taken it away, there and hence here.
        memory.setOwn(.init())
        tell(0)
        return try await station.remove(own.key, own: 0)
      }
      (first, type) = (other, try await other.held(by: own.key)?.type)
      break
    }
    try await make(own.key, type, at: station, like: first)
  }

  private func make(
    _ key: UInt64, _ type: ReservationType?, at station: ReservationStation,
    like first: ReservationStation
  ) async throws(Failure) {
    try await station.takeOver(key)
    if let type {
      try await station.align(type, key: key, like: first)
    } else {
      try await station.release(key)
    }
  }

  // MARK: Mirrors that follow

  /// What the mirror before this one had is this one's, at all legs where that is possible.
  func restore() async {
    _ = try? await taking {
      let own = memory.own
      guard own.key != 0 else { return }
      tell(own.key)
      let stations = stations()
      var (first, hasAnswered) = (ReservationStation?.none, false)
      for station in stations where first == nil {
        guard let keys = try? await station.keys() else { continue }
        hasAnswered = true
        if keys.contains(own.key) { first = station }
      }
      guard let first else {
        guard hasAnswered else { return }
        memory.setOwn(.init())
        return tell(0)
      }
      let type = (try? await first.held(by: own.key))?.type
      memory.setType(type)
      for station in [first] + stations.filter({ $0.url != first.url }) {
        do throws(Failure) {
          try await make(own.key, type, at: station, like: first)
        } catch {
          lose(station, "it does not take the mirror's reservations: \(error.words)")
        }
      }
    }
  }

  // MARK: Initiators that go

  /// Nobody goes by that key any more.
  func remove(_ key: UInt64) async {
    memory.noteGone(key)
    _ = try? await taking {
      guard memory.gone.contains(key) else { return }
      for station in stations() {
        do throws(Failure) {
          try await station.remove(key, own: memory.own.key)
        } catch {
          logger.warning(
            "reservations of an initiator that is gone stay",
            metadata: ["leg": "\(station.url)", "reason": "\(error.words)"])
        }
      }
    }
  }

  /// The mirror ends in order, or one leg of it goes: nothing of its is left there.
  func end(at leg: Int? = nil) async {
    _ = try? await taking {
      guard memory.own.key != 0 else { return }
      var isDone = false
      for station in stations() where leg ?? station.leg == station.leg {
        isDone = (try? await station.registerAll(0)) != nil || isDone
      }
      // A mirror that nobody reaches may have one that follows it.
      if isDone, leg == nil { memory.setOwn(.init()) }
    }
  }

  // MARK: Looking

  /// As all legs that are here tell it; those that differ are told by name.
  func read() async throws -> MirrorReservation {
    try await taking {
      var answers: [(url: LogicalUnitURL, told: MirrorReservation)] = []
      // Another initiator may just be changing it, leg by leg.
      for _ in 0..<3 {
        answers = []
        for station in stations() {
          do throws(Failure) {
            answers.append((station.url, try await station.reservation()))
          } catch {
            guard case .refused(let words) = error else { continue }
            throw MirrorReservationError(
              .refused, words, [LegStatus(url: station.url, isGood: false, text: words)])
          }
        }
        guard let first = answers.first else {
          throw MirrorReservationError(.lost, "no leg answers")
        }
        if answers.allSatisfy({ $0.told == first.told }) { return first.told }
      }
      throw MirrorReservationError(
        .differs, "the legs' reservations differ",
        answers.map {
          LegStatus(
            url: $0.url, isGood: $0.told == answers[0].told, text: $0.told.description)
        })
    }
  }
}

extension ReservationStation {
  fileprivate func reservation() async throws(Failure) -> MirrorReservation {
    let (keys, held) = (try await keys().sorted(), try await held())
    return MirrorReservation(
      keys: keys, kind: held.flatMap { .init(rawValue: $0.type.rawValue) },
      holderKey: held?.key)
  }
}

// Legs that come into a mirror that lives: by a new epoch of every lane, one leg at a time.
import Bytes
import Replication
import Synchronization

extension KeepingLoop {
  // MARK: Adding

  mutating func add(
    _ url: LogicalUnitURL, _ waiter: CheckedContinuation<Void, any Error>, now: UInt64
  ) {
    let seat = seat(of: "\(url)")
    if let seat, !callers.isClosing, callers.adding[seat] == nil,
      machine.lead({ $0.addAnew(leg: seat, label: "\(url)", now: now) }) ?? false
    {
      keeping.board.update { $0[seat].isGivenUp = false }
      callers.adding[seat] = waiter
      return
    }
    guard seat == nil, !callers.isClosing,
      let leg = machine.lead({ $0.add(label: "\(url)", now: now) }) ?? nil
    else {
      return waiter.resume(
        throwing: MirrorcastError(
          seat.map { "\(url) is a leg already, \(standing(ofLeg: $0))" }
            ?? "the mirror takes no leg now: \(url)"))
    }
    seats.append(LegSeat(url: url))
    keeping.board.update { $0.append(KeptLeg(url)) }
    callers.adding[leg] = waiter
  }

  private func standing(ofLeg leg: Int) -> String {
    let kept = keeping.board.legs[leg]
    return "\(kept.state.rawValue): \(kept.reason)"
  }

  // MARK: Joining

  /// Begins with the next one.
  mutating func joinNext() {
    guard !joins.isRunning, !joins.waiting.isEmpty, !callers.isClosing,
      sharing?.hall?.mayJoin ?? true, let first = lanes.parts.first,
      let desk = lanes.reservations
    else { return }
    let (leg, stay) = joins.waiting.removeFirst()
    guard seats[leg].link != nil, seats[leg].stay == stay else { return joinNext() }
    beginGuestsJoin(leg)
    joins.isRunning = true
    seats[leg].isJoining = true
    seats[leg].departure = nil
    let place = seats[leg].place ?? first.membership.withLock { $0.legs.count }
    seats[leg].place = place
    let (url, inbox) = (seats[leg].url, inbox)
    let join = LegJoin(lanes, desk, keeping)
    Task {
      do {
        let firstWrites = try await join.perform(url, as: place, stay: stay)
        inbox.post(.joined(leg: leg, stay: stay, firstWrites: firstWrites))
      } catch {
        let words = (error as? MirrorcastError)?.what ?? "\(error)"
        inbox.post(.notJoined(leg: leg, stay: stay, words))
      }
    }
  }

  mutating func handleJoining(_ news: KeptNews, now: UInt64) {
    switch news {
    case .joined(let leg, let stay, let firstWrites):
      endJoin(leg, now: now)
      guard seats[leg].stay == stay else { return }
      awaitEnds(leg, stay, firstWrites)
    case .notJoined(let leg, _, let words):
      if seats[leg].departure == nil { seats[leg].departure = .untold(words) }
      forgetPlace(leg)
      endJoin(leg, now: now)
    case .settledIn(let leg, let stay):
      guard seats[leg].stay == stay else { return }
      keeping.board.update { $0[leg].isHere = true }
      callers.adding.removeValue(forKey: leg)?.resume()
      callers.ordering.endAttaching(leg, .done)
      joins.settled.insert(LegSet(leg))
      completeJoin(leg, now: now)
    default: break
    }
  }

  /// A new leg that did not come into the lanes has no place there.
  private mutating func forgetPlace(_ leg: Int) {
    guard let place = seats[leg].place, let first = lanes.parts.first,
      place >= first.membership.withLock({ $0.legs.count })
    else { return }
    seats[leg].place = nil
  }

  /// It is in, or is not; what had to wait for that happens.
  private mutating func endJoin(_ leg: Int, now: UInt64) {
    joins.isRunning = false
    seats[leg].isJoining = false
    if let departure = seats[leg].departure {
      seats[leg].departure = nil
      tellLanes(leg, departure.words)
      let stay = seats[leg].stay
      seats[leg].stay += 1
      if case .untold(let words) = departure {
        // Its sessions may be there still.
        if let link = seats[leg].link { Task { await link.close() } }
        seats[leg].link = nil
        callers.awaited.insert(LegSet(leg))
        machine.handleLost(leg: leg, words: words, now: now)
        tellGuestsLost(leg, words)
      }
      precondition(seats[leg].stay == stay + 1, "one stay after the other")
    }
    if joins.confirmed.contains(LegSet(leg)) {
      joins.confirmed.remove(LegSet(leg))
      if let place = seats[leg].place { lanes.post(.confirm(LegSet(place))) }
    }
    if seats[leg].wantsConnection {
      seats[leg].wantsConnection = false
      connect(leg)
    }
    closeWhenJoined(now: now)
    joinNext()
  }

  /// What was begun before the leg came is none of its: it is a member when all of that has ended.
  private func awaitEnds(_ leg: Int, _ stay: Int, _ firstWrites: [SerialNumber]) {
    let (parts, inbox) = (lanes.parts, inbox)
    Task {
      for (part, first) in zip(parts, firstWrites) {
        await withCheckedContinuation { continuation in
          part.inbox.post(.whenEnded(before: first) { continuation.resume() })
        }
      }
      inbox.post(.settledIn(leg: leg, stay: stay))
    }
  }
}

extension LegJoin {
  init(_ lanes: KeptLanes, _ desk: ReservationDesk, _ keeping: KeptMirror) {
    self.init(
      parts: lanes.parts, reservations: desk, byteCount: lanes.byteCount,
      blockSize: lanes.blockSize, writeCacheWish: keeping.writeCacheWish, logger: keeping.logger)
  }
}

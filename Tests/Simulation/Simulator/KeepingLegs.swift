// The links and the loss of a kept mirror's legs, and what its sender is looked after for.
import Bytes
import Replication

extension Keeping {
  // MARK: The sender

  /// The sender runs.
  func begin() {
    toldLowest = initiator.sender?.value.lowestOpen ?? toldLowest
    var joined: LegSet = []
    for leg in seats.indices {
      guard let place = seats[leg].place else { continue }
      if seats[leg].stay == 0 {
        joined.insert(LegSet(leg))
      } else {
        initiator.sender?.value.handleLost(leg: place, .connection("early"), now: world.now)
      }
    }
    beginSharing()
    machine.handleBegun(joined, now: world.now)
    joined.forEach { lead(at: $0) }
    initiator.redo()
  }

  /// Looks for silent legs, and tells idle ones what has ended.
  func attend() {
    guard let sender = initiator.sender else { return }
    let now = world.now
    let isBusy = sender.value.openWrites > 0
    if !isBusy, sender.value.lowestOpen != toldLowest {
      let due = tellAt ?? now + Self.tellNanoseconds
      tellAt = due
      if due <= now { tellLowest() }
    } else {
      tellAt = nil
    }
    stepJoin()
    guard isBusy, silence.nextLook <= now else { return }
    let verdict = silence.look(owing: sender.value.owingLegs, now: now)
    verdict.asked.forEach { place in world.send(.ping, on: initiator.legs[place].channel) }
    verdict.silent.forEach { place in
      initiator.sender?.value.handleLost(leg: place, .connection("silent"), now: now)
    }
  }

  func tellLowest() {
    guard let sender = initiator.sender else { return }
    toldLowest = sender.value.lowestOpen
    tellAt = nil
    sender.value.activeLegs.forEach { place in
      world.send(
        .sync(open: [], lowestOpen: sender.value.lowestOpen), on: initiator.legs[place].channel)
    }
  }

  /// One more leg is to belong to the mirror.
  func add(_ target: Int) -> Bool {
    guard machine.lead({ $0.add(label: "T\(target)", now: world.now) }) ?? nil != nil else {
      return false
    }
    seats.append(Seat(target: target))
    return true
  }

  // MARK: Links

  func connect(_ leg: Int) {
    guard !seats[leg].isJoining else {
      seats[leg].wantsConnection = true
      return
    }
    seats[leg].link = world.connect(initiator.index, seats[leg].target)
    seats[leg].isLinked = false
  }

  func leg(ofLink channel: Int) -> Int? { seats.firstIndex { $0.link == channel } }

  func handleLinked(_ leg: Int) {
    seats[leg].isLinked = true
    machine.handleConnected(leg: leg, now: world.now)
  }

  func handleLinkLost(_ leg: Int) {
    guard seats[leg].isLinked else {
      seats[leg].link = nil
      seats[leg].stay += 1
      machine.handleUnreachable(leg: leg, words: "no answer", now: world.now)
      return
    }
    lose(leg)
  }

  func handleAnswer(_ leg: Int, token: UInt64, _ answer: KeepingAnswer) {
    if case .marks(let ranges, _) = answer {
      world.note(
        initiator.index, "leg % has marks in % ranges, the first %", leg, ranges.count,
        ranges.first?.lowerBound ?? -1)
    }
    guard !handleSharingAnswer(leg, token, answer) else { return }
    let now = world.now
    machine.lead { $0.handleAnswer(leg: leg, token: token, answer, now: now) }
  }

  // MARK: Losing a leg

  func lose(_ leg: Int) {
    closeLink(leg)
    tellSender(leg)
    guard !seats[leg].isJoining else {
      if seats[leg].departure == nil { seats[leg].departure = .untold }
      return
    }
    seats[leg].stay += 1
    if machine.joinedLegs.contains(LegSet(leg)) { awaited.insert(LegSet(leg)) }
    world.note(initiator.index, "loses leg %", leg)
    world.happens(.legLeft)
    machine.handleLost(leg: leg, words: "lost", now: world.now)
    tellGuestsLost(leg)
  }

  func closeLink(_ leg: Int) {
    guard let link = seats[leg].link else { return }
    seats[leg].link = nil
    seats[leg].isLinked = false
    world.close(link, atInitiator: true)
  }

  func tellSender(_ leg: Int) {
    guard let place = seats[leg].place, !seats[leg].isJoining else {
      if seats[leg].isJoining { join?.isNewcomerLost = true }
      return
    }
    initiator.sender?.value.handleLost(leg: place, .connection("told"), now: world.now)
    initiator.handleEvents()
  }

  /// A leg has left the sender.
  func handleLeft(place: Int) {
    guard let leg = seats.firstIndex(where: { $0.place == place }) else { return }
    guard seats[leg].link != nil || seats[leg].isJoining else { return }
    lose(leg)
  }

  func close() {
    for leg in seats.indices { closeLink(leg) }
  }
}

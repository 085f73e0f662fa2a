// The keeping of a mirror that several initiators write to, as its shell does it: at the one that
// leads it its guests, at a guest its leader.
import Bytes
import Replication

/// What a leg was asked about a shared mirror.
enum SharingAsk {
  case lead
  case admit(UInt64)
  case expel(UInt64)
}

extension Keeping {
  var isLeader: Bool { machine.leader != nil }

  func beginSharing() {
    guard world.scenario.isShared else { return }
    let layout = world.scenario.layout
    let isLeader = isLeader
    desk = SharingDesk(
      gate: RegionGate(regionCount: layout.regionCount, ownsAll: isLeader),
      hall: isLeader ? GuestHall(layout) : nil)
  }

  // MARK: Time

  func attendTime() {
    guard let due = desk?.hall?.nextDeadline, due <= world.now else { return }
    let now = world.now
    attend { $0.handleTimeout(now: now, here: $1) }
    joinNext()
  }

  // MARK: At a guest

  func sendToLeader() {
    let messages = machine.follow { follower in
      defer { follower.messages = [] }
      return follower.messages
    }
    guard let messages, let leaderChannel else { return }
    for message in messages { world.say(message, on: leaderChannel, atLeader: true) }
  }

  func handleLeader(_ message: SharingMessage) {
    switch message {
    case .granted(let regions):
      desk?.gate.handleGranted(regions)
      takeGate()
    case .call(let regions):
      world.happens(.called)
      desk?.gate.handleCalled(regions)
      takeGate()
    case .join(let member, _, let label):
      if machine.follow({ $0.leg(member) }) ?? nil == nil {
        seats.append(Seat(target: world.target(labelled: label)))
        machine.follow { _ = $0.add(member: member) }
      }
      machine.follow { $0.handle(message) }
    case .stop:
      endGate()
      machine.follow { $0.handle(message) }
    default: machine.follow { $0.handle(message) }
    }
  }

  func handleLeaderGone() {
    guard machine.phase != .ended else { return }
    world.note(initiator.index, "has no leader any more")
    world.happens(.leaderGone)
    // Known before any write fails by it.
    initiator.sharing.isLeaderGone = machine.phase != .opening
    endGate()
    machine.follow { $0.end("the initiator that led the mirror is gone") }
  }

  // MARK: At the leader

  /// Has the hall do something, and carries out what comes of it.
  func attend(_ body: (inout GuestHall, LegSet) -> Void) {
    guard var hall = desk?.hall, let leader = machine.leader else { return }
    // Not two of it, or all would be copied.
    desk?.hall = nil
    hall.members = seats.indices.map { leader.member(ofLeg: $0) }
    hall.unconfirmed = leader.unconfirmedLegs
    body(&hall, leader.joinedLegs)
    desk?.orders += hall.orders
    hall.orders = []
    desk?.hall = hall
    guard desk?.isCarryingOut == false else { return }
    // What comes of one order stands behind those that were there before: guests hear all in order.
    desk?.isCarryingOut = true
    var next = 0
    while let orders = desk?.orders, next < orders.count {
      carryOut(orders[next])
      next += 1
    }
    desk?.orders.removeAll(keepingCapacity: true)
    desk?.isCarryingOut = false
  }

  func handleGuest(_ guest: UInt64, _ message: SharingMessage) {
    let now = world.now
    if world.plants(.doubleGrant) {
      // Whoever asks has it, and what is given back is nobody's business.
      if case .ask(let regions) = message {
        return carryOut(.send(guest: guest, .granted(regions)))
      }
      if case .released = message { return }
    }
    attend { hall, here in
      if case .hello = message {
        world.happens(.guestSpoke)
        hall.handleHello(guest, here: here, now: now)
      } else {
        hall.handle(message, from: guest, here: here, now: now)
      }
    }
    joinNext()
  }

  func handleGuestGone(_ guest: UInt64) {
    attend { $0.handleGone(guest, words: "its connection has ended", here: $1) }
    joinNext()
  }

  private func carryOut(_ order: GuestHall.Order) {
    switch order {
    case .send(let guest, let message): send(message, to: guest)
    case .welcome(let guest, let legs): welcome(guest, legs)
    case .close(let guest, _): closeGuest(guest)
    case .admit(let leg, let guest): ask(leg, .admit(guest: guest), .admit(guest))
    case .expel(let leg, let guest): ask(leg, .expel(guest: guest), .expel(guest))
    case .lose(let leg, _): lose(leg)
    // Nobody reserves anything in the simulated worlds.
    case .unreserve: break
    case .suspect(let bytes): machine.handleSuspect(bytes, now: world.now)
    case .beginMend where world.plants(.unmendedGuest): break
    case .beginMend: machine.lead { $0.handleVanishing() }
    case .mend:
      world.note(initiator.index, "a guest is gone without a word")
      guard !world.plants(.unmendedGuest) else { break }
      let now = world.now
      machine.lead { $0.handleVanished(now: now) }
    case .token(.granted(_, let regions)):
      desk?.gate.handleGranted(regions)
      takeGate()
    case .token(.call(_, let regions)):
      desk?.gate.handleCalled(regions)
      takeGate()
    case .joined(let leg):
      desk?.reached.insert(LegSet(leg))
      completeJoin(leg)
    case .tell(.came(let guest)):
      world.note(initiator.index, "guest % is here", world.initiator(numbered: guest))
      world.counters.guests += 1
      world.happens(.guestCame)
    case .tell(.went(let guest, _)):
      world.note(initiator.index, "guest % is gone", world.initiator(numbered: guest))
      world.happens(.guestWent)
    }
  }

  private func send(_ message: SharingMessage, to guest: UInt64) {
    guard let channel = world.sharing.channel(ofGuest: guest) else { return }
    world.say(message, on: channel, atLeader: false)
  }

  private func closeGuest(_ guest: UInt64) {
    guard let channel = world.sharing.channel(ofGuest: guest) else { return }
    world.closeSharing(channel, atLeader: true)
  }

  private func welcome(_ guest: UInt64, _ legs: LegSet) {
    guard let leader = machine.leader, let record = leader.record else { return }
    let here = seats.indices.filter { legs.contains(LegSet($0)) }.map { leader.member(ofLeg: $0) }
    // Without a leg there is none to be a guest at.
    guard let own = here.first else { return closeGuest(guest) }
    send(
      .welcome(
        SharedMirror(
          record: record.of(own), layout: world.scenario.layout, group: "239.0.0.1", port: 3260,
          virtualLUN: 5, here: here, isSuspended: leader.isSuspended)),
      to: guest)
  }

  // MARK: Legs

  /// A leg is told where this initiator is to be found.
  func lead(at leg: Int) {
    guard desk?.hall != nil else { return }
    let place = LeaderPlace(address: "I\(initiator.index)", secret: secret)
    ask(leg, .lead(place), .lead)
  }

  private func ask(_ leg: Int, _ request: KeepingRequest, _ purpose: SharingAsk) {
    // Without a link the leg is about to be told as lost.
    guard let link = seats[leg].link, seats[leg].isLinked else { return }
    sharingAsks.last += 1
    sharingAsks.asked[sharingAsks.last] = purpose
    world.send(.keep(token: sharingAsks.last, request), on: link)
  }

  /// Whether an answer was to something that this shell has asked.
  func handleSharingAnswer(_ leg: Int, _ token: UInt64, _ answer: KeepingAnswer) -> Bool {
    guard let purpose = sharingAsks.asked.removeValue(forKey: token) else { return false }
    guard case .done = answer else {
      lose(leg)
      return true
    }
    attend { hall, here in
      switch purpose {
      case .lead: break
      case .admit(let guest): hall.handleAdmitted(leg: leg, guest: guest, here: here)
      case .expel(let guest): hall.handleExpelled(leg: leg, guest: guest, here: here)
      }
    }
    joinNext()
    return true
  }

  func tellGuestsLost(_ leg: Int) {
    desk?.settled.remove(LegSet(leg))
    desk?.reached.remove(LegSet(leg))
    attend { $0.noteLost(leg: leg, words: "lost", here: $1) }
  }

  /// The guests take a leg in while this initiator does.
  func beginGuestsJoin(_ leg: Int) {
    lead(at: leg)
    let label = "T\(seats[leg].target)"
    attend { hall, _ in hall.beginJoin(leg: leg, label: label) }
  }

  /// A leg is a member when the writes of all initiators reach it.
  func completeJoin(_ leg: Int) {
    if let desk {
      guard desk.settled.contains(LegSet(leg)),
        desk.hall == nil || desk.reached.contains(LegSet(leg)) || world.plants(.guestlessJoin)
      else { return }
    }
    desk?.settled.remove(LegSet(leg))
    desk?.reached.remove(LegSet(leg))
    machine.handleJoined(leg: leg, now: world.now)
    world.happens(.joined)
    attend { hall, here in hall.endJoin(here: here) }
    joinNext()
  }
}

// The keeping of a mirror that several initiators write to: at the one that leads it its guests, at
// a guest its leader.
import Lanes
import Logging
import Replication
import Synchronization

/// What a shared mirror has besides.
struct SharingDesk: Sendable {
  let gate: WriteGate
  /// Nil where another initiator leads.
  var hall: GuestHall?
  /// What the hall has ordered, in its order, and whether somebody carries it out.
  var orders: [GuestHall.Order] = []
  var isCarryingOut = false
}

extension KeepingLoop {
  mutating func beginSharing(_ mirror: Mirror) {
    guard let gate = mirror.gate else { return }
    let isLeader = machine.leader != nil
    sharing = SharingDesk(gate: gate, hall: isLeader ? GuestHall(gate.layout) : nil)
  }

  /// Nobody writes here any more.
  func endSharing() {
    sharing?.gate.end()
    keeping.sharing?.end()
  }

  /// A leg is told where this initiator is to be found.
  func lead(at leg: Int) {
    guard sharing?.hall != nil, let server = keeping.sharing?.server, let link = seats[leg].link
    else { return }
    let (stay, inbox) = (seats[leg].stay, inbox)
    let place = server.place(at: link.localAddress)
    link.ask(.lead(place), within: options.deadlineSeconds) { result in
      guard let words = Self.failure(result) else { return }
      inbox.post(.lost(leg: leg, stay: stay, words))
    }
  }

  // MARK: News

  mutating func handleSharing(_ news: KeptNews, now: UInt64) {
    switch news {
    case .keyed(let key):
      machine.follow { $0.messages.append(.key(key)) }
      attendGuests { hall, _ in hall.noteKey(key) }
    case .said(let guest, let message):
      if case .key(let key) = message { lanes.reservations?.memory.noteUsed(key) }
      // No leg has told anybody yet that this initiator leads the mirror.
      if sharing?.hall == nil { keeping.sharing?.server?.close(guest) }
      attendGuests { hall, here in
        if case .hello = message {
          hall.handleHello(guest, here: here, now: now)
        } else {
          hall.handle(message, from: guest, here: here, now: now)
        }
      }
    case .gone(let guest, let words):
      attendGuests { $0.handleGone(guest, words: words, here: $1) }
    case .admitted(let leg, let stay, let guest, let isExpelled):
      guard seats[leg].stay == stay else { return }
      attendGuests { hall, here in
        if isExpelled {
          hall.handleExpelled(leg: leg, guest: guest, here: here)
        } else {
          hall.handleAdmitted(leg: leg, guest: guest, here: here)
        }
      }
    case .led(let message): handleLeader(message)
    case .leaderGone(let words):
      guard machine.phase != .ended else { break }
      // Known before any write fails by it. Who has no mirror yet begins anew by itself.
      if machine.phase == .running || machine.phase == .closing {
        keeping.sharing?.noteLeaderGone(keeping)
      }
      sharing?.gate.end()
      machine.follow { $0.end("the initiator that led the mirror is gone: \(words)") }
    case .wanted(let regions):
      machine.follow { $0.messages.append(.ask(regions)) }
      attendGuests { hall, _ in hall.handleAsked(regions) }
    case .givenBack(let regions):
      machine.follow { $0.messages.append(.released(regions)) }
      attendGuests { hall, _ in hall.handleReleased(regions) }
    case .entered(let token): enter(token)
    default: break
    }
    // A guest that has come, or has gone, was all that a leg waited for.
    joinNext()
  }

  private mutating func handleLeader(_ message: SharingMessage) {
    switch message {
    case .granted(let regions): sharing?.gate.granted(regions)
    case .call(let regions): sharing?.gate.called(regions)
    case .join(let member, _, let label):
      if machine.follow({ $0.leg(member) }) ?? nil == nil {
        // A leader that names no disk leaves its guest without one.
        guard let url = try? LogicalUnitURL(parsing: label) else { return }
        seats.append(LegSeat(url: url))
        keeping.board.update { $0.append(KeptLeg(url)) }
        machine.follow { _ = $0.add(member: member) }
      }
      machine.follow { $0.handle(message) }
    case .key(let key): keeping.sharing?.succession.reservations.setLeaderKey(key)
    case .stop:
      sharing?.gate.end()
      machine.follow { $0.handle(message) }
    default: machine.follow { $0.handle(message) }
    }
  }

  mutating func sendToLeader() {
    let messages = machine.follow { follower in
      defer { follower.messages = [] }
      return follower.messages
    }
    for message in messages ?? [] { keeping.sharing?.leader?.send(message) }
  }

  // MARK: Guests

  /// Has the hall do something, and carries out what comes of it.
  mutating func attendGuests(_ body: (inout GuestHall, LegSet) -> Void) {
    guard var hall = sharing?.hall, let leader = machine.leader else { return }
    // Taken out, or all its regions' owners would be copied for each word.
    sharing?.hall = nil
    hall.members = seats.indices.map { leader.member(ofLeg: $0) }
    hall.unconfirmed = leader.unconfirmedLegs
    body(&hall, leader.joinedLegs)
    sharing?.orders += hall.orders
    hall.orders = []
    sharing?.hall = hall
    guard sharing?.isCarryingOut == false else { return }
    // What comes of one order stands behind those that were there before: guests hear all in order.
    sharing?.isCarryingOut = true
    var next = 0
    while let orders = sharing?.orders, next < orders.count {
      carryOut(orders[next])
      next += 1
    }
    sharing?.orders.removeAll(keepingCapacity: true)
    sharing?.isCarryingOut = false
  }

  private mutating func carryOut(_ order: GuestHall.Order) {
    let now = MonotonicClock.now()
    switch order {
    case .send(let guest, let message): keeping.sharing?.server?.send(message, to: guest)
    case .welcome(let guest, let legs): welcome(guest, legs)
    case .close(let guest, _): keeping.sharing?.server?.close(guest)
    case .admit(let leg, let guest): askAbout(guest, at: leg, .admit(guest: guest))
    case .expel(let leg, let guest): askAbout(guest, at: leg, .expel(guest: guest))
    case .lose(let leg, let words): lose(leg, words, now: now)
    case .suspect(let bytes): machine.handleSuspect(bytes, now: now)
    case .beginMend: machine.lead { $0.handleVanishing() }
    case .mend: machine.lead { $0.handleVanished(now: now) }
    case .unreserve(let key):
      if let desk = lanes.reservations { Task { await desk.remove(key) } }
    case .token(.granted(_, let regions)): sharing?.gate.granted(regions)
    case .token(.call(_, let regions)): sharing?.gate.called(regions)
    case .joined(let leg):
      joins.reached.insert(LegSet(leg))
      completeJoin(leg, now: now)
    case .tell(let event): tell(event)
    }
  }

  private func welcome(_ guest: UInt64, _ legs: LegSet) {
    guard let leader = machine.leader, let record = leader.record, let gate = sharing?.gate,
      let first = lanes.parts.first
    else { return }
    let request = first.membership.withLock { $0.request }
    let here = seats.indices.filter { legs.contains(LegSet($0)) }.map {
      leader.member(ofLeg: $0)
    }
    // Without a leg there is none to be a guest at.
    guard let own = here.first else { return keeping.sharing?.server?.close(guest) ?? () }
    var mirror = SharedMirror(
      record: record.of(own), layout: gate.layout, group: options.group.address,
      port: options.group.port, virtualLUN: request.virtualLUN,
      here: here, isSuspended: leader.isSuspended)
    mirror.cipher = options.security?.cipher
    keeping.sharing?.server?.send(.welcome(mirror), to: guest)
  }

  private func askAbout(_ guest: UInt64, at leg: Int, _ request: KeepingRequest) {
    // Without a link the leg is about to be told as lost.
    guard let link = seats[leg].link else { return }
    let (stay, inbox) = (seats[leg].stay, inbox)
    var isExpelled = false
    if case .expel = request { isExpelled = true }
    link.ask(request, within: options.deadlineSeconds) { [isExpelled] result in
      if let words = Self.failure(result) {
        inbox.post(.lost(leg: leg, stay: stay, words))
      } else {
        inbox.post(.admitted(leg: leg, stay: stay, guest: guest, isExpelled: isExpelled))
      }
    }
  }

  private static func failure(_ result: Result<KeepingAnswer, LinkFailure>) -> String? {
    switch result {
    case .success(.refused(_, let words)): words
    case .success: nil
    case .failure(let failure): failure.words
    }
  }

  private func tell(_ event: GuestEvent) {
    let told: KeptMirrorEvent
    switch event {
    case .came(let guest): told = .guest(guest, isHere: true, reason: "it has registered")
    case .went(let guest, let reason): told = .guest(guest, isHere: false, reason: reason)
    }
    log(told)
    options.keeping.onEvent(told)
  }

  // MARK: Legs

  mutating func tellGuestsLost(_ leg: Int, _ words: String) {
    joins.settled.remove(LegSet(leg))
    joins.reached.remove(LegSet(leg))
    attendGuests { $0.noteLost(leg: leg, words: words, here: $1) }
  }

  /// The guests take a leg in while this initiator does.
  mutating func beginGuestsJoin(_ leg: Int) {
    lead(at: leg)
    let label = "\(seats[leg].url)"
    attendGuests { hall, _ in hall.beginJoin(leg: leg, label: label) }
  }

  /// A leg is a member when the writes of all initiators reach it.
  mutating func completeJoin(_ leg: Int, now: UInt64) {
    guard joins.settled.contains(LegSet(leg)),
      sharing?.hall == nil || joins.reached.contains(LegSet(leg))
    else { return }
    joins.settled.remove(LegSet(leg))
    joins.reached.remove(LegSet(leg))
    machine.handleJoined(leg: leg, now: now)
    attendGuests { hall, here in hall.endJoin(here: here) }
    joinNext()
  }
}

extension SharedMirror {
  /// The legs, in the generation's order; throws where one is no disk's name.
  var urls: [LogicalUnitURL] {
    get throws(MirrorcastError) {
      var urls: [LogicalUnitURL] = []
      for member in record.generation.members {
        urls.append(try LogicalUnitURL(parsing: member.label))
      }
      return urls
    }
  }
}

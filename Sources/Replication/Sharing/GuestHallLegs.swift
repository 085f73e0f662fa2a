// What a shared mirror's guests have to know of its legs, and the leader's own token among theirs.

extension GuestHall {
  // MARK: The leader's own token

  package mutating func handleAsked(_ regions: Range<Int>) {
    let isTaken = tokens.handleAsked(RegionTokens.leader, regions)
    precondition(isTaken, "the leader asks for no such regions")
    takeTokens()
  }

  package mutating func handleReleased(_ regions: Range<Int>) {
    let isTaken = tokens.handleReleased(RegionTokens.leader, regions)
    precondition(isTaken, "the leader gives back what it had not")
    takeTokens()
  }

  // MARK: Reservations

  /// The leader is about to go by that key.
  package mutating func noteKey(_ key: UInt64) {
    ownKey = key
    tell(.key(key))
  }

  /// Whether somebody who is here goes by it.
  package func isUsed(_ key: UInt64) -> Bool {
    ownKey == key || guests.contains { $0.key == key && !$0.isGoing }
  }

  // MARK: Legs

  /// A leg is lost: the guests hear of it before any of them hears that the others have stored so.
  package mutating func noteLost(leg: Int, words: String, here: LegSet) {
    if join?.leg == leg { endJoin(here: here) }
    for index in guests.indices {
      switch guests[index].stage {
      case .waiting: break
      case .admitting(let waiting, let legs):
        guests[index].stage = .admitting(
          waiting.subtracting(LegSet(leg)), legs.subtracting(LegSet(leg)))
        welcome(index)
      case .registering, .present:
        guard guests[index].known.contains(LegSet(leg)),
          !guests[index].lost.contains(LegSet(leg))
        else { continue }
        guests[index].lost.insert(LegSet(leg))
        send(
          index,
          .lost(member: members[leg], turn: guests[index].turns[leg] ?? 0, words: words))
      case .going(let waiting): guests[index].stage = .going(waiting.subtracting(LegSet(leg)))
      }
    }
    stepGoing(here: here)
  }

  package mutating func noteConfirmed(_ legs: LegSet) {
    for index in guests.indices where guests[index].isHere {
      legs.intersection(guests[index].known).forEach {
        send(index, .confirmed(member: members[$0]))
      }
      guests[index].known.subtract(legs)
    }
    for index in guests.indices { welcome(index) }
  }

  /// A leg is to come: `joined` when all guests reach it.
  package mutating func beginJoin(leg: Int, label: String) {
    precondition(mayJoin, "one leg comes at a time, and none while a guest does")
    let present = guests.filter { $0.stage == .present }
    for guest in present { orders.append(.admit(leg: leg, guest: guest.id)) }
    join = LegJoining(leg: leg, label: label, guests: present.map(\.id))
    for index in guests.indices where guests[index].stage == .present {
      guests[index].known.insert(LegSet(leg))
      guests[index].lost.remove(LegSet(leg))
    }
    stepJoin()
  }

  /// The leg is a member, or didn't become one: who came meanwhile is let in.
  package mutating func endJoin(here: LegSet) {
    join = nil
    beginAdmissions(here: here)
  }

  /// To all that are here: too few legs, enough again, how a leg stands.
  package mutating func tell(_ message: SharingMessage) {
    for index in guests.indices where guests[index].isHere { send(index, message) }
  }

  /// The legs are equal where guests had told that they may not be.
  package mutating func noteMended() {
    for index in guests.indices where guests[index].suspects > 0 && guests[index].isHere {
      send(index, .mended(guests[index].suspects))
      guests[index].suspects = 0
    }
  }
}

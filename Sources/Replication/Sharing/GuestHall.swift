// The other initiators of a shared mirror, as the one that leads it follows them: who is let in at
// the legs, who writes where, who has to know of a leg that comes or goes.
//
// Law: a leg is a member only when the writes of all initiators reach it, and none that began
// before is open. A guest that is gone without a word is ended at every leg first (`expel`); then
// the legs are made equal where it may have left a write half done; what it had a token for is free
// when nothing of it can touch a medium any more. So a guest that only thinks that it is one, since
// it was cut off or slept, does no harm: the legs don't know its registrations.
//
// Order of calls: `members` is kept up by the owner; `handle…` for what comes; then take `orders`
// and empty them.

/// Who else writes in a mirror, at the one that leads it.
package struct GuestHall: Sendable {
  /// What the owner has to do; it empties the array.
  package enum Order: Sendable, Equatable {
    case send(guest: UInt64, SharingMessage)
    /// Tell the guest the mirror as it is, with these legs: it registers there.
    case welcome(guest: UInt64, LegSet)
    /// End the connection; nothing is answered.
    case close(guest: UInt64, words: String)
    /// Ask a leg to let a guest in: `handleAdmitted`.
    case admit(leg: Int, guest: UInt64)
    /// Ask a leg to end what a guest has there: `handleExpelled`.
    case expel(leg: Int, guest: UInt64)
    /// A guest can't reach a leg, or it doesn't do the guest's writes.
    case lose(leg: Int, words: String)
    /// There the legs may differ, and a guest waits for that to be mended.
    case suspect(Range<UInt64>)
    /// A guest is gone that may have left writes half done: nothing is called equal before `mend`.
    case beginMend
    /// Nothing of it can touch a medium any more: the legs may differ wherever they have marks.
    case mend
    /// A guest is gone: what it had reserved at the legs by that key is nobody's.
    case unreserve(key: UInt64)
    /// The leader's own token: what its gate is to be told.
    case token(RegionTokens.Output)
    /// All guests reach the leg that comes.
    case joined(leg: Int)
    case tell(GuestEvent)
  }

  /// Guests of one mirror.
  package static let guestsMax = RegionTokens.participantsMax - 1
  /// How long a guest may take to register.
  package static let registerNanoseconds: UInt64 = 30_000_000_000

  private static let violation = "it said what it may not say"

  package var orders: [Order] = []
  /// The member of each leg; the owner keeps it.
  package var members: [UInt64] = []
  /// Legs that left, of which not all that stay have stored that yet; the owner keeps it. Who came
  /// now would write without them, and know of nothing that its writes have to wait for: it waits.
  package var unconfirmed: LegSet = []
  var guests: [Guest] = []
  var tokens: RegionTokens
  var join: LegJoining?
  /// By which the leader is registered for reservations; zero: it is not.
  var ownKey: UInt64 = 0
  private let byteCount: UInt64

  package init(_ layout: RegionLayout) {
    tokens = RegionTokens(regionCount: layout.regionCount)
    byteCount = layout.byteCount
  }

  // MARK: Look

  package var isEmpty: Bool { guests.isEmpty }
  /// Whether a leg may come now: no guest is just registering with those that are here.
  package var mayJoin: Bool { join == nil && !guests.contains { $0.isComing } }
  package func isPresent(_ guest: UInt64) -> Bool {
    guests.contains { $0.id == guest && $0.stage == .present }
  }

  /// Regions in which nobody may write before the legs have ended a guest that is gone.
  package var keptRegions: Int { tokens.keptCount }
  /// How far each guest is, for people.
  package var words: String { guests.map { "\($0.id): \($0.stage)" }.joined(separator: "; ") }

  package var nextDeadline: UInt64? { guests.compactMap(\.deadline).min() }

  // MARK: Guests

  /// - Parameter here: the legs that mirrored writes reach.
  package mutating func handleHello(_ id: UInt64, here: LegSet, now: UInt64) {
    let taken = Set(guests.map(\.participant))
    guard !guests.contains(where: { $0.id == id }),
      let participant = (1...Self.guestsMax).first(where: { !taken.contains($0) })
    else {
      orders.append(.close(guest: id, words: "no more than \(Self.guestsMax) guests"))
      return
    }
    guests.append(
      Guest(id: id, participant: participant, deadline: now + Self.registerNanoseconds))
    beginAdmissions(here: here)
  }

  package mutating func handle(
    _ message: SharingMessage, from id: UInt64, here: LegSet, now: UInt64
  ) {
    guard let index = place(of: id), !guests[index].isGoing else { return }
    let isPresent = guests[index].stage == .present
    switch message {
    case .alive: break
    case .ready where guests[index].stage == .registering:
      guests[index].stage = .present
      guests[index].deadline = nil
      if ownKey != 0 { send(index, .key(ownKey)) }
      orders.append(.tell(.came(id)))
    case .key(let key): guests[index].key = key
    case .ask(let regions):
      let isTaken = isPresent && tokens.handleAsked(guests[index].participant, regions)
      if isTaken { takeTokens() } else { handleGone(id, words: Self.violation, here: here) }
    case .released(let regions):
      let isTaken = isPresent && tokens.handleReleased(guests[index].participant, regions)
      if isTaken { takeTokens() } else { handleGone(id, words: Self.violation, here: here) }
    case .suspect(let bytes) where bytes.upperBound <= byteCount && !bytes.isEmpty:
      guests[index].suspects += 1
      orders.append(.suspect(bytes))
    case .joined(let member, let turn):
      if let leg = leg(member, turn, index) { handleJoined(index, leg) }
    case .notJoined(let member, let turn, let words):
      if let leg = leg(member, turn, index) {
        orders.append(.lose(leg: leg, words: "not reached by a guest: \(words)"))
      }
    case .lost(let member, let turn, let words):
      if let leg = leg(member, turn, index) {
        orders.append(.lose(leg: leg, words: "lost to a guest: \(words)"))
      }
    case .leaving:
      guests[index].hasLeft = true
      handleGone(id, words: "it has ended", here: here)
    default: handleGone(id, words: Self.violation, here: here)
    }
  }

  /// A guest's connection has ended, or is to.
  package mutating func handleGone(_ id: UInt64, words: String, here: LegSet) {
    guard let index = place(of: id), !guests[index].isGoing else { return }
    orders.append(.close(guest: id, words: words))
    orders.append(.tell(.went(id, reason: words)))
    guests[index].deadline = nil
    guests[index].had = tokens.remove(guests[index].participant)
    // Who had no token has written nothing that has not ended.
    guests[index].isToMend = !guests[index].hasLeft && !guests[index].had.isEmpty
    if guests[index].isToMend { orders.append(.beginMend) }
    var legs = here
    if let join { legs.insert(LegSet(join.leg)) }
    guests[index].stage = .going(legs)
    legs.forEach { orders.append(.expel(leg: $0, guest: id)) }
    takeTokens()
    join?.forget(id)
    stepJoin()
    stepGoing(here: here)
  }

  /// Whether a leg has let a guest in; where it has not it is about to be lost.
  package mutating func handleAdmitted(leg: Int, guest id: UInt64, here: LegSet) {
    if join?.leg == leg, join?.admit(id) == true {
      guard let index = place(of: id) else { return }
      guests[index].turns[leg, default: 0] += 1
      send(
        index,
        .join(
          member: members[leg], turn: guests[index].turns[leg] ?? 0, label: join?.label ?? ""))
      return
    }
    guard let index = place(of: id), case .admitting(var waiting, let legs) = guests[index].stage
    else { return }
    waiting.remove(LegSet(leg))
    guests[index].stage = .admitting(waiting, legs)
    welcome(index)
  }

  package mutating func handleExpelled(leg: Int, guest id: UInt64, here: LegSet) {
    guard let index = place(of: id), case .going(var waiting) = guests[index].stage else { return }
    waiting.remove(LegSet(leg))
    guests[index].stage = .going(waiting)
    stepGoing(here: here)
  }

  package mutating func handleTimeout(now: UInt64, here: LegSet) {
    for guest in guests where guest.deadline ?? .max <= now {
      handleGone(guest.id, words: "it did not register in time", here: here)
    }
  }

  // MARK: Steps

  func place(of id: UInt64) -> Int? { guests.firstIndex { $0.id == id } }

  /// The leg that a guest speaks of, unless that is over.
  private func leg(_ member: UInt64, _ turn: UInt32, _ index: Int) -> Int? {
    guard let leg = members.firstIndex(of: member), guests[index].turns[leg] ?? 0 == turn,
      guests[index].known.contains(LegSet(leg)), !guests[index].lost.contains(LegSet(leg))
    else { return nil }
    return leg
  }

  mutating func send(_ index: Int, _ message: SharingMessage) {
    orders.append(.send(guest: guests[index].id, message))
  }

  mutating func beginAdmissions(here: LegSet) {
    guard join == nil else { return }
    for index in guests.indices where guests[index].stage == .waiting {
      guests[index].stage = .admitting(here, here)
      here.forEach { orders.append(.admit(leg: $0, guest: guests[index].id)) }
      welcome(index)
    }
  }

  mutating func welcome(_ index: Int) {
    guard case .admitting(let waiting, let legs) = guests[index].stage, waiting.isEmpty,
      unconfirmed.isEmpty
    else { return }
    guests[index].stage = .registering
    guests[index].known = legs
    orders.append(.welcome(guest: guests[index].id, legs))
  }

  private mutating func handleJoined(_ index: Int, _ leg: Int) {
    guard join?.leg == leg else { return }
    join?.forget(guests[index].id)
    stepJoin()
  }

  mutating func stepJoin() {
    guard let leg = join?.takeReached() else { return }
    orders.append(.joined(leg: leg))
  }

  mutating func stepGoing(here: LegSet) {
    for guest in guests {
      guard case .going(let waiting) = guest.stage, waiting.isEmpty else { continue }
      guests.removeAll { $0.id == guest.id }
      if guest.isToMend { orders.append(.mend) }
      tokens.free(guest.had)
      // One that is back already goes by the same key, perhaps.
      if guest.key != 0, guest.key != ownKey, !guests.contains(where: { $0.key == guest.key }) {
        orders.append(.unreserve(key: guest.key))
      }
    }
    takeTokens()
  }

  mutating func takeTokens() {
    let outputs = tokens.outputs
    tokens.outputs = []
    for output in outputs {
      let participant: Int
      let message: SharingMessage
      switch output {
      case .granted(let who, let regions): (participant, message) = (who, .granted(regions))
      case .call(let who, let regions): (participant, message) = (who, .call(regions))
      }
      if participant == RegionTokens.leader {
        orders.append(.token(output))
      } else if let index = guests.firstIndex(where: { $0.participant == participant }) {
        send(index, message)
      }
    }
  }
}

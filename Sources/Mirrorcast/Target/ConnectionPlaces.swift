// Who may be connected: the policy alone, as a value.
//
// Whoever can reach a portal can open connections, from many addresses, and say nothing, or half a
// login. A place for each would be used up; so places without a session are not kept, but lent. A
// newcomer always gets one where any is lent: that of the oldest connection of the address that
// has the most. So one address can push out only itself as long as it has more than the others; and
// where a flood comes from as many addresses as there are places, a login is pushed out only when
// as many newcomers came after it as there are places: it takes milliseconds, and they must be
// accepted first. Sessions are never pushed out: they have places of their own.
//
// Roads not taken: refusing newcomers (a flood that sits still would lock out everybody until its
// deadline); counting by initiator name (it is not known before login, and nothing proves it).

/// What stands for a peer's address: the addresses that one customer of a network can easily have.
enum PeerAddress: Hashable, Sendable {
  case v4(UInt32)
  /// The first 64 bits.
  case v6(UInt64)
  case other
}

/// The places for connections: lent ones for those without a session, kept ones for sessions.
struct ConnectionPlaces: Sendable {
  /// What becomes of a newcomer.
  enum Admission: Equatable, Sendable {
    case admitted
    /// In the place of this one, which is to be cut.
    case inPlace(of: UInt64)
    /// All connections of its address have sessions, and there are enough.
    case refused
  }

  private struct Peer {
    /// Those without a session, the oldest first.
    var lent: [UInt64] = []
    var sessions = 0
    var byteCount = 0

    var isEmpty: Bool { lent.isEmpty && sessions == 0 }
  }

  private struct Place {
    let address: PeerAddress
    var isSession = false
    var byteCount = 0
  }

  private let limits: TargetLimits
  private var places: [UInt64: Place] = [:]
  private var peers: [PeerAddress: Peer] = [:]
  private(set) var sessionCount = 0
  private(set) var byteCount = 0

  init(limits: TargetLimits) {
    self.limits = limits
  }

  /// Connections with a place.
  var count: Int { places.count }
  /// Connections without a session.
  var lentCount: Int { places.count - sessionCount }

  /// Whether a connection has a place still.
  func contains(_ id: UInt64) -> Bool { places[id] != nil }

  /// A connection was accepted; ids grow.
  mutating func admit(_ id: UInt64, from address: PeerAddress) -> Admission {
    let peer = peers[address] ?? Peer()
    var evicted: UInt64?
    if peer.lent.count + peer.sessions >= limits.connectionsOfAddressMax {
      guard let oldest = peer.lent.first else { return .refused }
      evicted = oldest
    } else if peer.lent.count >= limits.loginsOfAddressMax {
      evicted = peer.lent.first
    } else if lentCount >= limits.loginsMax {
      evicted = oldestOfFullest
    }
    if let evicted { leave(evicted) }
    places[id] = Place(address: address)
    peers[address, default: Peer()].lent.append(id)
    return evicted.map { .inPlace(of: $0) } ?? .admitted
  }

  /// A connection without a session holds so many bytes of ours; returns those that are to be cut,
  /// since all of them hold too many.
  mutating func hold(_ id: UInt64, byteCount count: Int) -> [UInt64] {
    guard let place = places[id], !place.isSession else { return [] }
    change(id, place, to: count)
    var evicted: [UInt64] = []
    while byteCount > limits.loginBytesMax, let greediest {
      leave(greediest)
      evicted.append(greediest)
    }
    return evicted
  }

  /// A connection becomes a session, in the stead of `replaced` others; false where there are
  /// enough, or where it lost its place meanwhile.
  mutating func beginSession(_ id: UInt64, replacing replaced: Int) -> Bool {
    guard let place = places[id], !place.isSession, sessionCount - replaced < limits.sessionsMax
    else { return false }
    change(id, place, to: 0)
    places[id]?.isSession = true
    peers[place.address]?.lent.removeAll { $0 == id }
    peers[place.address]?.sessions += 1
    sessionCount += 1
    return true
  }

  /// A connection has ended, or loses its place.
  mutating func leave(_ id: UInt64) {
    guard let place = places[id] else { return }
    if place.isSession {
      peers[place.address]?.sessions -= 1
      sessionCount -= 1
    } else {
      change(id, place, to: 0)
      peers[place.address]?.lent.removeAll { $0 == id }
    }
    places[id] = nil
    if peers[place.address]?.isEmpty ?? false { peers[place.address] = nil }
  }

  private mutating func change(_ id: UInt64, _ place: Place, to count: Int) {
    byteCount += count - place.byteCount
    peers[place.address]?.byteCount += count - place.byteCount
    places[id]?.byteCount = count
  }

  // One look at each address: as many as there are lent places at most, and only when none is free.
  private var oldestOfFullest: UInt64? {
    var found: (count: Int, oldest: UInt64)?
    for peer in peers.values {
      guard let oldest = peer.lent.first else { continue }
      let count = peer.lent.count
      guard let best = found, count < best.count || count == best.count && oldest > best.oldest
      else {
        found = (count, oldest)
        continue
      }
    }
    return found?.oldest
  }

  private var greediest: UInt64? {
    peers.values.max { $0.byteCount < $1.byteCount }?.lent
      .max { places[$0]?.byteCount ?? 0 < places[$1]?.byteCount ?? 0 }
  }
}

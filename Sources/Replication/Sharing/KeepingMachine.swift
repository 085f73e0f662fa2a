/// What decides about the legs of a kept mirror at one of its initiators: the coordinator at the
/// one that has claimed them, a follower at its guests. The owner carries out either's orders.
package enum KeepingMachine: Sendable {
  case leader(Coordinator)
  case follower(Follower)
  /// Only while one of both does something: or what it has would be copied for each step.
  case busy

  // MARK: Look

  /// What the owner has to do; it empties them.
  package var orders: [CoordinatorOrder] {
    get {
      switch self {
      case .leader(let machine): machine.orders
      case .follower(let machine): machine.orders
      case .busy: []
      }
    }
    set {
      lead { $0.orders = newValue }
      follow { $0.orders = newValue }
    }
  }

  package var phase: Coordinator.Phase {
    switch self {
    case .leader(let machine): machine.phase
    case .follower(let machine): machine.phase
    case .busy: .ended
    }
  }

  /// The legs that mirrored writes reach.
  package var joinedLegs: LegSet {
    switch self {
    case .leader(let machine): machine.joinedLegs
    case .follower(let machine): machine.joinedLegs
    case .busy: []
    }
  }

  package var nextDeadline: UInt64? {
    switch self {
    case .leader(let machine): machine.nextDeadline
    case .follower, .busy: nil
    }
  }

  package var leader: Coordinator? { if case .leader(let machine) = self { machine } else { nil } }

  package func state(ofLeg leg: Int) -> MemberState {
    switch self {
    case .leader(let machine): machine.state(ofLeg: leg)
    case .follower(let machine): machine.state(ofLeg: leg)
    case .busy: .absent
    }
  }

  // MARK: One of both

  /// Nil where another initiator leads.
  @discardableResult
  package mutating func lead<Result, Failure: Error>(
    _ body: (inout Coordinator) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    guard case .leader(var machine) = self else { return nil }
    self = .busy
    defer { self = .leader(machine) }
    return try body(&machine)
  }

  @discardableResult
  package mutating func follow<Result>(_ body: (inout Follower) -> Result) -> Result? {
    guard case .follower(var machine) = self else { return nil }
    self = .busy
    defer { self = .follower(machine) }
    return body(&machine)
  }

  // MARK: Both

  package mutating func open(now: UInt64) {
    lead { $0.open(now: now) }
    follow { $0.open() }
  }

  package mutating func handleConnected(leg: Int, now: UInt64) {
    lead { $0.handleConnected(leg: leg, now: now) }
    follow { $0.handleConnected(leg: leg) }
  }

  package mutating func handleUnreachable(leg: Int, words: String, now: UInt64) {
    lead { $0.handleUnreachable(leg: leg, words: words, now: now) }
    follow { $0.handleUnreachable(leg: leg, words: words) }
  }

  package mutating func handleLost(leg: Int, words: String, now: UInt64) {
    lead { $0.handleLost(leg: leg, words: words, now: now) }
    follow { $0.handleLost(leg: leg, words: words) }
  }

  package mutating func handleBegun(_ joined: LegSet, now: UInt64) {
    lead { $0.handleBegun(joined, now: now) }
    follow { $0.handleBegun(joined) }
  }

  package mutating func handleJoined(leg: Int, now: UInt64) {
    lead { $0.handleJoined(leg: leg, now: now) }
    follow { $0.handleJoined(leg: leg) }
  }

  package mutating func handleSuspect(_ bytes: Range<UInt64>, now: UInt64) {
    lead { $0.handleSuspect(bytes, now: now) }
    follow { $0.handleSuspect(bytes) }
  }

  package mutating func close(now: UInt64) {
    lead { $0.close(now: now) }
    follow { $0.close() }
  }
}

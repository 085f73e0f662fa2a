// A guest of a shared mirror: it writes to the legs as the leader does, and decides nothing. What
// the leader tells becomes orders for this initiator's own lanes, what these find out is told to
// the leader.
//
// Law: a leg that is lost here is lost for all, or this initiator's writes would wait for it for
// ever; the leader has that stored, and says so (`confirmed`). A leg that comes is here when this
// initiator's writes reach it and none that began before is open; before, it is no member.
//
// Order of calls: as the coordinator's; `handle(_:)` for what the leader says; then take `orders`
// and `messages`, and empty them.

/// The machine of one shared mirror at an initiator that another one leads.
package struct Follower: Sendable {
  /// A leg as the follower knows it.
  private struct Leg: Sendable {
    enum Stage: Sendable { case away, connecting, claimed, joined }

    let member: UInt64
    var stage = Stage.away
    var state: MemberState
    /// Of the leader's last word to take it in.
    var turn: UInt32 = 0
  }

  package var orders: [CoordinatorOrder] = []
  /// For the leader; the owner empties it.
  package var messages: [SharingMessage] = []
  package private(set) var phase = Coordinator.Phase.opening
  private let mirror: SharedMirror
  private var legs: [Leg]
  /// What the leader said before the mirror was begun here.
  private var early: [SharingMessage] = []
  /// What the leader may say before all legs are registered: whoever says more is left.
  static let earlyMax = 1024
  /// Legs that it may name in the mirror's life.
  static let legsKnownMax = Limits.legsMax
  var earlyCount: Int { early.count }
  var legCount: Int { legs.count }

  package init(_ mirror: SharedMirror) {
    self.mirror = mirror
    legs = mirror.record.generation.members.map { Leg(member: $0.id, state: $0.state) }
  }

  // MARK: Look

  package var joinedLegs: LegSet { LegSet(legs.indices.filter { legs[$0].stage == .joined }) }
  package func state(ofLeg leg: Int) -> MemberState {
    legs[leg].stage == .joined ? legs[leg].state : .absent
  }

  // MARK: Own

  package mutating func open() {
    for leg in legs.indices where mirror.here.contains(legs[leg].member) { connect(leg) }
    guard !legs.contains(where: { $0.stage == .connecting }) else { return }
    refuse("no leg is here")
  }

  package mutating func handleConnected(leg: Int) {
    guard legs[leg].stage == .connecting else { return }
    legs[leg].stage = .claimed
    switch phase {
    case .opening: beginIfConnected()
    case .running: orders.append(.join(leg: leg))
    default: break
    }
  }

  package mutating func handleUnreachable(leg: Int, words: String) {
    guard legs[leg].stage == .connecting else { return }
    legs[leg].stage = .away
    if phase == .opening {
      // It has not been let in to fewer legs than there are.
      refuse("\(label(leg)) is not reached from here: \(words)")
    } else {
      messages.append(
        .notJoined(member: legs[leg].member, turn: legs[leg].turn, words: words))
    }
  }

  package mutating func handleLost(leg: Int, words: String) {
    let stage = legs[leg].stage
    guard stage != .away, phase != .ended else { return }
    legs[leg].stage = .away
    switch (phase, stage) {
    case (.opening, _): refuse("\(label(leg)) is lost: \(words)")
    case (_, .joined), (.beginning, _):
      messages.append(.lost(member: legs[leg].member, turn: legs[leg].turn, words: words))
    default:
      messages.append(
        .notJoined(member: legs[leg].member, turn: legs[leg].turn, words: words))
    }
    show(leg, .absent, words)
  }

  package mutating func handleBegun(_ joined: LegSet) {
    guard phase == .beginning else { return }
    phase = .running
    orders.append(
      .tell(.opened(generation: mirror.record.generation.counter, isNew: false)))
    if mirror.isSuspended { orders.append(.suspend) }
    for leg in legs.indices {
      if legs[leg].stage == .claimed {
        if joined.contains(LegSet(leg)) {
          legs[leg].stage = .joined
        } else {
          handleLost(leg: leg, words: "it could not be registered")
        }
      }
      if legs[leg].stage != .joined {
        show(leg, .absent, "it is not here")
      } else if legs[leg].state != .inSync {
        show(leg, legs[leg].state, "it gets what it lacks")
      }
    }
    messages.append(.ready)
    let early = early
    self.early = []
    for message in early { handle(message) }
  }

  package mutating func handleJoined(leg: Int) {
    guard legs[leg].stage == .claimed, phase == .running else { return }
    legs[leg].stage = .joined
    messages.append(.joined(member: legs[leg].member, turn: legs[leg].turn))
  }

  package mutating func handleSuspect(_ bytes: Range<UInt64>) {
    messages.append(.suspect(bytes))
  }

  /// Nothing of this initiator's is open any more.
  package mutating func close() {
    guard phase != .ended else { return }
    phase = .ended
    messages.append(.leaving)
    orders.append(.tell(.closed(failures: [:])))
  }

  // MARK: The leader's

  /// What the leader says, but for tokens.
  package mutating func handle(_ message: SharingMessage) {
    guard phase == .running else {
      guard phase == .beginning || phase == .opening else { return }
      guard early.count < Self.earlyMax else { return end("its leader says too much") }
      early.append(message)
      return
    }
    switch message {
    case .lost(let member, _, let words): leave(member, words)
    case .confirmed(let member):
      if let leg = leg(member) { orders.append(.confirm(LegSet(leg))) }
    case .join(let member, let turn, _):
      // Said anew after each loss.
      guard let leg = leg(member), legs[leg].stage == .away else { return }
      legs[leg].turn = turn
      connect(leg)
    case .state(let member, let state, let generation, let reason):
      guard let leg = leg(member) else { return }
      legs[leg].state = state
      orders.append(.tell(.leg(leg, state, generation: generation, reason: reason)))
    case .suspend:
      orders.append(.suspend)
      orders.append(.tell(.suspended("too few legs are left")))
    case .resume:
      orders.append(.endSuspension)
      orders.append(.tell(.resumed))
    case .mended(let count): orders.append(.mended(count))
    case .stop(let words): end(words)
    default: break
    }
  }

  /// A leg that this initiator has not known yet. Returns its index.
  package mutating func add(member: UInt64) -> Int {
    legs.append(Leg(member: member, state: .absent))
    return legs.count - 1
  }

  package func leg(_ member: UInt64) -> Int? { legs.firstIndex { $0.member == member } }

  /// The leader is gone, or says that it is over: what is open is lost here.
  package mutating func end(_ words: String) {
    guard phase != .ended else { return }
    if phase == .opening { return refuse(words) }
    phase = .ended
    orders.append(.stop(words))
    orders.append(.tell(.stopped(words)))
  }

  // MARK: Steps

  private mutating func connect(_ leg: Int) {
    legs[leg].stage = .connecting
    orders.append(.connect(leg: leg))
  }

  private mutating func beginIfConnected() {
    guard !legs.contains(where: { $0.stage == .connecting }) else { return }
    phase = .beginning
    orders.append(.begin(LegSet(legs.indices.filter { legs[$0].stage == .claimed })))
  }

  private mutating func leave(_ member: UInt64, _ words: String) {
    guard let leg = leg(member), legs[leg].stage != .away else { return }
    legs[leg].stage = .away
    orders.append(.leave(leg: leg, words: words))
    show(leg, .absent, words)
  }

  private mutating func show(_ leg: Int, _ state: MemberState, _ words: String) {
    legs[leg].state = state
    orders.append(
      .tell(
        .leg(leg, state, generation: mirror.record.generation.counter, reason: words)))
  }

  private mutating func refuse(_ words: String) {
    phase = .ended
    messages.append(.leaving)
    orders.append(.tell(.refused(OpeningRefusal(kind: .unreached, words: words))))
  }

  private func label(_ leg: Int) -> String {
    mirror.record.generation.member(legs[leg].member)?.label ?? "a leg"
  }
}

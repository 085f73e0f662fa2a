// Orders to a kept mirror that is open, by its own callers and by others: those leave theirs at a
// leg, where they are looked for at each leg ten times a second. The look is one short text on the
// session by which the leg is claimed, which is answered at once, so that no question about
// membership waits for more than a round trip.
import Logging
import Replication
import Synchronization

/// What is said to an order; called once, from anywhere.
typealias OrderReply = @Sendable (OperatorAnswer) -> Void

/// When and where it is looked for orders.
struct OrderLook: Sendable {
  /// Between two looks.
  static let periodNanoseconds: UInt64 = 100_000_000

  /// What a leg has told.
  enum Found: Sendable {
    case nothing
    case order(WaitingOrder)
    /// It knows no orders.
    case refused
  }

  /// Nil before the mirror is established.
  var dueAt: UInt64?
  /// By leg, the stay in which it was asked and has not answered, or will not.
  private var asked: [Int: Int] = [:]

  /// Whether a leg may be asked now; then it is.
  mutating func begin(_ leg: Int, stay: Int) -> Bool {
    guard asked[leg] != stay else { return false }
    asked[leg] = stay
    return true
  }

  mutating func end(_ leg: Int) { asked[leg] = nil }
}

/// Who waits for the end of an order.
struct OrderWaiters: Sendable {
  private static let ended = OperatorAnswer.refused("the mirror has ended")

  var detaching: [OrderReply] = []
  private var attaching: [Int: [OrderReply]] = [:]
  private var forgetting: [(label: String, reply: OrderReply)] = []

  mutating func attach(_ leg: Int, _ reply: @escaping OrderReply) {
    attaching[leg, default: []].append(reply)
  }

  mutating func forget(_ label: String, _ reply: @escaping OrderReply) {
    forgetting.append((label, reply))
  }

  mutating func endDetaching(_ answer: OperatorAnswer) {
    for reply in detaching { reply(answer) }
    detaching = []
  }

  mutating func endAttaching(_ leg: Int, _ answer: OperatorAnswer) {
    for reply in attaching.removeValue(forKey: leg) ?? [] { reply(answer) }
  }

  mutating func endForgetting(_ label: String) {
    for waiter in forgetting where waiter.label == label { waiter.reply(.done) }
    forgetting.removeAll { $0.label == label }
  }

  mutating func end() {
    endDetaching(Self.ended)
    for leg in Array(attaching.keys) { endAttaching(leg, Self.ended) }
    for waiter in forgetting { waiter.reply(Self.ended) }
    forgetting = []
  }
}

extension KeepingLoop {
  // MARK: Looking for orders

  mutating func lookForOrders(now: UInt64) {
    guard machine.leader != nil, machine.phase == .running, let due = look.dueAt, due <= now else {
      return
    }
    look.dueAt = now + OrderLook.periodNanoseconds
    let joined = machine.joinedLegs
    for leg in seats.indices where joined.contains(LegSet(leg)) { lookForOrder(at: leg) }
  }

  private mutating func lookForOrder(at leg: Int) {
    let (stay, inbox) = (seats[leg].stay, inbox)
    guard let link = seats[leg].link, look.begin(leg, stay: stay) else { return }
    link.ask(.orders, within: options.deadlineSeconds) { result in
      switch result {
      case .success(.waiting(let order)):
        inbox.post(.looked(leg: leg, stay: stay, order.map { .order($0) } ?? .nothing))
      case .success: inbox.post(.looked(leg: leg, stay: stay, .refused))
      case .failure(let failure): inbox.post(.lost(leg: leg, stay: stay, failure.words))
      }
    }
  }

  mutating func takeLook(_ leg: Int, _ stay: Int, _ found: OrderLook.Found, now: UInt64) {
    guard seats[leg].stay == stay, let link = seats[leg].link else { return }
    switch found {
    case .nothing: look.end(leg)
    // It is not asked again in this stay.
    case .refused: break
    case .order(let waiting):
      let seconds = options.deadlineSeconds
      let reply: OrderReply = { [inbox] answer in
        link.ask(.answered(token: waiting.token, answer.words), within: seconds) { result in
          guard case .failure(let failure) = result else { return }
          inbox.post(.lost(leg: leg, stay: stay, failure.words))
        }
      }
      do throws(OrderFault) {
        obey(try OperatorOrder(words: waiting.words), reply, now: now)
      } catch {
        reply(.refused(error.words))
      }
      look.end(leg)
      lookForOrder(at: leg)
    }
  }

  // MARK: Obeying

  mutating func obey(_ order: OperatorOrder, _ reply: @escaping OrderReply, now: UInt64) {
    keeping.logger.info("ordered", metadata: ["order": "\(order.words)"])
    do throws(OrderFault) {
      switch order {
      case .status: reply(.standing(standing))
      case .detach(let label): try detach(label, reply, now: now)
      case .attach(let label): try attach(label, reply, now: now)
      case .add(let label): try add(label, reply)
      case .forget(let label): try forget(label, reply, now: now)
      }
    } catch {
      reply(.refused(error.words))
    }
  }

  private mutating func detach(
    _ label: String, _ reply: @escaping OrderReply, now: UInt64
  ) throws(OrderFault) {
    let leg = try leg(label)
    let isJoined = machine.joinedLegs.contains(LegSet(leg))
    try lead { (machine) throws(OrderFault) in try machine.detach(leg: leg, now: now) }
    if isJoined { callers.awaited.insert(LegSet(leg)) }
    keeping.board.update { $0[leg].isDetached = true }
    callers.ordering.detaching.append(reply)
  }

  private mutating func attach(
    _ label: String, _ reply: @escaping OrderReply, now: UInt64
  ) throws(OrderFault) {
    let leg = try leg(label)
    try lead { (machine) throws(OrderFault) in try machine.attach(leg: leg, now: now) }
    keeping.board.update { board in
      board[leg].isDetached = false
      board[leg].isGivenUp = false
    }
    guard !machine.joinedLegs.contains(LegSet(leg)) else { return reply(.done) }
    callers.ordering.attach(leg, reply)
  }

  private func add(_ label: String, _ reply: @escaping OrderReply) throws(OrderFault) {
    let url: LogicalUnitURL
    do throws(MirrorcastError) {
      url = try LogicalUnitURL(parsing: label)
    } catch {
      throw OrderFault(error.what)
    }
    Task { [keeping] in
      do {
        try await keeping.add(url)
        reply(.done)
      } catch {
        reply(.refused((error as? MirrorcastError)?.what ?? "\(error)"))
      }
    }
  }

  private mutating func forget(
    _ label: String, _ reply: @escaping OrderReply, now: UInt64
  ) throws(OrderFault) {
    let leg = seat(of: label)
    try lead { (machine) throws(OrderFault) in try machine.forget(label: label, now: now) }
    if let leg, isForgotten(leg) {
      keeping.board.update { $0[leg].isForgotten = true }
      callers.adding.removeValue(forKey: leg)?.resume(
        throwing: MirrorcastError("\(label) was forgotten"))
    }
    callers.ordering.forget(label, reply)
  }

  /// The leg of that URL, unless it is none any more.
  func seat(of label: String) -> Int? {
    seats.indices.first { "\(seats[$0].url)" == label && !isForgotten($0) }
  }

  func isForgotten(_ leg: Int) -> Bool { machine.leader?.isForgotten(leg) ?? false }

  /// Only who leads a shared mirror decides about its legs.
  private mutating func lead(
    _ body: (inout Coordinator) throws(OrderFault) -> Void
  ) throws(OrderFault) {
    guard try machine.lead(body) != nil else {
      throw OrderFault("another initiator leads the mirror: order it through a leg")
    }
  }

  private func leg(_ label: String) throws(OrderFault) -> Int {
    guard let leg = seat(of: label) else { throw OrderFault("\(label) is none of the legs") }
    return leg
  }

  // MARK: Standing

  private var standing: MirrorStanding {
    let generation = machine.leader?.record?.generation
    var standing = MirrorStanding(
      name: options.name ?? "", generation: generation?.counter ?? 0,
      requiredCount: generation?.requiredCount ?? 0)
    standing.isClosing = callers.isClosing || machine.phase != .running
    standing.isSuspended = machine.leader?.isSuspended ?? false
    for (leg, kept) in keeping.board.legs.enumerated() where !kept.isForgotten {
      var told = LegStanding(
        label: "\(kept.url)", state: MemberState(kept.state), generation: kept.generation,
        reason: kept.reason)
      told.isHere = kept.isHere
      told.isDetached = kept.isDetached
      told.isGivenUp = kept.isGivenUp
      told.remaining = kept.remainingRegions
      told.total = kept.totalRegions
      told.copiedBytes = kept.copiedBytes
      if kept.isHere, let place = seats[leg].place {
        told.servedBy = lanes.way(ofPlace: place, options.transport)
      }
      standing.legs.append(told)
    }
    for member in machine.leader?.strangers ?? [] {
      standing.legs.append(
        LegStanding(
          label: member.label, state: member.state, generation: standing.generation,
          reason: "the mirror was opened without it"))
    }
    return standing
  }
}

extension KeptLanes {
  /// How data gets to a leg: as it is told by statistics, too.
  fileprivate func way(ofPlace place: Int, _ transport: Transport) -> String {
    var isDeaf = false
    for part in parts {
      var deaf = part.membership.withLock { $0.deaf }
      deaf.formUnion(part.board.latest.carried)
      if deaf.contains(LegSet(place)) { isDeaf = true }
    }
    let leg = parts.first?.membership.withLock { membership in
      membership.legs.indices.contains(place) ? membership.legs[place] : nil
    }
    return leg?.way(isDeaf: isDeaf, transport: transport) ?? ""
  }
}

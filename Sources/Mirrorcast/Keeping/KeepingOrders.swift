// What the coordinator orders, carried out.
import Logging
import Replication

extension KeepingLoop {
  mutating func carryOut(now: UInt64) {
    while !machine.orders.isEmpty {
      let orders = machine.orders
      machine.orders = []
      for order in orders { carryOut(order, now: now) }
    }
    sendToLeader()
  }

  private mutating func carryOut(_ order: CoordinatorOrder, now: UInt64) {
    keeping.logger.trace("\(order)")
    switch order {
    case .connect(let leg): connect(leg)
    case .ask(let leg, let token, let request): ask(leg, token, request)
    case .leave(let leg, let words): leave(leg, words)
    case .begin(let legs): establish(legs)
    case .join(let leg):
      joins.waiting.append((leg, seats[leg].stay))
      joinNext()
    case .confirm(let legs): confirm(legs)
    case .suspend:
      lanes.post(.suspend)
      attendGuests { hall, _ in hall.tell(.suspend) }
    case .endSuspension:
      lanes.post(.endSuspension)
      attendGuests { hall, _ in hall.tell(.resume) }
    case .mended(let count): mend(count)
    case .stop(let words):
      lanes.post(.stop)
      attendGuests { hall, _ in hall.tell(.stop(words)) }
      sharing?.gate.end()
    case .compare(let token, let source, let targets, let bytes):
      compare(token, source, targets, bytes)
    case .hold(let token, let bytes): hold(token, bytes)
    case .copy(let token, let source, let targets, let bytes):
      copy(token, source, targets, bytes)
    case .release(let token): release(token)
    case .tell(let event): tell(event)
    }
  }

  // MARK: Sessions

  mutating func connect(_ leg: Int) {
    guard !seats[leg].isJoining else {
      seats[leg].wantsConnection = true
      return
    }
    let (url, stay, inbox) = (seats[leg].url, seats[leg].stay, inbox)
    Task { [keeping] in
      do throws(MirrorcastError) {
        let link = try await LegLink.open(
          url, keeping.options.identity, logger: keeping.logger,
          onLost: { inbox.post(.lost(leg: leg, stay: stay, "connection lost: \($0)")) },
          onPingAnswered: { inbox.post(.lives(leg: leg, stay: stay)) })
        inbox.post(.connected(leg: leg, stay: stay, link))
      } catch {
        inbox.post(.unreachable(leg: leg, stay: stay, error.what))
      }
    }
  }

  private func ask(_ leg: Int, _ token: UInt64, _ request: KeepingRequest) {
    // Without a link the leg is about to be told as lost, and all that it was asked with it.
    guard let link = seats[leg].link else { return }
    let (stay, inbox) = (seats[leg].stay, inbox)
    let seconds: Double =
      switch request {
      // A medium is flushed before the answer.
      case .close, .synced, .flush, .release: max(options.deadlineSeconds, 60)
      case .claim, .adopt, .mark, .marks, .lead, .admit, .expel, .order, .orders, .answered:
        options.deadlineSeconds
      }
    link.ask(request, within: seconds) { result in
      switch result {
      case .success(let answer):
        inbox.post(.answered(leg: leg, stay: stay, token: token, answer))
      case .failure(let failure): inbox.post(.lost(leg: leg, stay: stay, failure.words))
      }
    }
  }

  // MARK: Registration

  /// The legs of the order become the mirror's, in their order.
  private mutating func establish(_ legs: LegSet) {
    var inner = options
    inner.legs = []
    legs.forEach { leg in
      seats[leg].place = inner.legs.count
      inner.legs.append(seats[leg].url)
    }
    Task { [keeping, inner] in
      do {
        var establishment = try Establishment(inner, keeping.logger, keeping: keeping)
        keeping.inbox.post(.begun(try await establishment.perform()))
      } catch {
        keeping.inbox.post(.notBegun(error))
      }
    }
  }

  mutating func begin(_ mirror: Mirror, now: UInt64) {
    // It stopped while the lanes were being made, or its leader is gone: nobody gets it.
    guard machine.phase != .ended else {
      Task { _ = await mirror.withdraw() }
      return fail(MirrorcastError("the mirror stopped while it was being opened"))
    }
    lanes.parts = mirror.parts
    lanes.reservations = mirror.reservations
    lanes.stripeLength = mirror.writeLengthMax
    lanes.blockSize = mirror.blockSize
    lanes.byteCount = mirror.byteCount
    beginSharing(mirror)
    var joined: LegSet = []
    for leg in seats.indices where seats[leg].place != nil {
      if seats[leg].stay == 0 {
        joined.insert(LegSet(leg))
      } else {
        // Lost while the lanes were being made, which may not have heard of it.
        let place = seats[leg].place ?? 0
        for part in lanes.parts {
          part.inbox.post(.lost(leg: place, stay: 0, "it was lost while the mirror was opened"))
        }
      }
    }
    keeping.board.update { board in joined.forEach { board[$0].isHere = true } }
    look.dueAt = now
    callers.opening?.resume(returning: mirror)
    callers.opening = nil
    machine.handleBegun(joined, now: now)
    joined.forEach { lead(at: $0) }
  }

  // MARK: Lanes

  /// A lane's session with a leg says nothing, maybe since all that waits there stands before a
  /// ping: where data goes by TCP that can be much, and the disk slow. So the session is asked that
  /// carries none.
  mutating func askLife(part: Int, place: Int, stay: Int) {
    guard let leg = seats.firstIndex(where: { $0.place == place && $0.stay == stay }),
      let link = seats[leg].link
    else { return }
    seats[leg].askingParts.insert(part)
    link.ping()
  }

  mutating func tellLife(_ leg: Int, stay: Int) {
    guard seats[leg].stay == stay, let place = seats[leg].place else { return }
    for part in seats[leg].askingParts where lanes.parts.indices.contains(part) {
      lanes.parts[part].inbox.post(.pinged(leg: place, stay: stay))
    }
    seats[leg].askingParts = []
  }

  /// A leg that is being taken in would hear of it too early.
  private mutating func confirm(_ legs: LegSet) {
    var places: LegSet = []
    legs.forEach { leg in
      callers.awaited.remove(LegSet(leg))
      if seats[leg].isJoining {
        joins.confirmed.insert(LegSet(leg))
      } else if let place = seats[leg].place {
        places.insert(LegSet(place))
      }
    }
    if !places.isEmpty { lanes.post(.confirm(places)) }
    attendGuests { hall, _ in hall.noteConfirmed(legs) }
  }

  private mutating func mend(_ count: Int?) {
    for part in copies.takeSuspects(count) { lanes.parts[part].inbox.post(.kept(.mended(1))) }
    attendGuests { hall, _ in hall.noteMended() }
  }

  // MARK: Words

  private mutating func tell(_ event: KeepingEvent) {
    if case .refused(let refusal) = event {
      let error = MirrorcastError(refusal, name: options.name ?? "")
      // Another one was faster to lead it: that one is to be found soon, or gone.
      let mayRetry = keeping.sharing != nil && refusal.kind == .held
      fail(mayRetry ? SharingRetry(cause: error) : error)
      return
    }
    if case .notTaken(let leg, let reason) = event {
      callers.adding.removeValue(forKey: leg)?.resume(
        throwing: MirrorcastError("\(seats[leg].url) is not taken: \(reason)"))
    }
    if case .unreadable = event { callers.isUnreadable = true }
    if case .leg(let leg, let state, let generation, let reason) = event {
      attendGuests { hall, _ in
        guard hall.members.indices.contains(leg) else { return }
        hall.tell(
          .state(member: hall.members[leg], state, generation: generation, reason: reason))
      }
    }
    if case .forgotten(let label, _) = event { callers.ordering.endForgetting(label) }
    tellVerification(event)
    let told = KeptMirrorEvent(event) { seats[$0].url }
    keeping.board.update { board in event.note(on: &board) }
    if case .notTaken(let leg, _) = event, isForgotten(leg) {
      keeping.board.update { $0[leg].isForgotten = true }
    }
    guard let told else { return }
    log(told)
    options.keeping.onEvent(told)
  }

  func log(_ event: KeptMirrorEvent) {
    let level: Logger.Level =
      switch event {
      case .unreadable, .unverified, .differing, .stopped: .error
      case .copying: .debug
      default: event.isTrouble ? .warning : .notice
      }
    // Whoever wants to hear of it has been told, and tells people.
    keeping.logger.log(
      level: level == .warning || level == .error ? .notice : .debug, "\(event)",
      metadata: ["mirror": "\(options.name ?? "")", "weight": "\(level)"])
  }
}

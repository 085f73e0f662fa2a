// What an initiator's lane does after something has come.
import Bytes
import ISCSI
import Replication

extension Initiator {
  func turn() {
    keeping?.step()
    if keeping?.isOver == true { return retry() }
    guard sender != nil else { return schedule() }
    submitWaiting()
    sender?.value.handleTimeout(now: world.now)
    keeping?.attend()
    if phase == .probing { probe() }
    var isAgain = true
    while isAgain, world.isSound {
      handleEvents()
      keeping?.step()
      transmit()
      isAgain =
        sender?.value.events.isEmpty == false || keeping?.machine.orders.isEmpty == false
    }
    endFlushes()
    checkGrowth()
    guard keeping?.isOver != true else { return retry() }
    schedule()
    if phase == .ending { endIfIdle() }
  }

  private func schedule() {
    var due = keeping?.nextDeadline ?? .max
    if let sender {
      due = min(due, sender.value.nextDeadline ?? .max)
      if phase == .probing { due = min(due, nextProbeAt) }
      if sendsNextAt > world.now { due = min(due, sendsNextAt) }
      if isDeparting { due = min(due, blockedUntil) }
    }
    if phase == .ending, let healed = world.weather.healedAt {
      let patience = max(healed, ranAt) + Self.patienceNanoseconds + 1
      if patience > world.now { due = min(due, patience) }
    }
    if due < .max { wake(at: due) }
  }

  // MARK: Probing

  private var nextProbeAt: UInt64 { probedAt + 10_000_000 }

  private func probe() {
    if unprobed.rawValue == 0 || probes >= Self.probesMax {
      unprobed.forEach { sender?.value.serveByConnection($0) }
      unprobed = []
      phase = .running
      ranAt = world.now
      world.note(index, "runs with % legs", targetOf.count)
      keeping?.begin()
      world.workload.handleRunning(self)
      return
    }
    guard probes == 0 || world.now >= nextProbeAt else { return }
    probes += 1
    probedAt = world.now
    sendProbe(epoch: sender?.value.currentEpoch ?? 0)
  }

  func sendProbe(epoch: UInt16) {
    let slot = world.workplace.pool.take()
    var span = world.workplace.pool.buffer(slot).mutableBytes
    guard let count = sender?.value.assembleProbe(into: &span, epoch: epoch) else { return }
    world.workplace.pool.setLength(slot, count)
    flyToGroup(slot, at: world.now)
    world.workplace.pool.dropIfUnheard(slot)
  }

  private func flyToGroup(_ slot: Int, at departure: UInt64) {
    for target in world.targets.indices {
      world.fly(slot, from: index, to: target, isOwn: false, at: departure)
    }
  }

  // MARK: Datagrams out

  private func transmit() {
    let now = world.now
    if isDeparting {
      guard now >= blockedUntil else { return }
      isDeparting = false
      sender?.value.handleDeparted(now: now)
    }
    guard now >= sendsNextAt else { return }
    // The socket takes nothing for a while: what is assembled departs later.
    let departure = max(now, blockedUntil)
    var count = 0
    while count < Self.batchMax, let transmission = sender?.value.pollTransmission(now: now) {
      assemble(transmission, at: departure + UInt64(count) * Self.paceNanoseconds)
      count += 1
    }
    flushCarried()
    guard count > 0 else { return }
    sendsNextAt = departure + UInt64(count) * Self.paceNanoseconds
    if departure > now {
      isDeparting = true
    } else {
      sender?.value.handleDeparted(now: now)
    }
  }

  /// The data of a transmission's write, or of a piece of a copy.
  private func data(of transmission: Transmission) -> UnsafeRawBufferPointer? {
    guard let submission = sender?.value.submission(inSlot: transmission.slot) else { return nil }
    let places = world.workplace.payloads
    guard submission.token >= UInt64(Keeping.pieceTokens) else {
      let stamp = Stamp(submission.token)
      let record = world.oracle.record(stamp)
      if record.state != .open {
        world.violate("a datagram of write \(stamp), which has ended, is to be sent")
      }
      return places.bytes(slot: transmission.slot, submission.token, record.sectors) { _ in stamp }
    }
    guard let piece = keeping?.piece(Int(submission.token), submission) else {
      world.violate("a datagram of a copy that has ended is to be sent")
      return nil
    }
    return places.bytes(slot: transmission.slot, submission.token, piece.sectors) {
      piece.stamps[$0]
    }
  }

  private func assemble(_ transmission: Transmission, at departure: UInt64) {
    guard let data = data(of: transmission) else { return }
    let slot = world.workplace.pool.take()
    var span = world.workplace.pool.buffer(slot).mutableBytes
    let count = sender?.value.assemble(transmission, data: data.bytes, into: &span, now: world.now)
    guard let count else {
      world.workplace.pool.dropIfUnheard(slot)
      return world.violate("a buffer changed that nobody has touched")
    }
    world.workplace.pool.setLength(slot, count)
    switch transmission.destination {
    case .group: flyToGroup(slot, at: departure)
    case .leg(let leg):
      world.fly(slot, from: index, to: targetOf[leg], isOwn: true, at: departure)
    case .connection(let leg): carried[leg].append(Array(world.workplace.pool.bytes(slot)))
    }
    world.workplace.pool.dropIfUnheard(slot)
  }

  private func flushCarried() {
    for leg in carried.indices where !carried[leg].isEmpty {
      let batch = carried[leg]
      carried[leg].removeAll(keepingCapacity: true)
      guard let channel = channel(ofLeg: leg) else { continue }
      for bytes in batch { world.send(.carried(bytes), on: channel) }
    }
  }

  // MARK: Answers

  func handle(_ message: InitiatorMessage, on channel: Int) {
    guard !handleSought(message, on: channel) else { return }
    if let leg = keeping?.leg(ofLink: channel) {
      if case .kept(let token, let answer) = message {
        keeping?.handleAnswer(leg, token: token, answer)
      }
      return turn()
    }
    if keeping?.join?.channel == channel {
      handleNewcomer(message)
      return turn()
    }
    let number = number(of: channel)
    if let number { keeping?.silence.handleHeard(leg: number, now: world.now) }
    switch message {
    case .registered:
      if phase == .connecting, let leg = legs.firstIndex(where: { $0.channel == channel }) {
        legs[leg].isRegistered = true
        proceed()
      } else if let number {
        keeping?.handleAgreed(place: number)
      }
    case .refused: handleRefused(number)
    case .readyToTransfer(let tag):
      guard let number else { break }
      sender?.value.handleReadyToTransfer(leg: number, tag: tag, now: world.now)
    case .response(let tag, let status, let sense, let units):
      guard let number else { break }
      sender?.value.handleResponse(
        leg: number, tag: tag, status: status, sense: sense, units: units, now: world.now)
    case .answer(let header, let missing):
      guard let number else { break }
      handle(header, missing, leg: number)
    case .terminated: handleTerminated(channel)
    case .flushed(let tag, let isGood): handleFlushed(tag, isGood, on: channel)
    case .data(let tag, let stamps): handleData(tag, stamps, on: channel)
    case .kept, .pong, .leader: break
    }
    turn()
  }

  private func handleRefused(_ number: Int?) {
    if phase == .connecting {
      if keeping != nil { failOpening() } else { retry() }
    } else if let number {
      sender?.value.handleLost(leg: number, .connection("an epoch was refused"), now: world.now)
    }
  }

  private func handleNewcomer(_ message: InitiatorMessage) {
    switch message {
    case .registered: keeping?.handleJoinRegistered()
    case .refused: keeping?.handleJoinRefused()
    case .answer(let header, _):
      guard let answer = try? MirrorAnswer(header), answer.kind == .probeSeen else { break }
      keeping?.handleProbeSeen(epoch: answer.epoch)
    default: break
    }
  }

  private func handle(_ header: BasicHeaderSegment, _ missing: [UInt8], leg: Int) {
    guard let answer = try? MirrorAnswer(header) else {
      return world.violate("an answer of the mirror that can't be read")
    }
    guard answer.registration == registration else { return }
    switch answer.kind {
    case .report:
      sender?.value.handleReport(leg: leg, answer, missing: missing.span.bytes, now: world.now)
    case .fenced: sender?.value.handleFenced(leg: leg, number: answer.writeNumber, now: world.now)
    case .probeSeen: unprobed.remove(LegSet(leg))
    case .deaf: sender?.value.handleDeaf(leg: leg)
    case .proof: world.violate("a proof that nobody has asked for")
    }
  }

  // MARK: Events

  func handleEvents() {
    while let events = sender?.value.events, !events.isEmpty {
      sender?.value.events.removeAll(keepingCapacity: true)
      for event in events { handle(event) }
      submitWaiting()
    }
  }

  private func handle(_ event: SenderEvent) {
    switch event {
    case .completed(let token, let failures): complete(Stamp(token), failures)
    case .fence(let leg, let number, let epoch):
      guard let channel = channel(ofLeg: leg) else { return }
      world.send(.fence(number, epoch: epoch), on: channel)
    case .sync(let leg, let open):
      guard let sender, let channel = channel(ofLeg: leg) else { return }
      world.send(.sync(open: open, lowestOpen: sender.value.lowestOpen), on: channel)
    case .legFailed(let number, let loss): leave(number, loss)
    case .forged: world.violate("a forgery, though nobody forges")
    case .unicast: world.violate("a plain WRITE to a leg of ours")
    case .unproven: world.violate("a proof of other bytes, though nobody forges")
    case .bufferChanged: world.violate("a buffer changed that nobody has touched")
    case .counted: world.violate("a write without status")
    case .held(let token): keeping?.handleHeld(token)
    case .marked: world.violate("a mark that nobody asked for")
    case .copied(let token, _): keeping?.handlePieceEnded(Int(token))
    case .withheld(let token): leaveGate(Stamp(token))
    case .suspect(let offset, let length):
      keeping?.handleSuspect(offset..<offset + UInt64(length))
    case .deaf, .news, .retried: break
    }
  }

  private func leave(_ number: Int, _ loss: LegLoss) {
    world.note(index, "target % leaves the mirror", targetOf[number])
    if case .violation(let words) = loss {
      return world.violate("target \(targetOf[number]) is not believed: \(words)")
    }
    world.oracle.isTrusted[targetOf[number]] = false
    guard let leg = legs.firstIndex(where: { $0.number == number }) else { return }
    if !legs[leg].isLost {
      legs[leg].isLost = true
      world.close(legs[leg].channel, atInitiator: true)
      loseBulk(on: legs[leg].channel)
    }
    guard let keeping else { return }
    keeping.handleLeft(place: number)
    guard world.plants(.earlyCompletion) else { return }
    sender?.value.confirmDetached(LegSet(number), now: world.now)
  }

  private func complete(_ stamp: Stamp, _ failures: [LegOutcome]) {
    world.note(index, "write % is completed, failures: %", Int(stamp), failures.count)
    leaveGate(stamp)
    guard failures.isEmpty else {
      if !postpone(stamp) { world.oracle.end(stamp, .bad) }
      return
    }
    var good: [Int] = []
    sender?.value.activeLegs.forEach { good.append(targetOf[$0]) }
    world.counters.goodWrites += 1
    world.oracle.noteGood(stamp, legs: good, world)
  }
}

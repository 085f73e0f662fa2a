// What an initiator's lane does after something has come.
import Bytes
import ISCSI
import Replication

extension Initiator {
  func turn() {
    guard sender != nil else { return }
    submitWaiting()
    sender?.handleTimeout(now: world.now)
    if phase == .probing { probe() }
    transmit()
    handleEvents()
    schedule()
    if phase == .ending { endIfIdle() }
  }

  private func schedule() {
    guard let sender else { return }
    var due = sender.nextDeadline ?? .max
    if phase == .probing { due = min(due, nextProbeAt) }
    if sendsNextAt > world.now { due = min(due, sendsNextAt) }
    if isDeparting { due = min(due, blockedUntil) }
    if due < .max { wake(at: due) }
  }

  // MARK: Probing

  private var nextProbeAt: UInt64 { probedAt + 10_000_000 }

  private func probe() {
    if unprobed.rawValue == 0 || probes >= Self.probesMax {
      unprobed.forEach { sender?.serveByConnection($0) }
      unprobed = []
      phase = .running
      world.note(index, "runs with % legs", targetOf.count)
      world.workload.handleRunning(self)
      return
    }
    guard probes == 0 || world.now >= nextProbeAt else { return }
    probes += 1
    probedAt = world.now
    let slot = world.workplace.pool.take()
    var span = world.workplace.pool.buffer(slot).mutableBytes
    guard let count = sender?.assembleProbe(into: &span, epoch: sender?.currentEpoch ?? 0) else {
      return
    }
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
      sender?.handleDeparted(now: now)
    }
    guard now >= sendsNextAt else { return }
    // The socket takes nothing for a while: what is assembled departs later.
    let departure = max(now, blockedUntil)
    var count = 0
    while count < Self.batchMax, let transmission = sender?.pollTransmission(now: now) {
      assemble(transmission, at: departure + UInt64(count) * Self.paceNanoseconds)
      count += 1
    }
    flushCarried()
    guard count > 0 else { return }
    sendsNextAt = departure + UInt64(count) * Self.paceNanoseconds
    if departure > now {
      isDeparting = true
    } else {
      sender?.handleDeparted(now: now)
    }
  }

  private func assemble(_ transmission: Transmission, at departure: UInt64) {
    guard let submission = sender?.submission(inSlot: transmission.slot) else { return }
    let stamp = Stamp(submission.token)
    let record = world.oracle.record(stamp)
    if record.state != .open {
      return world.violate("a datagram of write \(stamp), which has ended, is to be sent")
    }
    let data = world.workplace.payloads.bytes(
      slot: transmission.slot, stamp, record.sectors)
    let slot = world.workplace.pool.take()
    var span = world.workplace.pool.buffer(slot).mutableBytes
    let count = sender?.assemble(transmission, data: data.bytes, into: &span, now: world.now)
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
    let number = number(of: channel)
    switch message {
    case .registered:
      guard let leg = legs.firstIndex(where: { $0.channel == channel }) else { break }
      legs[leg].isRegistered = true
      proceed()
    case .refused:
      // Somebody else has the mirror, or had: no leg may be left out for that.
      if phase == .connecting { retry() }
    case .readyToTransfer(let tag):
      guard let number else { break }
      sender?.handleReadyToTransfer(leg: number, tag: tag, now: world.now)
    case .response(let tag, let status, let sense, let units):
      guard let number else { break }
      sender?.handleResponse(
        leg: number, tag: tag, status: status, sense: sense, units: units, now: world.now)
    case .answer(let header, let missing):
      guard let number else { break }
      handle(header, missing, leg: number)
    case .terminated: handleTerminated(channel)
    case .flushed(let tag, let isGood):
      guard let floor = flushes.removeValue(forKey: tag), isGood else { break }
      guard let leg = legs.first(where: { $0.channel == channel }) else { break }
      world.oracle.noteFlushed(leg.target, floor)
    case .data(let tag, let stamps):
      guard let read = reads.removeValue(forKey: tag), let stamps else { break }
      guard let leg = legs.first(where: { $0.channel == channel }) else { break }
      world.oracle.checkRead(
        stamps, read.sectors, floor: read.floor, target: leg.target, world)
    }
    turn()
  }

  private func handle(_ header: BasicHeaderSegment, _ missing: [UInt8], leg: Int) {
    guard let answer = try? MirrorAnswer(header) else {
      return world.violate("an answer of the mirror that can't be read")
    }
    guard answer.registration == registration else { return }
    switch answer.kind {
    case .report:
      sender?.handleReport(leg: leg, answer, missing: missing.span.bytes, now: world.now)
    case .fenced: sender?.handleFenced(leg: leg, number: answer.writeNumber, now: world.now)
    case .probeSeen: unprobed.remove(LegSet(leg))
    case .deaf: sender?.handleDeaf(leg: leg)
    }
  }

  // MARK: Events

  private func handleEvents() {
    while let events = sender?.events, !events.isEmpty {
      sender?.events.removeAll(keepingCapacity: true)
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
      world.send(.sync(open: open, lowestOpen: sender.lowestOpen), on: channel)
    case .legFailed(let number, let loss): leave(number, loss)
    case .forged: world.violate("a forgery, though nobody forges")
    case .unicast: world.violate("a plain WRITE to a leg of ours")
    case .bufferChanged: world.violate("a buffer changed that nobody has touched")
    case .counted: world.violate("a write without status")
    case .held, .copied, .suspect: world.violate("a mirror without a name keeps nothing")
    case .deaf, .news: break
    }
  }

  private func leave(_ number: Int, _ loss: LegLoss) {
    world.note(index, "target % leaves the mirror", targetOf[number])
    if case .violation(let words) = loss {
      return world.violate("target \(targetOf[number]) is not believed: \(words)")
    }
    world.oracle.isTrusted[targetOf[number]] = false
    guard let leg = legs.firstIndex(where: { $0.number == number }) else { return }
    legs[leg].isLost = true
    world.close(legs[leg].channel, atInitiator: true)
  }

  private func complete(_ stamp: Stamp, _ failures: [LegOutcome]) {
    world.note(index, "write % is completed, failures: %", Int(stamp), failures.count)
    guard failures.isEmpty else {
      world.oracle.end(stamp, .bad)
      return
    }
    var good: [Int] = []
    sender?.activeLegs.forEach { good.append(targetOf[$0]) }
    world.counters.goodWrites += 1
    world.oracle.noteGood(stamp, legs: good, world)
  }
}

// The virtual mirror's run: datagrams, connections and disks, event by event.
import Bytes
import ISCSI

@testable import Replication

extension VirtualMirror {
  /// Runs until all is done and the network is empty, or the time is over.
  func run(forNanoseconds limit: UInt64 = 120_000_000_000, until isEnough: () -> Bool = { false }) {
    let end = now + limit
    var steps = 0
    while true {
      pump()
      steps += 1
      if isEnough() { return }
      guard steps < 5_000_000 else {
        violations.append("it spins: \(steps) steps")
        return
      }
      guard let next = nextTime else {
        if !sender.isIdle { violations.append("it waits for nothing with writes open") }
        return
      }
      guard next <= end else {
        if !sender.isIdle { violations.append("it did not end in time") }
        return
      }
      now = max(now, next)
      while let event = agenda.popDue(by: now) { handle(event) }
      if let deadline = sender.nextDeadline, deadline <= now { sender.handleTimeout(now: now) }
      for leg in legs where !leg.isClosed {
        if let deadline = leg.receiver.nextDeadline, deadline <= now {
          leg.receiver.handleTimeout(now: now)
        }
      }
    }
  }

  private var nextTime: UInt64? {
    var times = [agenda.nextTime, sender.nextDeadline].compactMap { $0 }
    if sendsNextAt > now { times.append(sendsNextAt) }
    for leg in legs where !leg.isClosed {
      if let deadline = leg.receiver.nextDeadline { times.append(deadline) }
    }
    return times.min()
  }

  private func pump() {
    drainSender()
    for leg in legs { drain(leg) }
    while sendsNextAt <= now, let transmission = sender.pollTransmission(now: now) {
      send(transmission)
      drainSender()
    }
    checkOpenWrites()
  }

  // MARK: Sender

  private func send(_ transmission: Transmission) {
    let write = sender.writes[transmission.slot]
    let token = write.submission.token
    if let known = tokens[write.number], known != token {
      violations.append("write \(write.number.rawValue) was given out twice")
    }
    tokens[write.number] = token
    willSend(transmission)
    guard let data = payloads[token] else {
      violations.append("a datagram of a write that is over")
      return
    }
    var bytes = [UInt8](
      repeating: 0, count: shape.blockLength + Datagram.overheadByteCount)
    guard let count = assemble(transmission, data: data, into: &bytes) else { return }
    sender.handleDeparted(now: now)
    bytes.removeLast(bytes.count - count)
    checkTold(bytes)
    switch transmission.destination {
    case .group:
      for leg in legs where leg.path == .datagrams { fly(bytes, to: leg, transmission) }
      sendsNextAt = now + shape.paceNanoseconds
    case .leg(let leg):
      fly(bytes, to: legs[leg], transmission)
      sendsNextAt = now + shape.paceNanoseconds
    case .connection(let leg):
      let request = MirrorRequest(
        .carried, registration: Self.registration, epoch: write.epoch, writeNumber: write.number,
        lowestOpen: write.lowestOpen)
      toLeg(leg, .request(request.header.array, data: bytes))
    }
  }

  private func assemble(
    _ transmission: Transmission, data: [UInt8], into bytes: inout [UInt8]
  ) -> Int? {
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    return sender.assemble(transmission, data: data.span.bytes, into: &raw, now: now)
  }

  private func fly(_ bytes: [UInt8], to leg: VirtualLeg, _ transmission: Transmission) {
    let faults = leg.faults
    let isRepair = transmission.flags.contains(.repair)
    let isLost =
      isLostByPlan(leg.index, transmission)
      || random.chance(
        transmission.destination == .group ? faults.groupLoss : faults.unicastLoss)
    if isLost, !isRepair { leg.lostFirstSendings += 1 }
    guard !isLost, !leg.isClosed else { return }
    var arrived = bytes
    if random.chance(faults.corrupt) {
      let bit = Int(random.below(UInt64(arrived.count * 8)))
      arrived[bit / 8] ^= 0x80 >> UInt8(bit % 8)
    }
    var delay = faults.delayNanoseconds + random.below(faults.jitterNanoseconds)
    if random.chance(faults.reorder) { delay += random.below(faults.reorderNanoseconds) }
    agenda.enter(.datagram(leg: leg.index, arrived), at: now + delay)
    if random.chance(faults.duplicate) {
      delay += random.below(faults.reorderNanoseconds)
      agenda.enter(.datagram(leg: leg.index, arrived), at: now + delay)
    }
  }

  func toLeg(_ leg: Int, _ message: LegMessage) {
    let faults = legs[leg].faults
    let time = max(now + faults.connectionNanoseconds, legs[leg].lastToLeg + 1)
    legs[leg].lastToLeg = time
    agenda.enter(.toLeg(leg, message), at: time)
  }

  func toSender(_ leg: VirtualLeg, _ message: SenderMessage) {
    guard !leg.isSilent, !leg.isClosed else { return }
    let time = max(now + leg.faults.connectionNanoseconds, leg.lastToSender + 1)
    leg.lastToSender = time
    agenda.enter(.toSender(leg.index, message), at: time)
  }

  func drainSender() {
    while !sender.events.isEmpty {
      let events = sender.events
      sender.events.removeAll(keepingCapacity: true)
      for event in events { handle(event) }
    }
  }

  private func handle(_ event: SenderEvent) {
    switch event {
    case .completed(let token, let failures):
      over.insert(token)
      if completions.updateValue(failures, forKey: token) != nil {
        violations.append("token \(token) completed twice")
      }
      checkMayTell(token)
      if shape.waitsForStatus, !shape.isKept { checkStored(token, failures: failures) }
    case .counted(let token, let failures):
      if counted.updateValue(failures, forKey: token) != nil {
        violations.append("token \(token) counted twice")
      }
      checkMayTell(token)
      if !shape.isKept { checkStored(token, failures: failures) }
    case .unicast(let leg, let number, let submission):
      tokens[number] = submission.token
      toLeg(
        leg,
        .foreignWrite(number, offset: submission.byteOffset, data: payloads[submission.token] ?? [])
      )
    case .fence(let leg, let number, let epoch):
      let request = MirrorRequest(
        .fence, registration: Self.registration, epoch: epoch, writeNumber: number,
        lowestOpen: sender.lowestOpen)
      toLeg(leg, .request(request.header.array, data: []))
    case .sync(let leg, let open):
      let request = MirrorRequest(
        .sync, registration: Self.registration, epoch: sender.currentEpoch,
        writeNumber: sender.firstUnusedNumber, lowestOpen: sender.lowestOpen)
      var data: [UInt8] = []
      for number in open { data.appendBigEndian(number.rawValue) }
      toLeg(leg, .request(request.header.array, data: data))
    case .legFailed(let leg, let loss):
      lost[leg] = loss
      legs[leg].isClosed = true
      legs[leg].receiver.close()
      noteLeft(leg)
      joining?.waiting.remove(leg)
      resumeIfAgreed()
    case .held(let token):
      held.append(token)
      didHold(token)
    case .copied(let token, let failures):
      if copied.updateValue(failures, forKey: token) != nil {
        violations.append("copy \(token) ended twice")
      }
      didCopy(token)
    case .marked(let token): sender.passMark(token: token, now: now)
    case .withheld(let token): over.insert(token)
    case .suspect(let byteOffset, let length): suspects.append((byteOffset, length))
    case .bufferChanged: bufferChanges += 1
    case .unproven(let leg, _): unproven.append(leg)
    case .news(let leg, let failure): news.append(LegOutcome(leg: leg, failure: failure))
    case .retried(let leg, let failure): retried.append(LegOutcome(leg: leg, failure: failure))
    case .forged(let leg): forgeries.append(leg)
    case .deaf(let leg): deaf.append(leg)
    }
  }

  func resumeIfAgreed() {
    guard let change = joining, change.waiting.isEmpty else { return }
    joining = nil
    // The new leg's disk is what the others hold: nothing that it owes was written yet.
    if let model = legs.first(where: { lost[$0.index] == nil }) {
      change.legs.forEach { legs[$0].disks = model.disks }
    }
    sender.resume(epoch: change.epoch, joining: change.legs, now: now)
  }
}

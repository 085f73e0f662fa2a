// Orders and events of an initiator's lane.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Logging
import Replication
import SCSI

extension SenderDuty {
  mutating func handle(_ order: SenderOrder, now: UInt64) {
    switch order {
    // What comes late of an earlier stay is about nobody.
    case .mirrored(let leg, let stay, _) where !stays.isPresent(stay, of: leg): break
    case .lost(let leg, let stay, _) where !stays.isPresent(stay, of: leg): break
    // A session that closed before it became a leg has none.
    case .mirrored(let leg, _, _) where leg >= legs.count: break
    case .lost(let leg, _, let words) where leg >= legs.count: stays.earlyLosses[leg] = words
    case .expect(let leg, let stay): stays.expect(stay, of: leg)
    case .mirrored(let leg, _, let pdu): handle(pdu, leg: leg, now: now)
    case .pinged(let leg, let stay):
      if stays.isPresent(stay, of: leg) { kept?.silence.handleHeard(leg: leg, now: now) }
    case .foreign(let leg, let number, let failure):
      sender.handleForeign(leg: leg, number: number, failure: failure, now: now)
    // Before it is a member there is nothing to lose yet: it is lost as soon as it is one.
    case .lost(let leg, _, let words) where !sender.activeLegs.contains(LegSet(leg)):
      stays.earlyLosses[leg] = words
    case .lost(let leg, _, let words):
      sender.handleLost(leg: leg, .connection(words), now: now)
    case .key(let key, let epoch): outlet.install(key, epoch: epoch)
    case .proofKey(let leg, let key, let epoch): proofs[leg].install(key, epoch: epoch)
    case .probe(let legs, let epoch, let done):
      probing = Probing(epoch: epoch, pending: legs, done: done)
    case .pause(let done):
      sender.pause()
      done(sender.firstUnusedNumber)
    case .resume(let epoch, let joining):
      if let epoch {
        sender.resume(epoch: epoch, joining: joining, now: now)
        // One that was lost before it was a member is lost as soon as it is one.
        joining.forEach { leg in
          guard let words = stays.earlyLosses.removeValue(forKey: leg) else { return }
          sender.handleLost(leg: leg, .connection(words), now: now)
        }
      } else {
        sender.resume(now: now)
      }
    case .add(let leg, let way, let description, let done):
      legs.append(leg)
      let index = sender.add(description)
      attach(index, by: way)
      done(index)
    case .readmit(let index, let leg, let way, let description):
      legs[index] = leg
      sender.readmit(index, as: description)
      attach(index, by: way)
    case .drop(let leg): sender.handleLost(leg: leg, .dropped, now: now)
    case .abort(let tag): abort(tag, now: now)
    case .end: streams.isEnding = true
    case .whenIdle(let done): waiters.idle.append(done)
    case .whenNoneOpen(let done): waiters.noneOpen.append(done)
    case .whenEnded(let number, let done): waiters.ended.append((number, done))
    case .kept(let order): handle(order, now: now)
    }
  }

  /// Hands callers' writes to the machine, as many as its queue takes.
  mutating func submitWaiting(now: UInt64) {
    while let (token, call) = calls.next() {
      guard submit(call, as: UInt64(token), now: now) else { return }
      calls.take()
    }
  }

  mutating func completeIdle() {
    if sender.openWrites == 0, !waiters.noneOpen.isEmpty {
      for done in waiters.noneOpen { done() }
      waiters.noneOpen.removeAll()
    }
    completeEnded()
    guard !waiters.idle.isEmpty, sender.isIdle, !calls.hasWaiting else { return }
    publish()
    for done in waiters.idle { done() }
    waiters.idle.removeAll()
  }

  // MARK: Answers

  private mutating func handle(_ pdu: PDU, leg: Int, now: UInt64) {
    // Safe: the span over the PDU's data ends with the statement.
    handle(pdu.header, unsafe pdu.data.span.bytes, leg: leg, now: now)
  }

  /// What has come on the lane's own streams; how many answers.
  mutating func takeAnswers(now: UInt64) -> Int {
    var count = 0
    for leg in streams.indices {
      guard let descriptor = streams.descriptor(leg), ready.isReady(descriptor: descriptor) else {
        continue
      }
      ready.clear(descriptor: descriptor)
      guard streams.receive(leg) > 0 else { continue }
      while case .header(let header, let length) = streams.next(leg) {
        // Safe: the data stays readable until `consume`; the span ends with the statement.
        let data = unsafe streams.data(leg, count: length)
        unsafe handle(header, data.bytes, leg: leg, now: now)
        streams.consume(leg, dataLength: length)
        count += 1
      }
    }
    if !streams.lost.isEmpty {
      streams.lost.forEach { sender.handleAnswersLost(leg: $0, now: now) }
      streams.lost = []
    }
    return count
  }

  private mutating func handle(
    _ header: BasicHeaderSegment, _ data: RawSpan, leg: Int, now: UInt64
  ) {
    kept?.silence.handleHeard(leg: leg, now: now)
    let tag = header.initiatorTaskTag
    switch header.opcode {
    case .readyToTransfer: sender.handleReadyToTransfer(leg: leg, tag: tag, now: now)
    case .mirrorStatuses:
      do throws(MirrorPDUFault) {
        let statuses = try UnitStatus.parse(data)
        guard unitStatuses.count < Limits.openWritesMax * Limits.legsMax else {
          sender.handleLost(leg: leg, .violation("statuses without responses"), now: now)
          return
        }
        unitStatuses[LegTag(leg: leg, tag: tag)] = statuses
      } catch {
        sender.handleLost(leg: leg, .violation(error.reason), now: now)
      }
    case .scsiResponse:
      let units =
        unitStatuses.isEmpty
        ? [] : unitStatuses.removeValue(forKey: LegTag(leg: leg, tag: tag)) ?? []
      guard header.byte2 == 0 else {
        sender.handleLost(leg: leg, .violation("response code \(header.byte2)"), now: now)
        return
      }
      sender.handleResponse(
        leg: leg, tag: tag, status: header.byte3, sense: Self.sense(data), units: units, now: now)
    case .mirrorAnswer: handleAnswer(header, data, leg: leg, now: now)
    default: sender.handleLost(leg: leg, .violation("an unexpected PDU"), now: now)
    }
  }

  private mutating func handleAnswer(
    _ header: BasicHeaderSegment, _ data: RawSpan, leg: Int, now: UInt64
  ) {
    do throws(MirrorPDUFault) {
      let answer = try MirrorAnswer(header)
      guard answer.registration == sender.configuration.registration else { return }
      switch answer.kind {
      case .report:
        kept?.noteReport(leg: leg, number: answer.writeNumber)
        sender.handleReport(leg: leg, answer, missing: data, now: now)
      case .fenced: sender.handleFenced(leg: leg, number: answer.writeNumber, now: now)
      case .probeSeen:
        if probing?.epoch == answer.epoch { probing?.pending.remove(LegSet(leg)) }
      case .deaf: sender.handleDeaf(leg: leg)
      case .proof: handleProof(answer, leg: leg, now: now)
      }
    } catch {
      sender.handleLost(leg: leg, .violation(error.reason), now: now)
    }
  }

  // MARK: Events

  mutating func handleEvents(now: UInt64) -> Int {
    var work = 0
    while !sender.events.isEmpty {
      // Two lists take turns, so that neither gives its memory back.
      swap(&events, &sender.events)
      // What a caller sees after its completion is what was done until then.
      publish()
      for index in events.indices { handle(events[index], now: now) }
      work += events.count
      events.removeAll(keepingCapacity: true)
      submitWaiting(now: now)
    }
    return work
  }

  private mutating func handle(_ event: SenderEvent, now: UInt64) {
    switch event {
    case .completed(let token, let failures):
      let call = calls[token]
      if sender.configuration.waitsForStatus { free(token) }
      call.leaveGate()
      call.completion(result(failures))
    case .counted(let token, let failures):
      for outcome in failures { _ = legs[outcome.leg].record(outcome.failure) }
      free(token)
    case .unicast(let leg, let number, let submission):
      writePlainly(leg, number, submission)
    case .fence(let leg, let number, let epoch):
      var header = request(.fence, number: number)
      header.setUInt16(epoch, at: 32)
      legs[leg].connection.perform { [header] in $0.sendMirrorRequest(header, data: []) }
    case .sync(let leg, let open):
      let header = request(.sync, number: sender.firstUnusedNumber)
      var data: [UInt8] = []
      for number in open { data.appendBigEndian(number.rawValue) }
      legs[leg].connection.perform { [data] in $0.sendMirrorRequest(header, data: data[...]) }
    case .legFailed(let leg, let loss): leave(leg, loss)
    case .deaf(let leg):
      let url = legs[leg].urls.first.map { "\($0)" } ?? ""
      logger.warning(
        "leg hears the group no more: served over TCP from now on", metadata: ["leg": "\(url)"])
    case .forged(let leg):
      legs[leg].record("two checksums for one block: somebody forges datagrams, so not trusted")
      logger.error("datagrams are forged", metadata: ["leg": "\(legs[leg].urls[0])"])
    case .news(let leg, let failure):
      logger.notice(
        "a write is done again: a leg had news",
        metadata: ["leg": "\(legs[leg].urls[0])", "news": "\(LegRecord.words(failure))"])
    case .retried(let leg, let failure):
      kept?.tell(.retried(place: leg, stay: legs[leg].stay, LegRecord.words(failure)))
    case .withheld(let token): calls.leaveGate(token)
    case .held(let token): noteHeld(token)
    case .marked(let token): noteMarked(token)
    case .copied(let token, let failures): endCopy(token, isGood: failures.isEmpty)
    case .suspect(let offset, let length):
      kept?.tell(.suspect(part: kept?.part ?? 0, offset..<offset + UInt64(length)))
    case .bufferChanged:
      logger.warning("a buffer changed: a write starts anew")
    case .unproven(let leg, _):
      logger.error(
        "a leg has other bytes of a write than were given, forged or changed meanwhile: once more",
        metadata: ["leg": "\(legs[leg].urls[0])"])
    }
  }

  mutating func free(_ token: UInt64) {
    calls.end(token)
    newCalls.ended()
  }

  private func result(_ failures: [LegOutcome]) -> WriteResult {
    guard !failures.isEmpty else { return WriteResult(isGood: true, failures: []) }
    let statuses = failures.flatMap { legs[$0.leg].record($0.failure) }
    return WriteResult(isGood: false, failures: statuses)
  }

  private mutating func leave(_ leg: Int, _ loss: LegLoss) {
    unitStatuses = unitStatuses.filter { $0.key.leg != leg }
    streams.close(leg)
    let words: String
    switch loss {
    case .deadline: words = "its writes were not done by the deadline"
    case .connection(let reason): words = "connection lost: \(reason)"
    case .violation(let reason): words = "not trusted any more: \(reason)"
    case .refused(let failure): words = "it refused what others did: \(LegRecord.words(failure))"
    case .dropped: return
    }
    renewal.want()
    kept?.tell(.left(place: leg, stay: legs[leg].stay, words))
    // Known where the leg left by another part before.
    guard legs[leg].leave(words) else { return }
    for url in legs[leg].urls {
      // Of a kept mirror people are told what that means.
      logger.log(
        level: kept == nil ? .error : .info, "leg left the mirror",
        metadata: ["leg": "\(url)", "why": "\(words)"])
    }
  }

  /// A leg of another make is written by an ordinary WRITE on its session.
  private mutating func writePlainly(_ leg: Int, _ number: SerialNumber, _ submission: Submission) {
    let call = calls[submission.token]
    // Safe: the caller's buffer stays until the completion; the array is a copy of it.
    let data = unsafe [UInt8](call.bytes)
    let inbox = inbox
    let target = legs[leg]
    let size = UInt64(sender.configuration.unitBlockSize)
    let blocks = BlockRange(
      address: submission.byteOffset / size, count: UInt32(UInt64(submission.length) / size))
    outlet.wireBytes += UInt64(data.count)
    target.connection.submitWrite(
      lun: target.urls[0].number, .write16(blocks, forced: submission.forceUnitAccess),
      data: data[...], attribute: submission.attribute.rawValue
    ) { result in
      var failure: LegFailure? = .lost
      if case .success(let outcome) = result {
        failure =
          outcome.isGood
          ? nil
          : .status(
            outcome.status.rawValue, sense: outcome.sense?.fixedFormat ?? [], units: [])
      }
      inbox.post(.foreign(leg: leg, number, failure))
    }
  }
}

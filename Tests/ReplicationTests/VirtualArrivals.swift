// What arrives: datagrams at legs, PDUs at both ends, I/O at its end.
import Bytes
import ISCSI

@testable import Replication

extension VirtualMirror {
  // MARK: Events

  func handle(_ event: Event) {
    switch event {
    case .datagram(let leg, let bytes):
      guard !legs[leg].isClosed else { return }
      legs[leg].take(bytes, registration: Self.registration, now: now)
    case .toLeg(let leg, let message):
      guard !legs[leg].isClosed else { return }
      handle(message, legs[leg])
    case .toSender(let leg, let message):
      guard !legs[leg].isClosed else { return }
      handle(message, from: leg)
    case .stored(let leg, let store): finishStore(legs[leg], store)
    case .act(let act): act()
    }
  }

  private func handle(_ message: LegMessage, _ leg: VirtualLeg) {
    switch message {
    case .request(let header, let data): handle(header, data, leg)
    case .epoch(let epoch, let firstWrite):
      let isNewer = leg.receiver.handleEpoch(epoch, firstWrite: firstWrite)
      if !isNewer, leg.receiver.configuration.epoch != epoch {
        violations.append("leg \(leg.index) refused epoch \(epoch)")
      }
      toSender(leg, .epochConfirmed(epoch))
    case .foreignWrite(let number, let offset, let data):
      for unit in leg.disks.indices {
        leg.disks[unit].replaceSubrange(Int(offset)..<Int(offset) + data.count, with: data)
      }
      let status = leg.storeStatus(0, number)
      toSender(
        leg, .foreign(number, status.map { .status($0.0, sense: $0.1, units: []) }))
    }
  }

  private func handle(_ header: [UInt8], _ data: [UInt8], _ leg: VirtualLeg) {
    guard let bhs = BasicHeaderSegment(header.span.bytes), let request = try? MirrorRequest(bhs)
    else {
      violations.append("a mirror request that can't be read")
      return
    }
    switch request.kind {
    case .attach: violations.append("an attach on a session")
    case .carried:
      leg.take(data, registration: Self.registration, isCarried: true, now: now)
    case .sync:
      guard let open = try? MirrorRequest.openWrites(data.span.bytes) else {
        violations.append("a sync that can't be read")
        return
      }
      leg.receiver.handleSync(open, lowestOpen: request.lowestOpen, now: now)
    case .fence: leg.receiver.handleFence(request.writeNumber, epoch: request.epoch)
    }
  }

  private func handle(_ message: SenderMessage, from leg: Int) {
    switch message {
    case .readyToTransfer(let tag): sender.handleReadyToTransfer(leg: leg, tag: tag, now: now)
    case .response(let tag, let status, let sense, let units):
      guard let statuses = try? UnitStatus.parse(units.span.bytes) else {
        violations.append("statuses that can't be read")
        return
      }
      sender.handleResponse(
        leg: leg, tag: tag, status: status, sense: sense, units: statuses, now: now)
    case .answer(let header, let data):
      guard let bhs = BasicHeaderSegment(header.span.bytes), let answer = try? MirrorAnswer(bhs)
      else {
        violations.append("a mirror answer that can't be read")
        return
      }
      switch answer.kind {
      case .report: sender.handleReport(leg: leg, answer, missing: data.span.bytes, now: now)
      case .fenced: sender.handleFenced(leg: leg, number: answer.writeNumber, now: now)
      case .probeSeen: break
      case .deaf: sender.handleDeaf(leg: leg)
      case .proof: handleProof(answer, from: leg)
      }
    case .epochConfirmed:
      joining?.waiting.remove(leg)
      resumeIfAgreed()
    case .foreign(let number, let failure):
      sender.handleForeign(leg: leg, number: number, failure: failure, now: now)
    }
  }

  private func handleProof(_ answer: MirrorAnswer, from leg: Int) {
    guard let write = sender.proved(leg: leg, number: answer.writeNumber) else { return }
    let isRight = payloads[write.token].map { VirtualLeg.tag(of: $0) } == answer.proof.tag
    sender.handleProof(leg: leg, number: answer.writeNumber, isRight: isRight, now: now)
  }

  // MARK: Legs

  func drain(_ leg: VirtualLeg) {
    for store in leg.receiver.stores { beginStore(leg, store) }
    leg.receiver.stores.removeAll(keepingCapacity: true)
    for answer in leg.receiver.answers { say(answer, leg) }
    leg.receiver.answers.removeAll(keepingCapacity: true)
  }

  private func say(_ answer: ReceiverAnswer, _ leg: VirtualLeg) {
    var header: MirrorAnswer
    var data: [UInt8] = []
    switch answer {
    case .readyToTransfer(let number, _):
      return toSender(leg, .readyToTransfer(Datagram.taskTag(of: number)))
    case .response(let number, let status, let sense, let units):
      return toSender(
        leg,
        .response(
          Datagram.taskTag(of: number), status: status, sense: sense,
          units: UnitStatus.serialize(units)))
    case .proof(let number, let epoch, let proof):
      header = MirrorAnswer(
        .proof, registration: Self.registration, epoch: epoch, writeNumber: number)
      header.proof = proof
    case .report(let number, let epoch, let heard, let missing, let isCommandMissing, let isAsked):
      header = MirrorAnswer(
        .report, registration: Self.registration, epoch: epoch, writeNumber: number)
      header.heard = heard
      header.isCommandMissing = isCommandMissing
      header.isAsked = isAsked
      data = missing
    case .fenced(let number, let epoch):
      header = MirrorAnswer(
        .fenced, registration: Self.registration, epoch: epoch, writeNumber: number)
    case .distrusted(let number, let epoch):
      header = MirrorAnswer(
        .report, registration: Self.registration, epoch: epoch, writeNumber: number)
      header.isDistrusted = true
    case .probeSeen(let epoch, let byteCount):
      header = MirrorAnswer(
        .probeSeen, registration: Self.registration, epoch: epoch, writeNumber: SerialNumber(0))
      header.probeByteCount = byteCount
    case .deaf(let epoch):
      header = MirrorAnswer(
        .deaf, registration: Self.registration, epoch: epoch, writeNumber: SerialNumber(0))
    }
    toSender(leg, .answer(header.header.array, data: data))
  }
}

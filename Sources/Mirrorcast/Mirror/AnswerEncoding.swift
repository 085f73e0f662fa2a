// The answers of a leg as PDUs on a stream of the lane's: the same bytes as on the session, but for
// the numbers that only a session has (StatSN, ExpCmdSN), which are zero.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Replication

extension Registration {
  /// Answers that may wait for a stream.
  static let answersMax = 1024

  /// Puts the answers on the stream, as many as it takes; the rest waits for the next cycle. False
  /// when the stream is no more: then the session has to carry them.
  func sendByStream() -> Bool {
    guard let stream else { return false }
    // Who takes no answers is told on the session, which has its own limit for that.
    guard receiver.answers.count <= Self.answersMax else {
      self.stream = nil
      return false
    }
    var sent = 0
    for answer in receiver.answers {
      guard encode(answer, into: stream) else { break }
      sent += 1
    }
    switch stream.flush() {
    case .failed, .ended:
      self.stream = nil
      return false
    case .moved, .full: break
    }
    if sent == receiver.answers.count {
      receiver.answers.removeAll(keepingCapacity: true)
    } else {
      receiver.answers.removeFirst(sent)
    }
    return true
  }

  private func encode(_ answer: ReceiverAnswer, into stream: StreamSocket) -> Bool {
    let lun = receiver.configuration.virtualLUN
    switch answer {
    case .readyToTransfer(let number, let length):
      var header = BasicHeaderSegment(opcode: .readyToTransfer)
      header.lun = lun
      header.initiatorTaskTag = Datagram.taskTag(of: number)
      header.word20 = header.initiatorTaskTag
      header.word44 = length
      return stream.append(header)
    case .response(let number, let status, let sense, let units):
      // The statuses and the response that they explain go together, or not yet.
      guard stream.hasRoom(for: 2 * BasicHeaderSegment.byteCount + units.count * 300 + 300) else {
        return false
      }
      if !units.isEmpty {
        let header = statuses(of: number)
        _ = stream.append(header, UnitStatus.serialize(units))
      }
      var header = BasicHeaderSegment(opcode: .scsiResponse)
      header.initiatorTaskTag = Datagram.taskTag(of: number)
      header.byte3 = status
      guard !sense.isEmpty else { return stream.append(header) }
      // RFC 7143 §11.4.7.2: two bytes of length, then the sense data.
      var data: [UInt8] = []
      data.appendBigEndian(UInt16(sense.count))
      return stream.append(header, data + sense)
    case .report(let number, let epoch, let heard, let missing, let isCommandMissing, let isAsked):
      var report = answerPDU(.report, number, epoch: epoch)
      report.heard = heard
      report.isCommandMissing = isCommandMissing
      report.isAsked = isAsked
      return stream.append(report.header, missing)
    case .distrusted(let number, let epoch):
      var report = answerPDU(.report, number, epoch: epoch)
      report.isCommandMissing = true
      report.isDistrusted = true
      return stream.append(report.header)
    case .fenced(let number, let epoch):
      return stream.append(answerPDU(.fenced, number, epoch: epoch).header)
    case .proof(let number, let epoch, let proof):
      // The proof and the response that it is for go together, too.
      guard stream.hasRoom(for: 3 * BasicHeaderSegment.byteCount + 300) else { return false }
      var answer = answerPDU(.proof, number, epoch: epoch)
      answer.proof = proof
      return stream.append(answer.header)
    case .probeSeen(let epoch, let byteCount):
      var seen = answerPDU(.probeSeen, SerialNumber(0), epoch: epoch)
      seen.probeByteCount = byteCount
      return stream.append(seen.header)
    case .deaf(let epoch):
      return stream.append(answerPDU(.deaf, SerialNumber(0), epoch: epoch).header)
    }
  }

  private func answerPDU(
    _ kind: MirrorAnswer.Kind, _ number: SerialNumber, epoch: UInt16
  ) -> MirrorAnswer {
    var answer = MirrorAnswer(
      kind, registration: request.registration, epoch: epoch, writeNumber: number)
    answer.socketDrops = socketDrops
    return answer
  }

  private func statuses(of number: SerialNumber) -> BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: .mirrorStatuses)
    header.initiatorTaskTag = Datagram.taskTag(of: number)
    header.word20 = request.registration
    header.word36 = number.rawValue
    header.setUInt16(receiver.currentEpoch, at: 40)
    return header
  }
}

extension StreamSocket {
  func hasRoom(for byteCount: Int) -> Bool {
    waitingByteCount + byteCount <= limits.outboundByteCountMax
  }

  /// Appends a PDU; false, and nothing of it, when there is no room.
  func append(_ header: BasicHeaderSegment, _ data: [UInt8] = []) -> Bool {
    var whole = header
    whole.dataSegmentLength = data.count
    guard hasRoom(for: BasicHeaderSegment.byteCount + PDU.padded(data.count)) else { return false }
    // Safe: the spans over our own bytes end with the statements.
    var isTaken = append(unsafe whole.storage.span.bytes)
    guard !data.isEmpty else { return isTaken }
    isTaken = isTaken && append(unsafe data.span.bytes)
    let padding = InlineArray<4, UInt8>(repeating: 0)
    let missing = PDU.padded(data.count) - data.count
    return isTaken && append(unsafe padding.span.bytes.extracting(0..<missing))
  }
}

extension ReceiverDuty {
  /// Lets streams in, and hears that they end.
  mutating func attachStreams(now: UInt64) -> Int {
    let registrations = registrations
    let work = answerPort.work(ready: &ready, now: now) { number, token, stream in
      let found = registrations.first {
        // A token is good once: it goes in the clear.
        $0.request.registration == number && $0.token == token && !$0.isEnding && !$0.hadStream
      }
      found?.stream = stream
      found?.hadStream = true
      return found != nil
    }
    for registration in registrations {
      guard let stream = registration.stream, ready.isReady(descriptor: stream.descriptor) else {
        continue
      }
      ready.clear(descriptor: stream.descriptor)
      // Nothing is said on a stream but its first word: what comes is its end, or a breach.
      switch stream.receive() {
      case .moved(0):
        if case .failed = stream.flush() { registration.stream = nil }
      case .moved, .full, .ended, .failed: registration.stream = nil
      }
    }
    return work
  }
}

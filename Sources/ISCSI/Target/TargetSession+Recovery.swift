// Recovery within a connection, RFC 7143 §7.1.4.1 and §7.1.4.2, where ErrorRecoveryLevel 1 was
// agreed on: what an initiator lost of statuses, data and R2Ts is sent again when it asks by SNACK.
// What a target lost of data is asked for again by `DataCollection`. At level 0 nothing is kept.
import Bytes

/// What a session with recovery keeps of what it has sent, up to one limit for all of it.
struct SessionRecovery: Sendable {
  var statuses: SentStatuses
  var reads = SentReads()
  private let bytesMax: Int

  init(first: SerialNumber, bytesMax: Int) {
    statuses = SentStatuses(first: first)
    self.bytesMax = bytesMax
  }

  var keptByteCount: Int { statuses.keptBytes + reads.heldBytes }

  mutating func keep(_ status: PDU) {
    statuses.keep(status)
    makeRoom(downTo: bytesMax)
  }

  mutating func keep(_ read: SentRead) {
    reads.keep(read)
    makeRoom(downTo: bytesMax)
  }

  /// Forgets the oldest until no more than so many bytes are kept: data before statuses, which are
  /// small, and without which an initiator that lost one waits for its command for ever.
  mutating func makeRoom(downTo bytesMax: Int) {
    reads.forget(downTo: max(0, bytesMax - statuses.keptBytes))
    statuses.drop(downTo: bytesMax)
  }

  // RFC 7143 §11.7.2: whoever has a status has the data, too.
  mutating func acknowledge(_ expected: SerialNumber) {
    if statuses.acknowledge(expected) { reads.acknowledge(expected) }
  }
}

extension TargetSession {
  /// Bytes that are kept for an initiator that may ask for them again; none at level 0.
  package var keptByteCount: Int { recovery?.keptByteCount ?? 0 }

  /// Keeps no more than so many of them: an owner has other sessions, too.
  package mutating func forgetSent(downTo byteCount: Int) { recovery?.makeRoom(downTo: byteCount) }

  mutating func handleSNACK(_ pdu: PDU) {
    guard pdu.additional.isEmpty else { return reject(pdu, .invalidPDUField) }
    // What waits to be sent is not made more for ever: the initiator may ask again.
    guard recovery != nil, output.count < configuration.resendingOutputMax else {
      return reject(pdu, .snackReject)
    }
    do throws(SNACKRefusal) {
      guard let request = SNACKRequest(pdu.header), pdu.data.isEmpty else { throw .invalidField }
      try answer(request)
    } catch {
      reject(pdu, error.reason, nextNumber: error.nextNumber)
    }
  }

  private mutating func answer(_ request: SNACKRequest) throws(SNACKRefusal) {
    switch request.kind {
    case .status:
      guard let pdus = try recovery?.statuses.run(request) else { return }
      for pdu in pdus { resend(pdu) }
    case .dataAcknowledgement(let transferTag, let lun):
      try recovery?.reads.acknowledge(transferTag, lun: lun, before: request.first)
    case .data(let tag):
      if let task = tasks[tag] { return try resendRequests(task, request) }
      guard let (read, segments) = try recovery?.reads.run(tag, request) else {
        throw .invalidField
      }
      try resend(read, segments)
    case .resegmentedData(let tag, let snackTag):
      if tasks[tag]?.isRead == true { return tasks.setSNACKTag(tag, snackTag) }
      let current = parameters
      guard tasks[tag] == nil, let read = try recovery?.reads.cutAnew(tag, current) else {
        throw .invalidField
      }
      guard let response = recovery?.statuses.tag(read.status, snackTag) else { throw .notKept }
      try resend(read, read.segments)
      resend(response)
    }
  }

  // RFC 7143 §11.16: as it was sent, but for ExpCmdSN and MaxCmdSN.
  private mutating func resend(_ pdu: PDU) {
    var stamped = pdu
    stamped.header.word28 = window.expected.rawValue
    stamped.header.word32 = window.last.rawValue
    output.append(stamped)
  }

  private mutating func resend(
    _ read: SentRead, _ segments: some Sequence<DataInSegment>
  ) throws(SNACKRefusal) {
    // RFC 7143 §11.16.3: after a shorter length was declared, R-Data has to be asked for.
    let lengthMax = parameters.sendDataSegmentLengthMax
    guard !segments.contains(where: { $0.count > lengthMax }) else { throw .notKept }
    for segment in segments {
      let header = dataInHeader(
        lun: read.lun, tag: read.tag, segment, transferTag: read.transferTag)
      send(PDU(header: header, data: read.bytes(of: segment)), advances: false)
    }
  }

  /// Sends R2Ts again that have not been answered.
  private mutating func resendRequests(
    _ task: TargetTask, _ request: SNACKRequest
  ) throws(SNACKRefusal) {
    let next = UInt64(tasks.requestCount(of: task.handle))
    let first = UInt64(request.first)
    let end = request.count == 0 ? next : first + UInt64(request.count)
    let meant = tasks.unanswered(of: task.handle).filter {
      (first..<max(first, end)).contains(UInt64($0.number))
    }
    guard request.isUnacknowledged || first < end && meant.count == Int(end - first) else {
      throw .outOfRange(next: UInt32(clamping: next))
    }
    for request in meant { send(readyToTransfer(task, request), advances: false) }
  }
}

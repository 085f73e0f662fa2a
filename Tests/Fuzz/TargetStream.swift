// A target's session under an initiator that may say anything.
import Bytes
import ISCSI

/// One connection of a target, with an owner that answers as the records say.
final class TargetStream {
  private let shape: StreamShape
  private var session: TargetSession
  private var decoder = FrameDecoder()
  private var stream: CutStream
  private var sent = SentPDUs()
  private var commands: [CommandTask] = []
  private var management: [TaskHandle] = []
  private var text: TaskHandle?
  private var isClosed = false
  private var commandNumber: UInt32 = 1
  /// What R2Ts ask for, by task tag: transfer tag, where it begins, the next DataSN.
  private var wanted: [UInt32: (tag: UInt32, offset: UInt32, number: UInt32)] = [:]
  private var textTag = reservedTag
  private var now: UInt64 = 0
  /// The next StatSN, the one up to which the initiator has acknowledged, and the transfer tag of
  /// the last data that asked for an acknowledgement.
  private var status: UInt32 = 0
  private var acknowledged: UInt32 = 0
  private var dataTag: UInt32 = 0

  init(_ shape: StreamShape, _ cuts: Cuts) {
    self.shape = shape
    session = TargetSession(configuration: fuzzedTargetConfiguration(shape))
    stream = CutStream(cuts)
  }

  func run(_ input: inout Input) {
    if !shape.contains(.login) { logIn() }
    guard !shape.contains(.raw) else { return feed(input.rest()) }
    while !input.isEmpty, !isClosed {
      var record = StreamRecord(&input)
      fill(&record)
      feed(record.encoded(session.digests))
      act(record)
    }
  }

  private func logIn() {
    let isNormal = !shape.contains(.discovery)
    var keys = TextKeys([
      .init("InitiatorName", "iqn.2026-01.org.example:host"),
      .init("SessionType", isNormal ? "Normal" : "Discovery"),
      .init("HeaderDigest", shape.contains(.headerDigest) ? "CRC32C" : "None"),
      .init("DataDigest", shape.contains(.dataDigest) ? "CRC32C" : "None"),
      .init("MaxRecvDataSegmentLength", shape.contains(.small) ? "512" : "8192"),
      .init("ErrorRecoveryLevel", shape.contains(.small) ? "1" : "0"),
    ])
    if isNormal {
      keys.append("TargetName", fuzzedTarget)
      keys.append("InitialR2T", shape.contains(.initialR2T) ? "Yes" : "No")
      keys.append("ImmediateData", "Yes")
      keys.append("MaxBurstLength", "16384")
      keys.append("FirstBurstLength", "4096")
      keys.append("X-org.mirrorcast.version", "1")
    }
    var header = BasicHeaderSegment(opcode: .loginRequest, flags: 0x87, isImmediate: true)
    header.isid = 0x8000_0000_0001
    header.word24 = commandNumber
    var bytes: [UInt8] = []
    PDU(header: header, data: keys.encoded).encode(into: &bytes)
    feed(bytes)
    require(session.isLoggedIn, "a right login is refused")
  }

  private func fill(_ record: inout StreamRecord) {
    if !record.control.contains(.ownNumbers) {
      record.header.word24 = commandNumber
      if !record.header.isImmediate { commandNumber &+= 1 }
      if record.control.action == 0 { acknowledged = status }
      record.header.word28 = acknowledged
    }
    guard !record.control.contains(.ownTags) else { return }
    switch record.header.opcode {
    case .snackRequest?: fillSNACK(&record.header)
    case .dataOut?:
      let tag = record.header.initiatorTaskTag
      guard let asked = wanted[tag] else { return record.header.word20 = reservedTag }
      record.header.word20 = asked.tag
      record.header.word36 = asked.number
      record.header.word40 = asked.offset
      wanted[tag] = (asked.tag, asked.offset &+ UInt32(record.data.count), asked.number &+ 1)
    case .textRequest?: record.header.word20 = textTag
    case .mirrorRequest?: record.header.initiatorTaskTag = reservedTag
    default: break
    }
  }

  private func fillSNACK(_ header: inout BasicHeaderSegment) {
    switch header.flags & 0x0f {
    case 1: header.word40 = acknowledged &+ (header.word40 & 7)
    case 2: header.word20 = dataTag
    case 3: (header.word40, header.word44) = (0, 0)
    default: header.word20 = reservedTag
    }
    header.word44 &= 7
  }

  // MARK: In and out

  private func feed(_ bytes: [UInt8]) {
    var offset = 0
    while !isClosed {
      decoder.dataSegmentLengthMax = session.receiveDataSegmentLengthMax
      decoder.digests = session.digests
      do throws(FramingError) {
        guard let pdu = try stream.next(bytes, &offset, &decoder) else { return }
        session.handle(pdu)
      } catch {
        let isSkipped =
          if case .dataSegmentTooLong = error { session.isLoggedIn } else { false }
        session.handle(error)
        take()
        require(isClosed || isSkipped, "a stream that can't be read goes on")
      }
      take()
    }
  }

  private func take() {
    while let event = session.pollEvent() { take(event) }
    let lengthMax = session.isLoggedIn ? session.parameters.sendDataSegmentLengthMax : 8192
    while let pdu = session.pollOutput() {
      let recovers = session.parameters.errorRecoveryLevel > 0
      sent.check(pdu, lengthMax: max(lengthMax, 8192), isTargets: true, recovers: recovers)
      commandNumber = pdu.header.word28
      note(pdu.header)
      let tag = pdu.header.initiatorTaskTag
      switch pdu.header.opcode {
      case .readyToTransfer?: wanted[tag] = (pdu.header.word20, pdu.header.word40, 0)
      case .textResponse?: textTag = pdu.header.word20
      case .scsiResponse?: wanted[tag] = nil
      default: break
      }
    }
    require(session.openTaskCount <= 8 + 4, "\(session.openTaskCount) tasks are open")
    require(session.keptByteCount <= 8192, "\(session.keptByteCount) bytes are kept")
  }

  private func note(_ header: BasicHeaderSegment) {
    if header.opcode == .dataIn {
      if header.flags & 0x40 != 0 { dataTag = header.word20 }
      guard header.flags & 0x01 != 0 else { return }
    }
    if !SerialNumber(header.word24).precedes(SerialNumber(status)) { status = header.word24 &+ 1 }
  }

  private func take(_ event: TargetEvent) {
    switch event {
    case .command(let task):
      require(task.dataOut.count <= 1 << 16, "more data than a WRITE may have")
      require(
        !task.isWrite || task.isTooLong || task.dataOut.count == task.expectedLength,
        "a command is handed on without its data")
      require(!commands.contains { $0.handle == task.handle }, "a task is handed on twice")
      commands.append(task)
    case .taskAborted(let handle): forget(handle)
    case .taskManagement(let function):
      for handle in function.aborted { forget(handle) }
      management.append(function.handle)
    case .abortMirrored(let task, let reply):
      require(task.taskTag.isMirroredTag, "no mirrored write's tag")
      management.append(reply)
    case .text(_, let reply): text = reply
    case .close: isClosed = true
    // A discovery that asks is refused, so that both ends of a login are seen.
    case .admission(let description):
      if description.type == .normal { session.admit() } else { session.refuse(.outOfResources) }
    case .loggedIn, .mirrorRequest, .pingAnswered, .loggedOut: break
    }
  }

  private func forget(_ handle: TaskHandle) {
    guard let index = commands.firstIndex(where: { $0.handle == handle }) else {
      fatalError("a task ends that was not handed on")
    }
    commands.remove(at: index)
  }

  // MARK: The owner

  private func act(_ record: StreamRecord) {
    guard session.isLoggedIn else { return }
    switch record.control.action {
    case 1: if !commands.isEmpty { complete(commands.removeFirst(), status: 0) }
    case 2: if let task = commands.popLast() { complete(task, status: 2) }
    case 3:
      for reply in management { session.completeTaskManagement(reply, .complete) }
      management = []
    case 4: for handle in session.abortTasks(lun: record.header.lun).owned { forget(handle) }
    case 5:
      now += 10_000_000_000
      session.handleTimeout(now: now)
      session.sendPing(tag: 5)
      session.sendAsyncMessage(.logoutRequest, parameters: (0, 0, 3))
    case 6:
      if let reply = text {
        session.respondText(reply, TextKeys([.init("X-org.mirrorcast.result", "registered")]))
        text = nil
      }
    case 7:
      while let task = commands.popLast() { complete(task, status: 0) }
      session.sendMirroredResponse(taskTag: 0x8000_0001, status: 0)
      session.sendReadyToTransfer(lun: 0, taskTag: 0x8000_0001, length: 512)
    default: break
    }
    take()
  }

  private func complete(_ task: CommandTask, status: UInt8) {
    var completion = CommandCompletion(status: status)
    if status != 0 { completion.sense = TransferFailure.lostData.sense }
    if task.isRead {
      let asked = Int(task.commandDescriptorBlock[4]) * 64
      completion.dataIn = [UInt8](repeating: 0x5a, count: min(task.expectedLength, asked))
      completion.transferLength = asked
    }
    session.completeCommand(task.handle, completion)
  }
}

// An initiator's session under a target that may say anything.
import Bytes
import ISCSI

/// One connection of an initiator, with an owner that asks as the records say.
final class InitiatorStream {
  private let shape: StreamShape
  private var session: InitiatorSession
  private var decoder = FrameDecoder()
  private var stream: CutStream
  private var sent = SentPDUs()
  private var open: [UInt32] = []
  private var lengths: [UInt32: Int] = [:]
  private var isClosed = false
  private var statusNumber: UInt32 = 0
  private var seenNumber: UInt32 = 1

  init(_ shape: StreamShape, _ cuts: Cuts) {
    self.shape = shape
    session = InitiatorSession(configuration: fuzzedInitiatorConfiguration(shape))
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

  /// Against a target of our own, which is left behind.
  private func logIn() {
    var target = TargetSession(configuration: fuzzedTargetConfiguration(shape))
    var steps = 0
    while !session.isLoggedIn, steps < 8 {
      while let pdu = session.pollOutput() { target.handle(pdu) }
      while let pdu = target.pollOutput() {
        statusNumber = pdu.header.word24 &+ 1
        session.handle(pdu)
      }
      steps += 1
    }
    require(session.isLoggedIn, "a right login fails")
    take()
  }

  private func fill(_ record: inout StreamRecord) {
    if !record.control.contains(.ownNumbers) {
      record.header.word24 = statusNumber
      record.header.word28 = seenNumber &+ 1
      record.header.word32 = seenNumber &+ 8
      statusNumber &+= 1
    }
    guard !record.control.contains(.ownTags), !open.isEmpty else { return }
    let tag = open[Int(record.header.initiatorTaskTag) % open.count]
    record.header.initiatorTaskTag = record.header.opcode == .loginResponse ? 0 : tag
  }

  private func feed(_ bytes: [UInt8]) {
    var offset = 0
    while !isClosed {
      decoder.dataSegmentLengthMax = session.receiveDataSegmentLengthMax
      decoder.digests = session.digests
      do throws(FramingError) {
        guard let pdu = try stream.next(bytes, &offset, &decoder) else { return }
        session.handle(pdu)
      } catch {
        session.handle(error)
        take()
        require(isClosed, "a stream that can't be read goes on")
      }
      take()
    }
  }

  private func take() {
    while let event = session.pollEvent() { take(event) }
    let lengthMax = session.isLoggedIn ? session.parameters.sendDataSegmentLengthMax : 8192
    while let pdu = session.pollOutput() {
      sent.check(pdu, lengthMax: lengthMax, isTargets: false)
      seenNumber = pdu.header.word24
    }
  }

  private func take(_ event: InitiatorEvent) {
    switch event {
    case .completed(let result):
      forget(result.taskTag)
      let length = lengths.removeValue(forKey: result.taskTag) ?? 0
      require(result.dataIn.count <= length, "more data than was asked for")
    case .text(_, let tag): forget(tag)
    case .taskManagementDone(let tag, _, let ended):
      forget(tag)
      for tag in ended { forget(tag) }
    case .pingAnswered(let tag): forget(tag)
    // A logout has a tag, too.
    case .rejected(_, _, let tag): if let tag, open.contains(tag) { forget(tag) }
    case .loginFailed, .loggedOut, .violation: isClosed = true
    case .loggedIn, .mirrored, .asyncMessage: break
    }
  }

  private func forget(_ tag: UInt32) {
    guard let index = open.firstIndex(of: tag) else { fatalError("an end of what isn't open") }
    open.remove(at: index)
  }

  // MARK: The owner

  private func act(_ record: StreamRecord) {
    guard session.isLoggedIn, open.count < 32 else { return }
    let count = Int(record.header.storage[47]) * 64
    switch record.control.action {
    case 1: submit(.read(lengthMax: count), lengthMax: count)
    case 2: submit(.write([UInt8](repeating: 0xa5, count: count * 4)[...]), lengthMax: 0)
    case 3: open.append(session.sendText(TextKeys([.init("SendTargets", "All")])))
    case 4:
      let tag = open.isEmpty ? reservedTag : open[count % open.count]
      let function = TaskManagementFunction(rawValue: record.header.storage[46] % 8 + 1)
      open.append(session.manageTasks(function ?? .abortTask, lun: 0, referencedTag: tag))
    case 5: open.append(session.ping())
    case 6:
      let mirror = session.parameters.mirrorVersion != nil
      guard mirror else { return }
      session.sendMirrorRequest(
        BasicHeaderSegment(opcode: .mirrorRequest, isImmediate: true), data: [])
    case 7: session.logout()
    default: break
    }
    take()
  }

  private func submit(_ transfer: InitiatorCommand.Transfer, lengthMax: Int) {
    let tag = session.submit(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: InlineArray(repeating: 0), transfer: transfer))
    open.append(tag)
    lengths[tag] = lengthMax
  }
}

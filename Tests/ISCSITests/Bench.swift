// What the tests of this room share: two sessions joined back to back, and a target on its own that
// has been logged in to and may be lied to.
import Bytes
import ISCSI

/// All PDUs in `bytes`, taken `chunk` bytes at a time; a rest that is no whole PDU stays unread.
func decode(
  _ bytes: [UInt8], chunk: Int = .max, decoder: inout FrameDecoder
) throws -> [PDU] {
  var pdus: [PDU] = []
  var start = 0
  while start < bytes.count {
    let end = chunk < bytes.count - start ? start + chunk : bytes.count
    let piece = Array(bytes[start..<end])
    var offset = 0
    while let pdu = try decoder.next(piece, from: &offset) { pdus.append(pdu) }
    start = end
  }
  return pdus
}

func decode(_ bytes: [UInt8], chunk: Int = .max) throws -> [PDU] {
  var decoder = FrameDecoder(dataSegmentLengthMax: 1 << 20)
  return try decode(bytes, chunk: chunk, decoder: &decoder)
}

func encoded(_ pdu: PDU) -> [UInt8] {
  var bytes: [UInt8] = []
  pdu.encode(into: &bytes)
  return bytes
}

func pattern(_ count: Int, seed: UInt8 = 1) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ Int(seed)) }
}

func block(_ opcode: UInt8, _ argument: UInt8 = 0) -> InlineArray<16, UInt8> {
  InlineArray { $0 == 0 ? opcode : $0 == 1 ? argument : 0 }
}

let diskName = "iqn.2026-01.org.example:disk"

func targetConfiguration() -> TargetConfiguration {
  TargetConfiguration(
    targets: [
      TargetListing(name: diskName, portals: ["127.0.0.1:3260,1", "[::1]:3260,1"]),
      TargetListing(name: "iqn.2026-01.org.example:tape", portals: ["127.0.0.1:3260,1"]),
    ], tsih: 7)
}

func initiatorConfiguration(target: String? = diskName) -> InitiatorConfiguration {
  InitiatorConfiguration(
    initiatorName: "iqn.2026-01.org.example:host", targetName: target, isid: 0x8000_0000_0001)
}

/// An initiator and a target whose bytes cross in memory.
final class SessionPair {
  var initiator: InitiatorSession
  var target: TargetSession
  /// What the target's owner answers; nil to keep the command open.
  var answer: (CommandTask) -> CommandCompletion? = { _ in CommandCompletion(status: 0) }
  var commands: [CommandTask] = []
  var targetEvents: [TargetEvent] = []
  var initiatorEvents: [InitiatorEvent] = []
  /// All PDUs that crossed, in order.
  var crossed: [PDU] = []

  init(
    target: TargetConfiguration = targetConfiguration(),
    initiator: InitiatorConfiguration = initiatorConfiguration()
  ) {
    self.target = TargetSession(configuration: target)
    self.initiator = InitiatorSession(configuration: initiator)
  }

  /// Lets everything cross until both sides are silent.
  func settle(chunk: Int = 1000) throws {
    var targetDecoder = FrameDecoder()
    var initiatorDecoder = FrameDecoder()
    var isBusy = true
    while isBusy {
      isBusy = false
      while let pdu = initiator.pollOutput() {
        isBusy = true
        crossed.append(pdu)
        targetDecoder.dataSegmentLengthMax = target.receiveDataSegmentLengthMax
        targetDecoder.digests = target.digests
        for pdu in try decode(encoded(pdu), chunk: chunk, decoder: &targetDecoder) {
          target.handle(pdu)
        }
      }
      while let event = target.pollEvent() {
        isBusy = true
        take(event)
      }
      while let pdu = target.pollOutput() {
        isBusy = true
        crossed.append(pdu)
        initiatorDecoder.dataSegmentLengthMax = initiator.receiveDataSegmentLengthMax
        initiatorDecoder.digests = initiator.digests
        for pdu in try decode(encoded(pdu), chunk: chunk, decoder: &initiatorDecoder) {
          initiator.handle(pdu)
        }
      }
      while let event = initiator.pollEvent() {
        isBusy = true
        initiatorEvents.append(event)
      }
    }
  }

  private func take(_ event: TargetEvent) {
    guard case .command(let task) = event else { return targetEvents.append(event) }
    commands.append(task)
    if let completion = answer(task) { target.completeCommand(task.handle, completion) }
  }

  // Expectations can't take a session apart, since it can't be copied.
  var isLoggedIn: Bool { initiator.isLoggedIn && target.isLoggedIn }
  var initiatorParameters: OperationalParameters { initiator.parameters }
  var targetParameters: OperationalParameters { target.parameters }
  var openTaskCount: Int { initiator.openTaskCount + target.openTaskCount }
  var waitingCount: Int { initiator.waitingCount }

  func crossedCount(_ opcode: Opcode) -> Int {
    crossed.count { $0.header.opcode == opcode }
  }

  var results: [CommandResult] {
    initiatorEvents.compactMap { if case .completed(let result) = $0 { result } else { nil } }
  }

  /// Sends one command and returns its result.
  func run(_ command: InitiatorCommand, chunk: Int = 1000) throws -> CommandResult? {
    let tag = initiator.submit(command)
    try settle(chunk: chunk)
    return results.last { $0.taskTag == tag }
  }
}

/// A target's session that was logged in to by hand, for PDUs that no honest initiator sends.
final class LoneTarget {
  var session: TargetSession
  var events: [TargetEvent] = []
  var commandNumber: UInt32 = 1

  private(set) var loginAnswer = PDU(header: BasicHeaderSegment())

  convenience init(
    _ configuration: TargetConfiguration = targetConfiguration(), offers: String...,
    isDiscovery: Bool = false
  ) {
    self.init(configuration, offering: offers, isDiscovery: isDiscovery)
  }

  init(
    _ configuration: TargetConfiguration = targetConfiguration(), offering offers: [String],
    isDiscovery: Bool = false
  ) {
    session = TargetSession(configuration: configuration)
    let names =
      ["InitiatorName=iqn.2026-01.org.example:host"]
      + (isDiscovery
        ? ["SessionType=Discovery"] : ["SessionType=Normal", "TargetName=\(diskName)"])
    loginAnswer = send(loginRequest(names + offers)).last ?? loginAnswer
  }

  @discardableResult func send(_ pdu: PDU) -> [PDU] {
    take { $0.handle(pdu) }
  }

  /// Does something to the session; what it sends then.
  @discardableResult func take(_ body: (inout TargetSession) -> Void) -> [PDU] {
    body(&session)
    while let event = session.pollEvent() { events.append(event) }
    var output: [PDU] = []
    while let pdu = session.pollOutput() { output.append(pdu) }
    return output
  }

  /// Sends a numbered request; where it is rejected, its number is that of the next.
  @discardableResult func request(_ header: BasicHeaderSegment, data: [UInt8] = []) -> [PDU] {
    request(PDU(header: header, data: data))
  }

  @discardableResult func request(_ pdu: PDU) -> [PDU] {
    var numbered = pdu
    numbered.header.word24 = commandNumber
    let answers = send(numbered)
    let isLetGo = answers.contains {
      $0.header.opcode == .reject && $0.header.word28 == commandNumber
    }
    if !isLetGo { commandNumber &+= 1 }
    return answers
  }

  var commands: [CommandTask] {
    events.compactMap { if case .command(let task) = $0 { task } else { nil } }
  }

  var openTaskCount: Int { session.openTaskCount }
  var droppedCount: Int { session.droppedCount }

  var isClosed: Bool {
    events.contains { if case .close = $0 { true } else { false } }
  }
}

func loginRequest(
  _ pairs: [String], flags: UInt8 = 0x87, tag: UInt32 = 0, commandNumber: UInt32 = 1
) -> PDU {
  var header = BasicHeaderSegment(opcode: .loginRequest, flags: flags, isImmediate: true)
  header.isid = 0x8000_0000_0001
  header.initiatorTaskTag = tag
  header.word24 = commandNumber
  return PDU(header: header, data: pairs.flatMap { Array($0.utf8) + [0] })
}

func writeHeader(tag: UInt32, length: Int, flags: UInt8 = 0xa1, lun: UInt64 = 0)
  -> BasicHeaderSegment
{
  var header = BasicHeaderSegment(opcode: .scsiCommand, flags: flags)
  header.lun = lun
  header.initiatorTaskTag = tag
  header.word20 = UInt32(length)
  header.commandDescriptorBlock = block(0x2a)
  return header
}

func dataOut(
  tag: UInt32, transferTag: UInt32, offset: Int, number: UInt32 = 0, isFinal: Bool = true,
  _ data: [UInt8]
) -> PDU {
  var header = BasicHeaderSegment(opcode: .dataOut, flags: isFinal ? 0x80 : 0)
  header.initiatorTaskTag = tag
  header.word20 = transferTag
  header.word36 = number
  header.word40 = UInt32(truncatingIfNeeded: offset)
  return PDU(header: header, data: data)
}

func snack(_ type: UInt8, tag: UInt32, first: UInt32, count: UInt32) -> PDU {
  var header = BasicHeaderSegment(opcode: .snackRequest, flags: 0x80 | type)
  header.initiatorTaskTag = tag
  header.word20 = reservedTag
  header.word40 = first
  header.word44 = count
  return PDU(header: header)
}

extension PDU {
  /// The reason, when this is a Reject.
  var rejectReason: UInt8? { header.opcode == .reject ? header.byte2 : nil }
  /// The status, when this is a SCSI Response.
  var status: UInt8? { header.opcode == .scsiResponse ? header.byte3 : nil }
  /// Additional sense code and qualifier of a SCSI Response with sense.
  var senseCode: [UInt8]? {
    guard header.opcode == .scsiResponse, data.count >= 16 else { return nil }
    return Array(data.dropFirst(2 + 12).prefix(2))
  }
}

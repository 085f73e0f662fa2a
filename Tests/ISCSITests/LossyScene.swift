// A disk of ours, an initiator of a few lines that recovers (RFC 7143 appendix D, the initiator's
// half) and a wire between them that loses and damages what a test tells it to.
import Bytes
import ISCSI

/// What a wire does to a PDU.
enum Harm: CaseIterable, Sendable {
  case lost
  /// The digest of its data is wrong; a PDU without data is lost.
  case damaged
}

/// Commands of one initiator at one disk, over a bad wire.
final class LossyScene {
  /// One command as its initiator sees it.
  struct Open {
    let command: PDU
    let dataOut: [UInt8]
    var dataIn: [UInt32: PDU] = [:]
    /// How many Data-In PDUs there are, once the response has told.
    var dataInCount: UInt32?
    var highest: UInt32 = 0
    var requests: Set<UInt32> = []
    var isResegmented = false
    var response: PDU?

    /// Numbers of Data-In that are known to be missing.
    var missing: [UInt32] { (0..<(dataInCount ?? highest)).filter { dataIn[$0] == nil } }
    var bytes: [UInt8] { dataIn.sorted { $0.key < $1.key }.flatMap(\.value.data) }
  }

  let target: LoneTarget
  var disk = [UInt8](repeating: 0, count: 65_536)
  /// What the wire does to the n-th PDU after login, counted from 0 in each direction.
  var harm: (_ isInitiators: Bool, _ index: Int, PDU) -> Harm? = { _, _, _ in nil }
  var open: [UInt32: Open] = [:]
  var ended: [UInt32: Open] = [:]
  /// All that the target has sent, what was lost too.
  var sent: [PDU] = []
  /// What the initiator has sent.
  var requested: [PDU] = []
  var now: UInt64 = 0
  var silences = 0

  private var waiting: [PDU] = []
  private var statuses: [UInt32: PDU] = [:]
  private var highestStatus: UInt32
  private(set) var expectedStatus: UInt32
  private var expectedCommand: UInt32
  private var asked: Set<String> = []
  private var tag: UInt32 = 0

  init(recoveriesMax: Int = 16, bytesMax: Int = 1 << 20, offers: [String] = []) {
    var configuration = targetConfiguration()
    configuration.recoveriesMax = recoveriesMax
    configuration.recoveryBytesMax = bytesMax
    target = LoneTarget(
      configuration,
      offering: [
        "ErrorRecoveryLevel=2", "MaxBurstLength=2048", "FirstBurstLength=1024",
        "MaxRecvDataSegmentLength=512", "DataDigest=CRC32C",
      ] + offers)
    expectedStatus = target.loginAnswer.header.word24 &+ 1
    highestStatus = expectedStatus
    expectedCommand = target.commandNumber
  }

  // MARK: The wire

  /// Lets all cross, and time pass, until every command has ended; false when that doesn't come.
  @discardableResult func settle() -> Bool {
    for _ in 0..<100 {
      crossAll()
      if open.isEmpty { return true }
      silences += 1
      handleSilence()
      if waiting.isEmpty { pass() }
    }
    return false
  }

  /// Lets cross what there is, without recovery.
  func crossAll() {
    while !waiting.isEmpty { cross(waiting.removeFirst()) }
  }

  func cross(_ pdu: PDU) {
    var arriving = pdu
    let harm = harm(true, requested.count, pdu)
    requested.append(pdu)
    guard Self.arrives(&arriving, harm) else { return }
    receive(target.send(arriving))
    answerCommands()
  }

  /// Lets the target's limit pass.
  func pass() {
    for _ in 0..<6 {
      guard let deadline = target.session.nextDeadline(now: now) else { return }
      now = deadline
      receive(target.take { $0.handleTimeout(now: now) })
    }
  }

  private static func arrives(_ pdu: inout PDU, _ harm: Harm?) -> Bool {
    guard let harm else { return true }
    guard harm == .damaged, !pdu.data.isEmpty else { return false }
    pdu.fault = .damaged
    return true
  }

  private func receive(_ pdus: [PDU]) {
    for pdu in pdus {
      let harm = harm(false, sent.count, pdu)
      sent.append(pdu)
      // RFC 7143 §7.8: an initiator discards what is damaged.
      if harm == nil { handle(pdu) }
    }
  }

  private func answerCommands() {
    let commands = target.commands
    target.events.removeAll()
    for task in commands {
      var completion = CommandCompletion(status: 0)
      if task.isWrite { disk.replaceSubrange(0..<task.dataOut.count, with: task.dataOut) }
      if task.isRead { completion.dataIn = Array(disk.prefix(task.expectedLength)) }
      receive(target.take { $0.completeCommand(task.handle, completion) })
    }
  }

  // MARK: The initiator

  @discardableResult func write(_ bytes: [UInt8], immediate: Int = 0, unasked: Int = 0) -> UInt32 {
    var header = writeHeader(tag: nextTag(), length: bytes.count, flags: unasked > 0 ? 0x21 : 0xa1)
    header.word24 = takeNumber()
    start(PDU(header: header, data: bytes[..<immediate]), bytes)
    sendData(
      header.initiatorTaskTag, reservedTag, immediate..<(immediate + unasked), of: bytes)
    return header.initiatorTaskTag
  }

  @discardableResult func read(_ count: Int) -> UInt32 {
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xc1)
    header.initiatorTaskTag = nextTag()
    header.word20 = UInt32(count)
    header.word24 = takeNumber()
    header.commandDescriptorBlock = block(0x28)
    start(PDU(header: header), [])
    return header.initiatorTaskTag
  }

  private func start(_ command: PDU, _ bytes: [UInt8]) {
    open[command.header.initiatorTaskTag] = Open(command: command, dataOut: bytes)
    say(command)
  }

  private func nextTag() -> UInt32 {
    tag += 1
    return tag
  }

  private func takeNumber() -> UInt32 {
    defer { target.commandNumber += 1 }
    return target.commandNumber
  }

  func say(_ pdu: PDU) {
    var stamped = pdu
    stamped.header.word28 = expectedStatus
    waiting.append(stamped)
  }

  private func sendData(
    _ tag: UInt32, _ transferTag: UInt32, _ range: Range<Int>, of bytes: [UInt8]
  ) {
    var number: UInt32 = 0
    for start in stride(from: range.lowerBound, to: range.upperBound, by: 512) {
      let end = min(start + 512, range.upperBound)
      say(
        dataOut(
          tag: tag, transferTag: transferTag, offset: start, number: number,
          isFinal: end == range.upperBound, Array(bytes[start..<end])))
      number += 1
    }
  }

  /// Asks for PDUs again, once until the next silence.
  func ask(_ type: UInt8, tag: UInt32 = reservedTag, first: UInt32, count: UInt32) {
    guard asked.insert("\(type) \(tag) \(first) \(count)").inserted else { return }
    say(snack(type, tag: tag, first: first, count: count))
  }

  private func handle(_ pdu: PDU) {
    expectedCommand = max(expectedCommand, pdu.header.word28)
    switch pdu.header.opcode {
    case .readyToTransfer: handleRequest(pdu.header)
    case .dataIn: handleData(pdu)
    default: handleStatus(pdu)
    }
  }

  private func handleRequest(_ header: BasicHeaderSegment) {
    let tag = header.initiatorTaskTag
    guard let task = open[tag], !task.requests.contains(header.word36) else { return }
    open[tag]?.requests.insert(header.word36)
    // RFC 7143 §7.9: a number that was skipped was lost.
    for number in 0..<header.word36 where open[tag]?.requests.contains(number) == false {
      ask(0, tag: tag, first: number, count: 1)
    }
    let start = Int(header.word40)
    sendData(tag, header.word20, start..<start + Int(header.word44), of: task.dataOut)
  }

  private func handleData(_ pdu: PDU) {
    let tag = pdu.header.initiatorTaskTag
    guard open[tag] != nil, open[tag]?.dataIn[pdu.header.word36] == nil else { return }
    open[tag]?.dataIn[pdu.header.word36] = pdu
    let highest = open[tag]?.highest ?? 0
    open[tag]?.highest = max(highest, pdu.header.word36)
    askForMissing(tag)
    let holes = open[tag]?.missing ?? []
    if pdu.header.flags & 0x40 != 0, holes.isEmpty {
      var header = snack(2, tag: reservedTag, first: pdu.header.word36 + 1, count: 0).header
      header.word20 = pdu.header.word20
      say(PDU(header: header))
    }
    takeStatuses()
  }

  private func askForMissing(_ tag: UInt32) {
    for number in open[tag]?.missing ?? [] { ask(0, tag: tag, first: number, count: 1) }
  }

  private func handleStatus(_ pdu: PDU) {
    let number = pdu.header.word24
    guard number >= expectedStatus else { return }
    statuses[number] = pdu
    highestStatus = max(highestStatus, number)
    takeStatuses()
    if expectedStatus < highestStatus, statuses[expectedStatus] == nil {
      ask(1, first: expectedStatus, count: 1)
    }
  }

  private func takeStatuses() {
    while let pdu = statuses[expectedStatus] {
      let tag = pdu.header.initiatorTaskTag
      if pdu.header.opcode == .scsiResponse, open[tag] != nil {
        // RFC 7143 §7.9: not acknowledged before the data is here.
        open[tag]?.dataInCount = pdu.header.word36
        askForMissing(tag)
        guard open[tag]?.missing.isEmpty == true else { return }
        open[tag]?.response = pdu
        ended[tag] = open.removeValue(forKey: tag)
      }
      statuses[expectedStatus] = nil
      expectedStatus += 1
      if pdu.header.opcode == .reject { handleReject(pdu) }
    }
  }

  private func handleReject(_ pdu: PDU) {
    guard let rejected = BasicHeaderSegment(Array(pdu.data).span.bytes),
      rejected.opcode == .scsiCommand, let task = open[rejected.initiatorTaskTag]
    else { return }
    retry(task)
  }

  // RFC 7143 §7.2.1: the same command under the same number, with all its data.
  private func retry(_ task: Open) {
    say(task.command)
    guard !task.command.header.isFinal else { return }
    let start = task.command.data.count
    sendData(
      task.command.header.initiatorTaskTag, reservedTag,
      start..<min(task.dataOut.count, 1024), of: task.dataOut)
  }

  private func handleSilence() {
    asked = []
    for (tag, task) in open {
      if task.command.header.word24 >= expectedCommand { retry(task) }
      askForMissing(tag)
    }
    if expectedStatus < highestStatus, statuses[expectedStatus] == nil {
      ask(1, first: expectedStatus, count: 1)
    }
    // The number of its answer tells of statuses that were lost.
    var ping = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    ping.initiatorTaskTag = 0x7000_0000 + UInt32(silences)
    ping.word20 = reservedTag
    ping.word24 = target.commandNumber
    say(PDU(header: ping))
    crossAll()
    pass()
  }
}

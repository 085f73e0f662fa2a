// Bytes of real sessions, read by both of our ends.
import ISCSI
import Testing

/// One side's bytes without a pause.
struct CapturedRecord {
  var isInitiators: Bool
  var bytes: [UInt8]

  /// Reads the notation of the fixtures.
  static func all(_ session: CapturedSession) -> [CapturedRecord] {
    var records: [(Bool, String)] = []
    for line in session.records.split(separator: "\n") {
      if line.hasPrefix("I ") || line.hasPrefix("T ") {
        records.append((line.hasPrefix("I"), String(line.dropFirst(2))))
      } else {
        records[records.count - 1].1 += line
      }
    }
    return records.map { CapturedRecord(isInitiators: $0.0, bytes: expand($0.1)) }
  }

  private static func expand(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = text[...]
    while !rest.isEmpty {
      let isRun = rest.first == "("
      if isRun { rest.removeFirst() }
      let byte = UInt8(rest.prefix(2), radix: 16) ?? 0
      rest = rest.dropFirst(2)
      guard isRun else {
        bytes.append(byte)
        continue
      }
      let count = Int(rest.dropFirst().prefix { $0 != ")" }) ?? 0
      bytes += [UInt8](repeating: byte, count: count)
      rest = rest.drop { $0 != ")" }.dropFirst()
    }
    return bytes
  }
}

struct CapturedSessionTests {
  @Test(arguments: CapturedSession.allCases, [1, 17, 1 << 20])
  func `every PDU of it is read and written again alike`(
    session: CapturedSession, chunk: Int
  ) throws {
    for isInitiators in [true, false] {
      let bytes = CapturedRecord.all(session).filter { $0.isInitiators == isInitiators }
        .flatMap(\.bytes)
      let pdus = try decode(bytes, chunk: chunk)
      #expect(!pdus.isEmpty)
      #expect(pdus.flatMap { encoded($0) } == bytes)
      for pdu in pdus {
        let opcode = try #require(pdu.header.opcode)
        #expect((opcode.rawValue & 0x20 == 0) == isInitiators)
        guard [.loginRequest, .loginResponse, .textRequest, .textResponse].contains(opcode)
        else { continue }
        #expect(throws: Never.self) { try TextKeys(strict: pdu.data) }
      }
    }
  }

  func configuration() -> TargetConfiguration {
    TargetConfiguration(
      targets: [TargetListing(name: diskName, portals: ["127.0.0.1:33260,1"])], tsih: 1)
  }

  @Test(arguments: CapturedSession.allCases)
  func `our target serves libiscsi's requests`(session: CapturedSession) throws {
    var target = TargetSession(configuration: configuration())
    var answers: [PDU] = []
    var written = 0
    let bytes = CapturedRecord.all(session).filter(\.isInitiators).flatMap(\.bytes)
    let requests = try decode(bytes)
    // What was sent on tgt's R2Ts has tags of its own choosing.
    for pdu in requests where pdu.header.opcode != .dataOut {
      target.handle(pdu)
      while let event = target.pollEvent() {
        guard case .command(let task) = event else { continue }
        written += task.dataOut.count
        target.completeCommand(task.handle, CommandCompletion(status: 0))
      }
      while let pdu = target.pollOutput() { answers.append(pdu) }
    }
    let rejects = answers.filter { $0.header.opcode == .reject }
    #expect(rejects.isEmpty)
    let kinds = Set(answers.compactMap(\.header.opcode))
    #expect(kinds.contains(.loginResponse))
    #expect(requests.contains { $0.header.opcode == .scsiCommand } == kinds.contains(.scsiResponse))
    if session == .listDiscovery {
      let list = answers.first { $0.header.opcode == .textResponse }
      let keys = try TextKeys(strict: try #require(list).data)
      #expect(keys["TargetName"] == diskName)
    }
    if session == .convert { #expect(written == 1024) }
  }

  @Test(arguments: CapturedSession.allCases)
  func `our initiator reads tgt's answers`(session: CapturedSession) throws {
    let records = CapturedRecord.all(session)
    let requests = try decode(records.filter(\.isInitiators).flatMap(\.bytes))
    let first = try #require(requests.first)
    var wanted = initiatorConfiguration(target: session == .listDiscovery ? nil : diskName)
    wanted.skipsSecurityStage = first.header.currentStage == .operational
    wanted.wanted.mirrorVersion = nil
    var initiator = InitiatorSession(configuration: wanted)
    var completed: [CommandResult] = []
    var tags: [UInt32: UInt32] = [:]
    var events = 0
    for record in records {
      for pdu in try decode(record.bytes) {
        guard record.isInitiators else {
          // Tags are ours; all else is tgt's.
          var answer = pdu
          let tag = pdu.header.initiatorTaskTag
          let isLogin = pdu.header.opcode == .loginResponse
          answer.header.initiatorTaskTag = isLogin ? 0 : tags[tag] ?? tag
          initiator.handle(answer)
          while let event = initiator.pollEvent() {
            events += 1
            switch event {
            case .completed(let result): completed.append(result)
            case .violation(let violation): Issue.record("\(violation)")
            case .loginFailed(let failure): Issue.record("\(failure)")
            default: break
            }
          }
          continue
        }
        if let tag = submit(pdu, to: &initiator) { tags[pdu.header.initiatorTaskTag] = tag }
      }
    }
    let commands = requests.count { $0.header.opcode == .scsiCommand }
    #expect(completed.count == commands && events > commands)
    if session == .writeRead {
      #expect(completed.contains { $0.dataIn == [UInt8](repeating: 0x5a, count: 20_480) })
    }
  }

  /// Asks for what libiscsi asked for; the tag that it got.
  func submit(_ pdu: PDU, to initiator: inout InitiatorSession) -> UInt32? {
    let header = pdu.header
    switch header.opcode {
    case .scsiCommand:
      let length = Int(header.word20)
      let bytes = [UInt8](repeating: 0x5a, count: header.flags & 0x20 != 0 ? length : 0)
      let transfer: InitiatorCommand.Transfer =
        header.flags & 0x40 != 0
        ? .read(lengthMax: length) : bytes.isEmpty ? .none : .write(bytes[...])
      return initiator.submit(
        InitiatorCommand(
          lun: header.lun, commandDescriptorBlock: header.commandDescriptorBlock,
          transfer: transfer))
    case .textRequest:
      return initiator.sendText(TextKeys([.init("SendTargets", "All")]))
    case .logoutRequest:
      initiator.logout()
      while let sent = initiator.pollOutput() {
        if sent.header.opcode == .logoutRequest { return sent.header.initiatorTaskTag }
      }
      return nil
    default:
      return nil
    }
  }
}

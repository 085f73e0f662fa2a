import ISCSI
import Testing

struct LoginTests {
  @Test(arguments: [true, false], [true, false])
  func `both sides agree on what was settled`(skips: Bool, offersMirror: Bool) throws {
    var configuration = initiatorConfiguration()
    configuration.skipsSecurityStage = skips
    if !offersMirror { configuration.wanted.mirrorVersion = nil }
    let pair = SessionPair(initiator: configuration)
    try pair.settle(chunk: 5)
    #expect(pair.isLoggedIn)
    let ours = pair.initiatorParameters
    let theirs = pair.targetParameters
    #expect(ours.mirrorVersion == (offersMirror ? 1 : nil))
    #expect(ours.maxBurstLength == 16_776_192)
    #expect(ours.firstBurstLength == 262_144)
    #expect(!ours.initialR2T && ours.immediateData)
    #expect(ours.sendDataSegmentLengthMax == 262_144)
    #expect(ours == theirs)
    #expect(pair.crossedCount(.loginRequest) == (skips ? 1 : 2))
  }

  @Test func `the smaller or stricter wish wins`() throws {
    var configuration = initiatorConfiguration()
    configuration.wanted.maxBurstLength = 65_536
    configuration.wanted.firstBurstLength = 1024
    configuration.wanted.initialR2T = true
    configuration.wanted.immediateData = false
    configuration.wanted.receiveDataSegmentLengthMax = 512
    configuration.wanted.defaultTime2Wait = 9
    let pair = SessionPair(initiator: configuration)
    try pair.settle()
    let settled = pair.targetParameters
    #expect(settled.maxBurstLength == 65_536 && settled.firstBurstLength == 1024)
    #expect(settled.initialR2T && !settled.immediateData)
    #expect(settled.sendDataSegmentLengthMax == 512)
    #expect(settled.defaultTime2Wait == 9)
    #expect(pair.initiatorParameters.unsolicitedLengthMax == 1024)
  }

  @Test func `a discovery session lists targets and knows no mirror`() throws {
    let pair = SessionPair(initiator: initiatorConfiguration(target: nil))
    try pair.settle()
    #expect(pair.initiatorParameters.mirrorVersion == nil)
    let tag = pair.initiator.sendText(TextKeys([.init("SendTargets", "All")]))
    try pair.settle()
    guard case .text(let keys, taskTag: tag)? = pair.initiatorEvents.last else {
      Issue.record("no answer")
      return
    }
    #expect(keys.pairs.filter { $0.key == "TargetName" }.count == 2)
    #expect(keys.pairs.filter { $0.key == "TargetAddress" }.count == 3)
    #expect(keys.pairs.first?.value == diskName)
    _ = pair.initiator.submit(
      InitiatorCommand(lun: 0, commandDescriptorBlock: block(0), transfer: .none))
    try pair.settle()
    guard case .rejected(let reason, _, _)? = pair.initiatorEvents.last else {
      Issue.record("a command in a discovery session")
      return
    }
    #expect(reason == RejectReason.commandNotSupported.rawValue)
  }

  @Test func `no key is answered and declared in one text`() throws {
    var login = TargetLogin(configuration: targetConfiguration())
    let names = ["InitiatorName=iqn.a:h", "TargetName=\(diskName)"]
    let first = login.handle(loginRequest(names + ["MaxRecvDataSegmentLength=1"], flags: 0x04))
    guard case .answer(let answer) = first else { Issue.record(); return }
    let values = try TextKeys(strict: answer.data).pairs.filter { $0.key == KeyName.receiveLength }
    #expect(values.map(\.value) == ["Reject"])
    // What this side takes is told in the next text.
    guard case .loggedIn(let last) = login.handle(loginRequest([])) else { Issue.record(); return }
    #expect(try TextKeys(strict: last.data)[KeyName.receiveLength] == "262144")
    #expect(login.session.parameters.receiveDataSegmentLengthMax == 262_144)
  }

  @Test(arguments: [
    (
      "InitiatorName=iqn.a:h\0TargetName=iqn.2026-01.org.example:none\0", LoginStatus.targetNotFound
    ),
    ("InitiatorName=iqn.a:h\0", .missingParameter),
    ("TargetName=iqn.2026-01.org.example:disk\0", .missingParameter),
    ("InitiatorName=iqn.a:\u{1b}\0TargetName=x\0", .initiatorError),
    ("InitiatorName=host\0TargetName=x\0", .initiatorError),
    ("InitiatorName=iqn.a:h\0SessionType=Odd\0", .sessionTypeNotSupported),
    ("InitiatorName=iqn.a:h\0SessionType=Discovery\0AuthMethod=CHAP\0", .initiatorError),
    ("InitiatorName", .initiatorError), ("NoEquals\0", .initiatorError),
    ("InitiatorName=iqn.a:h\0InitiatorName=iqn.a:i\0SessionType=Discovery\0", .initiatorError),
  ])
  func `a bad first request is refused with its reason`(text: String, status: LoginStatus) {
    var login = TargetLogin(configuration: targetConfiguration())
    var pdu = loginRequest([])
    pdu.data = Array(text.utf8)[...]
    let isSecurity = text.contains("AuthMethod")
    if isSecurity { pdu.header.flags = 0x81 }
    guard case .refused(let answer, let reason) = login.handle(pdu) else {
      Issue.record("not refused")
      return
    }
    #expect(reason == (isSecurity ? .authenticationFailure : status))
    #expect(answer.header.loginStatusCode == reason.rawValue)
    #expect(!answer.header.isTransit)
  }

  @Test(arguments: [
    (UInt8(0x80), LoginStatus.initiatorError), (0x86, .initiatorError), (0x84, .initiatorError),
    (0x8f, .initiatorError), (0xc7, .initiatorError), (0x0c, .initiatorError),
  ])
  func `stages that can't follow are refused`(flags: UInt8, status: LoginStatus) {
    var login = TargetLogin(configuration: targetConfiguration())
    guard case .refused(_, status) = login.handle(loginRequest([], flags: flags)) else {
      Issue.record("not refused")
      return
    }
  }

  @Test func `version, handle and tag are checked`() {
    var login = TargetLogin(configuration: targetConfiguration())
    var odd = loginRequest([])
    odd.header.byte3 = 1
    guard case .refused(_, .unsupportedVersion) = login.handle(odd) else {
      Issue.record("version")
      return
    }
    odd = loginRequest([])
    odd.header.tsih = 5
    guard case .refused(_, .sessionDoesNotExist) = login.handle(odd) else {
      Issue.record("handle")
      return
    }
    let names = ["InitiatorName=iqn.a:h", "SessionType=Discovery"]
    var other = TargetLogin(configuration: targetConfiguration())
    guard case .answer = other.handle(loginRequest(names, flags: 0x04)),
      case .refused(_, .initiatorError) = other.handle(loginRequest([], tag: 9))
    else {
      Issue.record("tag")
      return
    }
  }

  @Test func `a text without end is cut off at 64 KiB`() {
    var login = TargetLogin(configuration: targetConfiguration())
    var count = 0
    var pdu = loginRequest([], flags: 0x44)
    pdu.data = ArraySlice(repeating: 0x41, count: 8192)
    while case .answer = login.handle(pdu) { count += 1 }
    #expect(count == 8)
  }

  @Test func `endless polite requests end too`() {
    var login = TargetLogin(configuration: targetConfiguration())
    var count = 0
    var pdu = loginRequest(["InitiatorName=iqn.a:h", "SessionType=Discovery"], flags: 0x04)
    while case .answer = login.handle(pdu) {
      count += 1
      pdu.data = []
    }
    #expect(count == 64)
  }

  @Test func `a text in many pieces is one text, a long answer comes in pieces`() {
    var login = TargetLogin(configuration: targetConfiguration())
    let unknown = (0..<500).map { "Unknown\($0)=1" }
    let text = ["InitiatorName=iqn.a:h", "SessionType=Discovery"] + unknown
    let bytes: [UInt8] = text.flatMap { Array($0.utf8) + [0 as UInt8] }
    for start in stride(from: 0, to: bytes.count, by: 1000) {
      let end = min(start + 1000, bytes.count)
      var pdu = loginRequest([], flags: end == bytes.count ? 0x87 : 0x44)
      pdu.data = bytes[start..<end]
      guard case .answer(let answer) = login.handle(pdu) else {
        Issue.record("ended early")
        return
      }
      #expect(!answer.header.isTransit)
      #expect(answer.header.isContinued == (end == bytes.count))
    }
    var last = login.handle(loginRequest([]))
    while case .answer(let answer) = last, answer.header.isContinued {
      #expect(answer.data.count == 8192)
      last = login.handle(loginRequest([]))
    }
    guard case .loggedIn(let answer) = last else {
      Issue.record("not logged in")
      return
    }
    #expect(answer.header.tsih == 7)
  }

  @Test func `more keys than there are end a login, in one text or in several`() {
    for perText in [60, 600] {
      var login = TargetLogin(configuration: targetConfiguration())
      var (next, greatest) = (0, 0)
      var status: LoginStatus?
      while next < 1200, status == nil {
        var names = (next..<next + perText).map { "Unknown\($0)=1" }
        if next == 0 { names += ["InitiatorName=iqn.a:h", "SessionType=Discovery"] }
        next += perText
        if case .refused(_, let refusal) = login.handle(loginRequest(names, flags: 0x04)) {
          status = refusal
        }
        greatest = max(greatest, login.heldByteCount)
      }
      #expect(status == .initiatorError && next <= 600)
      #expect(greatest < 128 << 10)
    }
  }

  @Test func `an owner that is asked admits, or refuses with a status`() {
    for status in [nil, LoginStatus.outOfResources] {
      var configuration = targetConfiguration()
      configuration.asksForAdmission = true
      let target = LoneTarget(configuration)
      let isAsked = target.events.contains { if case .admission = $0 { true } else { false } }
      let before = (target.session.isLoggedIn, target.session.outputCount)
      #expect(isAsked && !before.0 && before.1 == 0)
      if let status { target.session.refuse(status) } else { target.session.admit() }
      let answer = target.session.pollOutput()
      #expect(answer?.header.opcode == .loginResponse)
      #expect(answer?.header.loginStatusCode == status?.rawValue ?? 0)
      #expect(answer?.header.tsih == (status == nil ? 7 : 0))
      #expect(answer?.header.isTransit == (status == nil))
      let isLoggedIn = target.session.isLoggedIn
      #expect(isLoggedIn == (status == nil))
    }
  }

  @Test func `keys nobody knows and values nobody can use are answered`() throws {
    var session = TargetSession(configuration: targetConfiguration())
    session.handle(
      loginRequest([
        "InitiatorName=iqn.a:h", "TargetName=\(diskName)", "HeaderDigest=CRC32C",
        "DataDigest=CRC32C,None", "MaxBurstLength=0", "FirstBurstLength=0x10000",
        "InitialR2T=maybe", "X-com.example.key=1", "X-org.mirrorcast.version=3", "IFMarker=No",
      ]))
    let answer = session.pollOutput()
    let keys = try TextKeys(strict: #require(answer).data)
    #expect(keys["HeaderDigest"] == "CRC32C" && keys["DataDigest"] == "CRC32C")
    #expect(keys["MaxBurstLength"] == "Reject" && keys["FirstBurstLength"] == "65536")
    #expect(keys["InitialR2T"] == "Reject" && keys["X-com.example.key"] == "NotUnderstood")
    #expect(keys["X-org.mirrorcast.version"] == "1" && keys["IFMarker"] == "No")
    #expect(keys["MaxRecvDataSegmentLength"] == "262144" && keys["TargetPortalGroupTag"] == "1")
    let isLoggedIn = session.isLoggedIn
    #expect(isLoggedIn)
  }

  @Test(
    arguments: [
      "HeaderDigest", "DataDigest", "MaxBurstLength", "FirstBurstLength", "InitialR2T",
      "ImmediateData", "MaxOutstandingR2T", "ErrorRecoveryLevel", "MaxConnections",
      "DataPDUInOrder", "DataSequenceInOrder", "DefaultTime2Wait", "DefaultTime2Retain",
      "MaxRecvDataSegmentLength",
    ], ["Reject", "Irrelevant", "NotUnderstood", "", "-1", "0x", "99999999999999999999", "?"])
  func `words that answer, and values that aren't, are no offers`(key: String, value: String)
    throws
  {
    let target = LoneTarget(offering: ["\(key)=\(value)"])
    let keys = try TextKeys(strict: target.loginAnswer.data)
    #expect(keys.pairs.first { $0.key == key }?.value == "Reject")
    let isLoggedIn = target.session.isLoggedIn
    #expect(isLoggedIn)
    #expect(target.session.parameters.maxBurstLength == 262_144)
  }

  @Test func `anything before login closes without a word`() {
    var session = TargetSession(configuration: targetConfiguration())
    session.handle(PDU(header: BasicHeaderSegment(opcode: .nopOut)))
    let output = session.pollOutput()
    #expect(output?.header.opcode == nil)
    guard case .close(.notALogin)? = session.pollEvent() else {
      Issue.record("still open")
      return
    }
  }

  @Test func `an initiator is told where a target has moved, and refuses lies`() {
    var login = InitiatorLogin(configuration: initiatorConfiguration())
    _ = login.begin()
    var header = BasicHeaderSegment(opcode: .loginResponse, flags: 0)
    header.loginStatusCode = 0x0101
    let moved = PDU(header: header, data: Array("TargetAddress=10.0.0.2:3260\0".utf8))
    #expect(throws: LoginFailure.refused(code: 0x0101, movedTo: "10.0.0.2:3260")) {
      try login.handle(moved)
    }
    var operational = initiatorConfiguration()
    operational.skipsSecurityStage = true
    for lie in [
      "MaxBurstLength=16776960", "ErrorRecoveryLevel=1", "InitialR2T=Perhaps",
      "HeaderDigest=CRC32C", "MaxConnections=2", "X-org.mirrorcast.version=2",
    ] {
      var login = InitiatorLogin(configuration: operational)
      _ = login.begin()
      var header = BasicHeaderSegment(opcode: .loginResponse, flags: 0x87)
      header.tsih = 1
      #expect(throws: LoginFailure.self, "\(lie)") {
        try login.handle(PDU(header: header, data: Array("\(lie)\0".utf8)))
      }
    }
  }
}

import ISCSI
import Testing

struct CHAPTests {
  private func login(
    _ target: TargetConfiguration, _ initiator: InitiatorConfiguration
  ) throws -> (isLoggedIn: Bool, failure: LoginFailure?) {
    let pair = SessionPair(target: target, initiator: initiator)
    try pair.settle(chunk: 7)
    let failure = pair.initiatorEvents.compactMap { event -> LoginFailure? in
      if case .loginFailed(let failure) = event { failure } else { nil }
    }.first
    return (pair.isLoggedIn, failure)
  }

  @Test(arguments: [nil, diskName])
  func `a secret that both know lets an initiator in`(name: String?) throws {
    #expect(try login(demanding(), proving(at: name)).isLoggedIn)
    #expect(try login(demanding(), proving(host, disk, at: name)).isLoggedIn)
    // Where nothing is wanted nothing is proved.
    #expect(try login(targetConfiguration(), proving(at: name)).isLoggedIn)
  }

  @Test func `whoever lacks the secret stays outside`() throws {
    let refused = LoginFailure.refused(code: 0x0201, movedTo: nil)
    for own in [
      nil, credential("host", "a secret of the hosts"),
      credential("nobody", "a secret of the host"),
      credential("other", "a secret of the host"),
    ] {
      for name in [nil, diskName] {
        let (isLoggedIn, failure) = try login(demanding(), proving(own, at: name))
        #expect(!isLoggedIn && failure == refused, "\(own?.name ?? "nobody")")
      }
    }
    var skipping = proving(nil)
    skipping.skipsSecurityStage = true
    #expect(try login(demanding(), skipping).failure == refused)
  }

  @Test func `an initiator that wants proof is not fooled`() throws {
    // A target that knows nothing, one with another secret, one that asks for nothing.
    let wrong = credential("disk", "no secret of the disk")
    #expect(
      try login(demanding(own: nil), proving(host, disk)).failure
        == .refused(code: 0x0201, movedTo: nil))
    #expect(try login(demanding(own: wrong), proving(host, disk)).failure == .unprovedTarget)
    let other = credential("disc", "a secret of the disk")
    #expect(try login(demanding(own: other), proving(host, disk)).failure == .unprovedTarget)
    #expect(!(try login(targetConfiguration(), proving(host, disk)).isLoggedIn))
  }

  @Test func `an initiator that must prove itself leaves a target that doesn't ask`() throws {
    var configuration = proving()
    #expect(try login(targetConfiguration(), configuration).isLoggedIn)
    configuration.mustProve = true
    #expect(!(try login(targetConfiguration(), configuration).isLoggedIn))
    #expect(try login(demanding(), configuration).isLoggedIn)
    configuration.proof = nil
    #expect(try login(targetConfiguration(), configuration).isLoggedIn)
  }

  @Test func `a secret that serves both ways proves nothing to either`() throws {
    let same = CHAPCredential(name: "disk", secret: host.secret)
    #expect(
      try login(demanding(own: same), proving(host, same)).failure
        == .refused(code: 0x0201, movedTo: nil))
    #expect(
      try login(demanding(own: same), proving()).failure == .refused(code: 0x0201, movedTo: nil))
  }

  @Test func `an initiator doesn't take its own proof for a target's`() throws {
    let same = CHAPCredential(name: "disk", secret: host.secret)
    var login = InitiatorLogin(configuration: proving(host, same))
    _ = login.begin()
    var said: [TextKeys] = []
    for text in ["AuthMethod=CHAP", "CHAP_A=5 CHAP_I=1 CHAP_C=0x0102"] {
      guard case .send(let request) = try login.handle(loginResponse(text)) else {
        Issue.record("ended early")
        return
      }
      said.append(try TextKeys(strict: request.data))
    }
    let identifier = try #require(said.last?["CHAP_I"].flatMap { UInt8($0) })
    let challenge = try #require(BinaryValue.bytes(said.last?["CHAP_C"] ?? "", countMax: 1024))
    let proof = chapFunctions { _ in [] }.hash(.md5, [identifier] + host.secret + challenge)
    #expect(throws: LoginFailure.unprovedTarget) {
      try login.handle(loginResponse("CHAP_N=disk CHAP_R=\(BinaryValue.text(proof))"))
    }
  }

  private func loginResponse(_ text: String) -> PDU {
    let header = BasicHeaderSegment(opcode: .loginResponse, flags: 0)
    return PDU(
      header: header, data: text.split(separator: " ").flatMap { [UInt8]($0.utf8) + [0] })
  }

  @Test func `names count whole`() throws {
    for name in ["hos", "hostess", "Host", "iqn.host", ""] {
      let own = CHAPCredential(name: name, secret: host.secret)
      #expect(!(try login(demanding(), proving(own)).isLoggedIn), "\(name)")
    }
  }

  @Test func `initiators that a target is hidden from neither see it nor get in`() throws {
    var hidden = targetConfiguration()
    hidden.targets[0].initiators = ["iqn.2026-01.org.example:other"]
    #expect(
      try login(hidden, initiatorConfiguration()).failure == .refused(code: 0x0202, movedTo: nil))
    let pair = SessionPair(target: hidden, initiator: initiatorConfiguration(target: nil))
    try pair.settle()
    _ = pair.initiator.sendText(TextKeys([.init("SendTargets", "All")]))
    _ = pair.initiator.sendText(TextKeys([.init("SendTargets", diskName)]))
    try pair.settle()
    let names = pair.initiatorEvents.flatMap { event -> [String] in
      guard case .text(let keys, _) = event else { return [] }
      return keys.pairs.filter { $0.key == "TargetName" }.map(\.value)
    }
    #expect(names == ["iqn.2026-01.org.example:tape"])
  }
}

/// A target of ours, and an initiator that says what it likes.
private final class Interview {
  var login: TargetLogin
  private(set) var code: UInt16 = 0
  private(set) var isDone = false

  init(_ configuration: TargetConfiguration = demanding()) {
    login = TargetLogin(configuration: configuration)
  }

  /// Says some keys; what is answered, nil when refused.
  func say(_ text: String, flags: UInt8 = 0x81) -> TextKeys? {
    var header = BasicHeaderSegment(opcode: .loginRequest, isImmediate: true)
    header.flags = flags
    header.isid = 1
    let bytes: [UInt8] = text.split(separator: " ").flatMap { [UInt8]($0.utf8) + [0] }
    switch login.handle(PDU(header: header, data: bytes)) {
    case .answer(let pdu): return try? TextKeys(strict: pdu.data)
    case .loggedIn(let pdu):
      isDone = true
      return try? TextKeys(strict: pdu.data)
    case .refused(_, let status):
      code = status.rawValue
      return nil
    case .terminated: return nil
    }
  }

  func begin(_ algorithms: String = "5") -> TextKeys? {
    _ = say("InitiatorName=iqn.2026-01.org.example:host TargetName=\(diskName) AuthMethod=CHAP")
    return say("CHAP_A=\(algorithms)")
  }
}

struct CHAPTargetTests {
  private func proof(_ keys: TextKeys, _ algorithm: CHAPAlgorithm = .md5) throws -> String {
    let identifier = try #require(keys["CHAP_I"].flatMap { UInt8($0) })
    let challenge = try #require(BinaryValue.bytes(keys["CHAP_C"] ?? "", countMax: 1024))
    return BinaryValue.text(
      chapFunctions { _ in [] }.hash(algorithm, [identifier] + host.secret + challenge))
  }

  @Test func `the first algorithm that is known is taken, in any spelling of the proof`() throws {
    for (list, algorithm) in [("6,7,5", CHAPAlgorithm.sha256), ("0x5", .md5), ("9,5,7", .md5)] {
      let interview = Interview()
      let keys = try #require(interview.begin(list))
      #expect(keys["CHAP_A"] == "\(algorithm.rawValue)")
      let proof = try proof(keys, algorithm)
      _ = interview.say("CHAP_N=host CHAP_R=0X\(proof.dropFirst(2).uppercased())")
      let answer = interview.say("MaxBurstLength=65536", flags: 0x87)
      #expect(answer?["MaxBurstLength"] == "65536")
      #expect(interview.isDone)
    }
  }

  @Test func `what is out of order is a failure like any other`() throws {
    for words in [
      ["CHAP_A=6,8"], ["CHAP_A=md5"], ["CHAP_A="], ["CHAP_N=host CHAP_R=0x00"],
      ["CHAP_A=5 CHAP_N=host"], ["CHAP_A=5", "CHAP_N=host"], ["CHAP_A=5", "CHAP_R=0x00"],
      ["CHAP_A=5", "CHAP_N=host CHAP_R=00"], ["CHAP_A=5", "CHAP_N=host CHAP_R=0x"],
      ["CHAP_A=5", "CHAP_N=host CHAP_R=0xzz"], ["CHAP_A=5", "CHAP_N=host CHAP_R=0b!!!!"],
      ["CHAP_A=5", "CHAP_N=host CHAP_R=0x\(String(repeating: "a", count: 5000))"],
    ] {
      let interview = Interview()
      _ = interview.say(
        "InitiatorName=iqn.2026-01.org.example:host TargetName=\(diskName) AuthMethod=CHAP")
      for text in words { _ = interview.say(text) }
      #expect(interview.code == 0x0201 && !interview.isDone, "\(words)")
    }
  }

  @Test func `nobody leaves the security stage without proof`() throws {
    let interview = Interview()
    _ = interview.begin()
    #expect(interview.say("", flags: 0x83)?.isEmpty == true)
    #expect(!interview.isDone)
    // Still in the same stage: such a key has no place in it.
    #expect(interview.say("MaxBurstLength=65536")?.pairs.first?.value == "Reject")
    let other = Interview()
    _ = other.begin()
    _ = other.say("MaxBurstLength=65536", flags: 0x04 | 0x83)
    #expect(other.code != 0 && !other.isDone)
  }

  @Test func `a challenge that comes back is not answered`() throws {
    let interview = Interview()
    let keys = try #require(interview.begin())
    let proof = try proof(keys)
    let challenge = try #require(keys["CHAP_C"])
    _ = interview.say("CHAP_N=host CHAP_R=\(proof) CHAP_I=1 CHAP_C=\(challenge)")
    #expect(interview.code == 0x0201)
    for bad in [
      "CHAP_I=1", "CHAP_C=0x01", "CHAP_I=256 CHAP_C=0x01", "CHAP_I=1 CHAP_C=0x",
      "CHAP_I=1 CHAP_C=0x\(String(repeating: "11", count: 1025))", "CHAP_I=0bAQ== CHAP_C=0x01",
    ] {
      let interview = Interview()
      let keys = try #require(interview.begin())
      _ = interview.say("CHAP_N=host CHAP_R=\(try self.proof(keys)) \(bad)")
      #expect(interview.code == 0x0201, "\(bad)")
    }
  }

  @Test func `every challenge is what the owner's chance gives, as long as the hash`() throws {
    let counted = Counted()
    let lent = chapFunctions { counted.bytes($0) }
    var configuration = demanding()
    configuration.targets[0].authentication = CHAPRequirement(
      accounts: [CHAPAccount(host)], own: disk, functions: lent)
    var next: UInt8 = 0
    for (list, count) in [("5", 16), ("7", 32), ("5", 16)] {
      let keys = try #require(Interview(configuration).begin(list))
      #expect(keys["CHAP_I"] == "\(next + 1)")
      let bytes = (0..<UInt8(count)).map { next + 2 + $0 }
      #expect(keys["CHAP_C"] == BinaryValue.text(bytes))
      next += UInt8(count) + 1
    }
  }

  @Test func `a long challenge in Base64 is answered`() throws {
    let interview = Interview()
    let keys = try #require(interview.begin())
    let long = String(repeating: "AQID", count: 341)
    let answer = interview.say("CHAP_N=host CHAP_R=\(try proof(keys)) CHAP_I=0x7 CHAP_C=0b\(long)")
    #expect(answer?["CHAP_N"] == "disk")
    let challenge = (0..<1023).map { UInt8($0 % 3 + 1) }
    let wanted = chapFunctions { _ in [] }.hash(.md5, [7] + disk.secret + challenge)
    #expect(answer?["CHAP_R"] == BinaryValue.text(wanted))
  }
}

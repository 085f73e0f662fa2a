import Bytes
import ISCSI
import Testing

@testable import Replication

/// The text that begins and ends a mirror: ours, and the patent's literal words.
@Suite struct RegistrationTextTests {
  private func request(group: String = "239.1.2.3") -> RegistrationRequest {
    var request = RegistrationRequest(
      registration: 0x0000_beef, group: group, port: 5001, luns: [0, 1, 16383], virtualLUN: 5)
    request.epoch = 65535
    request.firstWrite = SerialNumber(.max)
    request.blockLength = 8192
    request.writeLengthMax = 1 << 20
    request.sender = "10.0.0.1:40000"
    return request
  }

  private func refusal(_ keys: TextKeys) -> RegistrationRefusal? {
    do throws(RegistrationFault) {
      _ = try MirrorText(keys)
      return nil
    } catch {
      return error.refusal
    }
  }

  private func literal(_ text: String) throws -> MirrorText {
    try MirrorText(try TextKeys(tolerant: Array(text.utf8)[...]))
  }

  @Test(arguments: ["239.1.2.3", "ff15::1"]) func `a registration is read as it was asked`(
    group: String
  ) throws {
    let asked = request(group: group)
    // Over the wire, as strict text.
    let keys = try TextKeys(strict: asked.keys.encoded[...])
    #expect(try MirrorText(keys) == .register(asked))
    #expect(keys["X-org.mirrorcast.registration"] == "0x0000beef")
    #expect(keys["X-org.mirrorcast.lun_map"] == "0,1,16383,5")
    if group.contains(":") { #expect(keys["X-org.mirrorcast.multicast_group_ip"] == "[ff15::1]") }
    #expect(keys.pairs.allSatisfy { $0.key.utf8.count <= 63 })
  }

  @Test func `each key is needed`() {
    let whole = request().keys
    for pair in whole.pairs where pair.key != RegistrationKey.transport {
      let less = TextKeys(whole.pairs.filter { $0.key != pair.key })
      #expect(refusal(less) == .badRequest, "\(pair.key)")
      let empty = TextKeys(whole.pairs.map { $0.key == pair.key ? .init($0.key, "") : $0 })
      #expect(refusal(empty) == .badRequest, "\(pair.key)")
    }
    #expect(
      refusal(TextKeys(whole.pairs.filter { $0.key != RegistrationKey.transport })) == nil)
  }

  @Test func `a part of a mirror says which, and of what`() throws {
    var asked = request()
    asked.stripe = Stripe(mirror: 0xfeed_beef_0000_0001, index: 15, count: 16)
    let keys = try TextKeys(strict: asked.keys.encoded[...])
    #expect(try MirrorText(keys) == .register(asked))
    #expect(keys["X-org.mirrorcast.stripe"] == "15/16")
    // One without the other means nothing.
    for key in [RegistrationKey.stripe, RegistrationKey.mirror] {
      #expect(refusal(TextKeys(keys.pairs.filter { $0.key != key })) == .badRequest)
    }
  }

  @Test(arguments: [
    "5/2", "2/2", "0/0", "99/1", "0/17", "16/17", "-1/2", "+0/2", "0", "/", "0/", "/2", "0/2/2",
    "0x0/2", "0 /2", "a/b", "0/99999999999999999999", "-0/2", "",
  ]) func `a part that can't be is refused`(stripe: String) {
    var asked = request()
    asked.stripe = Stripe(mirror: 7, index: 0, count: 2)
    let keys = TextKeys(
      asked.keys.pairs.map { $0.key == RegistrationKey.stripe ? .init($0.key, stripe) : $0 })
    #expect(refusal(keys) == .badRequest)
  }

  @Test(arguments: ["0", "0x0", "-1", "x", "0x10000000000000000", ""])
  func `a mirror of parts has a number`(mirror: String) {
    var asked = request()
    asked.stripe = Stripe(mirror: 7, index: 0, count: 2)
    let keys = TextKeys(
      asked.keys.pairs.map { $0.key == RegistrationKey.mirror ? .init($0.key, mirror) : $0 })
    #expect(refusal(keys) == .badRequest)
  }

  static let hostile: [(String, [String])] = [
    (
      RegistrationKey.registration,
      [
        "0", "0x0", "0x100000000", "-1", "0xg", "0x", "0x+5", "+5", " 1", "1e3",
        "99999999999999999999999",
      ]
    ),
    (RegistrationKey.epoch, ["0", "65536", "-1", "+1", "x", "1.0"]),
    (RegistrationKey.firstWrite, ["-1", "4294967296", "0x", "+0"]),
    (RegistrationKey.port, ["0", "65536", "http"]),
    (RegistrationKey.blockLength, ["0", "3", "511", "514", "9217", "9218", "65536"]),
    (RegistrationKey.writeLengthMax, ["0", "511", "513", "16777217", "18446744073709551616"]),
    (RegistrationKey.transport, ["rdma"]),
    (RegistrationKey.operation, ["Register", "drop", "unregister"]),
    (
      RegistrationKey.lunMap,
      [
        "5", "", ",", "0,", ",5", "0,,5", "0,1,1,5", "a,5", "0,16384", "-1,5", "+1,5", "0;5",
        "0 1,5", "()", "0,5,", (0...17).map { "\($0)" }.joined(separator: ","),
      ]
    ),
  ]

  @Test func `hostile values are refused`() {
    let whole = request().keys
    for (key, values) in Self.hostile {
      for value in values {
        let keys = TextKeys(whole.pairs.map { $0.key == key ? .init(key, value) : $0 })
        #expect(refusal(keys) == .badRequest, "\(key)=\(value)")
      }
    }
  }

  @Test func `a virtual LUN that is one of the LUNs is taken`() {
    let keys = TextKeys(
      request().keys.pairs.map {
        $0.key == RegistrationKey.lunMap ? .init($0.key, "0,1,2,1") : $0
      })
    #expect(refusal(keys) == .lunTaken)
  }

  @Test(arguments: [
    "Command=register\0multicast_group_ip = 239.1.1.1\0lun_map=(1,5)\0",
    "Command=register\0multicast_group_ip=239.1.1.1\0lun_map=(1,5)",
    "command = REGISTER\0Multicast_Group_IP =239.1.1.1\0LUN_MAP= ( 1 , 5 ) \0",
    "COMMAND=Register\0lun_map=1,5\0multicast_group_ip\t=\t239.1.1.1",
    "Command=register\0multicast_group_ip = 239.1.1.1\0lun_map=(1),5)",
  ]) func `the patent's registration is understood`(text: String) throws {
    guard case .register(let request) = try literal(text) else {
      Issue.record("not a registration")
      return
    }
    #expect(request.group == "239.1.1.1" && request.luns == [1] && request.virtualLUN == 5)
    #expect(request.isLiteral && request.port == 5000 && request.registration == 0x504c_0005)
    #expect(request.epoch == 1 && request.firstWrite == SerialNumber(0))
    #expect(request.blockLength == 1408 && request.sender == nil)
  }

  @Test(arguments: ["(1,2,3),5)", "(1,2,3,5)", "1,2,3,5", "(1, 2, 3), 5)"])
  func `several LUNs stand before the last number`(map: String) throws {
    let text = "Command=register\0multicast_group_ip = 239.1.1.1\0lun_map=\(map)\0"
    guard case .register(let request) = try literal(text) else {
      Issue.record("not a registration")
      return
    }
    #expect(request.luns == [1, 2, 3] && request.virtualLUN == 5)
  }

  @Test(
    arguments: [
      ("command=terminate\0virtual_lun=5\0", nil),
      ("command=terminate\0virtual_lun=5\0multicast_group_ip=239.1.1.1\0", "239.1.1.1"),
      ("Command = Terminate\0VIRTUAL_LUN = 5\0multicast_group_ip = 239.1.1.1", "239.1.1.1"),
    ] as [(String, String?)]) func `the patent's termination is understood`(
      text: String, group: String?
    ) throws
  {
    let wanted = TerminationRequest(registration: nil, group: group, virtualLUN: 5)
    #expect(try literal(text) == .terminate(wanted))
  }

  @Test func `a termination is read as it was asked`() throws {
    for group in [nil, "239.1.2.3", "ff15::1"] {
      let asked = TerminationRequest(registration: 7, group: group, virtualLUN: 300)
      let keys = try TextKeys(strict: asked.keys.encoded[...])
      #expect(try MirrorText(keys) == .terminate(asked))
    }
    #expect(refusal(TextKeys([.init(RegistrationKey.operation, "terminate")])) == .badRequest)
    #expect(refusal(TextKeys([.init("command", "terminate")])) == .badRequest)
    #expect(refusal(TextKeys([.init("command", "write")])) == .badRequest)
    #expect(refusal(TextKeys()) == .badRequest)
  }

  private func grant() -> RegistrationGrant {
    var grant = RegistrationGrant(request())
    grant.credit = 1 << 24
    grant.openWritesMax = 32
    grant.repair = "[fe80::1]:40001"
    grant.lunSizes = [1 << 30, UInt64.max]
    grant.takesUnsolicited = true
    grant.answers = AnswerStream(endpoint: "[fe80::1]:40002", token: 0xfeed_beef_0000_0001)
    return grant
  }

  @Test func `a grant is read as it was given, and each key is needed`() throws {
    let given = grant()
    let whole = given.keys(firstWrite: SerialNumber(9), port: 5001)
    let keys = try TextKeys(strict: whole.encoded[...])
    #expect(try RegistrationGrant(keys) == given)
    let told: Set = [
      RegistrationKey.firstWrite, RegistrationKey.port, RegistrationKey.initialR2T,
      RegistrationKey.answers,
    ]
    for pair in whole.pairs where !told.contains(pair.key) {
      #expect(throws: RegistrationFault.self, "\(pair.key)") {
        _ = try RegistrationGrant(TextKeys(whole.pairs.filter { $0.key != pair.key }))
      }
    }
  }

  @Test func `a hostile grant is refused`() {
    let whole = grant().keys(firstWrite: SerialNumber(9), port: 5001)
    let hostile: [(String, [String])] = [
      (RegistrationKey.registration, ["0", "x"]),
      (RegistrationKey.epoch, ["0", "65536"]),
      (RegistrationKey.blockLength, ["0", "1", "511", "65536", "514"]),
      (RegistrationKey.writeLengthMax, ["0", "16777217"]),
      (RegistrationKey.credit, ["0", "-1", "4294967296"]),
      (RegistrationKey.openWritesMax, ["0", "65536"]),
      (RegistrationKey.datagramMax, ["0", "65536"]),
      (RegistrationKey.lunSizes, ["a", "1,b", "18446744073709551616", "-1", ","]),
    ]
    for (key, values) in hostile {
      for value in values {
        #expect(throws: RegistrationFault.self, "\(key)=\(value)") {
          _ = try RegistrationGrant(
            TextKeys(whole.pairs.map { $0.key == key ? .init(key, value) : $0 }))
        }
      }
    }
  }

  @Test(arguments: RegistrationRefusal.allCases) func `a refusal is told and read`(
    refusal: RegistrationRefusal
  ) throws {
    let fault = RegistrationFault(refusal, "no such thing here")
    let keys = try TextKeys(strict: fault.keys.encoded[...])
    #expect(throws: fault) { _ = try RegistrationGrant(keys) }
  }

  @Test func `an unknown result is a refusal with its name`() {
    let keys = TextKeys([.init(RegistrationKey.result, "on-holiday")])
    #expect(throws: RegistrationFault(.badRequest, "result on-holiday")) {
      _ = try RegistrationGrant(keys)
    }
  }
}

import Bytes
import ISCSI
import Testing

struct TextRequestTests {
  func request(
    _ text: String, flags: UInt8 = 0x80, transferTag: UInt32 = reservedTag
  ) -> (BasicHeaderSegment, [UInt8]) {
    var header = BasicHeaderSegment(opcode: .textRequest, flags: flags)
    header.initiatorTaskTag = 9
    header.word20 = transferTag
    return (header, Array(text.utf8))
  }

  @Test(arguments: [
    "X-org.mirrorcast.op=register\0X-org.mirrorcast.epoch=1\0",
    "Command=register\0multicast_group_ip = 239.1.1.1\0lun_map=(1,5)",
    "command=terminate\0virtual_lun=5",
  ])
  func `the mirror's keys go to the owner, its answer comes back`(text: String) throws {
    let target = LoneTarget(offers: "X-org.mirrorcast.version=1")
    let (header, data) = request(text)
    #expect(target.request(header, data: data).isEmpty)
    guard case .text(let keys, let reply)? = target.events.last else {
      Issue.record("the owner wasn't asked")
      return
    }
    #expect(keys.pairs.count >= 2)
    #expect(target.request(header, data: data).map(\.rejectReason) == [0x07])
    target.session.respondText(reply, TextKeys([.init("X-org.mirrorcast.result", "busy")]))
    let answer = target.session.pollOutput()
    #expect(answer?.header.opcode == .textResponse && answer?.header.isFinal == true)
    #expect(answer?.header.word20 == reservedTag)
    let answered = try TextKeys(strict: try #require(answer).data)
    #expect(answered["X-org.mirrorcast.result"] == "busy")
  }

  @Test func `private keys that weren't agreed on are not understood`() throws {
    let target = LoneTarget()
    let (header, data) = request("X-org.mirrorcast.op=register\0MaxConnections=2\0")
    let answers = target.request(header, data: data)
    let keys = try TextKeys(strict: try #require(answers.first).data)
    #expect(keys["X-org.mirrorcast.op"] == "NotUnderstood")
    #expect(keys["MaxConnections"] == "Reject")
    #expect(!target.isClosed)
  }

  @Test func `a normal session may ask for its own target, not for all`() throws {
    let target = LoneTarget()
    let (own, ownData) = request("SendTargets=\0")
    let mine = try TextKeys(strict: target.request(own, data: ownData)[0].data)
    #expect(mine["TargetName"] == diskName)
    let (all, allData) = request("SendTargets=All\0")
    let others = try TextKeys(strict: target.request(all, data: allData)[0].data)
    #expect(others.pairs == [.init("SendTargets", "Reject")])
  }

  @Test func `a key comes once in a text, and asks for one list`() {
    let target = LoneTarget(isDiscovery: true)
    let (many, data) = request(String(repeating: "SendTargets=All\0", count: 500))
    #expect(target.request(many, data: data).map(\.rejectReason) == [0x09])
    let (one, single) = request("SendTargets=All\0")
    #expect(target.request(one, data: single).map(\.header.opcode) == [.textResponse])
  }

  @Test func `a new negotiation ends the one that was open, of which nothing is left`() throws {
    let target = LoneTarget()
    let (begin, first) = request("Half=", flags: 0x40)
    let open = try #require(target.request(begin, data: first).first).header
    #expect(open.word20 != reservedTag)
    var (other, data) = request("Whole=1\0")
    other.initiatorTaskTag = 10
    let answer = try #require(target.request(other, data: data).first)
    #expect(try TextKeys(strict: answer.data).pairs == [.init("Whole", "NotUnderstood")])
    let (late, rest) = request("1\0", transferTag: open.word20)
    #expect(target.request(late, data: rest).map(\.rejectReason) == [0x09])
  }

  @Test func `a negotiation goes on under its own tag`() throws {
    let target = LoneTarget()
    let (begin, first) = request("Half=", flags: 0x40)
    let open = try #require(target.request(begin, data: first).first).header
    var (other, data) = request("1\0", transferTag: open.word20)
    other.initiatorTaskTag = 10
    #expect(target.request(other, data: data).map(\.rejectReason) == [0x09])
    let (next, rest) = request("1\0", transferTag: open.word20)
    let answer = try #require(target.request(next, data: rest).first)
    #expect(try TextKeys(strict: answer.data).pairs == [.init("Half", "NotUnderstood")])
  }

  @Test func `long texts cross in pieces, both ways`() throws {
    var configuration = targetConfiguration()
    configuration.targets = (0..<500).map {
      TargetListing(name: "iqn.2026-01.org.example:disk\($0)", portals: ["127.0.0.1:3260,1"])
    }
    configuration.wanted.receiveDataSegmentLengthMax = 512
    var initiator = initiatorConfiguration(target: nil)
    initiator.wanted.receiveDataSegmentLengthMax = 512
    let pair = SessionPair(target: configuration, initiator: initiator)
    try pair.settle()
    let padding = (0..<100).map { TextKeys.Pair("Unknown\($0)", "value") }
    let tag = pair.initiator.sendText(TextKeys([.init("SendTargets", "All")] + padding))
    try pair.settle()
    guard case .text(let keys, taskTag: tag)? = pair.initiatorEvents.last else {
      Issue.record("no answer")
      return
    }
    #expect(keys.pairs.count { $0.key == "TargetName" } == 500)
    #expect(keys.pairs.count { $0.value == "NotUnderstood" } == 100)
  }

  @Test func `a text without end is cut off, and the session lives`() {
    let target = LoneTarget()
    var transferTag = reservedTag
    for round in 0..<9 {
      var (header, data) = request("", flags: 0x40, transferTag: transferTag)
      data = [UInt8](repeating: 0x41, count: 8192)
      header.word20 = transferTag
      let answers = target.request(header, data: data)
      if round < 8 {
        #expect(answers.map(\.header.opcode) == [.textResponse])
        transferTag = answers[0].header.word20
      } else {
        #expect(answers.map(\.rejectReason) == [0x09])
      }
    }
    let (header, data) = request("K=v\0", transferTag: transferTag)
    #expect(target.request(header, data: data).map(\.rejectReason) == [0x09])
    #expect(!target.isClosed)
  }
}

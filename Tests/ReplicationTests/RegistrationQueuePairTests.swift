import ISCSI
import Testing

@testable import Replication

@Suite struct RegistrationQueuePairTests {
  private let pair = QueuePairText(
    gid: "::ffff:10.0.0.1", number: 0x11, key: 0x7fff_ffff, mtu: 4096)

  private func request(_ pair: QueuePairText?) -> RegistrationRequest {
    var request = RegistrationRequest(
      registration: 7, group: "239.1.2.3", port: 5000, luns: [0], virtualLUN: 5)
    request.sender = "10.0.0.1:4791"
    request.queuePair = pair
    return request
  }

  @Test func `request and grant tell the queue pair and the transport`() throws {
    let request = request(pair)
    #expect(request.keys[RegistrationKey.transport] == "rdma")
    guard case .register(let read) = try MirrorText(request.keys) else {
      Issue.record("no registration")
      return
    }
    #expect(read == request)
    var grant = RegistrationGrant(request)
    grant.repair = "10.0.0.2:4791"
    grant.lunSizes = [4096]
    grant.queuePair = QueuePairText(
      gid: "::ffff:10.0.0.2", number: 0x12, key: 0x7fff_ffff, mtu: 4096)
    let keys = grant.keys(firstWrite: request.firstWrite, port: request.port)
    #expect(try RegistrationGrant(keys).checked(against: request) == grant)
    // Another key, no queue pair, blocks that don't fit: not what was asked for.
    for other in [
      QueuePairText(gid: "::ffff:10.0.0.2", number: 0x12, key: 0x77, mtu: 4096),
      QueuePairText(gid: "::ffff:10.0.0.2", number: 0x12, key: 0x7fff_ffff, mtu: 512), nil,
    ] {
      grant.queuePair = other
      #expect(throws: RegistrationFault.self) { try grant.checked(against: request) }
    }
  }

  @Test func `a transport that isn't known is refused as such, UDP needs no word`() throws {
    var keys = TextKeys(request(nil).keys.pairs.filter { $0.key != RegistrationKey.transport })
    guard case .register(let read) = try MirrorText(keys) else {
      Issue.record("no registration")
      return
    }
    #expect(read.queuePair == nil)
    keys.append(RegistrationKey.transport, "pigeon")
    #expect { try MirrorText(keys) } throws: {
      ($0 as? RegistrationFault)?.refusal == .noSuchTransport
    }
  }

  @Test(arguments: [
    (RegistrationKey.gid, ""), (RegistrationKey.queuePair, "0x0"),
    (RegistrationKey.queuePair, "0xffffff"), (RegistrationKey.queueKey, "0x80000000"),
    (RegistrationKey.queueKey, "0"), (RegistrationKey.activeMTU, "64"),
    (RegistrationKey.activeMTU, "1000"), (RegistrationKey.activeMTU, "8192"),
  ])
  func `a queue pair that can't be is refused`(key: String, value: String) throws {
    var keys = TextKeys(request(pair).keys.pairs.filter { $0.key != key })
    keys.append(key, value)
    #expect { try MirrorText(keys) } throws: {
      ($0 as? RegistrationFault)?.refusal == .badRequest
    }
  }

  @Test func `a grant of another transport than was asked is none`() throws {
    let grant = RegistrationGrant(request(nil))
    #expect { try grant.checked(against: request(pair)) } throws: {
      ($0 as? RegistrationFault)?.refusal == .badRequest
    }
  }
}

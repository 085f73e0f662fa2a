import Foundation
import Lanes
import Testing

@testable import Datagrams

/// Sending when something on the way is full, or complains.
@Suite struct BackPressureTests {
  let loopback: Loopback
  init() throws { loopback = try Loopback() }

  /// A network of its own whose loopback is as slow as that.
  func runSlow(_ rate: String, burst: Int, limit: Int, _ body: () throws -> Void) throws {
    try Namespace.runAlone {
      try Namespace.tool(
        "tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "\(burst)",
        "limit", "\(limit)")
      try body()
    }
  }

  @Test(.enabled(if: Namespace.isPossible), arguments: [OffloadPolicy.automatic, .off])
  func `a full socket keeps what was not sent, and goes on there`(policy: OffloadPolicy) throws {
    try runSlow("10mbit", burst: 70_000, limit: 10_000_000) {
      let receiver = try loopback.receiver()
      // Small: it is full a dozen times, also where it runs empty before each of our turns.
      let sender = try loopback.sender(to: receiver.localEndpoint(), policy, buffer: 30_000)
      var batch = DepartureBatch(datagramMax: 1000, arenaByteCount: 1 << 20)
      let lengths = (0..<600).map { 1000 - $0 / 20 }
      loopback.put(lengths, into: &batch)
      var datagrams: [[UInt8]] = []
      var refusals = 0
      while datagrams.count < lengths.count {
        var list = WaitList()
        list.append(receiver.descriptor)
        _ = try sender.send(&batch)
        if !batch.isEmpty {
          refusals += 1
          list.append(sender.descriptor, wantsWrite: true)
        }
        try #require(try list.wait(nanoseconds: 60_000_000_000) > 0, "nothing moves")
        datagrams += try loopback.heard(receiver, 0).datagrams
      }
      #expect(refusals > 2, "the socket was never full")
      // Not in the macro, which would print every byte.
      let isAll = datagrams == lengths.enumerated().map { Loopback.datagram($0.offset, $0.element) }
      #expect(isAll)
      #expect(sender.sendBufferFullCount == 0)
    }
  }

  @Test(.enabled(if: Namespace.isPossible), arguments: [OffloadPolicy.automatic, .off])
  func `a full queue of this machine is counted, not an error`(policy: OffloadPolicy) throws {
    // Twenty datagrams or so, and then hardly any.
    try runSlow("8kbit", burst: 10_000, limit: 10_000) {
      let receiver = try loopback.receiver()
      let sender = try loopback.sender(to: receiver.localEndpoint(), policy)
      var batch = DepartureBatch(
        datagramMax: 1000, arenaByteCount: 1 << 20, trainDatagramsMax: 4)
      loopback.put([Int](repeating: 1000, count: 200), into: &batch)
      #expect(try sender.send(&batch) == 200)
      let came = try loopback.heard(receiver, 1).datagrams.count
      #expect(came > 0)
      #expect(sender.sendBufferFullCount > 100)
      #expect(sender.sendBufferFullCount + came <= 200)
      #expect(sender.segmentation == (policy == .off ? .off : .on))
    }
  }

  @Test func `what the network says about earlier datagrams loses none of the later`() throws {
    let receiver = try loopback.receiver()
    let sender = try loopback.sender()
    var batch = DepartureBatch(datagramMax: 100)
    batch.setDestination(0, try receiver.localEndpoint())
    // An address of loopback that no socket has.
    batch.setDestination(1, try Endpoint("127.77.0.1:9"))
    // By one call each: what is reported about the one before meets the next at its start.
    for number in 0..<20 {
      batch.append(copying: Loopback.datagram(number, 50).span.bytes, to: number % 2)
      #expect(try sender.send(&batch) == 1)
    }
    // By one call for all: the kernel keeps to itself why it stopped in the middle.
    for number in 20..<50 {
      batch.append(copying: Loopback.datagram(number, 50).span.bytes, to: number % 2)
    }
    #expect(try loopback.sendAll(&batch, from: sender) == 30)
    let heard = try loopback.heard(receiver, 25).datagrams
    #expect(heard == stride(from: 0, to: 50, by: 2).map { Loopback.datagram($0, 50) })
    #expect(sender.networkErrorCount > 10)
  }
}

import Lanes
import Testing

@testable import Datagrams

/// A port that writes down what it is given, so much at a time.
private final class RecordingPort: DeparturePort, @unchecked Sendable {
  var takenMax = Int.max
  var failsNext = false
  private(set) var taken: [(bytes: [UInt8], destination: Int)] = []

  var descriptor: Int32 { -7 }
  var newsDescriptor: Int32 { -1 }
  var isLost: Bool { false }
  var segmentation: Offload { .off }
  var queuePair: QueuePairPlace? { nil }
  var ways: any WayFinder { SocketWays() }
  func localEndpoint() throws(SystemError) -> Endpoint { Endpoint(gid: (1, 2), queuePair: 3) }
  func takeNews(looking: Bool) -> PortNews? { nil }
  func setDestination(_ index: Int, _ way: DepartureWay?, in batch: inout DepartureBatch) {}

  func makeBatch(
    datagramMax: Int, destinationsMax: Int, node: Int?, pages: PagePolicy
  ) throws(SystemError) -> DepartureBatch {
    DepartureBatch(datagramMax: datagramMax, destinationsMax: destinationsMax)
  }

  func send(_ batch: inout DepartureBatch) throws(SystemError) -> Int {
    if failsNext {
      failsNext = false
      throw SystemError(doing: "send", number: 5)
    }
    var count = 0
    while !batch.isEmpty, count < takenMax {
      batch.withTrains { trains in
        _ = trains.visit(from: 0) { bytes, destination in
          taken.append((Array(bytes), destination))
          return false
        }
      }
      batch.discardFirst()
      count += 1
    }
    return count
  }
}

private struct Pair: ~Copyable {
  let port: PairedDepartures
  var batch: DepartureBatch
}

@Suite struct PairedDeparturesTests {
  let loopback: Loopback
  init() throws { loopback = try Loopback() }

  private func pair(
    _ first: RecordingPort, _ receiver: DatagramSocket, buffer: Int = 8 << 20
  ) throws -> Pair {
    let socket = try loopback.sender(to: receiver.localEndpoint(), buffer: buffer)
    let port = PairedDepartures(first, copyingBy: socket, group: nil, headerByteCount: 28)
    return Pair(
      port: port,
      batch: try port.makeBatch(
        datagramMax: 1000, destinationsMax: 4, node: nil, pages: .automatic))
  }

  @Test func `the group hears both ports, a leg its own`() throws {
    let first = RecordingPort()
    let (group, leg) = (try loopback.receiver(), try loopback.receiver())
    var pair = try pair(first, group)
    let port = pair.port
    port.setDestination(1, DepartureWay(try leg.localEndpoint()), in: &pair.batch)
    port.setDestination(
      2, DepartureWay(Endpoint(gid: (1, 2), queuePair: 9), handle: first), in: &pair.batch)
    // A train, an odd one, and one for each leg, and the group again.
    loopback.put([900, 900, 900, 40], into: &pair.batch)
    loopback.put([500], into: &pair.batch, to: 1)
    loopback.put([600], into: &pair.batch, to: 2)
    loopback.put([700], into: &pair.batch)
    let sent = try port.send(&pair.batch)
    #expect(sent == 7)
    let heard = try loopback.heard(group, 5).datagrams
    #expect(heard.map(\.count) == [900, 900, 900, 40, 700])
    #expect(heard == first.taken.filter { $0.destination == 0 }.map(\.bytes))
    #expect(try loopback.heard(leg, 1).datagrams.map(\.count) == [500])
    #expect(first.taken.map(\.destination) == [0, 0, 0, 0, 1, 2, 0])
    let copied = 3 * 900 + 40 + 700 + 500 + 6 * 28
    #expect(port.copiedByteCount == UInt64(copied))
  }

  @Test func `nothing is copied while no leg hears the second port`() throws {
    let first = RecordingPort()
    let receiver = try loopback.receiver()
    var pair = try pair(first, receiver)
    let port = pair.port
    loopback.put([900, 900], into: &pair.batch)
    _ = try port.send(&pair.batch)
    #expect(first.taken.count == 2 && port.copiedByteCount == 0)
    // A leg comes, and goes.
    port.setDestination(1, DepartureWay(try receiver.localEndpoint()), in: &pair.batch)
    loopback.put([800], into: &pair.batch)
    _ = try port.send(&pair.batch)
    port.setDestination(1, nil, in: &pair.batch)
    loopback.put([700], into: &pair.batch)
    _ = try port.send(&pair.batch)
    #expect(try loopback.heard(receiver, 1).datagrams.map(\.count) == [800])
  }

  @Test func `what the first port keeps, or fails at, is not copied again`() throws {
    let first = RecordingPort()
    let receiver = try loopback.receiver()
    var pair = try pair(first, receiver)
    let port = pair.port
    port.setDestination(1, DepartureWay(try receiver.localEndpoint()), in: &pair.batch)
    first.takenMax = 2
    loopback.put([900, 800, 700], into: &pair.batch)
    let taken = try port.send(&pair.batch)
    #expect(taken == 2)
    // More behind what waits; then an error, whose datagram is taken out.
    loopback.put([600, 500], into: &pair.batch)
    first.failsNext = true
    var failed = false
    do { _ = try port.send(&pair.batch) } catch { failed = true }
    #expect(failed)
    pair.batch.discardFirst()
    while !pair.batch.isEmpty { _ = try port.send(&pair.batch) }
    let heard = try loopback.heard(receiver, 5).datagrams
    #expect(heard.map(\.count) == [900, 800, 700, 600, 500])
    #expect(first.taken.map(\.bytes.count) == [900, 800, 600, 500])
  }

  @Test(.enabled(if: Namespace.isPossible))
  func `a full socket holds both back, and loses nothing`() throws {
    try Namespace.runAlone {
      try Namespace.tool(
        "tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "10mbit", "burst", "70000",
        "limit", "10000000")
      let first = RecordingPort()
      let receiver = try loopback.receiver()
      var pair = try pair(first, receiver, buffer: 30_000)
      let port = pair.port
      port.setDestination(1, DepartureWay(try receiver.localEndpoint()), in: &pair.batch)
      var heard = 0
      var refusals = 0
      for number in 0..<600 {
        while pair.batch.isFull {
          guard try port.send(&pair.batch) == 0 else { continue }
          refusals += 1
          var list = WaitList()
          list.append(port.descriptor, wantsWrite: true)
          try #require(try list.wait(nanoseconds: 60_000_000_000) > 0, "nothing moves")
        }
        loopback.put([1000 - number % 7], into: &pair.batch)
        heard += try loopback.heard(receiver, 0).datagrams.count
      }
      while !pair.batch.isEmpty {
        _ = try port.send(&pair.batch)
        heard += try loopback.heard(receiver, 0).datagrams.count
      }
      heard += try loopback.heard(receiver, 600 - heard).datagrams.count
      #expect(refusals > 0, "the socket was never full")
      #expect(heard == 600 && first.taken.count == 600)
    }
  }
}

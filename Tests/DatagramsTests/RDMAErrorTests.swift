import Foundation
import Lanes
import Testing

@testable import Datagrams

#if RDMA
  /// The ports that datagrams can go by.
  enum RDMABench {
    static var ports: [RDMAPortState] {
      RDMADevices.names().compactMap { try? RDMADevices.ports(of: $0) }.flatMap { $0 }
        .filter { $0.fault == nil }
    }
  }

  /// Queue pairs in error, on a machine that has a device with an IPv4 address (Tests/System/rdma).
  @Suite(.enabled(if: !RDMABench.ports.isEmpty, "there is no RDMA device"), .serialized)
  struct RDMAErrorTests {
    private struct Ends: ~Copyable {
      let departures: RDMADepartures
      let arrivals: RDMAArrivals
      var out: DepartureBatch
      var into: ArrivalBatch

      /// Sends one datagram to the other end; whether it came.
      mutating func pass(to destination: Int = 1) throws -> Bool {
        // Safe: 64 bytes of the next slot are written, and then appended.
        unsafe out.nextSlot.initializeMemory(as: UInt8.self, repeating: 7)
        out.append(byteCount: 64, to: destination)
        for _ in 0..<1000 {
          if !out.isEmpty { _ = try departures.send(&out) }
          let count = try arrivals.receive(into: &into)
          arrivals.release(&into)
          if count > 0 { return true }
          usleep(200)
        }
        return false
      }
    }

    private func place(
      _ port: RDMAPortState
    ) throws -> (place: RDMAPlace, interface: NetworkInterface, local: Endpoint) {
      let gid = try #require(port.usable.first { $0.address.addressText.contains(".") })
      let name = try #require(NetworkInterface.name(ofIndex: gid.interface))
      let interface = try NetworkInterface(named: name)
      let local = try interface.address(.v4)
      return (try RDMAPlace(local, on: interface), interface, local)
    }

    /// From the first port to the last: of two devices, where there are as many.
    private func ends() throws -> Ends {
      let ports = RDMABench.ports
      let (from, to) = (try place(try #require(ports.first)), try place(try #require(ports.last)))
      let group = try Endpoint("239.77.12.9:5009")
      let departures = try RDMADepartures(at: from.place, group: group, local: from.local)
      let key = try #require(departures.queuePair?.key)
      let arrivals = try RDMAArrivals(
        at: to.place, key: key, group: group, interface: to.interface, local: to.local, node: nil,
        pages: .automatic)
      var out = try departures.makeBatch(
        datagramMax: 1024, destinationsMax: 2, node: nil, pages: .automatic)
      let peer = try #require(arrivals.queuePair?.endpoint)
      departures.setDestination(1, try departures.ways.way(to: peer, at: to.local), in: &out)
      return Ends(
        departures: departures, arrivals: arrivals, out: out,
        into: ArrivalBatch(node: nil, pages: .automatic))
    }

    @Test func `a sender in error starts anew and says so once`() throws {
      var ends = try ends()
      let before = try ends.pass()
      #expect(before)
      try ends.departures.queue?.fail()
      // Lost; what is sent next finds out why.
      _ = try ends.pass()
      let after = try ends.pass()
      #expect(after)
      let news = ends.departures.takeNews(looking: true)
      #expect(news?.weight == .trouble)
      let departures = ends.departures
      #expect(departures.takeNews(looking: true) == nil)
      #expect(!departures.isLost)
    }

    @Test func `a receiver in error starts anew, still in its group, and says so once`() throws {
      var ends = try ends()
      let before = try ends.pass()
      #expect(before)
      let arrivals = ends.arrivals
      try arrivals.join(source: nil)
      try arrivals.queue?.fail()
      // Lost; the next receive finds out, the one after it starts anew.
      for _ in 0..<3 { _ = try ends.pass() }
      let own = try ends.pass()
      let group = try ends.pass(to: 0)
      #expect(own && group)
      #expect(!arrivals.isLost)
      #expect(arrivals.takeNews(looking: true)?.weight == .trouble)
      #expect(arrivals.takeNews(looking: true) == nil)
    }

    @Test func `a receiver that stays in error is lost, in words, and waits for nothing`() throws {
      var ends = try ends()
      let arrivals = ends.arrivals
      // A slow machine tells of an error some receives later.
      for _ in 0..<4000 where !arrivals.isLost {
        try arrivals.queue?.fail()
        _ = try arrivals.receive(into: &ends.into)
      }
      #expect(arrivals.isLost)
      var last: PortNews?
      while let news = arrivals.takeNews(looking: true) { last = news }
      #expect(last?.weight == .loss)
      #expect(arrivals.descriptor < 0 && arrivals.newsDescriptor < 0)
      #expect(!arrivals.mayHold)
    }
  }
#endif

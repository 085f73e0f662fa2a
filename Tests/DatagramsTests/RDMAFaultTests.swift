import Lanes
import Testing

@testable import Datagrams

/// What is said of RDMA where there is none, or none of use. No device is wanted.
struct RDMAFaultTests {
  private static let address = try? Endpoint("10.78.0.1:0")

  private func port(
    state: UInt8 = 4, layer: RDMAPortState.Layer = .ethernet, mtu: Int = 4096,
    _ kinds: RDMAPortState.GID.Kind...
  ) throws -> RDMAPortState {
    let address = try #require(Self.address)
    let gids = kinds.map {
      RDMAPortState.GID(
        index: 1, address: Endpoint(gid: address.gid, queuePair: 0), kind: $0, interface: 1)
    }
    return RDMAPortState(
      device: "rxe0", number: 1, state: state, layer: layer, mtu: mtu, gids: gids)
  }

  @Test func `a port in order is told with its addresses`() throws {
    let port = try port(.roceV1, .roceV2)
    #expect(port.fault == nil)
    #expect(port.description == "port 1, Ethernet, active, MTU 4096, lo 10.78.0.1")
  }

  @Test func `short frames are told with what a full MTU wants`() throws {
    let words = try port(mtu: 1024, .roceV2).description
    #expect(words.contains("MTU 1024 (4096 wants frames of 4200 bytes)"))
    #expect(try !port(layer: .infiniBand, mtu: 2048, .infiniBand).description.contains("frames"))
  }

  @Test func `a port that is down is a finding`() throws {
    let fault = try #require(try port(state: 1, .roceV2).fault)
    #expect(fault.reason == "port 1 of the RDMA device rxe0 is down")
    #expect(fault.advice.contains("ip link set NAME up"))
    #expect(
      try port(state: 2, layer: .infiniBand, .infiniBand).fault?.advice.contains("subnet") == true)
  }

  @Test func `a port without an address of use is a finding`() throws {
    #expect(try port().fault?.advice.contains("ip addr add") == true)
    #expect(try port(.roceV1).fault != nil)
    #expect(try port().description.hasSuffix("no GID of use"))
    let infiniBand = try port(layer: .infiniBand, .infiniBand).fault
    #expect((infiniBand == nil) == RDMADevices.isBuiltForInfiniBand)
  }

  @Test func `an address whose port is down gets the port's fault`() throws {
    let address = try #require(Self.address)
    let down = try port(state: 1, .roceV2)
    #expect(RDMAFault.noPlace(address, at: "e0", of: [down]) == down.fault)
    let other = RDMAFault.noPlace(try Endpoint("10.78.0.2:0"), at: "e1", of: [down, down])
    #expect(other.reason == "no RDMA device (rxe0) has a usable GID of 10.78.0.2 at e1")
  }

  @Test func `memory that may not be locked has a command for advice`() {
    let fault = RDMAFault(SystemError(doing: "register memory", number: 12))
    #expect(fault.advice.contains("ulimit -l unlimited"))
    #expect("\(fault)".contains("memory. Raise"))
    #expect(!RDMAFault(SystemError(doing: "x", number: 5)).advice.contains("ulimit"))
  }

  @Test(arguments: [
    (4096, 2044, 2048), (4096, 4092, 4096), (2048, 65520, 2048), (4096, 1500, 1024),
  ])
  func `on InfiniBand a group carries what its interface does`(port: Int, frame: Int, mtu: Int)
    throws
  {
    let infiniBand = try self.port(layer: .infiniBand, mtu: port, .infiniBand)
    #expect(RDMAPlace.mtu(of: infiniBand, frame: frame) == mtu)
    #expect(RDMAPlace.mtu(of: try self.port(mtu: 1024, .roceV2), frame: 9000) == 1024)
  }

  @Test func `a socket has ways at once, no news, and is never lost`() throws {
    let socket = try DatagramSocket.unicast(
      address: try Endpoint("127.0.0.1:0"), receiveBufferByteCount: 4096)
    let (out, into): (any DeparturePort, any ArrivalPort) = (socket, socket)
    let peer = try Endpoint("127.0.0.1:9")
    #expect(!out.ways.mayWait)
    #expect(try out.ways.way(to: peer, at: nil).endpoint == peer)
    #expect(out.newsDescriptor < 0 && !out.isLost && out.takeNews(looking: true) == nil)
    #expect(into.dropCount == 0)
  }
}

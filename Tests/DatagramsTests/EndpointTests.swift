import Testing

@testable import Datagrams

@Suite struct EndpointTests {
  @Test(arguments: [
    ("239.1.2.3:5000", "239.1.2.3:5000", true), ("[ff15::1]:5000", "[ff15::1]:5000", true),
    ("128.12.15.3:1", "128.12.15.3:1", false), ("127.0.0.1:0", "127.0.0.1:0", false),
    ("[::1]:65535", "[::1]:65535", false), ("224.0.0.1:9", "224.0.0.1:9", true),
    ("240.0.0.1:9", "240.0.0.1:9", false), ("239.1.2.3", "239.1.2.3:7", true),
    ("ff15::1", "[ff15::1]:7", true), ("[ff15::1]", "[ff15::1]:7", true),
    ("[fe80::1%lo]:9", "[fe80::1%1]:9", false),
  ])
  func `is read and written`(text: String, written: String, isMulticast: Bool) throws {
    let endpoint = try Endpoint(text, defaultPort: 7)
    #expect(endpoint.description == written)
    #expect(endpoint.isMulticast == isMulticast)
    #expect(try Endpoint(written) == endpoint)
  }

  @Test(arguments: [
    "", ":", ":5000", "239.1.2.3:", "239.1.2.3:65536", "239.1.2.3:-1", "239.1.2.3:+1",
    "239.1.2:5000", "239.1.2.256:5", "[ff15::1:5000", "[ff15::1]5000", "[239.1.2.3]:5000",
    "ff15::1:zz", "host:5000", "239.1.2.3:5000 ", "239.1.2.3:٣", "[]:1", "[fe80::1%nosuch]:1",
    "1.2.3.4\0:5", "[ff15::1]x", String(repeating: "1", count: 500),
  ])
  func `what is no endpoint is refused`(text: String) {
    #expect(throws: EndpointError.self) { try Endpoint(text, defaultPort: 7) }
  }

  @Test func `a port is asked for where there is no default`() {
    #expect(throws: EndpointError.portMissing("239.1.2.3")) { try Endpoint("239.1.2.3") }
  }

  @Test func `a scope that one side doesn't know is not compared`() throws {
    let lo = try NetworkInterface(named: "lo")
    let bare = try Endpoint("[fe80::1]:5000")
    let scoped = bare.scoped(to: lo)
    #expect(bare != scoped)
    #expect(bare.matches(scoped) && scoped.matches(bare))
    #expect(!bare.matches(scoped.with(port: 5001)))
    #expect(try Endpoint("[ff15::1]:1").scoped(to: lo) == Endpoint("[ff15::1]:1"))
    #expect(scoped.wireText == "[fe80::1]:5000")
  }

  @Test func `interfaces, by name and by address`() throws {
    let lo = try NetworkInterface(named: "lo")
    #expect(lo.isLoopback && lo.index == 1 && lo.mtu == 65536)
    #expect(try lo.address(.v4).addressText == "127.0.0.1")
    #expect(try NetworkInterface(localAddress: Endpoint("127.0.0.1:99")) == lo)
    #expect(throws: NetworkInterfaceError.noSuchInterface("nosuch0")) {
      try NetworkInterface(named: "nosuch0")
    }
    for name in ["", "a-name-longer-than-fifteen", "lo/../lo", "lo\0"] {
      #expect(throws: NetworkInterfaceError.self) { try NetworkInterface(named: name) }
    }
    #expect(throws: NetworkInterfaceError.notLocal("192.0.2.77")) {
      try NetworkInterface(localAddress: Endpoint("192.0.2.77:0"))
    }
  }

  @Test(arguments: [
    (1500, Endpoint.Family.v4, 1408), (1500, .v6, 1376), (9000, .v4, 8896), (65536, .v4, 8896),
    (9000, .v6, 8880), (108, .v4, 16), (1280, .v6, 1168),
  ])
  func `block lengths`(mtu: Int, family: Endpoint.Family, length: Int) {
    #expect(DatagramArithmetic.blockLength(mtu: mtu, family: family) == length)
    #expect(length % 16 == 0)
  }

  @Test func `an MTU without room holds no block`() {
    #expect(DatagramArithmetic.blockLength(mtu: 107, family: .v4) == nil)
    #expect(DatagramArithmetic.blockLength(mtu: 0, family: .v6) == nil)
    #expect(DatagramArithmetic.datagramMax(mtu: 1500, family: .v4) == 1472)
  }

  @Test func `asking for RDMA devices is harmless where there are none`() {
    #expect(RDMADevices.names().allSatisfy { !$0.isEmpty })
  }
}

import Datagrams
import Testing

struct DatagramOriginTests {
  private let socket = try? Endpoint("10.0.0.1:5000")
  private let gid = (try? Endpoint("[fd00::1]:0").gid) ?? (0, 0)

  @Test func `a socket's datagrams are those of its address and port`() throws {
    let own = try #require(socket)
    let exact = DatagramOrigin.socket(own)
    #expect(exact.admits(own))
    #expect(!exact.admits(own.with(port: 5001)))
    #expect(!exact.admits(try Endpoint("10.0.0.2:5000")))
    let open = DatagramOrigin.socket(own.with(port: 0))
    #expect(open.admits(own) && open.admits(own.with(port: 7)))
    #expect(!open.admits(try Endpoint("10.0.0.2:5000")))
  }

  @Test func `a queue pair's are those of its GID and number alone`() throws {
    let origin = DatagramOrigin.queuePair(Endpoint(gid: gid, queuePair: 77))
    #expect(origin.admits(Endpoint(gid: gid, queuePair: 77)))
    for number: UInt32 in [0, 1, 76, 0xff_ffff] {
      #expect(!origin.admits(Endpoint(gid: gid, queuePair: number)), "\(number)")
    }
    #expect(!origin.admits(Endpoint(gid: (0, 0), queuePair: 77)))
    #expect(!origin.admits(Endpoint(gid: (0, 0), queuePair: 0)))
    // Neither is what a socket of that address sends.
    #expect(!origin.admits(try Endpoint("[fd00::1]:4791")))
    #expect(!origin.admits(try Endpoint("[fd00::1]:0")))
  }
}

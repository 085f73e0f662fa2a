import Foundation
import Lanes
import Testing

@testable import Datagrams

@Suite struct StreamTests {
  static let families = [Endpoint.Family.v4, .v6]

  func loopback(_ family: Endpoint.Family = .v4) throws -> Endpoint {
    try Endpoint(family == .v4 ? "127.0.0.1:0" : "[::1]:0")
  }

  func limits(out: Int = 4096, in inbound: Int = 4096) -> StreamLimits {
    var limits = StreamLimits()
    limits.outboundByteCountMax = out
    limits.inboundByteCountMax = inbound
    return limits
  }

  func wait(_ descriptor: Int32, wantsWrite: Bool = false) throws {
    var list = WaitList()
    list.append(descriptor, wantsWrite: wantsWrite)
    try #require(try list.wait(nanoseconds: 60_000_000_000) == 1, "nothing happened")
  }

  /// Two ends of one stream: who connected, and who was connected to.
  func pair(
    _ family: Endpoint.Family = .v4, _ near: StreamLimits = StreamLimits(),
    _ far: StreamLimits = StreamLimits()
  ) throws -> (StreamSocket, StreamSocket) {
    let listener = try StreamListener(address: loopback(family))
    let near = try StreamSocket(connectingTo: listener.localEndpoint(), limits: near)
    try wait(listener.descriptor)
    let far = try #require(try listener.accept(limits: far))
    try wait(near.descriptor, wantsWrite: true)
    #expect(near.finishConnecting() == .moved(1))
    #expect(far.peer == (try near.localEndpoint()))
    return (near, far)
  }

  func message(_ number: Int, _ length: Int = 48) -> [UInt8] {
    (0..<length).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0) }
  }

  func put(_ bytes: [UInt8], into stream: StreamSocket) -> Bool {
    stream.append(bytes.span.bytes)
  }

  /// Takes in until so many bytes have come, a few at a time.
  func take(
    _ count: Int, from stream: StreamSocket, each: Int = .max, flushing other: StreamSocket? = nil
  ) throws -> [UInt8] {
    var all: [UInt8] = []
    while all.count < count {
      if let other { _ = other.flush() }
      switch stream.receive() {
      case .moved(0) where stream.readableBytes.isEmpty:
        var list = WaitList()
        list.append(stream.descriptor)
        // All may have come while the kernel still counts it as under way: then more can go soon.
        if let other, other.wantsWrite { list.append(other.descriptor, wantsWrite: true) }
        try #require(try list.wait(nanoseconds: 60_000_000_000) > 0, "nothing came")
      case .moved, .full: break
      case let other: try #require(Bool(false), "\(other) after \(all.count) bytes")
      }
      let part = stream.withReadable { span in
        span.withUnsafeBytes { Array($0.prefix(each)) }
      }
      all += part
      stream.consume(part.count)
    }
    return all
  }

  @Test(arguments: families)
  func `messages go both ways, many by one send`(family: Endpoint.Family) throws {
    let (near, far) = try pair(family)
    #expect(near.receive() == .moved(0))
    #expect(near.flush() == .moved(0))
    for (one, other) in [(near, far), (far, near)] {
      for number in 0..<10 { #expect(put(message(number), into: one)) }
      #expect(one.wantsWrite)
      #expect(one.flush() == .moved(480))
      #expect(!one.wantsWrite)
      #expect(try take(480, from: other) == (0..<10).flatMap { message($0) })
    }
  }

  @Test func `partial writes and reads keep every byte in order`() throws {
    let (near, far) = try pair(.v4, limits(out: 10_000), limits(in: 1000))
    var size: Int32 = 4096
    setsockopt(near.descriptor, SOL_SOCKET, SO_SNDBUF, &size, 4)
    var expected: [UInt8] = []
    var got: [UInt8] = []
    var refused = 0
    for number in 0..<20_000 {
      let next = message(number, 40 + number % 100)
      while !put(next, into: near) {
        refused += 1
        guard case .moved = near.flush() else { Issue.record("broken"); return }
        // Never all of it: the buffers' ends are met at every offset.
        if near.waitingByteCount > 0 { got += try take(1, from: far, each: 777, flushing: near) }
      }
      expected += next
    }
    #expect(refused > 100)
    got += try take(expected.count - got.count, from: far, each: 777, flushing: near)
    #expect(got == expected)
  }

  @Test func `a full outbound buffer takes nothing of a message`() throws {
    let (near, far) = try pair(.v4, limits(out: 100))
    #expect(put(message(1, 60), into: near))
    #expect(!put(message(2, 41), into: near))
    #expect(put(message(3, 40), into: near))
    #expect(!put(message(4, 1), into: near))
    #expect(near.waitingByteCount == 100)
    #expect(near.flush() == .moved(100))
    #expect(!put(message(5, 101), into: near))
    #expect(try take(100, from: far) == message(1, 60) + message(3, 40))
  }

  @Test func `a full inbound buffer says so until something is consumed`() throws {
    let (near, far) = try pair(.v4, limits(), limits(in: 100))
    #expect(put(message(1, 150), into: near))
    #expect(near.flush() == .moved(150))
    try wait(far.descriptor)
    #expect(far.receive() == .moved(100))
    #expect(far.receive() == .full)
    far.consume(30)
    #expect(far.receive() == .moved(30))
    far.consume(100)
    #expect(far.receive() == .moved(20))
    #expect(far.readableBytes.elementsEqual(message(1, 150).suffix(20)))
  }

  @Test func `what the peer sent before it closed is received, then the end`() throws {
    var (near, far): (StreamSocket, StreamSocket?) = try pair()
    #expect(put(message(1), into: try #require(far)))
    #expect(far?.flush() == .moved(48))
    far = nil
    #expect(try take(48, from: near) == message(1))
    try wait(near.descriptor)
    #expect(near.receive() == .ended)
    #expect(near.receive() == .ended)
    // The peer is gone, which a send learns sooner or later; it is no signal.
    var last = StreamProgress.moved(0)
    for _ in 0..<1000 {
      _ = put(message(2), into: near)
      last = near.flush()
      if case .failed = last { break }
      try wait(near.descriptor)
    }
    #expect(last == near.flush())
    guard case .failed(let error) = last else { Issue.record("\(last)"); return }
    #expect(error.number == EPIPE || error.number == ECONNRESET)
  }

  @Test func `a reset is a value, and stays one`() throws {
    var (near, far): (StreamSocket, StreamSocket?) = try pair()
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(
      try #require(far).descriptor, SOL_SOCKET, SO_LINGER, &linger,
      socklen_t(MemoryLayout.size(ofValue: linger)))
    far = nil
    try wait(near.descriptor)
    let reset = SystemError(doing: "receive on a stream", number: ECONNRESET)
    #expect(near.receive() == .failed(reset))
    #expect(near.flush() == .failed(reset))
    #expect(near.finishConnecting() == .failed(reset))
    #expect(!near.wantsWrite)
  }

  @Test(arguments: families)
  func `a refused connection is a value`(family: Endpoint.Family) throws {
    // The port of a stream: nobody listens there, and nobody else can while the stream lives.
    let (taken, _) = try pair(family)
    defer { withExtendedLifetime(taken) {} }
    let stream = try StreamSocket(connectingTo: taken.localEndpoint())
    if stream.wantsWrite { try wait(stream.descriptor, wantsWrite: true) }
    let refused = SystemError(doing: "connect", number: ECONNREFUSED)
    #expect(stream.finishConnecting() == .failed(refused))
    #expect(stream.receive() == .failed(refused))
  }

  @Test(.enabled(if: Namespace.isPossible))
  func `a connection on its way is neither, and messages wait for it`() throws {
    try Namespace.runAlone {
      // Nobody is there to answer: the neighbour is never found.
      try Namespace.tool(
        "ip", "link", "add", "name", "near0", "type", "veth", "peer", "name", "far0")
      try Namespace.tool("ip", "link", "set", "far0", "up")
      try Namespace.tool("ip", "address", "add", "10.77.0.1/24", "dev", "near0")
      try Namespace.tool("ip", "link", "set", "near0", "up")
      let stream = try StreamSocket(
        connectingTo: Endpoint("10.77.0.2:3260"), from: Endpoint("10.77.0.1:0"))
      #expect(stream.finishConnecting() == .moved(0))
      #expect(put(message(1), into: stream))
      #expect(stream.flush() == .moved(0))
      #expect(stream.receive() == .moved(0))
      #expect(stream.wantsWrite)
      #expect(stream.waitingByteCount == 48)
    }
  }

  @Test func `a listener has no stream where none came, and its address is its own`() throws {
    let listener = try StreamListener(address: loopback())
    #expect(try listener.accept() == nil)
    let taken = try listener.localEndpoint()
    #expect(taken.port != 0)
    #expect(throws: SystemError(doing: "listen at \(taken)", number: EADDRINUSE)) {
      _ = try StreamListener(address: taken)
    }
  }

  @Test func `a stream doesn't delay, and gives up a silent peer`() throws {
    let (near, far) = try pair()
    for stream in [near, far] {
      let wanted: [(Int32, Int32, Int32)] = [
        (Int32(IPPROTO_TCP), TCP_NODELAY, 1), (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 30_000),
        (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 10), (SOL_SOCKET, SO_KEEPALIVE, 1),
      ]
      for (level, option, value) in wanted {
        var found: Int32 = -1
        var length = socklen_t(4)
        #expect(getsockopt(stream.descriptor, level, option, &found, &length) == 0)
        #expect(found == value)
      }
    }
  }

  @Test func `consuming more than came is our own bug`() async {
    await #expect(processExitsWith: .failure) {
      let listener = try StreamListener(address: Endpoint("127.0.0.1:0"))
      let stream = try StreamSocket(connectingTo: listener.localEndpoint())
      stream.consume(1)
      exit(EXIT_SUCCESS)
    }
  }
}

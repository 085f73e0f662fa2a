import Datagrams
import Foundation
import Lanes
import Replication
import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(3)))
struct `Streams for answers` {
  static let weather = Faults(drop: 0.05, duplicate: 0.05, reorder: 0.05, seed: 71)
  static let words = "a leg's answers come by its session from now on"

  /// How a stream is lost in mid-mirror.
  enum Loss: CaseIterable {
    /// An end shuts it down.
    case ours, theirs
    /// Reset, with all that has come and was not read.
    case reset
  }

  @Test(arguments: Loss.allCases)
  func `are lost without loss of a write`(loss: Loss) async throws {
    try await MirrorScene.run(legs: 3, faults: Self.weather) { scene in
      let log = RecordedLog()
      let mirror = try await Mirror.establish(try scene.options(), logger: log.logger)
      scene.endLater { _ = await mirror.terminate() }
      let legs = mirror.parts[0].membership.withLock { $0.legs }
      let offer = try #require(legs[1].answers)
      let image = randomBytes(8 << 20)
      let starts = stride(from: 0, to: image.count, by: 32 << 10)
      var open: [Task<WriteResult, Never>] = []
      for start in starts.prefix(128) {
        open.append(mirror.start(Array(image[start..<start + (32 << 10)]), at: start))
      }
      #expect(await open[16].value.isGood)
      #expect(!log.lines.contains { $0.contains(Self.words) }, "\(log.lines)")
      #expect(Sockets.lose(offer.endpoint, loss))
      for start in starts.dropFirst(128) {
        open.append(mirror.start(Array(image[start..<start + (32 << 10)]), at: start))
      }
      for write in open { #expect(await write.value.isGood) }
      #expect(mirror.statistics().legs.map(\.status).bad == [])
      #expect(await mirror.terminate().bad == [])
      // Only that one, and none at the end.
      let told = log.lines.filter { $0.contains(Self.words) }
      #expect(told.count == 1 && told[0].contains("\"leg\": 1"), "\(log.lines)")
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test(arguments: [1, 2])
  func `end with the mirror, which is no news`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 3, size: "1M", lanes: lanes) { scene in
      for _ in 0..<4 {
        let log = RecordedLog()
        var options = try scene.options()
        options.lanes.placements = Array(repeating: "any", count: lanes)
        let mirror = try await Mirror.establish(options, logger: log.logger)
        #expect(await mirror.write([UInt8](repeating: 1, count: 4096), at: 0).isGood)
        #expect(await mirror.terminate().bad == [])
        #expect(!log.lines.contains { $0.contains("session") }, "\(log.lines)")
      }
    }
  }

  @Test func `of as many registrations as a target takes are all watched`() async throws {
    let count = ReceiverDuty.registrationsMax
    #expect(ReceiverDuty.descriptorsMax < WaitList.countMax)
    try await MirrorScene.run([(0..<count).map { "\($0)=memory:64K" }]) { scene in
      let target = scene.targets[0]
      let session = try await plainSession(try target.url(0), offersMirror: true)
      scene.endLater { await session.close() }
      var streams: [Stream] = []
      for index in 0..<count {
        let group = try MirrorScene.newGroup()
        var request = RegistrationRequest(
          registration: UInt32(index + 1), group: group.address, port: UInt16(group.port),
          luns: [], virtualLUN: 1000 + index)
        request.sender = "127.0.0.1:9"
        request.writeLengthMax = 4096
        let grant = try await session.register(
          request, [try target.url(index)], within: 20, key: nil)
        let answers = try #require(grant.answers)
        let stream = try Stream(to: answers.endpoint)
        streams.append(stream)
        try stream.send(
          MirrorRequest.attach(registration: request.registration, token: answers.token).array)
        // No more than one at a time is a stranger.
        try await eventually { try stream.isReadByPeer }
      }
      // Each is open, and the end of each is noticed; of the last first, before there is room.
      for stream in streams { #expect(stream.isOpen) }
      for (index, stream) in streams.enumerated().reversed() {
        stream.finish()
        #expect(stream.endsWithin(seconds: 10), "stream \(index)")
      }
    }
  }
}

/// A blocking TCP stream on loopback.
private final class Stream: Sendable {
  private let descriptor: Int32

  init(to text: String) throws {
    let endpoint = try Endpoint(text)
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = Sockets.loopback(endpoint.port)
    let isConnected = withUnsafeBytes(of: &address) {
      connect(
        descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        == 0
    }
    guard isConnected else { throw Failure("no stream to \(text)") }
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8]) throws {
    guard Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
      throw Failure("send: errno \(errno)")
    }
  }

  /// Whether the other end, in this process, has taken all that was sent.
  var isReadByPeer: Bool {
    get throws {
      let port = Sockets.port(of: descriptor, getsockname)
      guard let peer = Sockets.all.first(where: { Sockets.port(of: $0, getpeername) == port })
      else { return false }
      var waiting: Int32 = 0
      return ioctl(peer, UInt(FIONREAD), &waiting) == 0 && waiting == 0
    }
  }

  var isOpen: Bool {
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) < 0 && errno == EAGAIN
  }

  func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

  func endsWithin(seconds: Int) -> Bool {
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, 0) == 0
  }
}

/// This process's TCP sockets, which belong to lanes: a test may break them, and look at them.
private enum Sockets {
  typealias Naming = (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?)
    -> Int32

  static var all: Range<Int32> { 3..<4096 }

  static func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = port.bigEndian
    return address
  }

  /// The port at one end of a TCP socket over IPv4; nil for anything else.
  static func port(of descriptor: Int32, _ naming: Naming) -> UInt16? {
    var kind: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &kind, &size) == 0,
      kind == Int32(SOCK_STREAM.rawValue)
    else { return nil }
    var address = sockaddr_in()
    size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isNamed = withUnsafeMutableBytes(of: &address) {
      naming(descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &size) == 0
    }
    return isNamed && address.sin_family == AF_INET ? UInt16(bigEndian: address.sin_port) : nil
  }

  /// Ends the one stream to `endpoint`; whether there was one.
  static func lose(_ endpoint: Endpoint, _ loss: `Streams for answers`.Loss) -> Bool {
    let ours = all.first { port(of: $0, getpeername) == endpoint.port }
    let theirs = all.first {
      port(of: $0, getsockname) == endpoint.port && port(of: $0, getpeername) != nil
    }
    guard let ours, let theirs else { return false }
    switch loss {
    case .ours: return shutdown(ours, Int32(SHUT_RDWR)) == 0
    case .theirs: return shutdown(theirs, Int32(SHUT_RDWR)) == 0
    case .reset:
      // connect(2): of no family, it dissolves the association; TCP sends a reset.
      var nobody = sockaddr()
      nobody.sa_family = sa_family_t(AF_UNSPEC)
      return connect(ours, &nobody, socklen_t(MemoryLayout<sockaddr>.size)) == 0
    }
  }
}

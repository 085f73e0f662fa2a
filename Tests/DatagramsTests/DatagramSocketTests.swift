import Foundation
import Lanes
import Testing

@testable import Datagrams

@Suite struct DatagramSocketTests {
  let lo: NetworkInterface
  let port = UInt16.random(in: 20_000...30_000)

  init() throws { lo = try NetworkInterface(named: "lo") }

  func newGroup(_ family: Endpoint.Family) throws -> Endpoint {
    let low = UInt16.random(in: 1...0xfffe)
    let text =
      family == .v4
      ? "239.255.\(low >> 8).\(low & 0xff)" : "ff15::\(String(low, radix: 16))"
    return try Endpoint(text, defaultPort: port)
  }

  func receiver(_ group: Endpoint, buffer: Int = 1 << 20) throws -> DatagramSocket {
    try .groupReceiver(group: group, interface: lo, receiveBufferByteCount: buffer)
  }

  func sender(_ address: Endpoint, hops: Int = 1) throws -> DatagramSocket {
    try .groupSender(
      address: address, interface: lo, hops: hops, loopsBack: true, sendBufferByteCount: 1 << 20)
  }

  func send(_ bytes: [UInt8], from socket: DatagramSocket, to peer: Endpoint) throws {
    var batch = DepartureBatch(datagramMax: 65536)
    batch.setDestination(0, peer)
    batch.append(copying: bytes.span.bytes, to: 0)
    #expect(try socket.send(&batch) == 1)
  }

  /// Waits for datagrams and gives all that is there.
  func receiveAll(
    _ socket: DatagramSocket, _ count: Int = 1, datagramMax: Int = 2048
  ) throws -> [(bytes: [UInt8], source: Endpoint?, isTruncated: Bool)] {
    var all: [(bytes: [UInt8], source: Endpoint?, isTruncated: Bool)] = []
    while all.count < count {
      var list = WaitList()
      list.append(socket.descriptor)
      try #require(try list.wait(nanoseconds: 60_000_000_000) == 1, "nothing came")
      all += try receiveWhatIsThere(socket, datagramMax: datagramMax)
    }
    return all
  }

  func receiveWhatIsThere(
    _ socket: DatagramSocket, datagramMax: Int = 2048
  ) throws -> [(bytes: [UInt8], source: Endpoint?, isTruncated: Bool)] {
    var batch = ArrivalBatch(capacity: 16, slotByteCount: datagramMax)
    var all: [(bytes: [UInt8], source: Endpoint?, isTruncated: Bool)] = []
    while try socket.receive(into: &batch) > 0 {
      for index in 0..<batch.count {
        all.append(
          (Array(batch.bytes(index)), batch.source(index), batch.isTruncated(index)))
      }
    }
    return all
  }

  @Test(arguments: Namespace.families)
  func `a group is heard from the joined source only`(family: Endpoint.Family) throws {
    try Namespace.run(for: family) {
      let group = try newGroup(family)
      let own = try lo.address(family)
      let right = try sender(own)
      let receiver = try receiver(group)
      // Before any join nothing is heard.
      try send([1], from: right, to: group)
      try receiver.join(source: own)
      let wrong = try sender(Endpoint(family == .v4 ? "127.0.0.2:0" : "[fd77::2]:0"))
      try send([2], from: wrong, to: group)
      try send([3], from: right, to: group)
      let heard = try receiveAll(receiver)
      #expect(heard.map(\.bytes) == [[3]])
      #expect(heard.first?.source == (try right.localEndpoint()))
    }
  }

  @Test(arguments: Namespace.families)
  func `joins of one source are shared and counted`(family: Endpoint.Family) throws {
    try Namespace.run(for: family) {
      let group = try newGroup(family)
      let own = try lo.address(family)
      let sender = try sender(own)
      let receiver = try receiver(group)
      try receiver.join(source: own)
      try receiver.join(source: own.with(port: 9))
      #expect(try !receiver.leave(source: own))
      try send([1], from: sender, to: group)
      #expect(try receiveAll(receiver).map(\.bytes) == [[1]])
      #expect(try receiver.leave(source: own))
      try send([2], from: sender, to: group)
      // Any source now; what was sent before it must not show up.
      try receiver.join(source: nil)
      try send([3], from: sender, to: group)
      #expect(try receiveAll(receiver).map(\.bytes) == [[3]])
      #expect(try receiver.leave(source: nil))
    }
  }

  @Test(arguments: Namespace.families)
  func `two receivers hear one datagram, and no other group's`(family: Endpoint.Family) throws {
    try Namespace.run(for: family) {
      let group = try newGroup(family)
      let other = try newGroup(family)
      let own = try lo.address(family)
      let sender = try sender(own)
      let receivers = try [receiver(group), receiver(group), receiver(other)]
      for receiver in receivers { try receiver.join(source: own) }
      try send([1], from: sender, to: group)
      try send([2], from: sender, to: other)
      #expect(try receivers.map { try receiveAll($0).map(\.bytes) } == [[[1]], [[1]], [[2]]])
    }
  }

  @Test(arguments: Namespace.families)
  func `repairs come by unicast from the group's sender`(family: Endpoint.Family) throws {
    try Namespace.run(for: family) {
      let group = try newGroup(family)
      let own = try lo.address(family)
      let sender = try sender(own)
      let repairs = try DatagramSocket.unicast(address: own, receiveBufferByteCount: 1 << 20)
      let receiver = try receiver(group)
      try receiver.join(source: own)
      var batch = DepartureBatch(datagramMax: 64)
      batch.setDestination(0, group)
      batch.setDestination(1, try repairs.localEndpoint())
      batch.nextSlot.copyBytes(from: [7, 7])
      batch.append(byteCount: 2, to: 0)
      batch.append(copying: [UInt8]([8, 8, 8]).span.bytes, to: 1)
      #expect(try sender.send(&batch) == 2)
      let left = batch.count
      #expect(left == 0)
      let byGroup = try receiveAll(receiver)
      let byUnicast = try receiveAll(repairs)
      #expect(byGroup.map(\.bytes) == [[7, 7]])
      #expect(byUnicast.map(\.bytes) == [[8, 8, 8]])
      #expect(byGroup.first?.source == byUnicast.first?.source)
      #expect(byGroup.first?.source?.port == (try sender.localEndpoint().port))
    }
  }

  @Test func `a datagram longer than its slot is marked, one that fits is not`() throws {
    let socket = try DatagramSocket.unicast(
      address: lo.address(.v4), receiveBufferByteCount: 1 << 20)
    let sender = try sender(lo.address(.v4))
    for count in [100, 101, 0] {
      try send([UInt8](repeating: 1, count: count), from: sender, to: socket.localEndpoint())
    }
    let heard = try receiveAll(socket, 3, datagramMax: 100)
    #expect(heard.map(\.isTruncated) == [false, true, false])
    #expect(heard.map(\.bytes.count) == [100, 100, 0])
  }

  @Test func `what the kernel drops at the socket is counted`() throws {
    let socket = try DatagramSocket.unicast(
      address: lo.address(.v4), receiveBufferByteCount: 4096)
    #expect(socket.receiveBufferByteCount > 0)
    let sender = try sender(lo.address(.v4))
    let to = try socket.localEndpoint()
    for _ in 0..<50 { try send([UInt8](repeating: 1, count: 1400), from: sender, to: to) }
    let first = try receiveAll(socket).count
    #expect(first < 50)
    try send([1], from: sender, to: to)
    #expect(try receiveAll(socket).count == 1)
    #expect(Int(socket.droppedCount) == 50 - first)
  }

  @Test func `a datagram that can't be sent is an error of its own; the others go`() throws {
    let socket = try DatagramSocket.unicast(
      address: lo.address(.v4), receiveBufferByteCount: 1 << 20)
    let sender = try sender(lo.address(.v4))
    let to = try socket.localEndpoint()
    var batch = DepartureBatch(datagramMax: 65536)
    batch.setDestination(0, to)
    for count in [1, 65536, 2] {
      batch.append(copying: [UInt8](repeating: 1, count: count).span.bytes, to: 0)
    }
    let waiting = batch.count
    #expect(waiting == 3)
    #expect(try sender.send(&batch) == 1)
    #expect(throws: SystemError(doing: "send datagrams", number: EMSGSIZE)) {
      _ = try sender.send(&batch)
    }
    batch.discardFirst()
    #expect(try sender.send(&batch) == 1)
    let left = batch.count
    #expect(left == 0)
    #expect(try receiveAll(socket, 2).map(\.bytes.count) == [1, 2])
  }

  @Test func `nothing to receive and nothing to send are values`() throws {
    let socket = try DatagramSocket.unicast(
      address: lo.address(.v4), receiveBufferByteCount: 1 << 20)
    var arrivals = ArrivalBatch(capacity: 4, slotByteCount: 64)
    var departures = DepartureBatch(datagramMax: 64)
    #expect(try socket.receive(into: &arrivals) == 0)
    let arrived = arrivals.count
    #expect(arrived == 0)
    #expect(try socket.send(&departures) == 0)
  }

  @Test func `an address that isn't ours can't be bound`() throws {
    #expect {
      _ = try DatagramSocket.unicast(
        address: Endpoint("192.0.2.77:0"), receiveBufferByteCount: 1 << 20)
    } throws: { error in
      (error as? SystemError)?.number == EADDRNOTAVAIL
    }
  }

  @Test func `leaving what was never joined is our own bug`() async {
    await #expect(processExitsWith: .failure) {
      let lo = try NetworkInterface(named: "lo")
      let socket = try DatagramSocket.groupReceiver(
        group: Endpoint("239.255.1.1:20000"), interface: lo, receiveBufferByteCount: 4096)
      try socket.leave(source: nil)
      exit(EXIT_SUCCESS)
    }
  }
}

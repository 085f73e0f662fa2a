import Foundation
import Lanes
import Testing

@testable import Datagrams

/// Sockets on loopback, and datagrams that can be told apart.
struct Loopback {
  let interface: NetworkInterface

  init() throws { interface = try NetworkInterface(named: "lo") }

  func receiver(
    _ family: Endpoint.Family = .v4, _ coalescing: OffloadPolicy = .automatic
  ) throws -> DatagramSocket {
    try .unicast(
      address: interface.address(family), receiveBufferByteCount: 8 << 20, coalescing: coalescing)
  }

  func sender(
    to peer: Endpoint? = nil, _ segmentation: OffloadPolicy = .automatic, buffer: Int = 8 << 20,
    family: Endpoint.Family = .v4
  ) throws -> DatagramSocket {
    try .groupSender(
      address: interface.address(family), interface: interface, loopsBack: true,
      sendBufferByteCount: buffer,
      connects: peer, segmentation: segmentation)
  }

  /// Datagram `number` of that length: no two are alike.
  static func datagram(_ number: Int, _ length: Int) -> [UInt8] {
    (0..<length).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0 &* 7 &+ $0 / 256) }
  }

  func put(_ lengths: [Int], into batch: inout DepartureBatch, to destination: Int = 0) {
    for (number, length) in lengths.enumerated() {
      batch.append(copying: Self.datagram(number, length).span.bytes, to: destination)
    }
  }

  func sendAll(_ batch: inout DepartureBatch, from socket: DatagramSocket) throws -> Int {
    var sent = 0
    while !batch.isEmpty {
      sent += try socket.send(&batch)
      guard !batch.isEmpty else { break }
      var list = WaitList()
      list.append(socket.descriptor, wantsWrite: true)
      try #require(try list.wait(nanoseconds: 60_000_000_000) == 1, "never writable again")
    }
    return sent
  }

  /// All that is there when `count` datagrams have come, which a busy kernel may put off: each
  /// datagram, and how many messages it took.
  func heard(
    _ socket: DatagramSocket, _ count: Int, slotByteCount: Int = ArrivalBatch.slotByteCountMax
  ) throws -> (datagrams: [[UInt8]], messages: Int, cut: Int) {
    var batch = ArrivalBatch(capacity: 4, slotByteCount: slotByteCount)
    var all: (datagrams: [[UInt8]], messages: Int, cut: Int) = ([], 0, 0)
    while true {
      if try socket.receive(into: &batch) == 0 {
        if all.datagrams.count + all.cut >= count { return all }
        var list = WaitList()
        list.append(socket.descriptor)
        try #require(try list.wait(nanoseconds: 60_000_000_000) == 1, "no more came")
      }
      for index in 0..<batch.count {
        let datagrams = batch.datagrams(index)
        for piece in 0..<datagrams.count { all.datagrams.append(Array(datagrams[piece])) }
        all.messages += 1
        all.cut += datagrams.cutCount
        #expect(batch.isTruncated(index) == (datagrams.cutCount > 0))
      }
    }
  }
}

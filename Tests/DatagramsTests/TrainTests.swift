import Foundation
import Lanes
import Testing

@testable import Datagrams

@Suite struct TrainTests {
  let loopback: Loopback
  init() throws { loopback = try Loopback() }

  static let mixed =
    [Int](repeating: 1472, count: 44) + [1472, 1472, 300, 1472, 72, 72, 1472, 0, 0, 5, 5, 5, 4, 5]
    + [Int](repeating: 1, count: 130) + [65_000, 9_000, 9_000, 1]

  @Test(arguments: Namespace.families, [OffloadPolicy.automatic, .off, .failsAtFirstUse])
  func `trains arrive as the datagrams they were`(
    family: Endpoint.Family, policy: OffloadPolicy
  ) throws {
    try Namespace.run(for: family) {
      for coalescing in [OffloadPolicy.automatic, .off, .failsAtFirstUse] {
        let receiver = try loopback.receiver(family, coalescing)
        let sender = try loopback.sender(to: receiver.localEndpoint(), policy, family: family)
        var batch = DepartureBatch(datagramMax: 65_000, arenaByteCount: 1 << 20)
        loopback.put(Self.mixed, into: &batch)
        #expect(try loopback.sendAll(&batch, from: sender) == Self.mixed.count)
        let heard = try loopback.heard(receiver, Self.mixed.count)
        #expect(heard.datagrams.map(\.count) == Self.mixed)
        let isAll =
          heard.datagrams
          == Self.mixed.enumerated().map { Loopback.datagram($0.offset, $0.element) }
        #expect(isAll)
        if policy == .automatic, coalescing == .automatic {
          #expect(heard.messages <= 20, "nothing was coupled")
        } else {
          #expect(heard.messages >= Self.mixed.count)
        }
      }
    }
  }

  @Test(arguments: Namespace.families)
  func `a connected sender reaches its group and other addresses`(
    family: Endpoint.Family
  ) throws {
    try Namespace.run(for: family) {
      let port = UInt16.random(in: 20_000...30_000)
      let group = try Endpoint(family == .v4 ? "239.255.7.7" : "ff15::77", defaultPort: port)
      let members = try (0..<2).map { _ in
        try DatagramSocket.groupReceiver(
          group: group, interface: loopback.interface, receiveBufferByteCount: 1 << 20)
      }
      let sender = try loopback.sender(to: group, family: family)
      for member in members { try member.join(source: sender.localEndpoint()) }
      let leg = try loopback.receiver(family)
      var batch = DepartureBatch(datagramMax: 1472)
      batch.setDestination(1, try leg.localEndpoint())
      for number in 0..<6 {
        // Two to the group, two to the leg, two to the group: three trains.
        batch.append(copying: Loopback.datagram(number, 1400).span.bytes, to: number / 2 % 2)
      }
      #expect(try loopback.sendAll(&batch, from: sender) == 6)
      for member in members {
        let heard = try loopback.heard(member, 4)
        #expect(heard.datagrams == [0, 1, 4, 5].map { Loopback.datagram($0, 1400) })
        #expect(heard.messages == 2)
      }
      #expect(try loopback.heard(leg, 2).datagrams == [2, 3].map { Loopback.datagram($0, 1400) })
    }
  }

  @Test func `a train has at most so many datagrams and bytes`() throws {
    let receiver = try loopback.receiver()
    let sender = try loopback.sender(to: receiver.localEndpoint())
    for (length, each) in [(100, 64), (1472, 44), (9000, 7), (40_000, 1)] {
      var batch = DepartureBatch(datagramMax: length, arenaByteCount: 20 * 65_536)
      loopback.put([Int](repeating: length, count: each * 2 + 1), into: &batch)
      #expect(try loopback.sendAll(&batch, from: sender) == each * 2 + 1)
      let heard = try loopback.heard(receiver, each * 2 + 1)
      #expect(heard.datagrams.count == each * 2 + 1)
      #expect(heard.messages == 3)
    }
    var short = DepartureBatch(datagramMax: 100, trainDatagramsMax: 3)
    loopback.put([Int](repeating: 100, count: 7), into: &short)
    #expect(try loopback.sendAll(&short, from: sender) == 7)
    #expect(try loopback.heard(receiver, 7).messages == 3)
  }

  @Test(arguments: [(72, 256), (1016, 252), (1472, 176), (8972, 28), (65_000, 4), (65_536, 4)])
  func `by default a batch is four full trains, and nothing odd`(length: Int, count: Int) throws {
    let receiver = try loopback.receiver()
    let sender = try loopback.sender(to: receiver.localEndpoint())
    var batch = DepartureBatch(datagramMax: length)
    while !batch.isFull { batch.append(byteCount: length, to: 0) }
    let waiting = batch.count
    #expect(waiting == count)
    let pages = batch.pageKind
    if length > 1016 { #expect(pages != .ordinary || !PageKind.hasTransparent) }
    guard length <= 65_000 else { return }
    #expect(try loopback.sendAll(&batch, from: sender) == count)
    #expect(try loopback.heard(receiver, count).messages == 4)
  }

  @Test func `a batch is full before a datagram finds no room`() {
    var byBytes = DepartureBatch(datagramMax: 100, arenaByteCount: 250)
    loopback.put([100, 51], into: &byBytes)
    let isFullByBytes = byBytes.isFull
    #expect(isFullByBytes)
    byBytes.removeAll()
    loopback.put([100, 50], into: &byBytes)
    let hasRoom = !byBytes.isFull
    #expect(hasRoom)
    var byTrains = DepartureBatch(datagramMax: 100, trainsMax: 3)
    loopback.put([10, 20], into: &byTrains)
    let hasTrain = !byTrains.isFull
    #expect(hasTrain)
    loopback.put([30], into: &byTrains)
    let isFullByTrains = byTrains.isFull
    #expect(isFullByTrains)
    let count = byTrains.count
    #expect(count == 3)
  }

  @Test func `a train refused at run time goes singly, nothing lost, nothing twice`() throws {
    let receiver = try loopback.receiver()
    let sender = try loopback.sender(to: receiver.localEndpoint(), .failsAtFirstUse)
    #expect(sender.segmentation == .on)
    var batch = DepartureBatch(datagramMax: 1472)
    let lengths = [10, 1000, 1000, 1000, 7, 20]
    loopback.put(lengths, into: &batch)
    #expect(try loopback.sendAll(&batch, from: sender) == lengths.count)
    let error = SystemError(doing: "send trains", number: EIO)
    #expect(sender.segmentation == .failed(error))
    #expect(sender.takeSegmentationFailure() == error)
    #expect(sender.takeSegmentationFailure() == nil)
    loopback.put([500, 500], into: &batch)
    #expect(try loopback.sendAll(&batch, from: sender) == 2)
    let heard = try loopback.heard(receiver, lengths.count + 2)
    #expect(heard.datagrams.map(\.count) == lengths + [500, 500])
    #expect(sender.takeSegmentationFailure() == nil)
  }

  @Test func `the kernel itself refuses a train, and it goes singly`() throws {
    // Without checksums there is no segmentation: udp(7) says EINVAL, or EIO.
    let receiver = try loopback.receiver()
    let sender = try loopback.sender(to: receiver.localEndpoint())
    var one: Int32 = 1
    try #require(setsockopt(sender.descriptor, SOL_SOCKET, SO_NO_CHECK, &one, 4) == 0)
    var batch = DepartureBatch(datagramMax: 1472)
    loopback.put([1000, 1000, 999], into: &batch)
    #expect(try loopback.sendAll(&batch, from: sender) == 3)
    guard case .failed = sender.segmentation else {
      Issue.record("still \(sender.segmentation)")
      return
    }
    #expect(
      try loopback.heard(receiver, 3).datagrams
        == [0, 1, 2].map { Loopback.datagram($0, $0 < 2 ? 1000 : 999) })
  }

  @Test(.enabled(if: Namespace.isPossible))
  func `datagrams too long for the way are errors of their own, trains go on`() throws {
    try Namespace.runAlone {
      try Namespace.tool("ip", "link", "set", "lo", "mtu", "1500")
      let receiver = try loopback.receiver()
      let sender = try loopback.sender(to: receiver.localEndpoint())
      var batch = DepartureBatch(datagramMax: 2000)
      loopback.put([1472, 1472, 1473, 1473, 72, 1472, 1472], into: &batch)
      #expect(try sender.send(&batch) == 2)
      for _ in 0..<2 {
        #expect(throws: SystemError(doing: "send datagrams", number: EMSGSIZE)) {
          _ = try sender.send(&batch)
        }
        batch.discardFirst()
      }
      #expect(try sender.send(&batch) == 3)
      #expect(sender.segmentation == .on)
      let heard = try loopback.heard(receiver, 5)
      #expect(
        heard.datagrams == [0, 1, 4, 5, 6].map { Loopback.datagram($0, $0 == 4 ? 72 : 1472) })
      #expect(heard.messages == 3)
    }
  }

  @Test func `of a coupled message cut off by its slot the whole ones are taken`() throws {
    let receiver = try loopback.receiver()
    let sender = try loopback.sender(to: receiver.localEndpoint())
    var batch = DepartureBatch(datagramMax: 1000)
    loopback.put([1000, 1000, 1000, 1000, 10], into: &batch)
    #expect(try loopback.sendAll(&batch, from: sender) == 5)
    let heard = try loopback.heard(receiver, 5, slotByteCount: 2500)
    #expect(heard.datagrams == [0, 1].map { Loopback.datagram($0, 1000) })
    #expect(heard.cut == 3)
  }

  @Test(arguments: [
    // sent, came, segment → whole, cut, the last one's length
    (0, 0, 0, 1, 0, 0), (100, 100, 0, 1, 0, 100), (100, 60, 0, 0, 1, 0),
    (100, 100, 100, 1, 0, 100), (100, 100, 101, 1, 0, 100), (100, 100, 65535, 1, 0, 100),
    (100, 100, -1, 1, 0, 100), (100, 100, 1, 100, 0, 1), (100, 100, 33, 4, 0, 1),
    (100, 99, 33, 3, 1, 33), (100, 32, 33, 0, 4, 0), (100, 66, 50, 1, 1, 50),
  ])
  func `whatever lengths are told, no datagram reaches beyond the bytes`(
    sent: Int, came: Int, segment: Int, whole: Int, cut: Int, last: Int
  ) {
    let bytes = [UInt8](repeating: 1, count: came)
    bytes.withUnsafeBytes { bytes in
      let all = ArrivedDatagrams(bytes, sentByteCount: sent, segmentByteCount: segment)
      #expect(all.count == whole)
      #expect(all.cutCount == cut)
      if whole > 0 { #expect(all[whole - 1].count == last) }
      let total = (0..<all.count).reduce(0) { $0 + all[$1].count }
      #expect(total <= came)
      if cut == 0 { #expect(total == came) }
    }
  }
}

// What this machine can do for the data path, by trying: a kernel that takes an option may still do
// nothing with it. One train and a few single datagrams go over loopback, and what comes is looked
// at. A network card may do less or more; its sockets find that out for themselves.

internal import Glibc
internal import Lanes

/// What was found of the offloads, and of huge pages.
package struct OffloadProbe: Equatable, Sendable {
  /// On when a train was sent as one message and arrived whole.
  package private(set) var segmentation = Offload.off
  /// On when it arrived as one message; where trains can't be sent, when the kernel takes the wish.
  package private(set) var coalescing = Offload.off
  /// On when several messages came by one call.
  package private(set) var batching = Offload.off
  package let hasTransparentHugePages: Bool
  package let freeHugePageCount: Int

  private static let datagramByteCount = 1000
  private static let trainDatagramCount = 8
  private static let singleCount = 4
  private static let attemptsMax = 8
  private static let patienceNanoseconds: UInt64 = 500_000_000

  /// Tries it all, which takes some milliseconds; a second where datagrams vanish.
  package static func run(
    segmentation: OffloadPolicy = .automatic, coalescing: OffloadPolicy = .automatic
  ) -> OffloadProbe {
    var probe = OffloadProbe()
    do throws(SystemError) {
      try probe.tryLoopback("127.0.0.1:0", segmentation, coalescing)
    } catch {
      do throws(SystemError) {
        try probe.tryLoopback("[::1]:0", segmentation, coalescing)
      } catch {
        probe.segmentation = .unavailable(error)
        probe.coalescing = .unavailable(error)
        probe.batching = .unavailable(error)
      }
    }
    return probe
  }

  private init() {
    hasTransparentHugePages = PageKind.hasTransparent
    freeHugePageCount = PageKind.freeInPool
  }

  private mutating func tryLoopback(
    _ text: String, _ segmentationPolicy: OffloadPolicy, _ coalescingPolicy: OffloadPolicy
  ) throws(SystemError) {
    guard let address = try? Endpoint(text) else { preconditionFailure("loopback's address") }
    let receiver = try DatagramSocket.unicast(
      address: address, receiveBufferByteCount: 1 << 20, coalescing: coalescingPolicy)
    let sender = try DatagramSocket.unicast(
      address: address, receiveBufferByteCount: 1 << 16, segmentation: segmentationPolicy)
    var departures = DepartureBatch(datagramMax: Self.datagramByteCount, arenaByteCount: 1 << 16)
    departures.setDestination(0, try receiver.localEndpoint())
    let lengths = [Int](repeating: Self.datagramByteCount, count: Self.trainDatagramCount)
    let train = try pass(lengths, &departures, from: sender, to: receiver)
    segmentation = sender.segmentation
    coalescing = receiver.coalescing
    let lost = SystemError(doing: "send a train over loopback", number: EIO)
    if train.datagrams < lengths.count, segmentation == .on { segmentation = .failed(lost) }
    if segmentation == .on, coalescing == .on, train.messages != 1 {
      coalescing = .failed(
        SystemError(doing: "receive a train whole over loopback", number: EOPNOTSUPP))
    }
    batching = .failed(
      SystemError(doing: "receive several datagrams at once", number: EOPNOTSUPP))
    // Again, because a busy machine may deliver them one by one.
    for _ in 0..<Self.attemptsMax where batching != .on {
      // Each longer than the one before: no two of them are a train.
      let singles = try pass(
        (1...Self.singleCount).map { $0 * 10 }, &departures, from: sender, to: receiver)
      if singles.messagesMax > 1 { batching = .on }
      if singles.datagrams == 0 { break }
    }
  }

  /// What came of some datagrams: how many, in how many messages, and the most by one call.
  private func pass(
    _ lengths: [Int], _ departures: inout DepartureBatch, from sender: DatagramSocket,
    to receiver: DatagramSocket
  ) throws(SystemError) -> (datagrams: Int, messages: Int, messagesMax: Int) {
    for length in lengths { departures.append(byteCount: length, to: 0) }
    while try sender.send(&departures) > 0 {}
    departures.removeAll()
    var arrivals = ArrivalBatch()
    var came = (datagrams: 0, messages: 0, messagesMax: 0)
    let end = MonotonicClock.now() + Self.patienceNanoseconds
    while came.datagrams < lengths.count {
      let now = MonotonicClock.now()
      guard now < end else { break }
      var list = WaitList()
      list.append(receiver.descriptor)
      try list.wait(nanoseconds: end - now)
      let count = try receiver.receive(into: &arrivals)
      came.messages += count
      came.messagesMax = max(came.messagesMax, count)
      for index in 0..<count { came.datagrams += arrivals.datagramCount(index) }
    }
    return came
  }
}

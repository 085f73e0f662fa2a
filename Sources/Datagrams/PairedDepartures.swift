// Two ports as one, for a mirror whose legs don't all hear one transport. What goes to the group
// goes out by both, what goes to one leg by the port that this leg hears; whoever assembles knows
// nothing of it.
//
//   batch    sent by the first port, which leaves out what isn't its own
//   copies   of what the second port has to send, taken when the batch is sent: before the first
//            port takes a datagram its copy is there, so neither falls behind by more than a batch

package import Lanes

/// A port that sends by another one, and copies by a socket.
package final class PairedDepartures: DeparturePort {
  private let first: any DeparturePort
  private let second: DatagramSocket
  /// Where the socket's datagrams to the group go; nil where it is connected there.
  private let secondGroup: Endpoint?
  private let headerByteCount: Int
  private var copies: DepartureBatch?
  /// How many of the datagrams that wait in the caller's batch have their copies.
  private var copied = 0
  /// Destinations of the socket's own.
  private var isSecond: [Bool] = []
  private var secondCount = 0
  private var isSecondBlocked = false
  private var untold: PortNews?
  private var hasFailed = false
  /// Bytes that the socket's datagrams had on the wire.
  package private(set) var copiedByteCount: UInt64 = 0

  /// - Parameter headerByteCount: what a datagram of the socket has in front of it.
  package init(
    _ first: any DeparturePort, copyingBy second: DatagramSocket, group secondGroup: Endpoint?,
    headerByteCount: Int
  ) {
    self.first = first
    self.second = second
    self.secondGroup = secondGroup
    self.headerByteCount = headerByteCount
  }

  /// Of the port that takes no more.
  package var descriptor: Int32 { isSecondBlocked ? second.descriptor : first.descriptor }
  package var newsDescriptor: Int32 { first.newsDescriptor }
  package var isLost: Bool { first.isLost }
  package var segmentation: Offload { second.segmentation }
  package var queuePair: QueuePairPlace? { first.queuePair }
  package var ways: any WayFinder { PairedWays(first: first.ways, second: second.ways) }
  package func localEndpoint() throws(SystemError) -> Endpoint { try first.localEndpoint() }

  package func makeBatch(
    datagramMax: Int, destinationsMax: Int, node: Int?, pages: PagePolicy
  ) throws(SystemError) -> DepartureBatch {
    var own = second.makeBatch(
      datagramMax: datagramMax, destinationsMax: destinationsMax, node: node, pages: pages)
    if let secondGroup { second.setDestination(0, DepartureWay(secondGroup), in: &own) }
    copies = consume own
    isSecond = Array(repeating: false, count: destinationsMax)
    return try first.makeBatch(
      datagramMax: datagramMax, destinationsMax: destinationsMax, node: node, pages: pages)
  }

  package func setDestination(
    _ index: Int, _ way: DepartureWay?, in batch: inout DepartureBatch
  ) {
    let isOwn = index > 0 && way.map { $0.handle == nil } ?? false
    if index > 0 {
      secondCount += (isOwn ? 1 : 0) - (isSecond[index] ? 1 : 0)
      isSecond[index] = isOwn
    }
    if isOwn { copies?.setDestination(index, way?.endpoint) }
    first.setDestination(index, isOwn ? nil : way, in: &batch)
  }

  package func send(_ batch: inout DepartureBatch) throws(SystemError) -> Int {
    // What an error has taken out of the batch had its copy.
    copied = min(copied, batch.count)
    repeat {
      copied += copy(&batch)
      guard sendCopies() else { return 0 }
    } while copied < batch.count
    let left = try first.send(&batch)
    copied = max(0, copied - left)
    return left
  }

  /// Copies what has none yet, as much as there is room for; how many datagrams it looked at.
  private func copy(_ batch: inout DepartureBatch) -> Int {
    guard secondCount > 0 else { return batch.count - copied }
    return batch.withTrains { trains in
      // Safe: a datagram that waits is the batch's, and is read within the closure.
      unsafe trains.visit(from: copied) { bytes, destination in
        guard destination == 0 || isSecond[destination] else { return true }
        guard copies?.isFull == false else { return false }
        unsafe copies?.append(copying: bytes.bytes, to: destination)
        copiedByteCount += UInt64(bytes.count + headerByteCount)
        return true
      }
    }
  }

  /// Whether all copies have gone; else the socket takes no more now.
  private func sendCopies() -> Bool {
    isSecondBlocked = false
    while copies?.isEmpty == false {
      do throws(SystemError) {
        if try sendSome() == 0 {
          isSecondBlocked = true
          return false
        }
      } catch {
        // The datagram is lost, and will be repaired.
        if !hasFailed { untold = .copyFailed(error) }
        hasFailed = true
        copies?.discardFirst()
      }
    }
    return true
  }

  private func sendSome() throws(SystemError) -> Int {
    guard var own = copies.take() else { return 0 }
    let result: Result<Int, SystemError>
    do throws(SystemError) {
      result = .success(try second.send(&own))
    } catch {
      result = .failure(error)
    }
    copies = consume own
    return try result.get()
  }

  package func takeNews(looking: Bool) -> PortNews? {
    defer { untold = nil }
    return untold ?? first.takeNews(looking: looking) ?? second.takeNews(looking: false)
  }
}

/// Ways from both ports: a queue pair is the first one's peer, an address with a port the second's.
struct PairedWays: WayFinder {
  let first: any WayFinder
  let second: any WayFinder

  var mayWait: Bool { first.mayWait }

  func way(to peer: Endpoint, at address: Endpoint?) throws(SystemError) -> DepartureWay {
    try (peer.port == 0 ? first : second).way(to: peer, at: address)
  }
}

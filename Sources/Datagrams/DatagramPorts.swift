// What a lane needs of whatever carries its datagrams: one call sends a batch, one receives a
// batch. UDP sockets and RDMA queue pairs are both; a call through a protocol costs some
// nanoseconds, hence none is made for a single datagram.

package import Lanes

/// Where datagrams go out; owned by one thread.
package protocol DeparturePort: AnyObject {
  /// Ready when a port that took no more may take something again.
  var descriptor: Int32 { get }
  /// Whether trains go as one message each.
  var segmentation: Offload { get }

  /// Room for datagrams that this port can send.
  func makeBatch(
    datagramMax: Int, destinationsMax: Int, node: Int?, pages: PagePolicy
  ) throws(SystemError) -> DepartureBatch

  /// Says where datagrams to `index` go, by a way that this port's finder found. Nil: nowhere, or
  /// by a socket to the group that it was made for.
  func setDestination(_ index: Int, _ way: DepartureWay?, in batch: inout DepartureBatch)

  /// Finds the ways to peers.
  var ways: any WayFinder { get }

  /// Sends what waits in the batch; how many left it, 0 when the port takes no more now. An error
  /// is of the first datagram that waits.
  func send(_ batch: inout DepartureBatch) throws(SystemError) -> Int

  /// Readable when the device has something to tell; negative where it never does.
  var newsDescriptor: Int32 { get }
  /// What the port has to tell, each once; nil for nothing. Asked after each send, and with a look
  /// at what the device tells when that descriptor is readable.
  func takeNews(looking: Bool) -> PortNews?
  /// Nothing goes out here any more: each `send` is an error.
  var isLost: Bool { get }

  /// What legs need to know of it; nil where datagrams go by UDP.
  var queuePair: QueuePairPlace? { get }
  /// Bytes that went out by more than one way, each further time.
  var copiedByteCount: UInt64 { get }

  /// Where the datagrams come from.
  func localEndpoint() throws(SystemError) -> Endpoint
}

/// Where datagrams come in; owned by one thread.
package protocol ArrivalPort: AnyObject {
  /// Readable when something came and `mayHold` was false.
  var descriptor: Int32 { get }
  /// Whether something may wait here though the descriptor isn't readable.
  var mayHold: Bool { get }
  /// Datagrams dropped here for want of room, as last told; nil where nobody counts them for this
  /// port.
  var dropCount: UInt32? { get }
  /// Bytes of datagrams that may wait here before any is dropped.
  var roomByteCount: Int { get }
  /// Whether datagrams that came together are received as one message.
  var coalescing: Offload { get }

  /// Readable when the device has something to tell; negative where it never does.
  var newsDescriptor: Int32 { get }
  /// What the port has to tell, each once; nil for nothing. Asked when that descriptor is readable,
  /// and when the port is lost.
  func takeNews(looking: Bool) -> PortNews?
  /// Nothing comes in here any more, and the descriptors are negative.
  var isLost: Bool { get }

  /// Hears a source in the group.
  func join(source: Endpoint?) throws(SystemError)
  /// Takes back one join; true when it was the last of that source.
  @discardableResult func leave(source: Endpoint?) throws(SystemError) -> Bool

  /// Receives what has come, as much as the batch holds; how many messages, 0 for nothing.
  func receive(into batch: inout ArrivalBatch) throws(SystemError) -> Int
  /// What was received last is done with: its memory may be filled again.
  func release(_ batch: inout ArrivalBatch)

  /// What the initiator needs to know of it; nil where datagrams come by UDP.
  var queuePair: QueuePairPlace? { get }

  /// Where the port is.
  func localEndpoint() throws(SystemError) -> Endpoint
}

extension DeparturePort {
  package var copiedByteCount: UInt64 { 0 }
}

extension DatagramSocket: DeparturePort {
  package func makeBatch(
    datagramMax: Int, destinationsMax: Int, node: Int?, pages: PagePolicy
  ) -> DepartureBatch {
    DepartureBatch(
      datagramMax: datagramMax, destinationsMax: destinationsMax, node: node, pages: pages)
  }

  package func setDestination(
    _ index: Int, _ way: DepartureWay?, in batch: inout DepartureBatch
  ) {
    batch.setDestination(index, way?.endpoint)
  }

  package var ways: any WayFinder { SocketWays() }
  package var queuePair: QueuePairPlace? { nil }
  package var newsDescriptor: Int32 { -1 }
  package var isLost: Bool { false }
  package func takeNews(looking: Bool) -> PortNews? {
    takeSegmentationFailure().map(PortNews.segmentation)
  }
}

extension DatagramSocket: ArrivalPort {
  package var dropCount: UInt32? { droppedCount }
  package var mayHold: Bool { false }
  // The kernel counts a datagram's whole buffer, up to three times its bytes.
  package var roomByteCount: Int { receiveBufferByteCount / 3 }
  package func release(_ batch: inout ArrivalBatch) {}
}

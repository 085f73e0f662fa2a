// The ways to single peers. A UDP socket needs no more than an address. An RDMA device needs a
// handle, and making one may wait for an answer of the network: so it is made by whoever adds a
// peer, and handed to the port's thread when it is there.

package import Lanes

/// The way to a peer, ready to be used by the port whose finder found it.
package struct DepartureWay: Sendable {
  package let endpoint: Endpoint
  /// What the port needs besides.
  let handle: (any AnyObject & Sendable)?

  package init(_ endpoint: Endpoint) { self.init(endpoint, handle: nil) }

  init(_ endpoint: Endpoint, handle: (any AnyObject & Sendable)?) {
    self.endpoint = endpoint
    self.handle = handle
  }
}

/// Finds the ways from a port to its peers, on any thread.
package protocol WayFinder: Sendable {
  /// Whether that may wait for the network.
  var mayWait: Bool { get }

  /// - Parameters:
  ///   - peer: where datagrams go: an address and port, or a queue pair.
  ///   - address: the peer's address in the Internet, where it has told one.
  func way(to peer: Endpoint, at address: Endpoint?) throws(SystemError) -> DepartureWay
}

/// Of a UDP socket.
struct SocketWays: WayFinder {
  var mayWait: Bool { false }

  func way(to peer: Endpoint, at address: Endpoint?) -> DepartureWay { DepartureWay(peer) }
}

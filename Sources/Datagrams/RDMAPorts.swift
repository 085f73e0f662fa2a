package import Lanes

/// Makes the ports that go by RDMA. Without the trait no place is ever found, so nothing is asked
/// for here.
package enum RDMAPorts {
  /// A queue pair that sends to a group from a local address.
  package static func departures(
    at place: RDMAPlace, group: Endpoint, local: Endpoint
  ) throws(SystemError) -> any DeparturePort {
    #if RDMA
      try RDMADepartures(at: place, group: group, local: local)
    #else
      preconditionFailure("a place of a device in a build without RDMA")
    #endif
  }

  /// A queue pair that hears a group once it has joined, and what is sent to itself.
  package static func arrivals(
    at place: RDMAPlace, key: UInt32, group: Endpoint, interface: NetworkInterface,
    local: Endpoint, memory: (node: Int?, pages: PagePolicy)
  ) throws(SystemError) -> any ArrivalPort {
    #if RDMA
      try RDMAArrivals(
        at: place, key: key, group: group, interface: interface, local: local,
        node: memory.node, pages: memory.pages)
    #else
      preconditionFailure("a place of a device in a build without RDMA")
    #endif
  }
}

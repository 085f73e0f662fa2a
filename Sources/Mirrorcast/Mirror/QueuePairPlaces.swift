import Datagrams
import Replication

extension QueuePairText {
  init(_ place: QueuePairPlace) {
    self.init(
      gid: place.endpoint.addressText, number: place.endpoint.scope, key: place.key,
      mtu: place.mtu)
  }

  /// The same to be compared, or sent to.
  func endpoint() throws(EndpointError) -> Endpoint {
    Endpoint(gid: try Endpoint("[\(gid)]:0").gid, queuePair: number)
  }
}

extension RegistrationRequest {
  /// The request for a leg without RDMA: it hears the group by UDP where datagrams go so, too, else
  /// nothing, and is served over its connection.
  var withoutQueuePair: RegistrationRequest {
    var request = self
    request.queuePair = nil
    request.sender = plainSender ?? sender
    request.plainSender = nil
    return request
  }
}

extension Transport {
  /// The block of a frame that any network carries.
  func ordinaryBlockLength(_ family: Endpoint.Family) -> Int? {
    switch self {
    case .udp: DatagramArithmetic.blockLength(mtu: 1500, family: family)
    // The MTUs of RDMA are powers of two.
    case .rdma, .rdmaOrTCP, .rdmaOrUDP: DatagramArithmetic.blockLength(activeMTU: 1024)
    }
  }
}

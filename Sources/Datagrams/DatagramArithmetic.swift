/// How much data fits a datagram that IP doesn't fragment.
package enum DatagramArithmetic {
  /// Longer packets than a jumbo frame's buy little and lose much at once.
  package static let packetMax = 9000
  /// What surrounds the data in a datagram: the PDU's header and the trailer.
  package static let overhead = 48 + 16

  private static func headers(_ family: Endpoint.Family) -> Int {
    (family == .v4 ? 20 : 40) + 8
  }

  /// The largest datagram that an interface carries whole; it holds no block when MTU is tiny.
  package static func datagramMax(mtu: Int, family: Endpoint.Family) -> Int {
    max(0, min(mtu, packetMax) - headers(family))
  }

  /// The data of a full datagram by RDMA, whose MTU is without any header but ours.
  package static func blockLength(activeMTU: Int) -> Int? {
    let length = (min(activeMTU, packetMax) - overhead) / 16 * 16
    return length >= 16 ? length : nil
  }

  /// The data of a full datagram, a multiple of 16; nil when the MTU leaves no room for any.
  package static func blockLength(mtu: Int, family: Endpoint.Family) -> Int? {
    let length = (datagramMax(mtu: mtu, family: family) - overhead) / 16 * 16
    return length >= 16 ? length : nil
  }
}

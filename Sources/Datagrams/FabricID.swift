// librdmacm knows what a fabric's management says: which port an Internet address belongs to, the
// group behind a multicast address, the path to a peer. InfiniBand tells it by no other way; on
// RoCE the answers are made up of the addresses themselves, so with the trait both go by it.

#if InfiniBand
  internal import CDatagram
  internal import CRDMACM
  internal import CVerbs
  internal import Glibc
  internal import Lanes

  /// An identifier of librdmacm at a local address. Owned by one thread.
  @safe
  final class FabricID {
    /// How long the fabric's management has for an answer.
    static let milliseconds: Int32 = 3000

    // Safe: an identifier of nothing, until init fills it.
    private var cm = unsafe mirrorcast_cm()

    /// Nil where the address is no RDMA device's.
    init?(at local: Endpoint) throws(SystemError) {
      var address = local.fabricAddress
      // Safe: one address to read, one identifier to fill; it is given back by deinit.
      let result = unsafe mirrorcast_cm_open(&address, &cm)
      // The second is the kernel's for an address of no device.
      if result == -ENODEV || result == -EADDRNOTAVAIL { return nil }
      try SystemError.check(
        result, "ask librdmacm for \(local.addressText) (is the module rdma_ucm loaded?)")
    }

    // Safe: the identifier is this object's own.
    deinit { unsafe mirrorcast_cm_close(&cm) }

    // Safe: the channel is there until deinit.
    var descriptor: Int32 { unsafe cm.channel.pointee.fd }

    /// Device, port and GID of the local address.
    var place: (device: String, port: UInt32, gid: Endpoint) {
      var place = mirrorcast_cm_place()
      // Safe: the shim ends the name with a zero inside its room.
      unsafe mirrorcast_cm_where(&cm, &place)
      let name = unsafe withUnsafeBytes(of: &place.device) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      return (name, place.port, Endpoint(fabricGID: place.gid))
    }

    func join(_ group: Endpoint) throws(SystemError) -> mirrorcast_cm_route {
      var address = group.fabricAddress
      var route = mirrorcast_cm_route()
      // Safe: one address to read, one route to fill.
      try SystemError.check(
        unsafe mirrorcast_cm_join(&cm, &address, Self.milliseconds, &route),
        "join the group \(group.addressText) at the fabric")
      return route
    }

    func leave(_ group: Endpoint) {
      var address = group.fabricAddress
      // Safe: one address to read.
      unsafe mirrorcast_cm_leave(&cm, &address)
    }

    func resolve(_ peer: Endpoint) throws(SystemError) -> mirrorcast_cm_route {
      var address = peer.fabricAddress
      var route = mirrorcast_cm_route()
      // Safe: one address to read, one route to fill.
      try SystemError.check(
        unsafe mirrorcast_cm_resolve(&cm, &address, Self.milliseconds, &route),
        "find the way to \(peer.addressText) in the fabric")
      return route
    }

    // Safe: the identifier is this object's own.
    func next() -> mirrorcast_cm_news { unsafe mirrorcast_cm_take_news(&cm) }

  }

  extension mirrorcast_verbs_route {
    /// - Parameter layer: RoCE has no LIDs and no rates. The global header is wanted on both: a leg
    ///   reads in it who sent a datagram.
    init(_ route: mirrorcast_cm_route, gidIndex: UInt32, layer: RDMAPortState.Layer) {
      self.init()
      let peer = Endpoint(fabricGID: route.gid).gid
      gid = mirrorcast_verbs_address(first: peer.0, second: peer.1)
      gid_index = gidIndex
      flow_label = route.flow_label
      lid = layer == .infiniBand ? route.lid : 0
      is_global = 1
      hops = max(1, route.hops)
      traffic_class = route.traffic_class
      service_level = route.service_level
      rate = layer == .infiniBand ? route.rate : 0
    }
  }

  extension Endpoint {
    fileprivate typealias Sixteen = (
      UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8,
      UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8
    )

    fileprivate var fabricAddress: mirrorcast_cm_address {
      let raw = raw
      return mirrorcast_cm_address(
        bytes: raw.bytes, scope: raw.scope, is_v6: family == .v6 ? 1 : 0)
    }

    fileprivate init(fabricGID bytes: Sixteen) {
      // Safe: sixteen bytes either way, and every pattern is a value.
      let words = unsafe unsafeBitCast(bytes, to: (UInt64, UInt64).self)
      self.init(gid: words, queuePair: 0)
    }
  }
#endif

#if RDMA
  internal import CVerbs
  internal import Lanes

  /// An open device with a domain: what a queue pair and its handles have in common. The library
  /// takes calls from any thread.
  @safe
  final class RDMADomain: @unchecked Sendable {
    let place: RDMAPlace
    let device: RDMADevice
    let domain: UnsafeMutablePointer<ibv_pd>
    /// Our address in the Internet.
    private let local: Endpoint
    private let hops: UInt8

    /// - Parameter hops: how many routers a datagram may pass, and one.
    init(at place: RDMAPlace, local: Endpoint, hops: UInt8) throws(SystemError) {
      let device = try RDMADevice(place.device)
      // Safe: given back by deinit.
      guard let domain = unsafe ibv_alloc_pd(device.context) else {
        throw SystemError(doing: "make a domain", number: mirrorcast_verbs_errno())
      }
      self.place = place
      self.device = device
      self.local = local
      self.hops = hops
      unsafe self.domain = domain
    }

    // Safe: made by init; all that was made of it is gone, since it held this object.
    deinit { unsafe _ = ibv_dealloc_pd(domain) }

    func way(to peer: Endpoint, at address: Endpoint?) throws(SystemError) -> DepartureWay {
      DepartureWay(peer, handle: try RDMAHandle(self, try route(to: peer, at: address)))
    }

    private func route(
      to peer: Endpoint, at address: Endpoint?
    ) throws(SystemError) -> mirrorcast_verbs_route {
      #if InfiniBand
        if let address, let id = try FabricID(at: local) {
          return mirrorcast_verbs_route(
            try id.resolve(address), gidIndex: place.gidIndex, layer: place.layer)
        }
      #endif
      return mirrorcast_verbs_route(direct: peer, from: place, hops: hops)
    }

    /// Joins a group, as far as the device's fabric wants that, and tells the way to it.
    func join(_ group: Endpoint) throws(SystemError) -> RDMAGroup {
      #if InfiniBand
        let join = try InfiniBandJoin(group, at: place, local: local)
        // A Q_Key of our own keeps other mirrors out; only InfiniBand has no room for one.
        return RDMAGroup(
          route: join.route, key: place.layer == .infiniBand ? join.key : nil, membership: join)
      #else
        RDMAGroup(
          route: mirrorcast_verbs_route(direct: group, from: place, hops: hops), key: nil,
          membership: nil)
      #endif
    }
  }

  /// A group as the device sees it.
  struct RDMAGroup {
    let route: mirrorcast_verbs_route
    /// The Q_Key of all its members, where they can't choose one.
    let key: UInt32?
    /// Kept as long as the group is used.
    let membership: (any RDMAMembership)?
  }

  /// A membership that the fabric may take back.
  protocol RDMAMembership: AnyObject {
    /// Readable when there is news.
    var descriptor: Int32 { get }
    func next(of device: String) -> PortNews?
  }

  extension mirrorcast_verbs_route {
    /// RoCE finds the way by the GID alone.
    init(direct peer: Endpoint, from place: RDMAPlace, hops: UInt8) {
      self.init()
      gid = mirrorcast_verbs_address(first: peer.gid.0, second: peer.gid.1)
      gid_index = place.gidIndex
      is_global = 1
      self.hops = hops
    }
  }

  /// An address handle: the way to one GID.
  @safe
  final class RDMAHandle: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<ibv_ah>
    private let domain: RDMADomain

    init(_ domain: RDMADomain, _ route: mirrorcast_verbs_route) throws(SystemError) {
      var route = route
      // Safe: given back by deinit, before the domain.
      let pointer = unsafe mirrorcast_verbs_handle(domain.domain, domain.place.port, &route)
      guard let pointer = unsafe pointer else {
        let peer = Endpoint(gid: (route.gid.first, route.gid.second), queuePair: 0)
        throw SystemError(
          doing: "find the way to \(peer.addressText)", number: mirrorcast_verbs_errno())
      }
      unsafe self.pointer = pointer
      self.domain = domain
    }

    // Safe: made by init; the queue pair that used it has let it go.
    deinit { unsafe _ = ibv_destroy_ah(pointer) }
  }
#endif

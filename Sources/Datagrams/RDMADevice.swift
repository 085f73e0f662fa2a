#if RDMA
  internal import CVerbs
  internal import Glibc
  internal import Lanes

  /// An open RDMA device. The library takes calls from any thread.
  @safe
  final class RDMADevice: @unchecked Sendable {
    let name: String
    let context: UnsafeMutablePointer<ibv_context>
    let portCount: UInt32
    /// Requests that a queue of it takes at most.
    let depthMax: Int

    init(_ name: String) throws(SystemError) {
      var count: Int32 = 0
      // Safe: a list of `count` devices that is freed below; names end with a zero.
      guard let list = unsafe ibv_get_device_list(&count) else {
        throw SystemError(doing: "list RDMA devices", number: mirrorcast_verbs_errno())
      }
      defer { unsafe ibv_free_device_list(list) }
      let index = (0..<Int(count)).first { index in
        unsafe ibv_get_device_name(list[index]).map { unsafe String(cString: $0) } == name
      }
      guard let index, let context = unsafe ibv_open_device(list[index]) else {
        throw SystemError(
          doing: "open the RDMA device \(name)",
          number: index == nil ? ENODEV : mirrorcast_verbs_errno())
      }
      var attributes = ibv_device_attr()
      let result = unsafe ibv_query_device(context, &attributes)
      guard result == 0 else {
        unsafe ibv_close_device(context)
        throw SystemError(doing: "ask the RDMA device \(name)", number: result)
      }
      self.name = name
      unsafe self.context = context
      portCount = UInt32(max(1, attributes.phys_port_cnt))
      depthMax = max(1, Int(min(attributes.max_qp_wr, attributes.max_cqe)))
    }

    deinit {
      // Safe: opened by init; all that was made of it is gone, since it held this object.
      unsafe ibv_close_device(context)
    }

    /// How a port is, and its GIDs.
    func port(_ number: UInt32) throws(SystemError) -> RDMAPortState {
      var found = mirrorcast_verbs_port()
      // Safe: a port to fill; then a GID.
      try SystemError.check(
        unsafe mirrorcast_verbs_query_port(context, number, &found),
        "ask port \(number) of the RDMA device \(name)")
      var gids: [RDMAPortState.GID] = []
      // An address handle names them by a byte.
      for index in 0..<min(found.gid_count, 256) {
        var gid = mirrorcast_verbs_gid()
        // A place that is empty is an error.
        guard unsafe mirrorcast_verbs_query_gid(context, number, index, &gid) == 0 else { continue }
        // Safe: sixteen bytes either way, and every pattern is a value.
        let words = unsafe unsafeBitCast(gid.bytes, to: (UInt64, UInt64).self)
        gids.append(
          RDMAPortState.GID(
            index: gid.index, address: Endpoint(gid: words, queuePair: 0),
            kind: gid.is_roce_v2 != 0 ? .roceV2 : gid.is_infiniband != 0 ? .infiniBand : .roceV1,
            interface: Int32(gid.interface)))
      }
      return RDMAPortState(
        device: name, number: number, state: found.state,
        layer: found.is_infiniband != 0 ? .infiniBand : .ethernet, mtu: Int(found.mtu), gids: gids)
    }
  }
#endif

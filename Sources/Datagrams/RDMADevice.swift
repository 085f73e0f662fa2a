#if RDMA
  internal import CVerbs
  internal import Glibc
  internal import Lanes

  /// An open RDMA device.
  @safe
  final class RDMADevice {
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
      unsafe self.context = context
      portCount = UInt32(max(1, attributes.phys_port_cnt))
      depthMax = max(1, Int(min(attributes.max_qp_wr, attributes.max_cqe)))
    }

    deinit {
      // Safe: opened by init; all that was made of it is gone, since it held this object.
      unsafe ibv_close_device(context)
    }

    /// The MTU of a port and its GIDs of RoCE v2; nil where the port is down.
    func gids(ofPort port: UInt32) -> (mtu: Int, gids: [mirrorcast_verbs_gid])? {
      var found = mirrorcast_verbs_port()
      var count: UInt32 = 0
      // Safe: a port and a number to fill; then a GID.
      guard unsafe mirrorcast_verbs_query_port(context, port, &found, &count) == 0,
        found.is_active != 0
      else { return nil }
      var gids: [mirrorcast_verbs_gid] = []
      for index in 0..<count {
        var gid = mirrorcast_verbs_gid()
        // A place that is empty is an error.
        let result = unsafe mirrorcast_verbs_query_gid(context, port, index, &gid)
        if result == 0, gid.is_roce_v2 != 0 { gids.append(gid) }
      }
      return (Int(found.mtu), gids)
    }
  }
#endif

package import Lanes

#if RDMA
  internal import CVerbs
#endif

/// The RDMA devices of this machine, as libibverbs shows them.
package enum RDMADevices {
  /// Whether this build joins groups by librdmacm, which InfiniBand wants.
  package static var isBuiltForInfiniBand: Bool {
    #if InfiniBand
      true
    #else
      false
    #endif
  }

  /// Why no datagram of this machine can go by RDMA, whatever the interface; nil where one may.
  package static var fault: RDMAFault? {
    guard isBuilt else { return .notBuilt }
    return names().isEmpty ? .noDevice : nil
  }

  #if RDMA
    /// Whether this build can see RDMA devices at all.
    package static let isBuilt = true

    /// Their names; none where the kernel has no RDMA, which the library calls ENOSYS.
    package static func names() -> [String] {
      var count: Int32 = 0
      // Safe: a list of `count` devices that is freed below; names end with a zero.
      guard let list = unsafe ibv_get_device_list(&count) else { return [] }
      var names: [String] = []
      for index in 0..<Int(count) {
        if let name = unsafe ibv_get_device_name(list[index]) {
          names.append(unsafe String(cString: name))
        }
      }
      unsafe ibv_free_device_list(list)
      return names
    }

    /// All ports of a device.
    package static func ports(of name: String) throws(SystemError) -> [RDMAPortState] {
      let device = try RDMADevice(name)
      var ports: [RDMAPortState] = []
      for number in 1...device.portCount { ports.append(try device.port(number)) }
      return ports
    }
  #else
    /// Whether this build can see RDMA devices at all.
    package static let isBuilt = false

    package static func names() -> [String] { [] }

    package static func ports(of name: String) throws(SystemError) -> [RDMAPortState] { [] }
  #endif
}

// Which RDMA device carries the datagrams of an interface. RoCE v2 gives every address of an
// interface a GID of its own, so the address finds the device, the port and the GID's index alike;
// names of devices tell nothing.

internal import Glibc
internal import Lanes

#if RDMA
  internal import CVerbs
#endif

/// What a peer needs to know of a queue pair that sends or receives datagrams.
package struct QueuePairPlace: Equatable, Sendable {
  /// GID and number.
  package let endpoint: Endpoint
  /// The Q_Key, which a datagram to it must have.
  package let key: UInt32
  /// The largest datagram in bytes that its port carries: the active MTU.
  package let mtu: Int

  package init(endpoint: Endpoint, key: UInt32, mtu: Int) {
    self.endpoint = endpoint
    self.key = key
    self.mtu = mtu
  }
}

/// An address of this machine as RDMA sees it: a GID at a port of a device.
package struct RDMAPlace: Equatable, Sendable {
  package let device: String
  let port: UInt32
  let gidIndex: UInt32
  /// Without a queue pair's number.
  let gid: Endpoint
  let layer: RDMAPortState.Layer
  /// The largest datagram in bytes.
  package let mtu: Int

  /// - Parameter frame: the interface's MTU, where a group may carry less than the port. On
  ///   InfiniBand the interface's own group has made it, less a header of 4 bytes.
  init(_ gid: RDMAPortState.GID, at port: RDMAPortState, frame: Int?) {
    device = port.device
    self.port = port.number
    gidIndex = gid.index
    self.gid = gid.address
    layer = port.layer
    mtu = Self.mtu(of: port, frame: frame)
  }

  static func mtu(of port: RDMAPortState, frame: Int?) -> Int {
    guard port.layer == .infiniBand, let frame else { return port.mtu }
    var mtu = 256
    while mtu * 2 <= min(port.mtu, frame + 4) { mtu *= 2 }
    return mtu
  }

  #if RDMA
    /// The place of an address of an interface.
    package init(_ address: Endpoint, on interface: NetworkInterface) throws(RDMAFault) {
      let names = RDMADevices.names()
      guard !names.isEmpty else { throw .noDevice }
      var ports: [RDMAPortState] = []
      var found: RDMAPlace?
      // One device that can't be used doesn't stand for the others.
      var failure: SystemError?
      for name in names {
        do throws(SystemError) { ports += try RDMADevices.ports(of: name) } catch {
          failure = error
        }
      }
      do throws(SystemError) { found = try Self.search(ports, address, on: interface) } catch {
        failure = error
      }
      guard let found else {
        throw failure.map { RDMAFault($0) } ?? .noPlace(address, at: interface.name, of: ports)
      }
      self = found
    }

    private static func search(
      _ ports: [RDMAPortState], _ address: Endpoint, on interface: NetworkInterface
    ) throws(SystemError) -> RDMAPlace? {
      #if InfiniBand
        guard let (device, number, gid) = try FabricID(at: address)?.place else { return nil }
        for port in ports where port.device == device && port.number == number && port.isActive {
          let found = port.usable.first { $0.address == gid }
          if let found { return RDMAPlace(found, at: port, frame: interface.mtu) }
        }
        return nil
      #else
        return direct(ports, address, on: interface)
      #endif
    }

    /// RoCE v2 alone finds it by the address's own GID.
    /// An interface and one of a VLAN above it may have one address, but not one GID's index.
    private static func direct(
      _ ports: [RDMAPortState], _ address: Endpoint, on interface: NetworkInterface
    ) -> RDMAPlace? {
      let wanted = Endpoint(gid: address.gid, queuePair: 0)
      for port in ports where port.isActive {
        let found = port.gids.first {
          $0.kind == .roceV2 && $0.address == wanted
            && ($0.interface == 0 || $0.interface == interface.index)
        }
        if let found { return RDMAPlace(found, at: port, frame: nil) }
      }
      return nil
    }
  #else
    package init(_ address: Endpoint, on interface: NetworkInterface) throws(RDMAFault) {
      throw .notBuilt
    }
  #endif
}

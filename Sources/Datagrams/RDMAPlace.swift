// Which RDMA device carries the datagrams of an interface. RoCE v2 gives every address of an
// interface a GID of its own, so the address finds the device, the port and the GID's index alike;
// names of devices tell nothing.

internal import Glibc
package import Lanes

#if RDMA
  internal import CVerbs
#endif

/// Why datagrams can't go by RDMA here, and what to do.
package struct RDMAFault: Error, Equatable, Sendable, CustomStringConvertible {
  package let reason: String
  package let advice: String

  package init(_ reason: String, advice: String) {
    self.reason = reason
    self.advice = advice
  }

  /// A system's error, where a device is used.
  package init(_ error: SystemError) {
    let isMemory = error.number == ENOMEM
    self.init(
      "\(error)",
      advice: isMemory
        ? "Raise the limit of locked memory (ulimit -l)." : "See what `rdma link` and `dmesg` say.")
  }

  package var description: String { "\(reason). \(advice)" }
}

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
  /// The largest datagram in bytes.
  package let mtu: Int

  #if RDMA
    /// The place of an address of an interface.
    package init(_ address: Endpoint, on interface: NetworkInterface) throws(RDMAFault) {
      let wanted = Endpoint(gid: address.gid, queuePair: 0)
      let found: RDMAPlace?
      let names = RDMADevices.names()
      guard !names.isEmpty else {
        throw RDMAFault(
          "this machine has no RDMA device", advice: "Add one, or take the transport udp.")
      }
      do throws(SystemError) { found = try Self.search(wanted) } catch { throw RDMAFault(error) }
      guard let found else {
        throw RDMAFault(
          "no RDMA device (\(names.joined(separator: ", "))) has a RoCE v2 GID of"
            + " \(address.addressText) at \(interface.name)",
          advice: "Name the interface of a device that is up, or take the transport udp.")
      }
      self = found
    }

    private init(_ device: String, _ gid: mirrorcast_verbs_gid, mtu: Int) {
      self.device = device
      port = gid.port
      gidIndex = gid.index
      self.gid = Self.endpoint(gid)
      self.mtu = mtu
    }

    private static func endpoint(_ gid: mirrorcast_verbs_gid) -> Endpoint {
      // Safe: sixteen bytes either way, and every pattern is a value.
      let words = unsafe unsafeBitCast(gid.bytes, to: (UInt64, UInt64).self)
      return Endpoint(gid: words, queuePair: 0)
    }

    private static func search(_ wanted: Endpoint) throws(SystemError) -> RDMAPlace? {
      for name in RDMADevices.names() {
        let device = try RDMADevice(name)
        for port in 1...device.portCount {
          guard let (mtu, gids) = device.gids(ofPort: port) else { continue }
          if let gid = gids.first(where: { endpoint($0) == wanted }) {
            return RDMAPlace(name, gid, mtu: mtu)
          }
        }
      }
      return nil
    }
  #else
    package init(_ address: Endpoint, on interface: NetworkInterface) throws(RDMAFault) {
      throw RDMAFault(
        "this program was built without RDMA",
        advice: "Build it with the trait RDMA, or take the transport udp.")
    }
  #endif
}

internal import CDatagram
internal import Glibc

/// A network interface of this machine, as it was when it was looked up.
package struct NetworkInterface: Equatable, Sendable {
  package let name: String
  package let index: Int32
  /// The largest packet in bytes, IP header included.
  package let mtu: Int
  package let isLoopback: Bool
  package let canMulticast: Bool
  private let v4: Endpoint?
  private let v6: Endpoint?

  /// Looks an interface up by its name.
  package init(named name: String) throws(NetworkInterfaceError) {
    guard !name.isEmpty, !name.utf8.contains(0) else { throw .noSuchInterface(name) }
    var found = mirrorcast_interface()
    var other = mirrorcast_interface()
    // Safe: a terminated text that lives as long as the call, and one interface to fill.
    let result = unsafe mirrorcast_interface_by_name(name, 4, &found)
    let second = unsafe mirrorcast_interface_by_name(name, 6, &other)
    guard result == 0, second == 0 else { throw .noSuchInterface(name) }
    guard found.is_up != 0 else { throw .isDown(name) }
    self.name = name
    index = found.index
    mtu = Int(found.mtu)
    isLoopback = found.is_loopback != 0
    canMulticast = found.can_multicast != 0 || isLoopback
    v4 = Endpoint(found.address)
    v6 = Endpoint(other.address)
  }

  /// Looks up the interface that has this address.
  package init(localAddress address: Endpoint) throws(NetworkInterfaceError) {
    var raw = address.raw
    var found = mirrorcast_interface()
    // Safe: one endpoint to read and one interface to fill.
    let result = unsafe mirrorcast_interface_by_address(&raw, &found)
    guard result == 0 else { throw .notLocal(address.addressText) }
    // Safe: the shim ends the name with a zero inside the sixteen bytes.
    let name = unsafe withUnsafeBytes(of: &found.name) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    try self.init(named: name)
  }

  /// The name of an interface, which may be down; nil for none.
  package static func name(ofIndex index: Int32) -> String? {
    guard index > 0 else { return nil }
    let room = Int(IF_NAMESIZE)
    // Safe: the call writes a name of less than that, and ends it with a zero.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: room) { text in
      guard let start = text.baseAddress,
        unsafe if_indextoname(UInt32(index), start) != nil
      else { return nil }
      return unsafe String(cString: start)
    }
  }

  /// The interface's own address of a family, port 0.
  package func address(_ family: Endpoint.Family) throws(NetworkInterfaceError) -> Endpoint {
    guard let address = family == .v4 ? v4 : v6 else { throw .noAddress(name, family) }
    return address
  }
}

/// Why an interface can't be used, and what to do.
package enum NetworkInterfaceError: Error, Equatable, Sendable, CustomStringConvertible {
  case noSuchInterface(String)
  case isDown(String)
  case notLocal(String)
  case noAddress(String, Endpoint.Family)

  package var description: String {
    switch self {
    case .noSuchInterface(let name):
      "there is no interface '\(name)': choose one that `ip link` lists"
    case .isDown(let name):
      "the interface '\(name)' is down: raise it with `ip link set \(name) up`"
    case .notLocal(let address):
      "no interface has the address \(address): choose one that `ip address` lists"
    case .noAddress(let name, let family):
      "the interface '\(name)' has no IPv\(family.rawValue) address: give it one, or take a group"
        + " of the other family"
    }
  }
}

/// A port of an RDMA device, as it is now.
package struct RDMAPortState: Equatable, Sendable {
  /// What is below RDMA.
  package enum Layer: String, Sendable {
    case ethernet = "Ethernet"
    case infiniBand = "InfiniBand"
  }

  /// An address of the port.
  package struct GID: Equatable, Sendable {
    /// Which packets have it.
    package enum Kind: Sendable { case roceV1, roceV2, infiniBand }

    let index: UInt32
    /// Without a queue pair's number.
    package let address: Endpoint
    package let kind: Kind
    /// The index of its interface; 0 where it has none.
    package let interface: Int32

    package init(index: UInt32, address: Endpoint, kind: Kind, interface: Int32) {
      self.index = index
      self.address = address
      self.kind = kind
      self.interface = interface
    }
  }

  package let device: String
  package let number: UInt32
  /// As the library numbers them.
  package let state: UInt8
  package let layer: Layer
  /// The largest datagram in bytes.
  package let mtu: Int
  package let gids: [GID]

  package init(
    device: String, number: UInt32, state: UInt8, layer: Layer, mtu: Int, gids: [GID]
  ) {
    self.device = device
    self.number = number
    self.state = state
    self.layer = layer
    self.mtu = mtu
    self.gids = gids
  }

  package var isActive: Bool { state == 4 }

  package var stateText: String {
    switch state {
    case 1: "down"
    case 2: "initializing"
    case 3: "armed"
    case 4: "active"
    case 5: "active, deferred"
    default: "in an unknown state"
    }
  }

  /// The GIDs that datagrams of this build can use.
  package var usable: [GID] {
    gids.filter { $0.kind == .roceV2 || RDMADevices.isBuiltForInfiniBand && $0.kind == .infiniBand }
  }
}

extension RDMAPortState: CustomStringConvertible {
  /// The port in one line: link, state, MTU, and whose addresses its GIDs are.
  package var description: String {
    var words = "port \(number), \(layer.rawValue), \(stateText), MTU \(mtu)"
    if layer == .ethernet, mtu < Self.mtuMax {
      words += " (\(Self.mtuMax) wants frames of \(Self.frameByteCount) bytes)"
    }
    let places = usable.map { gid in
      let name = NetworkInterface.name(ofIndex: gid.interface).map { "\($0) " } ?? ""
      let text = gid.address.addressText
      // An IPv4 address in its own form.
      let mapped = "::ffff:"
      return name
        + (text.contains(".") && text.hasPrefix(mapped)
          ? String(text.dropFirst(mapped.count)) : text)
    }
    return "\(words), \(places.isEmpty ? "no GID of use" : places.joined(separator: ", "))"
  }

  /// The largest MTU that there is, and the interface's that carries it.
  static let mtuMax = 4096
  static let frameByteCount = 4200
}

// The ports of a target's lane: one for each group and port on an interface, shared by the
// mirrors that use it, and one private one for each local address, where repairs come in.
import Datagrams
import Glibc
import Lanes
import Replication

/// A port and how many registrations use it.
final class SharedPort {
  let port: any ArrivalPort
  /// The port's, which are looked at in every cycle; negative once it is lost.
  private(set) var descriptor: Int32
  private(set) var newsDescriptor: Int32
  /// Whether its registrations were told that nothing comes here any more.
  private(set) var isLost = false
  let key: Key
  var users = 0

  /// What a port is for.
  enum Key: Hashable {
    case group(Endpoint, interface: Int32)
    case repairs(Endpoint)
    /// A registration's own, for both.
    case queuePair(registration: UInt32)
  }

  init(_ port: any ArrivalPort, _ key: Key) {
    self.port = port
    descriptor = port.descriptor
    newsDescriptor = port.newsDescriptor
    self.key = key
  }

  /// Nothing comes here any more, so there is nothing to wait for.
  func noteLost() { (isLost, descriptor, newsDescriptor) = (true, -1, -1) }
}

/// All ports of one lane.
struct GroupPorts: ~Copyable {
  /// A group's and a private one for each registration, at most.
  static let portsMax = 2 * ReceiverDuty.registrationsMax
  static let receiveBufferByteCount = 32 << 20

  private(set) var ports: [SharedPort] = []

  private let coalescing: OffloadPolicy

  init(coalescing: OffloadPolicy) { self.coalescing = coalescing }

  /// The socket of a group, joined for one more source.
  mutating func join(
    _ group: Endpoint, on interface: NetworkInterface, source: Endpoint
  ) throws(SystemError) -> SharedPort {
    let coalescing = coalescing
    let port = try find(.group(group, interface: interface.index)) { () throws(SystemError) in
      try DatagramSocket.groupReceiver(
        group: group, interface: interface, receiveBufferByteCount: Self.receiveBufferByteCount,
        coalescing: coalescing)
    }
    do {
      try port.port.join(source: source)
    } catch {
      release(port)
      throw error
    }
    return port
  }

  mutating func leave(_ port: SharedPort, source: Endpoint) throws(SystemError) {
    defer { release(port) }
    try port.port.leave(source: source)
  }

  /// A registration's queue pair, joined to its group; it takes repairs, too.
  mutating func queuePair(
    _ text: QueuePairText, registration: UInt32, at place: (rdma: RDMAPlace, ReceptionPlace),
    memory: (node: Int?, pages: PagePolicy)
  ) throws(SystemError) -> SharedPort {
    let (rdma, place) = place
    let port = try find(.queuePair(registration: registration)) { () throws(SystemError) in
      try RDMAPorts.arrivals(
        at: rdma, key: text.key, group: place.group, interface: place.interface,
        local: place.address, memory: memory)
    }
    do {
      try port.port.join(source: place.sender)
    } catch {
      release(port)
      throw error
    }
    return port
  }

  /// One more user of a port.
  func share(_ port: SharedPort) -> SharedPort {
    port.users += 1
    return port
  }

  /// The private socket at a local address.
  mutating func repairs(at address: Endpoint) throws(SystemError) -> SharedPort {
    let coalescing = coalescing
    return try find(.repairs(address)) { () throws(SystemError) in
      try DatagramSocket.unicast(
        address: address, receiveBufferByteCount: Self.receiveBufferByteCount,
        coalescing: coalescing)
    }
  }

  mutating func release(_ port: SharedPort) {
    port.users -= 1
    if port.users == 0 { ports.removeAll { $0 === port } }
  }

  private mutating func find(
    _ key: SharedPort.Key, open: () throws(SystemError) -> any ArrivalPort
  ) throws(SystemError) -> SharedPort {
    if let port = ports.first(where: { $0.key == key }) {
      port.users += 1
      return port
    }
    guard ports.count < Self.portsMax else {
      throw SystemError(doing: "open one more group", number: EMFILE)
    }
    let port = SharedPort(try open(), key)
    port.users = 1
    ports.append(port)
    return port
  }
}

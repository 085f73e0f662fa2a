// A UDP socket with what mirrors need of it. One socket sends to the group and to private repair
// addresses from the same port, so that a leg can take datagrams from the sender's exact address
// and port only; connected to the group, it sends there without naming an address.

internal import CDatagram
internal import Glibc
package import Lanes

/// A non-blocking UDP socket, never fragmented by IP, owned by one thread.
package final class DatagramSocket {
  package let descriptor: Int32
  package let family: Endpoint.Family
  /// The receive buffer that the kernel granted, counted as the kernel counts.
  package private(set) var receiveBufferByteCount = 0
  /// Datagrams that the kernel dropped at this socket for want of room, as last told.
  /// A message that the kernel coupled counts once.
  package private(set) var droppedCount: UInt32 = 0
  /// Whether trains go as one message each.
  package internal(set) var segmentation: Offload
  /// Whether datagrams that came together are received as one message.
  package private(set) var coalescing = Offload.off
  /// Datagrams lost because a queue of this machine was full (ENOBUFS).
  package internal(set) var sendBufferFullCount = 0
  /// Errors that the network reported about datagrams sent long before (ICMP).
  package internal(set) var networkErrorCount = 0
  let segmentationPolicy: OffloadPolicy
  var untoldFailure: SystemError?
  private let group: Endpoint?
  private let interfaceIndex: Int32
  private var joins: [Endpoint?: Int] = [:]

  private init(
    family: Endpoint.Family, group: Endpoint? = nil, interface: NetworkInterface? = nil,
    segmentation policy: OffloadPolicy = .automatic
  ) throws(SystemError) {
    descriptor = try SystemError.check(mirrorcast_socket(family.number), "open a UDP socket")
    self.family = family
    self.group = group
    interfaceIndex = interface?.index ?? 0
    segmentationPolicy = policy
    let result = policy == .off ? 0 : mirrorcast_can_segment(descriptor)
    segmentation = policy == .off ? .off : .on
    if result < 0 {
      segmentation = .unavailable(SystemError(doing: "send trains", number: -result))
    }
  }

  deinit {
    mirrorcast_close(descriptor)
  }

  /// A socket that hears the group's port on an interface, after `join(source:)`, and nothing else.
  package static func groupReceiver(
    group: Endpoint, interface: NetworkInterface, receiveBufferByteCount: Int,
    coalescing: OffloadPolicy = .automatic
  ) throws(SystemError) -> DatagramSocket {
    precondition(group.isMulticast, "a group has a multicast address")
    let group = group.scoped(to: interface)
    let socket = try DatagramSocket(family: group.family, group: group, interface: interface)
    try SystemError.check(
      mirrorcast_set_multicast_all(socket.descriptor, group.family.number, 0),
      "hear joined groups only")
    try socket.setBuffers(receive: receiveBufferByteCount)
    socket.setCoalescing(coalescing)
    try socket.bind(group, sharesPort: true)
    return socket
  }

  /// A socket at an address of this machine; port 0 takes any free one.
  package static func unicast(
    address: Endpoint, receiveBufferByteCount: Int, coalescing: OffloadPolicy = .automatic,
    segmentation: OffloadPolicy = .automatic
  ) throws(SystemError) -> DatagramSocket {
    let socket = try DatagramSocket(family: address.family, segmentation: segmentation)
    try socket.setBuffers(receive: receiveBufferByteCount)
    socket.setCoalescing(coalescing)
    try socket.bind(address, sharesPort: false)
    return socket
  }

  /// A socket at the address of an interface that sends to groups there, and by unicast. One that
  /// is connected sends to its peer where no address is named, and hears nobody else.
  package static func groupSender(
    address: Endpoint, interface: NetworkInterface, hops: Int = 1, loopsBack: Bool,
    sendBufferByteCount: Int, connects peer: Endpoint? = nil,
    segmentation: OffloadPolicy = .automatic
  ) throws(SystemError) -> DatagramSocket {
    let family = address.family
    let socket = try DatagramSocket(
      family: family, interface: interface, segmentation: segmentation)
    let number = family.number
    try SystemError.check(
      mirrorcast_set_multicast_interface(socket.descriptor, number, interface.index),
      "send multicast on \(interface.name)")
    try SystemError.check(
      mirrorcast_set_hops(socket.descriptor, number, Int32(clamping: hops)),
      "set the hop limit to \(hops)")
    try SystemError.check(
      mirrorcast_set_loop(socket.descriptor, number, loopsBack ? 1 : 0), "set multicast loop")
    try SystemError.check(
      mirrorcast_set_send_buffer(socket.descriptor, Int32(clamping: sendBufferByteCount)),
      "size the send buffer")
    try SystemError.check(
      mirrorcast_report_errors(socket.descriptor, number), "have errors reported")
    try socket.bind(address.scoped(to: interface), sharesPort: false)
    if let peer { try socket.connect(peer.scoped(to: interface)) }
    return socket
  }

  private func setBuffers(receive byteCount: Int) throws(SystemError) {
    receiveBufferByteCount = Int(
      try SystemError.check(
        mirrorcast_set_receive_buffer(descriptor, Int32(clamping: byteCount)),
        "size the receive buffer"))
    try SystemError.check(mirrorcast_count_drops(descriptor), "count drops")
  }

  private func setCoalescing(_ policy: OffloadPolicy) {
    let result: Int32
    switch policy {
    case .off: return
    case .automatic: result = mirrorcast_coalesce(descriptor)
    case .failsAtFirstUse: result = -ENOPROTOOPT
    }
    coalescing =
      result == 0
      ? .on : .unavailable(SystemError(doing: "receive trains whole", number: -result))
  }

  private func connect(_ peer: Endpoint) throws(SystemError) {
    var raw = peer.raw
    // Safe: one endpoint to read.
    try SystemError.check(unsafe mirrorcast_connect(descriptor, &raw), "connect to \(peer)")
  }

  private func bind(_ endpoint: Endpoint, sharesPort: Bool) throws(SystemError) {
    var raw = endpoint.raw
    // Safe: one endpoint to read.
    try SystemError.check(
      unsafe mirrorcast_bind(descriptor, &raw, sharesPort ? 1 : 0), "bind to \(endpoint)")
  }

  /// Where the socket is bound.
  package func localEndpoint() throws(SystemError) -> Endpoint {
    try Endpoint(localOf: descriptor)
  }
}

extension DatagramSocket {
  /// Hears a source in the group, or any source (nil); shared joins of one source are counted.
  package func join(source: Endpoint?) throws(SystemError) {
    let key = source.map(asSource)
    if let joined = joins[key] {
      joins[key] = joined + 1
      return
    }
    try changeMembership(key, joins: true)
    joins[key] = 1
  }

  /// Takes back one join of a source; true when it was the last and the source is left.
  @discardableResult
  package func leave(source: Endpoint?) throws(SystemError) -> Bool {
    let key = source.map(asSource)
    guard let joined = joins[key] else { preconditionFailure("a source left but never joined") }
    if joined > 1 {
      joins[key] = joined - 1
      return false
    }
    joins[key] = nil
    try changeMembership(key, joins: false)
    return true
  }

  // Membership goes by address: ports and scopes make no difference.
  private func asSource(_ source: Endpoint) -> Endpoint {
    var key = source.with(port: 0)
    key.scope = 0
    return key
  }

  private func changeMembership(
    _ source: Endpoint?, joins isJoin: Bool
  ) throws(SystemError) {
    guard var group = group?.raw else { preconditionFailure("only a group receiver joins") }
    var raw = source?.raw ?? mirrorcast_endpoint()
    // Safe: two endpoints to read.
    let result =
      unsafe isJoin
      ? mirrorcast_join(descriptor, interfaceIndex, &group, &raw)
      : mirrorcast_leave(descriptor, interfaceIndex, &group, &raw)
    try SystemError.check(
      result,
      "\(isJoin ? "join" : "leave") the group for \(source?.addressText ?? "any source")")
  }

  /// Receives what has come, as much as the batch holds; 0 when there is nothing.
  package func receive(into batch: inout ArrivalBatch) throws(SystemError) -> Int {
    Int(
      try SystemError.check(
        batch.receive(descriptor, dropped: &droppedCount), "receive datagrams"))
  }
}

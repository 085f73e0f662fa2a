import Datagrams
import Lanes
import Replication

/// Where an initiator's datagrams go out: interface, group, port.
// Safe: the port is the establishing task's until the lane starts, and the lane's from then on.
struct SendingPath: @unchecked Sendable {
  /// What may wait in the kernel: a moment at the speed of a fast link, and no more, since repairs
  /// wait behind it, and what a queue behind it can't hold is lost.
  static let sendBufferByteCount = 512 << 10

  let interface: NetworkInterface
  let group: Endpoint
  let port: any DeparturePort
  /// The port sends to the group where no address is named.
  let isConnected: Bool
  let blockLength: Int
  /// What a datagram has in front of it and behind, from the IP header on.
  let headerByteCount: Int
  /// Where datagrams come from for legs without RDMA, where they go by UDP, too.
  let plainSender: String?

  init(
    _ options: MirrorOptions, _ sessions: [LegSession], part: Int, segmentation: OffloadPolicy
  ) throws {
    let text = options.group.address
    let bare = try Endpoint(
      text.contains(":") ? "[\(text)]" : text, defaultPort: UInt16(options.group.port + part))
    let address: Endpoint
    do throws(NetworkInterfaceError) {
      interface = try Self.interface(options, sessions)
      group = bare.scoped(to: interface)
      address = try interface.address(group.family)
    } catch {
      throw MirrorcastError("\(error)")
    }
    let internetHeaders = group.family == .v4 ? 28 : 48
    let length: Int?
    do {
      if options.transport == .udp {
        (port, isConnected) = try Self.socket(
          address, interface, group: group, segmentation: segmentation)
        headerByteCount = internetHeaders
        plainSender = nil
        length = DatagramArithmetic.blockLength(mtu: interface.mtu, family: group.family)
      } else {
        let place = try Self.place(address, interface)
        let own = try RDMAPorts.departures(at: place, group: group, local: address)
        isConnected = true
        // RoCE v2: transport headers of 20 bytes, and a checksum.
        headerByteCount = internetHeaders + 24
        length = DatagramArithmetic.blockLength(activeMTU: place.mtu)
        if options.transport == .rdmaOrUDP {
          let (socket, isConnected) = try Self.socket(
            address, interface, group: group, segmentation: segmentation)
          plainSender = try socket.localEndpoint().wireText
          port = PairedDepartures(
            own, copyingBy: socket, group: isConnected ? nil : group,
            headerByteCount: internetHeaders)
        } else {
          plainSender = nil
          port = own
        }
      }
    } catch let error as SystemError {
      throw Self.failure(error, isRDMA: options.transport != .udp)
    }
    guard let length, length >= Limits.blockLengthMin else {
      throw MirrorcastError(
        "the MTU of \(interface.name), \(interface.mtu), is too small for a mirror",
        advice: "raise it to 1280 or more")
    }
    blockLength = min(length, Limits.blockLengthMax) - options.tagByteCount
  }

  /// A system's error in words.
  func failure(_ error: SystemError) -> MirrorcastError {
    Self.failure(error, isRDMA: port.queuePair != nil)
  }

  private static func failure(_ error: SystemError, isRDMA: Bool) -> MirrorcastError {
    let words = "the group can't be sent to: \(error)"
    return MirrorcastError(words, advice: isRDMA ? RDMAFault(error).advice : nil)
  }

  private static func place(
    _ address: Endpoint, _ interface: NetworkInterface
  ) throws(MirrorcastError) -> RDMAPlace {
    do throws(RDMAFault) {
      return try RDMAPlace(address, on: interface)
    } catch {
      throw MirrorcastError("no RDMA: \(error.reason)", advice: error.advice)
    }
  }

  /// Where there is no route to the group a socket can't be connected to it, and what is sent may
  /// go nowhere: then the legs don't hear the probe, and are served otherwise.
  private static func socket(
    _ address: Endpoint, _ interface: NetworkInterface, group: Endpoint,
    segmentation: OffloadPolicy
  ) throws(SystemError) -> (DatagramSocket, isConnected: Bool) {
    do throws(SystemError) {
      let socket = try DatagramSocket.groupSender(
        address: address, interface: interface, loopsBack: true,
        sendBufferByteCount: sendBufferByteCount, connects: group, segmentation: segmentation)
      return (socket, true)
    } catch {
      let socket = try DatagramSocket.groupSender(
        address: address, interface: interface, loopsBack: true,
        sendBufferByteCount: sendBufferByteCount, segmentation: segmentation)
      return (socket, false)
    }
  }

  private static func interface(
    _ options: MirrorOptions, _ sessions: [LegSession]
  ) throws(NetworkInterfaceError) -> NetworkInterface {
    if let name = options.interface { return try NetworkInterface(named: name) }
    let local = (sessions.first { $0.connection.isMirrorcast } ?? sessions[0])
      .connection.localAddress
    let address: Endpoint
    do throws(EndpointError) {
      address = try Endpoint(local.contains(":") ? "[\(local)]" : local, defaultPort: 0)
    } catch {
      throw .notLocal(local)
    }
    return try NetworkInterface(localAddress: address)
  }

  /// Where a leg's answers may be had by a stream; nil where it offers none that makes sense.
  static func answers(_ grant: RegistrationGrant, on interface: NetworkInterface) -> AnswerOffer? {
    guard let offer = grant.answers, let endpoint = try? Endpoint(offer.endpoint) else {
      return nil
    }
    return AnswerOffer(endpoint: endpoint.scoped(to: interface), token: offer.token)
  }

  /// Where a leg takes repairs, on our interface where the address is link-local.
  static func repairs(
    _ grant: RegistrationGrant, on interface: NetworkInterface
  ) throws(MirrorcastError) -> Endpoint {
    do throws(EndpointError) {
      if let queuePair = grant.queuePair { return try queuePair.endpoint() }
      return try Endpoint(grant.repair).scoped(to: interface)
    } catch {
      throw MirrorcastError("a leg tells no address for repairs: \(error)")
    }
  }
}

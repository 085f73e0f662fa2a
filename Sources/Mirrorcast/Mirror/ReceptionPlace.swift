import Datagrams
import Replication
import SCSI
import Storage

/// Where a registration's datagrams come in: group, interface, sender, and our address there.
struct ReceptionPlace: Sendable {
  let group: Endpoint
  let interface: NetworkInterface
  let sender: Endpoint
  let address: Endpoint
  /// The device, where datagrams come by RDMA.
  let rdma: RDMAPlace?
  /// Who sends the datagrams, as they tell it: the sender, or its queue pair.
  let source: DatagramOrigin

  /// - Parameters:
  ///   - configured: the interface that the daemon was told to use; nil takes the one that the
  ///     session came in by.
  ///   - known: the place of an earlier registration of the same, whose device may be gone by now.
  init(
    _ request: RegistrationRequest, _ session: SessionPort, configured: NetworkInterface?,
    known: ReceptionPlace? = nil
  ) throws(RegistrationFault) {
    let group: Endpoint
    let sender: Endpoint
    do throws(EndpointError) {
      let bracketed = request.group.contains(":") ? "[\(request.group)]" : request.group
      group = try Endpoint(bracketed, defaultPort: request.port)
      let peer = session.remoteAddress
      sender = try Endpoint(
        request.sender ?? (peer.contains(":") ? "[\(peer)]:0" : "\(peer):0"))
    } catch {
      throw RegistrationFault(.badRequest, "\(error)")
    }
    guard group.isMulticast else {
      throw RegistrationFault(
        .notMulticast,
        "\(request.group) is no multicast address: take one of 239.0.0.0/8 or ff15::/16")
    }
    guard group.family == sender.family else {
      throw RegistrationFault(.badRequest, "group and sender are of two address families")
    }
    do throws(NetworkInterfaceError) {
      if let configured {
        interface = configured
      } else {
        interface = try NetworkInterface(localAddress: Self.local(session))
      }
      address = try interface.address(group.family)
    } catch {
      throw RegistrationFault(.noSuchInterface, "\(error)")
    }
    guard interface.canMulticast else {
      throw RegistrationFault(.noSuchInterface, "interface \(interface.name) has no multicast")
    }
    self.group = group.scoped(to: interface)
    self.sender = sender.scoped(to: interface)
    guard let queuePair = request.queuePair else {
      rdma = nil
      source = .socket(self.sender)
      return
    }
    if let place = known?.rdma {
      rdma = place
    } else {
      rdma = try Self.device(address, on: interface)
    }
    source = .queuePair(try Self.origin(queuePair, here: address))
  }

  /// The sender's queue pair, which must be some other host's.
  private static func origin(
    _ queuePair: QueuePairText, here address: Endpoint
  ) throws(RegistrationFault) -> Endpoint {
    guard let host = try? Endpoint("[\(queuePair.gid)]:0"), let pair = try? queuePair.endpoint(),
      !host.isMulticast, !host.isUnspecified, host.scope == 0, host.gid != address.gid
    else {
      throw RegistrationFault(.badRequest, "rdma_gid \(queuePair.gid) is no other host's GID")
    }
    return pair
  }

  /// The device of an address, with datagrams of a useful size.
  private static func device(
    _ address: Endpoint, on interface: NetworkInterface
  ) throws(RegistrationFault) -> RDMAPlace {
    let place: RDMAPlace
    do throws(RDMAFault) {
      place = try RDMAPlace(address, on: interface)
    } catch {
      throw RegistrationFault(.noSuchTransport, "\(error)")
    }
    let length = DatagramArithmetic.blockLength(activeMTU: place.mtu) ?? 0
    guard length >= Limits.blockLengthMin else {
      throw RegistrationFault(
        .noSuchTransport,
        "the MTU of the RDMA device \(place.device), \(place.mtu), is too small for a mirror:"
          + " raise that of \(interface.name)")
    }
    return place
  }

  private static func local(_ session: SessionPort) throws(NetworkInterfaceError) -> Endpoint {
    let text = session.localAddress
    do throws(EndpointError) {
      return try Endpoint(text.contains(":") ? "[\(text)]" : text, defaultPort: 0)
    } catch {
      throw .notLocal(text)
    }
  }

  var datagramMax: Int {
    rdma?.mtu ?? DatagramArithmetic.datagramMax(mtu: interface.mtu, family: group.family)
  }

  /// The longest block that fits a datagram.
  var blockLengthMax: Int? {
    if let rdma { return DatagramArithmetic.blockLength(activeMTU: rdma.mtu) }
    return DatagramArithmetic.blockLength(mtu: interface.mtu, family: group.family)
  }
}

/// What a target grants to a registration: as much as its memory and its port can hold.
struct Grants: Sendable {
  let blockLength: Int
  let writeLengthMax: Int
  let openWritesMax: Int
  let credit: Int

  init(_ request: RegistrationRequest, place: ReceptionPlace, room: Int) {
    let tagByteCount = request.security == nil ? 0 : SealedTrailer.tagByteCount
    blockLength = min(
      request.blockLength, place.blockLengthMax.map { $0 - tagByteCount } ?? request.blockLength)
    let room = max(room, 64 << 10)
    writeLengthMax = min(request.writeLengthMax, max(room / 4096 * 4096, 4096))
    openWritesMax = min(
      max(ReceiverDuty.buffersMax / writeLengthMax, 2), Limits.openWritesMax)
    credit = max(min(room, openWritesMax * writeLengthMax), writeLengthMax)
  }

  /// Bytes of one write's buffer.
  var slotByteCount: Int { (writeLengthMax + 4095) / 4096 * 4096 }

  func receiver(_ request: RegistrationRequest, units: [ServedUnit]) -> ReceiverConfiguration {
    guard let virtualLUN = LogicalUnitNumber(request.virtualLUN) else {
      preconditionFailure("the text was read with LUNs in range")
    }
    var configuration = ReceiverConfiguration(
      registration: request.registration, epoch: request.epoch, firstWrite: request.firstWrite,
      virtualLUN: virtualLUN.field, units: units.map(\.number.field),
      geometry: units[0].logicalUnit.geometry)
    configuration.blockLength = blockLength
    configuration.writeLengthMax = writeLengthMax
    configuration.openWritesMax = openWritesMax
    configuration.credit = UInt32(credit)
    configuration.wantsProof = request.security != nil
    // What may differ is marked before it does: data of a kept mirror is stored when it is whole.
    configuration.placesDirectly =
      units.count == 1 && units[0].backing is MemoryBacking && !units[0].keeping.isKept
    return configuration
  }
}

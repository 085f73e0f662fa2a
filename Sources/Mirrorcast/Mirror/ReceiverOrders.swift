// What sessions order of the lane: registering, ending, asking.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Logging
import Replication
import SCSI
import Storage

extension ReceiverDuty {
  static let registrationsMax = 64
  /// Buffers of one registration, in bytes.
  static let buffersMax = 64 << 20

  mutating func handle(_ order: MirrorOrder, now: UInt64) {
    switch order {
    case .register(let request, let owner, let target, let session, let reply, let share):
      do throws(RegistrationFault) {
        var (keys, units) = try register(request, owner, target, session)
        if let share { keys.append(RegistrationKey.keyShare, hexadecimal(share)) }
        confirmations.append(
          Confirmation(keys: keys, units: units, session: session, reply: reply))
      } catch {
        logger.warning("registration refused: \(error.reason)")
        let keys = error.keys
        session.perform { $0.respondText(reply, keys) }
      }
    case .key(let text, let keys, let session, let reply):
      let known = registrations.first {
        $0.number == text.registration && $0.session.id == session.id
      }
      let isTaken = known?.take(keys, epoch: text.epoch) ?? false
      let fault = RegistrationFault(.badKey, "no registration here waits for that key")
      session.perform { $0.respondText(reply, isTaken ? EpochKeyText.accepted : fault.keys) }
    case .terminate(let request, let session, let reply):
      terminate(request, session, reply)
    case .request(let request, let data, let session):
      handle(request, data, session, now: now)
    case .abort(let task, let session, let reply): abort(task, session, reply)
    case .abortAll(let order): abort(order)
    case .sessionClosed(let id, let ended):
      for registration in registrations where registration.session.id == id {
        end(registration)
      }
      departures.append((id, ended))
    case .endUnits(let units, let holder, let ended): endAll(at: units, of: holder, ended)
    case .stop(let done):
      for registration in registrations { end(registration) }
      stopping = done
    }
  }

  // MARK: Registering

  private mutating func register(
    _ request: RegistrationRequest, _ owner: MirroredNumbers.Owner, _ target: ServedTarget,
    _ session: SessionPort
  ) throws(RegistrationFault) -> (TextKeys, [ServedUnit]) {
    let twins = registrations.filter { $0.number == request.registration }
    if let known = twins.first(where: { $0.session.id == session.id }) {
      let keys = try registerAgain(request, target, known)
      return (keys, known.units)
    }
    // Several targets of one daemon may be legs of one mirror, but each only once.
    guard twins.allSatisfy({ $0.target !== target }) else {
      throw RegistrationFault(.busy, "this registration belongs to another session")
    }
    guard registrations.count < Self.registrationsMax else {
      throw RegistrationFault(.busy, "no more than \(Self.registrationsMax) registrations here")
    }
    let units = try mapped(request.luns, of: target, virtualLUN: request.virtualLUN)
    let place = try ReceptionPlace(request, session, configured: configuration.interface)
    let keeping = try enter(units, request, session)
    let registration: Registration
    do throws(RegistrationFault) {
      registration = try claim(
        request, (owner, target), session, units: units, place: place, keeping)
    } catch {
      leave(units, request, isKept: keeping != nil)
      throw error
    }
    registrations.append(registration)
    let keys: TextKeys
    do throws(RegistrationFault) {
      keys = try grant(registration, place: place)
    } catch {
      end(registration)
      throw error
    }
    logger.info(
      "registered",
      metadata: [
        "registration": "\(hexadecimal(request.registration))",
        "group": "\(place.group)", "interface": "\(place.interface.name)",
        "target": "\(target.name)", "vlun": "\(request.virtualLUN)", "sender": "\(place.sender)",
        "coalescing": "\(registration.group.port.coalescing)",
        "transport": "\(place.rdma?.device ?? "udp")",
      ])
    return (keys, units)
  }

  private mutating func claim(
    _ request: RegistrationRequest,
    _ whose: (owner: MirroredNumbers.Owner, target: ServedTarget), _ session: SessionPort,
    units: [ServedUnit], place: ReceptionPlace, _ keeping: UnitKeeping?
  ) throws(RegistrationFault) -> Registration {
    try mirrored.claim(
      request, units, at: whose.target.name, by: (owner: whose.owner, session: session.id))
    do throws(RegistrationFault) {
      let registration = try open(request, whose, session, units: units, place: place)
      registration.kept = keeping.map {
        KeptPlace(keeping: $0, toldLowest: request.firstWrite)
      }
      return registration
    } catch {
      mirrored.release(request, by: whose.owner)
      throw error
    }
  }

  /// The LUNs of a map, all there and of one size.
  func mapped(
    _ luns: [Int], of target: ServedTarget, virtualLUN: Int
  ) throws(RegistrationFault) -> [ServedUnit] {
    let served = target.units
    if served[virtualLUN] != nil {
      throw RegistrationFault(
        .lunTaken, "LUN \(virtualLUN) exists here: the virtual LUN must be nobody's LUN")
    }
    var units: [ServedUnit] = []
    for lun in luns {
      guard let unit = served[lun] else {
        throw RegistrationFault(.noSuchLUN, "there is no LUN \(lun) here")
      }
      guard units.first.map({ $0.logicalUnit.geometry == unit.logicalUnit.geometry }) ?? true else {
        throw RegistrationFault(.sizesDiffer, "the mapped LUNs differ in size")
      }
      guard !unit.logicalUnit.isWriteProtected, !unit.device.with({ $0.isSanitizing }) else {
        throw RegistrationFault(.busy, "LUN \(lun) takes no writes: it is read only, or sanitized")
      }
      units.append(unit)
    }
    return units
  }

  private mutating func open(
    _ request: RegistrationRequest,
    _ whose: (owner: MirroredNumbers.Owner, target: ServedTarget), _ session: SessionPort,
    units: [ServedUnit], place: ReceptionPlace
  ) throws(RegistrationFault) -> Registration {
    let (group, repairs): (SharedPort, SharedPort)
    do throws(SystemError) {
      (group, repairs) = try joined(request, place)
    } catch {
      guard place.rdma != nil else { throw RegistrationFault(.joinFailed, "\(error)") }
      // A device that can't be used is none.
      throw RegistrationFault(.noSuchTransport, "\(RDMAFault(error))")
    }
    do throws(SystemError) {
      let grants = Grants(request, place: place, room: group.port.roomByteCount)
      let slab: Slab
      do throws(SystemError) {
        slab = try Slab(
          slotCount: grants.openWritesMax, slotByteCount: grants.slotByteCount,
          node: configuration.placement.memoryNode, policy: configuration.settings.pages)
      } catch {
        ports.release(repairs)
        try ports.leave(group, source: place.sender)
        throw error
      }
      nextSerial &+= 1
      return Registration(
        serial: nextSerial, session: session, request: request, whose: whose, place: place,
        ports: (group, repairs), slab: slab, units: units,
        receiver: Receiver(grants.receiver(request, units: units)))
    } catch {
      throw RegistrationFault(.joinFailed, "\(error)")
    }
  }

  /// Where the group's datagrams come in, and where repairs do.
  private mutating func joined(
    _ request: RegistrationRequest, _ place: ReceptionPlace
  ) throws(SystemError) -> (group: SharedPort, repairs: SharedPort) {
    if let pair = request.queuePair, let rdma = place.rdma {
      let port = try ports.queuePair(
        pair, registration: request.registration, at: (rdma, place),
        memory: (configuration.placement.memoryNode, configuration.settings.pages))
      return (port, ports.share(port))
    }
    let group = try ports.join(place.group, on: place.interface, source: place.sender)
    do throws(SystemError) {
      return (group, try ports.repairs(at: place.address))
    } catch {
      try ports.leave(group, source: place.sender)
      throw error
    }
  }

  mutating func grant(
    _ registration: Registration, place: ReceptionPlace
  ) throws(RegistrationFault) -> TextKeys {
    let configuration = registration.receiver.configuration
    var grant = RegistrationGrant(registration.request)
    grant.epoch = registration.receiver.currentEpoch
    grant.datagramMax = place.datagramMax
    grant.blockLength = configuration.blockLength
    grant.writeLengthMax = configuration.writeLengthMax
    grant.credit = Int(configuration.credit)
    grant.openWritesMax = configuration.openWritesMax
    grant.lunSizes = registration.units.map(\.logicalUnit.geometry.byteCount)
    grant.takesUnsolicited = true
    grant.queuePair = registration.repairs.port.queuePair.map(QueuePairText.init)
    let address = try? Endpoint(
      registration.session.localAddress.contains(":")
        ? "[\(registration.session.localAddress)]" : registration.session.localAddress,
      defaultPort: 0)
    if let address, let endpoint = answerPort.endpoint(beside: address) {
      grant.answers = AnswerStream(
        endpoint: endpoint.wireText, token: registration.token)
    }
    do throws(SystemError) {
      grant.repair = try registration.repairs.port.localEndpoint().wireText
    } catch {
      throw RegistrationFault(.joinFailed, "\(error)")
    }
    return grant.keys(
      firstWrite: registration.request.firstWrite, port: registration.request.port)
  }

  // MARK: Asking

  private mutating func handle(
    _ request: MirrorRequest, _ data: ArraySlice<UInt8>, _ session: SessionPort, now: UInt64
  ) {
    guard
      let registration = registrations.first(where: {
        $0.request.registration == request.registration && $0.session.id == session.id
      })
    else {
      // A lost registration is told, not passed over in silence.
      session.close(reason: "a mirror request for a registration that is not here")
      return
    }
    switch request.kind {
    case .attach: session.close(reason: "an attach belongs on a stream")
    case .fence:
      registration.receiver.handleFence(request.writeNumber, epoch: request.epoch)
    case .sync:
      do throws(MirrorPDUFault) {
        // Safe: the span over the PDU's data ends with the statement.
        let open = try unsafe MirrorRequest.openWrites(data.span.bytes)
        questions.append((request, open, session.id))
      } catch {
        session.close(reason: error.reason)
      }
    case .carried:
      // A copy of its own, since what was sealed is opened in place.
      var bytes = [UInt8](data)
      // Safe: the array outlives the closure, which keeps no pointer.
      unsafe bytes.withUnsafeMutableBytes { bytes in
        do throws(DatagramFault) {
          let opened = try unsafe registration.open(bytes)
          let datagram = try unsafe Datagram(opened.bytes, isOpened: registration.isKeyed)
          guard datagram.registration == request.registration else {
            return drops.count(.kind)
          }
          unsafe registration.deliver(datagram, opened, isCarried: true, now: now)
        } catch {
          drops.count(error)
        }
      }
    }
  }
}

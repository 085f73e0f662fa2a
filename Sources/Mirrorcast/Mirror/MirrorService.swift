// The mirror at a target: what its sessions ask goes by ring to the lane that owns their
// registrations, what a lane answers goes back to the session's event loop, a batch at a time.
//
// Law: a session belongs to one lane, that of its first registration: part I of a mirror to lane I
// modulo the lanes. So all that a session asks comes in order to one place, and no lane has to
// ask another.
import Datagrams
package import ISCSI
import Lanes
import Logging
import Replication
import SCSI
import Storage
import Synchronization

/// What a session asks of the lane.
enum MirrorOrder: Sendable {
  /// With the leg's public value, where datagrams are to be protected.
  case register(
    RegistrationRequest, MirroredNumbers.Owner, ServedTarget, SessionPort, TaskHandle,
    share: [UInt8]?)
  case key(EpochKeyText, LegKeys, SessionPort, TaskHandle)
  case terminate(TerminationRequest, SessionPort, TaskHandle)
  case request(MirrorRequest, ArraySlice<UInt8>, SessionPort)
  case abort(MirroredTask, SessionPort, TaskHandle)
  case abortAll(MirroredAbort)
  case sessionClosed(UInt64, ended: @Sendable () -> Void)
  /// The claims of these LUNs end, so all registrations there do; or those of one initiator.
  case endUnits(Set<UInt64>, holder: UInt64?, ended: @Sendable () -> Void)
  case stop(@Sendable () -> Void)
}

/// The mirror service of one daemon: lanes with their sockets and registrations.
package final class MirrorService: MirrorHost {
  /// The mirror of a daemon that was configured so.
  static func make(
    _ configuration: TargetConfiguration, _ workers: StorageWorkers, _ logger: Logger
  ) throws -> MirrorService {
    let interface: NetworkInterface?
    do throws(NetworkInterfaceError) {
      interface = try configuration.interface.map { name throws(NetworkInterfaceError) in
        try NetworkInterface(named: name)
      }
    } catch {
      throw MirrorcastError("\(error)")
    }
    let settings = try LaneSettings(configuration.lanes)
    var lanes: [Configuration] = []
    for (index, placement) in settings.placements(near: interface?.name ?? "lo").enumerated() {
      var faults = configuration.faults
      faults.seed &+= UInt64(index)
      lanes.append(
        Configuration(
          interface: interface, faults: try faults.injector(), placement: placement,
          settings: settings))
    }
    let service = try MirrorService(
      lanes, requiresSecurity: configuration.requiresSecurity, workers: workers, logger: logger)
    if !configuration.requiresSecurity {
      logger.notice(
        "datagrams without --secure are not authenticated: trust everybody on the mirror's segment")
    }
    return service
  }

  let lanes: [ReceptionLane]
  let workers: StorageWorkers
  /// Registrations without keys are refused.
  private let requiresSecurity: Bool
  private let mirrored = MirroredNumbers()
  /// The lane of each session that has asked for a registration.
  private let laneOfSession = Mutex<[UInt64: Int]>([:])
  /// What is agreed with sessions about keys, until these have come.
  let exchanges = PendingExchanges()
  /// The LUNs whose records a session has asked about.
  let asked = Mutex<[UInt64: [UInt64: UnitKeeping]]>([:])

  /// What a daemon gives to a lane of its mirror.
  struct Configuration: Sendable {
    var interface: NetworkInterface?
    var faults: FaultInjector?
    var placement: LanePlacement
    var settings: LaneSettings
  }

  /// Starts the lanes, all or none.
  init(
    _ configurations: [Configuration], requiresSecurity: Bool, workers: StorageWorkers,
    logger: Logger
  ) throws {
    self.requiresSecurity = requiresSecurity
    precondition(!configurations.isEmpty, "a mirror service has a lane")
    var lanes: [ReceptionLane] = []
    do {
      for configuration in configurations {
        lanes.append(
          try ReceptionLane(
            starting: lanes.count, configuration, mirrored: mirrored, workers: workers,
            logger: logger))
      }
    } catch {
      for lane in lanes { lane.lane.stop() }
      throw error
    }
    self.lanes = lanes
    self.workers = workers
  }

  /// Ends all registrations, waits for their I/O, then ends the lanes.
  package func stop() async {
    for lane in lanes {
      await withCheckedContinuation { continuation in
        lane.inbox.post(.stop { continuation.resume() })
      }
      lane.lane.stop()
    }
  }

  // MARK: The sessions' orders

  private func lane(of session: UInt64) -> ReceptionLane {
    lanes[lanes.count == 1 ? 0 : laneOfSession.withLock { $0[session] ?? 0 }]
  }

  /// The lane of a session from its first registration on; another part's is another session's.
  private func assign(_ session: UInt64, _ stripe: Stripe?) throws(RegistrationFault) {
    let wanted = (stripe?.index ?? 0) % lanes.count
    let assigned = laneOfSession.withLock { lanes in
      let lane = lanes[session] ?? wanted
      lanes[session] = lane
      return lane
    }
    guard assigned == wanted else {
      throw RegistrationFault(.badRequest, "each part of a mirror is registered by its own session")
    }
  }

  private func order(_ order: MirrorOrder, for session: SessionPort) {
    if !lane(of: session.id).inbox.offer(order) {
      session.close(reason: "the mirror's queue is full")
    }
  }

  package func text(
    _ keys: TextKeys, initiator: MirrorInitiator, of target: ServedTarget, session: SessionPort,
    reply: TaskHandle
  ) {
    do throws(RegistrationFault) {
      switch try MirrorText(keys) {
      case .register(let request):
        guard request.security != nil || !requiresSecurity else {
          throw RegistrationFault(.notSecure, "this target takes secured datagrams only")
        }
        try assign(session.id, request.stripe)
        let owner = MirroredNumbers.Owner(
          request, initiator: initiator.name, at: target.name, session: session.id)
        let share = try exchanges.begin(
          request, by: initiator, at: target.name, session: session.id)
        order(.register(request, owner, target, session, reply, share: share), for: session)
      case .key(let text):
        let keys = try exchanges.end(text, session: session.id)
        order(.key(text, keys, session, reply), for: session)
      case .terminate(let request): order(.terminate(request, session, reply), for: session)
      case .keep(let text): try keep(text, of: target, session, reply)
      case .digest(let request): try digest(request, of: target, session, reply)
      case .leader(let lun): try leader(ofLUN: lun, of: target, session, reply)
      }
    } catch {
      let answer = error.keys
      session.perform { $0.respondText(reply, answer) }
    }
  }

  package func request(_ pdu: PDU, session: SessionPort) {
    do throws(MirrorPDUFault) {
      order(.request(try MirrorRequest(pdu.header), pdu.data, session), for: session)
    } catch {
      session.close(reason: error.reason)
    }
  }

  package func abort(_ task: MirroredTask, session: SessionPort, reply: TaskHandle) {
    order(.abort(task, session, reply), for: session)
  }

  package func abortAll(
    at units: [ServedUnit], of sessions: Set<UInt64>?, ended: @escaping @Sendable () -> Void
  ) {
    // Without a claim there is no open write either: a claim ends after its last one.
    guard units.contains(where: isMirrored) else { return ended() }
    let ids = Set(units.map(\.id))
    let counted = LanesAwaited(lanes.count, ended)
    for lane in lanes {
      lane.inbox.post(
        .abortAll(MirroredAbort(units: ids, sessions: sessions) { counted.end() }))
    }
  }

  package func units(ofVirtualLUN field: UInt64, session: UInt64) -> [ServedUnit] {
    guard let number = LogicalUnitNumber(field: field) else { return [] }
    return mirrored.units(ofVirtualLUN: Int(number.value), session: session)
  }

  package func sessionClosed(_ id: UInt64, ended: @escaping @Sendable () -> Void) {
    let asked = asked.withLock { $0.removeValue(forKey: id) } ?? [:]
    let lane = laneOfSession.withLock { $0.removeValue(forKey: id) }
    exchanges.forget(session: id)
    let claimed = Set(asked.filter { $0.value.beginEnding(id) }.keys)
    let awaited = LanesAwaited(2) {
      for keeping in asked.values { keeping.sessionClosed(id) }
      ended()
    }
    if let lane {
      lanes[lane].inbox.post(.sessionClosed(id) { awaited.end() })
    } else {
      awaited.end()
    }
    if claimed.isEmpty {
      awaited.end()
    } else {
      endRegistrations(at: claimed) { awaited.end() }
    }
  }

  package func change(leaving units: [ServedUnit], coming places: [UnitPlace]) -> String? {
    mirrored.change(leaving: units, coming: places)
  }

  package func settle(_ places: [UnitPlace]) { mirrored.settle(places) }

  package func isMirrored(_ unit: ServedUnit) -> Bool { mirrored.contains(unit) }
}

/// Calls somebody once all lanes have done their part.
final class LanesAwaited: Sendable {
  private let remaining: Atomic<Int>
  private let done: @Sendable () -> Void

  init(_ count: Int, _ done: @escaping @Sendable () -> Void) {
    remaining = Atomic(count)
    self.done = done
  }

  func end() {
    if remaining.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { done() }
  }
}

/// One lane of a daemon, and the ring by which it gets its orders.
struct ReceptionLane: Sendable {
  let inbox: LaneInbox<MirrorOrder>
  let lane: Lane<ReceiverDuty>

  init(
    starting index: Int, _ configuration: MirrorService.Configuration, mirrored: MirroredNumbers,
    workers: StorageWorkers, logger: Logger
  ) throws {
    inbox = try LaneInbox(capacity: ReceiverDuty.ordersMax)
    let duty = ReceiverDuty(
      configuration, inbox: inbox, mirrored: mirrored, workers: workers, logger: logger)
    let pages = duty.arrivals.pageKind
    lane = try Lane(
      name: LaneSettings.name(ofLane: index), placement: configuration.placement,
      idle: configuration.settings.idle, signal: inbox.signal, duty: duty)
    do throws(PlacementError) {
      let report = try lane.start()
      logger.info(
        "lane started",
        metadata: [
          "placement": "\(report)", "pages": "\(pages)",
          "coalescing": "\(Self.tried(configuration.settings.coalescing))",
        ])
    } catch {
      throw MirrorcastError(error)
    }
  }

  /// What the kernel says to the wish; each group's socket asks for itself.
  private static func tried(_ policy: OffloadPolicy) -> String {
    guard policy != .off, let anywhere = try? Endpoint("0.0.0.0:0"),
      let socket = try? DatagramSocket.unicast(
        address: anywhere, receiveBufferByteCount: 1 << 16, coalescing: policy)
    else { return policy == .off ? "off" : "not tried" }
    return "\(socket.coalescing)"
  }
}

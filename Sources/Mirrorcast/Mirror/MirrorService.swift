// The mirror at a target: what its sessions ask goes by ring to the lane that owns all
// registrations, what the lane answers goes back to the session's event loop, a batch at a time.
package import Datagrams
package import ISCSI
package import Lanes
package import Logging
import Replication
package import Storage

/// What a session asks of the lane.
enum MirrorOrder: Sendable {
  case register(RegistrationRequest, SessionPort, TaskHandle)
  case terminate(TerminationRequest, SessionPort, TaskHandle)
  case request(MirrorRequest, ArraySlice<UInt8>, SessionPort)
  case abort(taskTag: UInt32, SessionPort, TaskHandle)
  case sessionClosed(UInt64)
  case stop(@Sendable () -> Void)
}

/// The mirror service of one daemon: a lane with its sockets and registrations.
package final class MirrorService: MirrorHost {
  /// The mirror of a daemon that was configured so.
  static func make(
    _ configuration: TargetConfiguration, _ units: ServedUnits, _ workers: StorageWorkers,
    _ logger: Logger
  ) throws -> MirrorService {
    let interface: NetworkInterface?
    do throws(NetworkInterfaceError) {
      interface = try configuration.interface.map { name throws(NetworkInterfaceError) in
        try NetworkInterface(named: name)
      }
    } catch {
      throw MirrorcastError("\(error)")
    }
    let service = try MirrorService(
      Configuration(
        units: units.list, interface: interface, faults: try configuration.faults.injector(),
        placement: interface.map { .near(interface: $0.name) } ?? .near(interface: "lo")),
      workers: workers, logger: logger)
    logger.info("lane started", metadata: ["placement": "\(service.placement)"])
    logger.notice("datagrams not authenticated: trust everybody on the mirror's segment")
    return service
  }

  private let inbox: LaneInbox<MirrorOrder>
  private let mirrored: MirroredNumbers
  private let lane: Lane<ReceiverDuty>
  package let placement: PlacementReport

  /// What a daemon gives to its mirror.
  package struct Configuration: Sendable {
    package var units: [ServedUnit]
    package var interface: NetworkInterface?
    package var faults: FaultInjector?
    package var placement: LanePlacement

    package init(
      units: [ServedUnit], interface: NetworkInterface?, faults: FaultInjector?,
      placement: LanePlacement
    ) {
      self.units = units
      self.interface = interface
      self.faults = faults
      self.placement = placement
    }
  }

  /// Starts the lane.
  package init(
    _ configuration: Configuration, workers: StorageWorkers, logger: Logger
  ) throws {
    inbox = try LaneInbox(capacity: 4096)
    mirrored = MirroredNumbers()
    let duty = ReceiverDuty(
      configuration, inbox: inbox, mirrored: mirrored, workers: workers, logger: logger)
    lane = try Lane(
      name: "mirror-lane", placement: configuration.placement, signal: inbox.signal, duty: duty)
    placement = try lane.start()
  }

  /// Ends all registrations, waits for their I/O, then ends the lane.
  package func stop() async {
    await withCheckedContinuation { continuation in
      inbox.post(.stop { continuation.resume() })
    }
    lane.stop()
  }

  private func order(_ order: MirrorOrder, for session: SessionPort) {
    if !inbox.offer(order) { session.close(reason: "the mirror's queue is full") }
  }

  package func text(_ keys: TextKeys, session: SessionPort, reply: TaskHandle) {
    do throws(RegistrationFault) {
      switch try MirrorText(keys) {
      case .register(let request): order(.register(request, session, reply), for: session)
      case .terminate(let request): order(.terminate(request, session, reply), for: session)
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

  package func abort(taskTag: UInt32, session: SessionPort, reply: TaskHandle) {
    order(.abort(taskTag: taskTag, session, reply), for: session)
  }

  package func sessionClosed(_ id: UInt64) {
    inbox.post(.sessionClosed(id))
  }

  package func isMirrored(lun: Int) -> Bool { mirrored.contains(lun) }
}

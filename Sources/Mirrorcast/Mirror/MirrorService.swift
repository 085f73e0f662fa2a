// The mirror at a target: what its sessions ask goes by ring to the lane that owns all
// registrations, what the lane answers goes back to the session's event loop, a batch at a time.
import Datagrams
package import ISCSI
import Lanes
import Logging
import Replication
import Storage

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
    let settings = try LaneSettings(configuration.lanes)
    let service = try MirrorService(
      Configuration(
        units: units.list, interface: interface, faults: try configuration.faults.injector(),
        placement: settings.placements(near: interface?.name ?? "lo")[0], settings: settings),
      workers: workers, logger: logger)
    logger.notice("datagrams not authenticated: trust everybody on the mirror's segment")
    return service
  }

  private let inbox: LaneInbox<MirrorOrder>
  private let mirrored: MirroredNumbers
  private let lane: Lane<ReceiverDuty>

  /// What a daemon gives to its mirror.
  struct Configuration: Sendable {
    var units: [ServedUnit]
    var interface: NetworkInterface?
    var faults: FaultInjector?
    var placement: LanePlacement
    var settings: LaneSettings
  }

  /// Starts the lane.
  init(
    _ configuration: Configuration, workers: StorageWorkers, logger: Logger
  ) throws {
    inbox = try LaneInbox(capacity: 4096)
    mirrored = MirroredNumbers()
    let duty = ReceiverDuty(
      configuration, inbox: inbox, mirrored: mirrored, workers: workers, logger: logger)
    let pages = duty.arrivals.pageKind
    lane = try Lane(
      name: LaneSettings.name(ofLane: 0), placement: configuration.placement,
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

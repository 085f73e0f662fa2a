// Phase one: log in to every leg, agree on the mirror by text, probe the group, start the lane.
import Bytes
import Datagrams
import ISCSI
import Lanes
public import Logging
import Replication
import SCSI
import Synchronization

extension Mirror {
  /// Establishes a mirror: sessions with all legs, registrations, a probe of the group.
  ///
  /// Throws `MirrorcastError` naming the leg and what to do; nothing is left behind then.
  public static func establish(_ options: MirrorOptions, logger: Logger) async throws -> Mirror {
    guard !options.legs.isEmpty, options.legs.count <= Limits.legsMax else {
      throw MirrorcastError("a mirror has 1 to \(Limits.legsMax) legs")
    }
    guard Set(options.legs).count == options.legs.count else {
      throw MirrorcastError("one LUN is named twice", advice: "name each leg once")
    }
    guard options.deadlineSeconds > 0, options.deadlineSeconds <= 86_400 else {
      throw MirrorcastError(
        "a deadline of \(options.deadlineSeconds) s", advice: "It is above 0, and a day at most.")
    }
    _ = try options.faults.injector()
    let settings = try LaneSettings(options.lanes)
    let inbox = try LaneInbox<SenderOrder>(capacity: SenderDuty.ordersMax)
    let sessions = try await LegSession.openAll(options, inbox: inbox, logger: logger)
    do {
      return try await establish(options, settings, sessions, inbox: inbox, logger: logger)
    } catch {
      for session in sessions { await session.connection.close() }
      throw error
    }
  }

  private static func establish(
    _ options: MirrorOptions, _ settings: LaneSettings, _ sessions: [LegSession],
    inbox: LaneInbox<SenderOrder>, logger: Logger
  ) async throws -> Mirror {
    let size = try LegSession.commonSize(sessions)
    let path = try SendingPath(options, sessions, segmentation: settings.segmentation)
    var request = RegistrationRequest(
      registration: UInt32.random(in: 1...UInt32.max), group: options.group.address,
      port: UInt16(options.group.port), luns: [],
      virtualLUN: try LegSession.virtualLUN(options, sessions))
    request.firstWrite = SerialNumber(UInt32.random(in: 0...UInt32.max))
    request.sender = try path.socket.localEndpoint().wireText
    request.blockLength = path.blockLength
    request.writeLengthMax = options.writeLength / size.blockSize * size.blockSize
    guard (size.blockSize...Limits.writeLengthMax).contains(request.writeLengthMax) else {
      throw MirrorcastError(
        "a mirrored write has \(size.blockSize) bytes to \(Limits.writeLengthMax >> 20) MiB")
    }
    let grants = try await LegSession.register(
      sessions, &request, within: options.deadlineSeconds)
    let legs = try zip(sessions, grants).map { session, grant in
      MirrorLeg(
        urls: session.urls, connection: session.connection,
        repair: try grant.map { try SendingPath.repairs($0, on: path.interface) },
        answers: grant.flatMap { SendingPath.answers($0, options, on: path.interface) })
    }
    let parts = Parts(
      options: options, byteCount: size.byteCount, blockSize: size.blockSize, request: request,
      openWritesMax: grants.compactMap { $0?.openWritesMax }.min() ?? Limits.openWritesMax,
      credit: grants.compactMap { $0?.credit }.min() ?? .max, legs: legs,
      interface: path.interface, notices: [], inbox: inbox,
      calls: WriteCalls(signal: inbox.signal), board: MirrorBoard(), logger: logger)
    let mirror = try start(parts, settings, path: path, grants: grants.map { $0?.description })
    await mirror.probe(LegSet(legs.indices.filter { !legs[$0].isForeign }), epoch: request.epoch)
    mirror.noteForPeople()
    return mirror
  }

  private static func start(
    _ parts: Parts, _ settings: LaneSettings, path: SendingPath, grants: [LegDescription?]
  ) throws -> Mirror {
    guard let virtualLUN = LogicalUnitNumber(parts.request.virtualLUN) else {
      preconditionFailure("the virtual LUN was chosen in range")
    }
    var configuration = SenderConfiguration(
      registration: parts.request.registration, virtualLUN: virtualLUN.field,
      blockLength: parts.request.blockLength, unitBlockSize: parts.blockSize,
      writeLengthMax: parts.request.writeLengthMax)
    configuration.recovery = parts.options.recovery.machine
    configuration.isSolicited = parts.options.isSolicited
    configuration.bytesPerSecondMax = parts.options.bytesPerSecondMax.map { Int(clamping: $0) }
    configuration.omitsDataDigest = !parts.options.digestsData
    configuration.waitsForStatus = parts.options.status == .all
    configuration.deadlineNanoseconds = UInt64(parts.options.deadlineSeconds * 1e9)
    configuration.firstWrite = parts.request.firstWrite
    configuration.epoch = parts.request.epoch
    let descriptions = grants.map {
      $0
        ?? LegDescription(
          path: .foreign, openWritesMax: max(parts.options.depth, 1), credit: .max)
    }
    let placement = settings.placements(near: path.interface.name)[0]
    let outlet = SenderOutlet(
      path, faults: try parts.options.faults.injector(), node: placement.memoryNode,
      pages: settings.pages, logger: parts.logger)
    let pages = outlet.pageKind
    let duty = SenderDuty(
      sender: Sender(configuration, legs: descriptions), legs: parts.legs, outlet: outlet,
      shared: (parts.inbox, parts.calls, parts.board, parts.logger))
    let lane = try Lane(
      name: LaneSettings.name(ofLane: 0), placement: placement, idle: settings.idle,
      signal: parts.inbox.signal, duty: duty)
    let report: PlacementReport
    do throws(PlacementError) {
      report = try lane.start()
    } catch {
      throw MirrorcastError(error)
    }
    let started = StartedLane(
      placement: report, pages: pages, segmentation: path.socket.segmentation)
    parts.logger.info("lane started", metadata: started.metadata)
    return Mirror(parts, lane: lane, started: started)
  }

  /// Finds out which legs hear full datagrams; the others are served over their connections.
  func probe(_ legs: LegSet, epoch: UInt16) async {
    let deaf = await withCheckedContinuation { continuation in
      inbox.post(.probe(legs, epoch: epoch) { continuation.resume(returning: $0) })
    }
    membership.withLock { membership in
      membership.deaf.formUnion(deaf)
      for (index, leg) in membership.legs.enumerated() where deaf.contains(LegSet(index)) {
        membership.notices.append(
          "\(leg.urls[0]) does not hear the group \(options.group): served over TCP")
      }
    }
  }

  private func noteForPeople() {
    membership.withLock { membership in
      membership.notices.append("datagrams not authenticated: trust everybody on this segment")
      for leg in membership.legs where leg.isForeign {
        membership.notices.append(
          "\(leg.urls[0]) is a target of another make: served by plain iSCSI")
      }
    }
  }
}

/// What an initiator's lane got when it started.
struct StartedLane: Sendable {
  let placement: PlacementReport
  let pages: PageKind
  let segmentation: Offload

  var metadata: Logger.Metadata {
    [
      "placement": "\(placement)", "pages": "\(pages)", "segmentation": "\(segmentation)",
    ]
  }

  /// The same for programs; trains may have failed since.
  func told(segmentation now: Offload?) -> MirrorStatistics.Lane {
    MirrorStatistics.Lane(
      placement: "\(placement.asked)", coreCount: placement.cores, node: placement.node,
      pages: "\(pages)", segmentation: "\(now ?? segmentation)")
  }
}

extension LegSet {
  init(_ legs: [Int]) {
    self = legs.reduce(into: []) { $0.insert(LegSet($1)) }
  }
}

extension RegistrationGrant {
  var description: LegDescription {
    LegDescription(
      path: .datagrams, openWritesMax: openWritesMax, credit: credit,
      takesUnsolicited: takesUnsolicited)
  }
}

extension Faults {
  /// The injector, nil where no fault is asked for.
  func injector() throws(MirrorcastError) -> FaultInjector? {
    guard self != Faults(drop: 0, duplicate: 0, reorder: 0, seed: seed) else { return nil }
    guard
      let injector = FaultInjector(
        drop: drop, duplicate: duplicate, reorder: reorder, seed: seed)
    else {
      throw MirrorcastError(
        "faults of \(drop), \(duplicate) and \(reorder) are no probabilities",
        advice: "Each is from 0 to 1, and together they are at most 1.")
    }
    return injector
  }
}

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
    let inbox = try LaneInbox<SenderOrder>(capacity: SenderDuty.ordersMax)
    let sessions = try await LegSession.openAll(options, inbox: inbox, logger: logger)
    do {
      return try await establish(options, sessions, inbox: inbox, logger: logger)
    } catch {
      for session in sessions { await session.connection.close() }
      throw error
    }
  }

  private static func establish(
    _ options: MirrorOptions, _ sessions: [LegSession], inbox: LaneInbox<SenderOrder>,
    logger: Logger
  ) async throws -> Mirror {
    let size = try LegSession.commonSize(sessions)
    let path = try SendingPath(options, sessions)
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
        answers: grant.flatMap { SendingPath.answers($0, on: path.interface) })
    }
    let parts = Parts(
      options: options, byteCount: size.byteCount, blockSize: size.blockSize, request: request,
      openWritesMax: grants.compactMap { $0?.openWritesMax }.min() ?? Limits.openWritesMax,
      credit: grants.compactMap { $0?.credit }.min() ?? .max, legs: legs,
      interface: path.interface, notices: [], inbox: inbox,
      calls: WriteCalls(signal: inbox.signal), board: MirrorBoard(), logger: logger)
    let mirror = try start(parts, path: path, grants: grants.map { $0?.description })
    await mirror.probe(LegSet(legs.indices.filter { !legs[$0].isForeign }), epoch: request.epoch)
    mirror.noteForPeople()
    return mirror
  }

  private static func start(
    _ parts: Parts, path: SendingPath, grants: [LegDescription?]
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
    let placement = LanePlacement.near(interface: path.interface.name)
    let outlet = SenderOutlet(
      path, faults: try parts.options.faults.injector(), node: placement.memoryNode,
      logger: parts.logger)
    let duty = SenderDuty(
      sender: Sender(configuration, legs: descriptions), legs: parts.legs, outlet: outlet,
      shared: (parts.inbox, parts.calls, parts.board, parts.logger))
    let lane = try Lane(
      name: "mirror-lane", placement: placement, signal: parts.inbox.signal, duty: duty)
    let report = try lane.start()
    parts.logger.info("lane started", metadata: ["placement": "\(report)"])
    return Mirror(parts, lane: lane)
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

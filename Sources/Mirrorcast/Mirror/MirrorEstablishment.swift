// Phase one: log in to every leg, agree on the mirror by text, start the lanes, probe the group.
// All parts are established, or none.
//
// Law: no datagram is longer than one that every leg served by datagrams has confirmed. What an
// interface says of its MTU is a guess about the path behind it: a switch between two of them may
// carry less, in silence. So long blocks are tried; where a leg doesn't confirm them the mirror is
// established anew with the blocks of an ordinary frame, and only a leg that doesn't confirm those
// is served by TCP.
import Bytes
import Datagrams
import Lanes
public import Logging
import Replication
import SCSI
import Synchronization

extension Mirror {
  /// Establishes a mirror: sessions with all legs, registrations, a probe of the group.
  ///
  /// Throws `MirrorcastError` naming the leg and what to do; nothing is left behind then.
  ///
  /// A mirror with a name is opened: its legs say what they remember. Where that doesn't allow it,
  /// nothing is changed and the error has a line for each leg.
  public static func establish(_ options: MirrorOptions, logger: Logger) async throws -> Mirror {
    if options.name != nil { return try await KeptMirror.open(options, logger) }
    var establishment = try Establishment(options, logger)
    return try await establishment.perform()
  }
}

/// A mirror on its way.
struct Establishment: Sendable {
  /// One part before its lane runs.
  struct Draft: Sendable {
    let index: Int
    let ends: MirrorPart.Ends
    let sessions: [LegSession]
    let path: SendingPath
    /// Of this part: its number, group port and sender's address.
    var request: RegistrationRequest
    /// Of the first epoch; nil where datagrams go in the clear.
    let key: EpochKey?
    var grants: [RegistrationGrant?] = []
    /// To each leg, from the lane's port.
    var ways: [DepartureWay?] = []
  }

  let options: MirrorOptions
  let settings: LaneSettings
  let logger: Logger
  /// Nil where the mirror is not kept.
  let keeping: KeptMirror?
  /// The same for all parts.
  private let mirror = UInt64.random(in: 1...UInt64.max)
  private(set) var size: (byteCount: UInt64, blockSize: Int) = (0, 0)
  /// What the parts have agreed on; numbers and addresses are the first part's.
  private(set) var request = RegistrationRequest(
    registration: 0, group: "", port: 0, luns: [], virtualLUN: 0)
  private var notices: [String] = []
  /// The longest block that is tried; the interface may allow less.
  private var blockLengthMax = Limits.blockLengthMax

  init(
    _ options: MirrorOptions, _ logger: Logger, keeping: KeptMirror? = nil
  ) throws(MirrorcastError) {
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
    // Known before any leg is asked.
    if options.transport != .udp, let fault = RDMADevices.fault {
      throw MirrorcastError("no RDMA: \(fault.reason)", advice: fault.advice)
    }
    _ = try options.faults.injector()
    settings = try LaneSettings(options.lanes)
    guard options.group.port + settings.laneCount - 1 <= 65_535 else {
      throw MirrorcastError(
        "\(settings.laneCount) lanes want as many ports from \(options.group.port) on",
        advice: "Name a lower port behind the group.")
    }
    self.options = options
    self.logger = logger
    self.keeping = keeping
  }

  mutating func perform() async throws -> Mirror {
    let made = try await attempt()
    let deaf = await made.probeAll()
    guard !deaf.isEmpty, let ordinary = ordinaryBlockLength else {
      made.noteForPeople()
      return made
    }
    // Registrations are taken back in words: those of the next attempt want the same LUNs.
    _ = await made.withdraw()
    let long = "datagrams of \(request.blockLength + Datagram.overheadByteCount) bytes"
    notices = [
      "\(deaf.map { "\($0)" }.joined(separator: ", ")) did not confirm \(long):"
        + " all blocks have \(ordinary) bytes"
    ]
    blockLengthMax = ordinary
    let again = try await attempt()
    _ = await again.probeAll()
    again.noteForPeople()
    return again
  }

  /// The block of a frame that any network carries; nil where blocks are no longer than that.
  private var ordinaryBlockLength: Int? {
    let family: Endpoint.Family = options.group.address.contains(":") ? .v6 : .v4
    let ordinary = options.transport.ordinaryBlockLength(family).map { $0 - options.tagByteCount }
    return ordinary.flatMap { $0 < request.blockLength ? $0 : nil }
  }

  private mutating func attempt() async throws -> Mirror {
    var opened: [(ends: MirrorPart.Ends, sessions: [LegSession])] = []
    var parts: [MirrorPart] = []
    do {
      for _ in 0..<settings.laneCount {
        let ends = try MirrorPart.Ends()
        let sessions = try await LegSession.openAll(options, inbox: ends.inbox, logger: logger)
        opened.append((ends, sessions))
      }
      var drafts = try agreeOnDisk(opened)
      let asked = drafts[0].request.blockLength
      let short = try await LegSession.register(
        &drafts, blockSize: size.blockSize, options)
      request = drafts[0].request
      for part in drafts.indices { drafts[part].ways = try await findWays(drafts[part]) }
      if let short {
        notices.append(
          "\(short) takes no longer blocks than \(request.blockLength) bytes, of \(asked) that"
            + " could be: all blocks have as many")
      }
      parts = try start(drafts)
    } catch {
      for part in parts { part.lane.stop() }
      for session in opened.flatMap({ $0.sessions }) { await session.connection.close() }
      throw error
    }
    return Mirror(self, parts, notices: notices)
  }

  // MARK: Agreeing

  /// One disk at all legs, seen alike by all parts; then a request for each part.
  private mutating func agreeOnDisk(
    _ opened: [(ends: MirrorPart.Ends, sessions: [LegSession])]
  ) throws -> [Draft] {
    let sessions = opened[0].sessions
    for other in opened.dropFirst() {
      guard other.sessions.map(\.urls) == sessions.map(\.urls),
        other.sessions.map(\.sizes) == sessions.map(\.sizes)
      else { throw MirrorcastError("a leg changed while the mirror was being established") }
    }
    size = try LegSession.commonSize(sessions)
    let virtualLUN = try LegSession.virtualLUN(options, sessions)
    let writeLengthMax = options.writeLength / size.blockSize * size.blockSize
    guard (size.blockSize...Limits.writeLengthMax).contains(writeLengthMax) else {
      throw MirrorcastError(
        "a mirrored write has \(size.blockSize) bytes to \(Limits.writeLengthMax >> 20) MiB")
    }
    return try opened.enumerated().map { index, opened in
      let path = try SendingPath(
        options, opened.sessions, part: index, segmentation: settings.segmentation)
      var request = RegistrationRequest(
        registration: UInt32.random(in: 1...UInt32.max), group: options.group.address,
        port: UInt16(options.group.port + index), luns: [], virtualLUN: virtualLUN)
      request.firstWrite = SerialNumber(UInt32.random(in: 0...UInt32.max))
      request.holder = keeping?.holder
      request.sender = try path.port.localEndpoint().wireText
      request.queuePair = path.port.queuePair.map(QueuePairText.init)
      request.plainSender = path.plainSender
      request.blockLength = min(path.blockLength, blockLengthMax)
      request.writeLengthMax = writeLengthMax
      if settings.laneCount > 1 {
        request.stripe = Stripe(mirror: mirror, index: index, count: settings.laneCount)
      }
      return Draft(
        index: index, ends: opened.ends, sessions: opened.sessions, path: path, request: request,
        key: options.newKey)
    }
  }

  private func ways(_ draft: Draft) -> LegWays {
    LegWays(finder: draft.path.port.ways, interface: draft.path.interface, logger: logger)
  }

  private func findWays(_ draft: Draft) async throws -> [DepartureWay?] {
    let ways = ways(draft)
    var found: [DepartureWay?] = []
    for (session, grant) in zip(draft.sessions, draft.grants) {
      found.append(try await ways.way(to: session.urls[0], grant, in: draft.request))
    }
    return found
  }

  // MARK: Starting

  /// Starts the lanes, all or none.
  private func start(_ drafts: [Draft]) throws -> [MirrorPart] {
    let fates = drafts[0].sessions.map { LegRecord($0.urls) }
    var parts: [MirrorPart] = []
    do {
      for draft in drafts { parts.append(try start(draft, fates)) }
      return parts
    } catch {
      for part in parts { part.lane.stop() }
      throw error
    }
  }

  private func start(_ draft: Draft, _ fates: [LegRecord]) throws -> MirrorPart {
    let legs = try draft.sessions.indices.map { index in
      try MirrorLeg(
        draft.sessions[index], draft.grants[index]?.answering(by: options), draft.request,
        place: (fates[index], index), interface: draft.path.interface, inbox: draft.ends.inbox)
    }
    let openWritesMax = draft.grants.compactMap { $0?.openWritesMax }.min() ?? Limits.openWritesMax
    let credit = draft.grants.compactMap { $0?.credit }.min() ?? .max
    let descriptions = draft.grants.map {
      $0?.description(of: draft.request)
        ?? LegDescription(path: .foreign, openWritesMax: max(options.depth, 1), credit: .max)
    }
    let sender = Sender(configuration(draft.request), legs: descriptions)
    draft.postProofKeys()
    let (lane, started) = try lane(draft, sender, legs)
    return MirrorPart(
      options, MirrorPart.Membership(legs: legs, request: draft.request), draft.ends,
      ways: ways(draft),
      depthMax: min(openWritesMax, max(credit / draft.request.writeLengthMax, 1)), lane: lane,
      started: started)
  }

  private func configuration(_ request: RegistrationRequest) -> SenderConfiguration {
    guard let virtualLUN = LogicalUnitNumber(request.virtualLUN) else {
      preconditionFailure("the virtual LUN was chosen in range")
    }
    var configuration = SenderConfiguration(
      registration: request.registration, virtualLUN: virtualLUN.field,
      blockLength: request.blockLength, unitBlockSize: size.blockSize,
      writeLengthMax: request.writeLengthMax)
    configuration.recovery = options.recovery.machine
    configuration.waitsForStatus = options.status == .all
    configuration.isKept = keeping != nil
    configuration.wantsProof = options.security != nil
    configuration.retriesMax = min(max(options.keeping.retries, 0), Limits.retriesMax)
    configuration.isSolicited = options.isSolicited
    // The parts share what may leave.
    configuration.bytesPerSecondMax = options.bytesPerSecondMax.map {
      max(Int(clamping: $0 / UInt64(settings.laneCount)), 1)
    }
    configuration.omitsDataDigest = !options.digestsData
    configuration.deadlineNanoseconds = UInt64(options.deadlineSeconds * 1e9)
    configuration.firstWrite = request.firstWrite
    configuration.epoch = request.epoch
    return configuration
  }

  private func lane(
    _ draft: Draft, _ sender: Sender, _ legs: [MirrorLeg]
  ) throws -> (Lane<SenderDuty>, StartedLane) {
    let placement = settings.placements(near: draft.path.interface.name)[draft.index]
    var faults = options.faults
    faults.seed &+= UInt64(draft.index)
    let injector = try faults.injector()
    let outlet: SenderOutlet
    do throws(SystemError) {
      outlet = try SenderOutlet(
        draft.path, key: draft.key.map { ($0, draft.request.epoch) }, faults: injector,
        node: placement.memoryNode, pages: settings.pages, logger: logger)
    } catch {
      throw draft.path.failure(error)
    }
    // Asked while the port is still ours.
    let (pages, segmentation) = (outlet.pageKind, draft.path.port.segmentation)
    let ends = draft.ends
    let duty = SenderDuty(
      sender: sender, legs: legs, ways: draft.ways, outlet: outlet, ends: ends, logger: logger,
      kept: keeping.map { KeptLane(part: draft.index, $0.inbox, options.keeping, sender) })
    let lane = try Lane(
      name: LaneSettings.name(ofLane: draft.index), placement: placement, idle: settings.idle,
      signal: ends.inbox.signal, duty: duty)
    let report: PlacementReport
    do throws(PlacementError) {
      report = try lane.start()
    } catch {
      throw MirrorcastError(error)
    }
    let started = StartedLane(
      placement: report, pages: pages, segmentation: segmentation)
    logger.info("lane started", metadata: started.metadata)
    return (lane, started)
  }
}

import Bytes
import Datagrams
import ISCSI
import Logging
import Replication
import SCSI

/// A session with one leg while the mirror is being established.
struct LegSession: Sendable {
  let urls: [LogicalUnitURL]
  let connection: InitiatorConnection
  /// Of each LUN, in the order of the URLs.
  let sizes: [BlockGeometry]
  /// All LUNs that this initiator sees there.
  let inventory: [Int]
  let stay: Int

  /// URLs that are one leg: LUNs of one target.
  private static func byTarget(_ urls: [LogicalUnitURL]) -> [[LogicalUnitURL]] {
    var groups: [[LogicalUnitURL]] = []
    for url in urls {
      let index = groups.firstIndex {
        $0[0].host == url.host && $0[0].port == url.port && $0[0].targetName == url.targetName
      }
      if let index { groups[index].append(url) } else { groups.append([url]) }
    }
    return groups
  }

  /// Logs in to all legs; closes those that it opened when one fails.
  static func openAll(
    _ options: MirrorOptions, inbox: LaneInbox<SenderOrder>, logger: Logger
  ) async throws -> [LegSession] {
    var sessions: [LegSession] = []
    do {
      for urls in byTarget(options.legs) {
        sessions += try await open(
          urls, place: (sessions.count, 0), options, inbox: inbox, logger: logger)
      }
      return sessions
    } catch {
      for session in sessions { await session.connection.close() }
      throw error
    }
  }

  /// Logs in to one target. A target of another make becomes a leg for each LUN.
  static func open(
    _ urls: [LogicalUnitURL], place: (firstIndex: Int, stay: Int), _ options: MirrorOptions,
    inbox: LaneInbox<SenderOrder>, logger: Logger
  ) async throws -> [LegSession] {
    let isKept = options.name != nil
    var connections: [InitiatorConnection] = []
    do {
      for url in urls {
        let connection = try await connect(
          url, place: (place.firstIndex + connections.count, place.stay), options, inbox: inbox,
          logger: logger)
        connections.append(connection)
        if connection.isMirrorcast {
          return [try await session(urls, connection, stay: place.stay, isKept: isKept)]
        }
        guard !isKept else { throw MirrorcastError.foreignLeg(url) }
        guard options.security == nil else { throw MirrorcastError.unsecurableLeg(url) }
      }
      var sessions: [LegSession] = []
      for (url, connection) in zip(urls, connections) {
        sessions.append(try await session([url], connection, stay: place.stay, isKept: false))
      }
      return sessions
    } catch {
      for connection in connections { await connection.close() }
      throw error
    }
  }

  private static func connect(
    _ url: LogicalUnitURL, place: (index: Int, stay: Int), _ options: MirrorOptions,
    inbox: LaneInbox<SenderOrder>, logger: Logger
  ) async throws -> InitiatorConnection {
    let (index, stay) = place
    var hooks = ConnectionHooks(
      onMirrored: { inbox.post(.mirrored(leg: index, stay: stay, $0)) },
      onClosed: { inbox.post(.lost(leg: index, stay: stay, $0)) })
    hooks.onPingAnswered = { inbox.post(.pinged(leg: index, stay: stay)) }
    var login = InitiatorLoginRequest(
      identity: options.identity, targetName: url.targetName, offersMirror: true)
    // The group's key is every leg's: it goes to nobody who only says that he is one.
    login.mustProve = options.security != nil
    return try await InitiatorConnection.open(
      host: url.host, port: url.port, login: login, logger: logger, hooks: hooks)
  }

  private static func session(
    _ urls: [LogicalUnitURL], _ connection: InitiatorConnection, stay: Int, isKept: Bool
  ) async throws -> LegSession {
    var sizes: [BlockGeometry] = []
    for url in urls {
      sizes.append(try await connection.describeDisk(url.number, thatMayLack: isKept).geometry)
    }
    return LegSession(
      urls: urls, connection: connection, sizes: sizes,
      inventory: try await inventory(connection), stay: stay)
  }

  /// The LUNs that this initiator sees at a target.
  private static func inventory(_ connection: InitiatorConnection) async throws -> [Int] {
    guard let zero = LogicalUnitNumber(0) else { preconditionFailure("LUN 0 is a LUN") }
    let room = 16 + 8 * 1024
    let outcome = try await connection.command(
      lun: zero, .reportLUNs(allocationLength: UInt32(room)), transfer: .read(lengthMax: room))
    // Safe: the span over the answer ends with the expression.
    guard outcome.isGood, let numbers = unsafe ReportLUNs.numbers(in: outcome.data.span.bytes)
    else { return [] }
    return numbers.map { Int($0.value) }
  }

  // MARK: Agreeing

  /// The size that all LUNs have.
  static func commonSize(
    _ sessions: [LegSession]
  ) throws(MirrorcastError) -> (byteCount: UInt64, blockSize: Int) {
    let first = sessions[0].sizes[0]
    for session in sessions {
      for (url, size) in zip(session.urls, session.sizes) where size != first {
        throw MirrorcastError(
          "the legs differ in size: \(sessions[0].urls[0]) has \(first.byteCount) bytes in blocks"
            + " of \(first.blockLength), \(url) has \(size.byteCount) in blocks of"
            + " \(size.blockLength)",
          advice: "give all legs LUNs of one size")
      }
    }
    return (first.byteCount, Int(first.blockLength))
  }

  /// The virtual LUN asked for, or the highest of one byte that is nobody's LUN.
  static func virtualLUN(
    _ options: MirrorOptions, _ sessions: [LegSession]
  ) throws(MirrorcastError) -> Int {
    let taken = Set(sessions.filter(\.connection.isMirrorcast).flatMap(\.inventory))
    if let wanted = options.virtualLUN {
      guard (0...LogicalUnitNumber.max).contains(wanted) else {
        throw MirrorcastError(
          "a virtual LUN is a number from 0 to \(LogicalUnitNumber.max), not \(wanted)")
      }
      guard !taken.contains(wanted) else {
        throw MirrorcastError(
          "virtual LUN \(wanted) is a LUN of a leg",
          advice: "choose a number that is nobody's LUN, or leave the choice to the mirror")
      }
      return wanted
    }
    guard let free = (0...255).reversed().first(where: { !taken.contains($0) }) else {
      throw MirrorcastError("no number below 256 is free for the virtual LUN", advice: "name one")
    }
    return free
  }

  /// Registers all parts with every leg of ours; agrees on the least block and write length. Tells
  /// the first leg that takes no longer blocks, where that is less than was asked.
  static func register(
    _ drafts: inout [Establishment.Draft], blockSize: Int, _ options: MirrorOptions
  ) async throws -> LogicalUnitURL? {
    let limit = options.deadlineSeconds
    var shortest: LogicalUnitURL?
    for _ in 0..<3 {
      for part in drafts.indices {
        drafts[part].grants = []
        for session in drafts[part].sessions {
          let connection = session.connection
          drafts[part].grants.append(
            connection.isMirrorcast
              ? try await connection.register(
                drafts[part].request, session.urls, within: limit, key: drafts[part].key,
                orWithoutRDMA: options.transport.admitsOthers)
              : nil)
        }
      }
      let asked = drafts[0].request
      let grants = drafts.flatMap(\.grants)
      let blockLength = grants.compactMap { $0?.blockLength }.min() ?? asked.blockLength
      let granted = grants.compactMap { $0?.writeLengthMax }.min() ?? asked.writeLengthMax
      let writeLengthMax = min(asked.writeLengthMax, granted) / blockSize * blockSize
      guard writeLengthMax > 0 else {
        throw MirrorcastError("a leg takes no write as long as a block of \(blockSize) bytes")
      }
      for part in drafts.indices { drafts[part].request.writeLengthMax = writeLengthMax }
      if blockLength == asked.blockLength { return shortest }
      shortest =
        zip(drafts.flatMap(\.sessions), grants)
        .first { $0.1?.blockLength == blockLength }?.0.urls[0]
      for draft in drafts {
        for session in draft.sessions where session.connection.isMirrorcast {
          try await session.connection.terminate(draft.request, session.urls, within: limit)
        }
      }
      for part in drafts.indices { drafts[part].request.blockLength = blockLength }
    }
    throw MirrorcastError("the legs don't agree on a block length")
  }
}

extension InitiatorConnection {
  /// Registers a mirror, or its next epoch, for these LUNs; throws the refusal in words. A leg
  /// without the mirror's transport is asked for one without, where that is allowed.
  func register(
    _ request: RegistrationRequest, _ urls: [LogicalUnitURL], within limit: Double,
    key: EpochKey?, orWithoutRDMA mayLack: Bool = false
  ) async throws -> RegistrationGrant {
    var request = request
    request.luns = urls.map(\.lun)
    let exchange = key.map { _ in KeyExchange() }
    while true {
      if let key, let exchange {
        request.security = SecurityOffer(cipher: key.cipher, share: exchange.share)
      }
      let keys = try await ask(request.keys, within: limit)
      do throws(RegistrationFault) {
        var grant = try RegistrationGrant(keys).checked(against: request)
        if let key, let exchange {
          grant.proofKey = try await tell(key, by: exchange, grant, request, within: limit)
        }
        return grant
      } catch {
        let isWithoutTransport = error.refusal == .noSuchTransport && request.queuePair != nil
        if isWithoutTransport, mayLack {
          request = request.withoutQueuePair
          continue
        }
        throw MirrorcastError(
          "\(urls[0]) refuses the mirror (\(error.refusal.rawValue)): \(error.reason)",
          advice: isWithoutTransport
            ? "With --transport rdma,tcp this leg is served over TCP, with rdma,udp by UDP."
            : Self.advice(error.refusal))
      }
    }
  }

  private static func advice(_ refusal: RegistrationRefusal) -> String? {
    switch refusal {
    case .notSecure: "Give --secure where the target wants it, and its latest version where not."
    case .badKey: "Both sides have to know the same CHAP secret; else somebody sits in between."
    default: nil
    }
  }

  /// Ends a mirror: the map is removed there when this returns.
  func terminate(
    _ request: RegistrationRequest, _ urls: [LogicalUnitURL], within limit: Double
  ) async throws {
    let ending = TerminationRequest(
      registration: request.registration, group: request.group, virtualLUN: request.virtualLUN)
    let keys = try await ask(ending.keys, within: limit)
    guard keys[RegistrationKey.result] == "terminated" else {
      throw MirrorcastError(
        "\(urls[0]) did not end the mirror: \(keys[RegistrationKey.reason] ?? "no result")")
    }
  }

  /// Asks by text. A target that does not answer within `limit` seconds loses its session: what it
  /// has made of the question can't be known.
  func ask(_ keys: TextKeys, within limit: Double) async throws -> TextKeys {
    let watch = Task {
      guard (try? await Task.sleep(for: .seconds(limit))) != nil else { return false }
      await close()
      return true
    }
    let answer: Result<TextKeys, any Error>
    do {
      answer = .success(try await text(keys))
    } catch {
      answer = .failure(error)
    }
    watch.cancel()
    // An answer that crosses the end of patience comes too late: the session is closed already.
    guard await watch.value else { return try answer.get() }
    throw MirrorcastError("\(portal) does not answer", advice: "Look at the target's log.")
  }
}

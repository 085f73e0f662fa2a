// How one of several initiators comes into a shared mirror: as a guest of the one that leads it,
// which the legs name; where none does, as the one that leads it.
import ISCSI
import Logging
import Replication
import Synchronization

/// The ends of the connections between a shared mirror's initiators.
final class SharingEnds: Sendable {
  /// Of the one that leads.
  let server: SharingServer?
  /// Of a guest.
  let leader: SharingConnection?
  let succession: MirrorSuccession
  /// The mirror is the one that its caller has.
  let isFirst: Bool
  private let hasLostLeader = Atomic<Bool>(false)

  init(
    server: SharingServer? = nil, leader: SharingConnection? = nil,
    _ succession: MirrorSuccession, isFirst: Bool
  ) {
    self.server = server
    self.leader = leader
    self.succession = succession
    self.isFirst = isFirst
  }

  /// The initiator that led the mirror is gone: what fails from now on may be done again.
  var isLeaderGone: Bool { hasLostLeader.load(ordering: .acquiring) }

  func noteLeaderGone(_ keeping: KeptMirror) {
    succession.leaderGone(keeping) { hasLostLeader.store(true, ordering: .releasing) }
  }

  func end() {
    server?.stop()
    leader?.close()
  }
}

/// A shared mirror on its way.
struct SharedOpening: Sendable {
  /// How long a leader may take to welcome a guest.
  private static let welcomeSeconds = 45.0
  /// A leg keeps the claim of a leader that is silent for nearly a minute: who follows one waits
  /// longer than that.
  private static let successionSeconds = 90.0
  /// Between two looks for one that is just becoming the leader.
  private static let pauseSeconds = 0.2

  let options: MirrorOptions
  let logger: Logger

  init(_ options: MirrorOptions, _ logger: Logger) {
    self.options = options
    self.logger = logger
  }

  /// A guest may know one leg only, and neither name nor group: a leader tells all.
  /// - Parameter former: the mirrors that this one follows; nil: it is the first.
  func open(succeeding former: MirrorSuccession? = nil) async throws -> Mirror {
    let line = (former ?? MirrorSuccession(options, logger), former == nil)
    let start = ContinuousClock.now
    let seconds = options.keeping.patienceSeconds
    let patience = Duration.seconds(
      former == nil ? seconds : max(seconds, Self.successionSeconds))
    while true {
      var refusal: any Error
      do {
        if let place = try await findLeader() { return try await join(place, line) }
        guard let name = options.name, !name.isEmpty else {
          throw MirrorcastError(
            "nobody has a shared mirror open there",
            advice: "Open it by its --name and all its legs, with --shared.")
        }
        do {
          return try await lead(line)
        } catch  where former != nil {
          // Legs that died with the leader may be back in a moment.
          throw SharingRetry(cause: error)
        }
      } catch let error as SharingRetry {
        refusal = error.cause
        logger.debug("not in the shared mirror yet: \(refusal)")
      }
      guard start.duration(to: .now) < patience else { throw refusal }
      try await Task.sleep(for: .seconds(Self.pauseSeconds))
    }
  }

  /// As any leg tells that can be reached.
  private func findLeader() async throws -> LeaderPlace? {
    for url in options.legs {
      do throws(MirrorcastError) {
        let link = try await LegLink.open(url, options.identity, logger: logger, onLost: { _ in })
        let place = try? await link.findLeader(within: options.deadlineSeconds)
        await link.close()
        if let place { return place }
      } catch {
        logger.debug("\(url) tells of no leader: \(error.what)")
      }
    }
    return nil
  }

  // MARK: Leading

  private func lead(
    _ line: (succession: MirrorSuccession, isFirst: Bool)
  ) async throws -> Mirror {
    try KeptMirror.check(options)
    let (news, inbox) = KeptInbox.make()
    let server = try await SharingServer.start(
      silenceSeconds: options.keeping.sharingSilenceSeconds, inbox)
    let keeping = KeptMirror(
      options, inbox, logger: logger,
      sharing: SharingEnds(server: server, line.succession, isFirst: line.isFirst))
    return try await keeping.run(try KeepingLoop(keeping), news)
  }

  // MARK: Following

  private func join(
    _ place: LeaderPlace, _ line: (succession: MirrorSuccession, isFirst: Bool)
  ) async throws -> Mirror {
    let (news, inbox) = KeptInbox.make()
    let (words, says) = AsyncStream<Word>.makeStream()
    let connection: SharingConnection
    do {
      connection = try await SharingConnection.open(
        place, silenceSeconds: options.keeping.sharingSilenceSeconds,
        SharingConnection.Hooks(
          onMessage: { message in
            if case .welcome(let mirror) = message {
              says.yield(.welcome(mirror))
            } else {
              inbox.post(.led(message))
            }
          },
          onClosed: { words in
            says.yield(.closed(words))
            inbox.post(.leaderGone(words))
          }))
    } catch {
      // What the leg tells may be of one that is just gone.
      throw SharingRetry(cause: error)
    }
    let number = UInt64.random(in: 1...UInt64.max)
    connection.send(.hello(guest: number, secret: place.secret))
    let mirror: SharedMirror
    switch await first(words, connection) {
    case .welcome(let told):
      mirror = told
      do {
        if line.isFirst { try check(told) }
        try checkSecurity(told)
      } catch {
        connection.close()
        throw error
      }
    case .closed(let why):
      throw SharingRetry(
        cause: MirrorcastError("the initiator that leads the mirror let nobody in: \(why)"))
    }
    let keeping = KeptMirror(
      try options(for: mirror), inbox, logger: logger,
      sharing: SharingEnds(leader: connection, line.succession, isFirst: line.isFirst),
      number: number)
    do {
      return try await keeping.run(try KeepingLoop(keeping, following: mirror), news)
    } catch {
      connection.close()
      throw SharingRetry(cause: error)
    }
  }

  /// What a leader says first.
  private enum Word: Sendable {
    case welcome(SharedMirror)
    case closed(String)
  }

  private func first(
    _ words: AsyncStream<Word>, _ connection: SharingConnection
  ) async -> Word {
    let watch = Task {
      guard (try? await Task.sleep(for: .seconds(Self.welcomeSeconds))) != nil else { return }
      connection.close()
    }
    defer { watch.cancel() }
    for await word in words { return word }
    return .closed("nothing was said")
  }

  /// Whether it is the mirror that the caller named, by its name and legs.
  private func check(_ mirror: SharedMirror) throws(MirrorcastError) {
    let (name, legs) = (mirror.record.name, try mirror.urls)
    if let wanted = options.name, !wanted.isEmpty, wanted != name {
      throw MirrorcastError(
        "the mirror that is open at these legs is '\(name)', not '\(wanted)'",
        advice: "Name that one, or other legs.")
    }
    if let stranger = options.legs.first(where: { !legs.contains($0) }) {
      throw MirrorcastError(
        "\(stranger) is no leg of the mirror '\(name)', which is open",
        advice: "Its legs are \(legs.map(\.description).joined(separator: ", ")). Add one by:"
          + " mirrorcast add.")
    }
  }

  /// Nobody writes in the clear, or by another cipher, where others have keys.
  private func checkSecurity(_ mirror: SharedMirror) throws(MirrorcastError) {
    if let wanted = options.security, mirror.cipher != wanted.cipher {
      let words = mirror.cipher.map { "goes by \($0.rawValue)" } ?? "goes in the clear"
      throw MirrorcastError(
        "the mirror '\(mirror.record.name)', which is open, \(words), not by \(wanted.rawValue)",
        advice: "Open it with the same --secure by all initiators.")
    }
    if let cipher = mirror.cipher, MirrorSecurity(cipher) == nil {
      throw MirrorcastError(
        "the mirror '\(mirror.record.name)' goes by \(cipher.rawValue), which this one lacks"
      )
    }
  }

  /// What the leader tells takes the place of what was known here.
  private func options(for mirror: SharedMirror) throws(MirrorcastError) -> MirrorOptions {
    var own = options
    own.name = mirror.record.name
    own.legs = try mirror.urls
    own.group = try GroupAddress(
      parsing: HostAndPort.text(host: mirror.group, port: mirror.port))
    own.virtualLUN = mirror.virtualLUN
    own.security = mirror.cipher.flatMap(MirrorSecurity.init)
    own.keeping.added = []
    own.keeping.kept = nil
    return own
  }
}

/// It may be otherwise in a moment.
struct SharingRetry: Error {
  let cause: any Error
}

extension KeepingOptions {
  /// Initiators that say nothing at all to each other for so long are gone for each other.
  var sharingSilenceSeconds: Double { max(2 * silenceSeconds, 1) }
}

// The keeping of a mirror as the mirror sees it: somebody to ask, and a board to read. What is done
// is done by one task (`KeepingLoop`), so that all that happens has one order.
import Logging
import Replication
import Synchronization

/// What remembers, at its legs, what a mirror with a name may differ in.
final class KeptMirror: Sendable {
  /// By which the legs know all sessions of this initiator for one's.
  let holder: UInt64
  let inbox: KeptInbox
  let board: KeptBoard
  let options: MirrorOptions
  let logger: Logger
  /// Nil where no other initiator may write to the mirror.
  let sharing: SharingEnds?
  let writeCacheWish: WriteCacheWish

  init(
    _ options: MirrorOptions, _ inbox: KeptInbox, logger: Logger, sharing: SharingEnds? = nil,
    number: UInt64 = UInt64.random(in: 1...UInt64.max)
  ) {
    holder = number
    self.inbox = inbox
    self.options = options
    self.logger = logger
    self.sharing = sharing
    writeCacheWish = sharing?.succession.writeCacheWish ?? WriteCacheWish()
    board = KeptBoard(options.legs)
  }

  /// Opens the mirror, or tells why not.
  static func open(_ options: MirrorOptions, _ logger: Logger) async throws -> Mirror {
    if options.keeping.isShared { return try await SharedOpening(options, logger).open() }
    try check(options)
    let (news, inbox) = KeptInbox.make()
    let keeping = KeptMirror(options, inbox, logger: logger)
    return try await keeping.run(try KeepingLoop(keeping), news)
  }

  /// Opens the mirror by a loop that is the keeping's own from then on.
  func run(_ loop: KeepingLoop, _ news: AsyncStream<KeptNews>) async throws -> Mirror {
    let run = Task {
      var loop = loop
      await loop.run(news)
    }
    do {
      return try await withCheckedThrowingContinuation { inbox.post(.open($0)) }
    } catch {
      // Nothing is left behind.
      await run.value
      throw error
    }
  }

  /// What callers' writes pass in a shared mirror.
  func gate(byteCount: UInt64) -> WriteGate? {
    guard let sharing else { return nil }
    return WriteGate(
      RegionLayout(byteCount: byteCount), ownsAll: sharing.server != nil, inbox)
  }

  static func check(_ options: MirrorOptions) throws(MirrorcastError) {
    // What is wrong with any mirror.
    _ = try Establishment(options, Logger(label: "mirrorcast"))
    let name = options.name ?? ""
    guard (1...MirrorRecord.nameMax).contains(name.utf8.count),
      name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
    else {
      throw MirrorcastError(
        "a mirror's name has 1 to \(MirrorRecord.nameMax) bytes, and no control characters",
        advice: "Give a short word.")
    }
    guard options.status == .all else {
      throw MirrorcastError(
        "a kept mirror waits for its legs' status", advice: "Leave the name or the policy out.")
    }
    let keeping = options.keeping
    guard keeping.silenceSeconds >= 0.05, keeping.silenceSeconds <= 86_400,
      keeping.patienceSeconds >= 0, keeping.patienceSeconds <= 86_400
    else {
      throw MirrorcastError(
        "a silence of \(keeping.silenceSeconds) s, a patience of \(keeping.patienceSeconds) s",
        advice: "A silence is 0.05 s at least, and both are a day at most.")
    }
    guard (0...Limits.retriesMax).contains(keeping.retries) else {
      throw MirrorcastError(
        "a write can't be sent again \(keeping.retries) times",
        advice: "Give 0 to \(Limits.retriesMax).")
    }
    for (index, url) in options.legs.enumerated() {
      let other = options.legs[..<index].first {
        $0.host == url.host && $0.port == url.port && $0.targetName == url.targetName
      }
      guard let other else { continue }
      throw MirrorcastError(
        "\(other) and \(url) are of one target",
        advice: "Each leg of a kept mirror has a target of its own.")
    }
    var named = keeping.added.union(keeping.kept.map { [$0] } ?? [])
    if case .named(let urls) = keeping.required { named.formUnion(urls) }
    if let stranger = named.first(where: { !options.legs.contains($0) }) {
      throw MirrorcastError(
        "\(stranger) is none of the legs", advice: "Name it among them, too.")
    }
  }

  // MARK: For the mirror

  /// The legs but for those that are none any more.
  var legs: [KeptLeg] { board.legs.filter { !$0.isForgotten } }

  /// As the mirror was opened, with the legs that came since.
  var told: MirrorOptions {
    var told = options
    told.legs = legs.map(\.url)
    return told
  }

  var statuses: [LegStatus] { legs.map(\.status) }

  func statuses(of urls: [LogicalUnitURL]) -> [LegStatus] {
    legs.filter { urls.contains($0.url) }.map(\.status)
  }

  /// One more leg; returns when mirrored writes reach it.
  func add(_ url: LogicalUnitURL) async throws {
    // What can be refused at once is: later the leg would be tried again and again.
    let link = try await LegLink.open(url, options.identity, logger: logger, onLost: { _ in })
    await link.close()
    try await withCheckedThrowingContinuation { inbox.post(.add(url, $0)) }
  }

  /// All that was written is on the medium of every leg that is here; one that can't do that
  /// leaves the mirror, which is stored at the others when this returns. Returns the legs that did
  /// not for another's reservation, with their words: they stay.
  func flush() async -> [LogicalUnitURL: String] {
    let flushed = await withCheckedContinuation { inbox.post(.flushable($0)) }
    let seconds = max(options.deadlineSeconds, 60)
    let refused = await withTaskGroup(of: (LogicalUnitURL, String)?.self) { group in
      for leg in flushed {
        group.addTask { [inbox] in
          do throws(LinkFailure) {
            try await leg.bulk.flush(within: seconds)
          } catch {
            if case .conflict(let words) = error { return (leg.bulk.url, words) }
            inbox.post(.lost(leg: leg.leg, stay: leg.stay, error.words))
          }
          return nil
        }
      }
      return await group.reduce(into: [LogicalUnitURL: String]()) { words, one in
        if let one { words[one.0] = one.1 }
      }
    }
    await withCheckedContinuation { inbox.post(.whenConfirmed($0)) }
    return refused
  }

  /// Returns when every leg that is here is in sync, or can't become it.
  func whenInSync() async {
    await withCheckedContinuation { inbox.post(.whenInSync($0)) }
  }

  /// The mirror ends in order: the legs store that they are equal.
  func close() async {
    await withCheckedContinuation { inbox.post(.close($0)) }
  }

  /// The claims end, and so does the keeping.
  func end() { inbox.post(.end) }
}

/// How the legs stand, for anybody to read.
final class KeptBoard: Sendable {
  private let standing: Mutex<[KeptLeg]>

  init(_ urls: [LogicalUnitURL]) { standing = Mutex(urls.map(KeptLeg.init)) }

  /// In the order in which they were named, those that were added behind them.
  var legs: [KeptLeg] { standing.withLock { $0 } }

  func update(_ body: (inout [KeptLeg]) -> Void) { standing.withLock { body(&$0) } }
}

extension Mirror {
  /// How the legs of a kept mirror stand, those that are not here, too; none where it isn't kept.
  public var keptLegs: [KeptLeg] { (succession?.current ?? self).keeping?.legs ?? [] }

  /// Returns when every leg of a kept mirror that is here is in sync, or when one can't become it:
  /// the mirror stopped, or bytes that it lacks can't be read.
  public func whenInSync() async {
    guard let succession else { return await keeping?.whenInSync() ?? () }
    await succession.ask(self) { await $0.keeping?.whenInSync() }
  }

  /// Reads whole blocks at one leg of a kept mirror that has everything; not in step with writes
  /// that are open. Throws where the leg isn't here, or can't be read.
  public func read(
    at offset: UInt64, count: Int, from url: LogicalUnitURL
  ) async throws(MirrorcastError) -> [UInt8] {
    guard count > 0, count <= 1 << 20, count % blockSize == 0, offset % UInt64(blockSize) == 0,
      offset <= byteCount, UInt64(count) <= byteCount - offset
    else {
      throw MirrorcastError("a read of \(count) bytes at \(offset) doesn't fit the mirror's blocks")
    }
    if let current = succession?.current {
      return try await current.read(at: offset, count: count, from: url)
    }
    let legs = await withCheckedContinuation { continuation in
      guard let keeping else { return continuation.resume(returning: [FlushedLeg]()) }
      keeping.inbox.post(.readable(continuation))
    }
    guard let leg = legs.first(where: { $0.bulk.url == url }) else {
      throw MirrorcastError("\(url) is not here, or lacks something")
    }
    do throws(LinkFailure) {
      return try await leg.bulk.read(
        offset..<offset + UInt64(count), blockSize: blockSize, within: options.deadlineSeconds)
    } catch {
      throw MirrorcastError("\(url): \(error.words)")
    }
  }
}

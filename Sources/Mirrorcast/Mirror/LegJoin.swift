// A leg comes into all parts of a mirror, or into none.
import Bytes
import Logging
import Replication
import SCSI
import Synchronization

/// What a leg has to fit to come into a mirror that lives.
struct LegJoin: Sendable {
  let parts: [MirrorPart]
  let reservations: ReservationDesk
  let byteCount: UInt64
  let blockSize: Int
  let writeCacheWish: WriteCacheWish
  let logger: Logger

  /// Opens a session for each part and takes the leg into the next epoch of each, under a new index
  /// or under the one that it had. Returns the first number of that epoch in each part.
  func perform(
    _ url: LogicalUnitURL, as index: Int, stay: Int
  ) async throws -> [SerialNumber] {
    let virtualLUN = parts[0].membership.withLock { $0.request.virtualLUN }
    var sessions: [LegSession] = []
    do {
      for part in parts {
        let session = try await part.open(url, as: index, stay: stay, logger: logger)
        sessions.append(session)
        try check(session, virtualLUN: virtualLUN)
      }
      let wish = writeCacheWish.value
      try await setWriteCache(wish, sessions[0])
      let firstWrites = try await reservations.admitting(sessions, as: index) {
        try await join(sessions, as: index)
      }
      // Who has changed it meanwhile may not have seen this leg yet.
      let later = writeCacheWish.value
      if later != wish {
        do {
          try await setWriteCache(later, sessions[0])
        } catch {
          // It is a member by now; where the cache is to be off each write has FUA anyway.
          logger.warning("a leg's write cache is not like the others': \(error)")
        }
      }
      return firstWrites
    } catch {
      for session in sessions { await session.connection.close() }
      throw error
    }
  }

  /// Before it is a member; a leg that refuses isn't taken.
  private func setWriteCache(_ wish: Bool?, _ session: LegSession) async throws {
    guard let wish else { return }
    for url in session.urls {
      do throws(MirrorcastError) {
        try await session.connection.setWriteCache(wish, url)
      } catch {
        throw MirrorcastError(
          "\(url): \(error.what)", advice: "All legs of the mirror have it alike.")
      }
    }
  }

  private func check(_ session: LegSession, virtualLUN: Int) throws(MirrorcastError) {
    guard session.sizes[0].byteCount == byteCount,
      Int(session.sizes[0].blockLength) == blockSize
    else {
      throw MirrorcastError(
        "\(session.urls[0]) has \(session.sizes[0].byteCount) bytes, the mirror \(byteCount)")
    }
    guard !session.inventory.contains(virtualLUN) || !session.connection.isMirrorcast else {
      throw MirrorcastError("virtual LUN \(virtualLUN) is a LUN there")
    }
  }

  private func join(_ sessions: [LegSession], as index: Int) async throws -> [SerialNumber] {
    let fate = LegRecord(sessions[0].urls)
    var joinings: [MirrorPart.Joining] = []
    do {
      for (part, session) in zip(parts, sessions) {
        joinings.append(try await part.prepare(session, fate, as: index))
      }
    } catch {
      for (part, joining) in zip(parts, joinings) { await part.abandon(joining) }
      throw error
    }
    await withTaskGroup(of: Void.self) { group in
      for (part, joining) in zip(parts, joinings) {
        group.addTask { await part.commit(joining, as: index) }
      }
    }
    return joinings.map(\.request.firstWrite)
  }
}

extension LegJoin {
  init(_ mirror: Mirror) {
    self.init(
      parts: mirror.parts, reservations: mirror.reservations, byteCount: mirror.byteCount,
      blockSize: mirror.blockSize, writeCacheWish: mirror.writeCacheWish, logger: mirror.logger)
  }
}

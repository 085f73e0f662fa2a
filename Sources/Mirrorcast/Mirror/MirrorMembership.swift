// Adding and dropping legs while the mirror lives, flushing, and its end: each in all parts alike.
import Bytes
import Lanes
import Replication
import SCSI
import Synchronization

extension Mirror {
  /// Takes one more leg into the mirror; writes from now on go there too.
  ///
  /// What was written before is not on it: bring it there first, or copy it afterwards. Where it
  /// can't be had in one lane it joins none. A kept mirror copies that itself: this returns when
  /// the leg is a member, `whenInSync` when it has all.
  public func addLeg(_ url: LogicalUnitURL) async throws {
    if let current = succession?.current { return try await current.addLeg(url) }
    if let keeping { return try await keeping.add(url) }
    try await changing {
      let membership = parts[0].membership.withLock { $0 }
      // Who was dropped may come back, as a new leg.
      let isMember = membership.legs.indices.contains {
        membership.legs[$0].urls.contains(url) && !membership.dropped.contains(LegSet($0))
      }
      guard !isMember else { throw MirrorcastError("\(url) is a leg already") }
      guard membership.legs.count < Limits.legsMax else {
        throw MirrorcastError("a mirror has at most \(Limits.legsMax) legs")
      }
      _ = try await LegJoin(self).perform(url, as: membership.legs.count, stay: 0)
      noteDeaf()
    }
  }

  /// Lets a leg go, with all its LUNs: writes from now on are good without it; its map is removed.
  /// A kept mirror drops none: it would remember for ever what that one lacks.
  public func dropLeg(_ url: LogicalUnitURL) async throws {
    guard keeping == nil else {
      throw MirrorcastError(
        "a kept mirror keeps its legs",
        advice: "Detach it, and forget it when it is gone for good.")
    }
    try await changing {
      let membership = parts[0].membership.withLock { $0 }
      let member = membership.legs.indices.first {
        membership.legs[$0].urls.contains(url) && !membership.dropped.contains(LegSet($0))
      }
      guard let index = member else {
        throw MirrorcastError("\(url) is no leg of this mirror")
      }
      guard membership.legs.count - membership.dropped.count > 1 else {
        throw MirrorcastError("\(url) is the last leg", advice: "terminate the mirror instead")
      }
      await reservations.end(at: index)
      // It is gone from all parts when one has had words with it: those are told afterwards.
      let failures = await withTaskGroup(of: (any Error)?.self) { group in
        for part in parts {
          group.addTask {
            do { try await part.drop(index) } catch { return error }
            return nil
          }
        }
        return await group.reduce(into: [any Error]()) { failures, failure in
          if let failure { failures.append(failure) }
        }
      }
      if let failure = failures.first { throw failure }
    }
  }

  /// One change of membership at a time.
  private func changing(_ body: () async throws -> Void) async throws {
    let isMine = state.withLock { state in
      guard !state.isChanging, state.end == nil else { return false }
      state.isChanging = true
      return true
    }
    guard isMine else {
      throw MirrorcastError("the mirror ended, or its members are just being changed")
    }
    defer {
      let waiters = state.withLock { state in
        state.isChanging = false
        defer { state.changeWaiters = [] }
        return state.changeWaiters
      }
      for waiter in waiters { waiter.resume() }
    }
    try await body()
  }

  private func changeEnded() async {
    await withCheckedContinuation { continuation in
      let isChanging = state.withLock { state in
        if state.isChanging { state.changeWaiters.append(continuation) }
        return state.isChanging
      }
      if !isChanging { continuation.resume() }
    }
  }

  // MARK: Flushing and ending

  /// Everything written so far to the medium of every leg, in parallel (SBC-3 §5.22).
  public func flush() async -> [LegStatus] {
    guard let succession else { return await flushHere() }
    return await succession.ask(self) { await $0.flushHere() }
  }

  private func flushHere() async -> [LegStatus] {
    for part in parts {
      guard await part.isIdle() else { return statuses }
    }
    if let keeping {
      let refused = await keeping.flush()
      return statuses.map { status in
        refused[status.url].map { LegStatus(url: status.url, isGood: false, text: $0) } ?? status
      }
    }
    // Once for each LUN: what is synchronized is the LUN's cache, whichever session wrote to it.
    let present = parts[0].membership.withLock { $0.present }
    await withTaskGroup(of: Void.self) { group in
      for (_, leg) in present { group.addTask { await leg.flush() } }
    }
    return statuses
  }

  var statuses: [LegStatus] {
    keeping?.statuses ?? parts[0].membership.withLock { $0.legs }.flatMap(\.statuses)
  }

  /// Ends the mirror: waits for open writes, removes the map at each leg, leaves the group, logs
  /// out.
  ///
  /// - Returns: how each leg stands at the end; a leg that failed before keeps its words.
  public func terminate() async -> [LegStatus] {
    guard let last = await succession?.end() else { return await end(isClosing: true) }
    let statuses = await last.terminate()
    _ = await end(isClosing: true)
    return statuses
  }

  /// Takes the registrations back and ends the sessions; what a kept mirror keeps stays open.
  func withdraw() async -> [LegStatus] { await end(isClosing: false) }

  /// Takes no write any more, and waits until none is open.
  func endWrites() async {
    for part in parts { part.refuseCalls() }
    for part in parts { await part.finishWrites() }
  }

  private func end(isClosing: Bool) async -> [LegStatus] {
    let end = state.withLock { state in
      for part in parts { part.refuseCalls() }
      let end = state.end ?? Task { await self.endOnce(isClosing: isClosing) }
      state.end = end
      return end
    }
    return await end.value
  }

  /// Step by step in all parts: a session that ends is a leg that leaves, so none ends before all
  /// maps are removed.
  private func endOnce(isClosing: Bool) async -> [LegStatus] {
    await changeEnded()
    for part in parts { await part.renewal.end() }
    for part in parts { await part.finishWrites() }
    if isClosing { await reservations.end() }
    if isClosing, let keeping {
      // Then they take the marks of those away.
      await eachPart { await $0.tellLowest() }
      await keeping.close()
    }
    await eachPart { await $0.removeMaps() }
    let statuses = statuses
    await eachPart { await $0.close() }
    // The claims outlive what was registered under them.
    if isClosing { keeping?.end() }
    return statuses
  }

  private func eachPart(_ body: @escaping @Sendable (MirrorPart) async -> Void) async {
    await withTaskGroup(of: Void.self) { group in
      for part in parts { group.addTask { await body(part) } }
    }
  }
}

extension MirrorLeg {
  fileprivate func flush() async {
    for url in urls {
      do {
        let outcome = try await connection.command(lun: url.number, .synchronizeCache16)
        if !outcome.isGood { record("flush: \(outcome.text)") }
      } catch {
        record("flush: \(error)")
      }
    }
  }
}

// Adding and dropping legs while the mirror lives, flushing, and its end.
import Bytes
import Lanes
import Replication
import SCSI
import Synchronization

extension Mirror {
  /// Takes one more leg into the mirror; writes from now on go there too.
  ///
  /// What was written before is not on it: bring it there first, or copy it afterwards.
  public func addLeg(_ url: LogicalUnitURL) async throws {
    try await changing { membership in
      // Who was dropped may come back, as a new leg.
      let isMember = membership.legs.indices.contains {
        membership.legs[$0].urls.contains(url) && !membership.dropped.contains(LegSet($0))
      }
      guard !isMember else { throw MirrorcastError("\(url) is a leg already") }
      guard membership.legs.count < Limits.legsMax else {
        throw MirrorcastError("a mirror has at most \(Limits.legsMax) legs")
      }
      let index = membership.legs.count
      inbox.post(.expect(leg: index))
      let sessions = try await LegSession.open(
        [url], firstIndex: index, initiatorName: options.initiatorName, inbox: inbox,
        logger: logger)
      let session = sessions[0]
      do {
        try await join(session, as: index, membership)
      } catch {
        await session.connection.close()
        throw error
      }
    }
  }

  private func join(
    _ session: LegSession, as index: Int, _ membership: Membership
  ) async throws {
    guard session.sizes[0].byteCount == byteCount,
      Int(session.sizes[0].blockLength) == blockSize
    else {
      throw MirrorcastError(
        "\(session.urls[0]) has \(session.sizes[0].byteCount) bytes, the mirror \(byteCount)")
    }
    guard
      !session.inventory.contains(membership.request.virtualLUN) || !session.connection.isMirrorcast
    else {
      throw MirrorcastError("virtual LUN \(membership.request.virtualLUN) is a LUN there")
    }
    var request = membership.request
    request.epoch = membership.nextEpoch
    request.firstWrite = await pause()
    do {
      var grant: RegistrationGrant?
      if session.connection.isMirrorcast {
        let got = try await session.connection.register(
          request, session.urls, within: options.deadlineSeconds)
        guard got.blockLength == request.blockLength, got.writeLengthMax >= request.writeLengthMax
        else {
          throw MirrorcastError("\(session.urls[0]) takes shorter blocks or writes than the mirror")
        }
        grant = got
      }
      let leg = MirrorLeg(
        urls: session.urls, connection: session.connection,
        repair: try grant.map { try SendingPath.repairs($0, on: interface) },
        answers: grant.flatMap { SendingPath.answers($0, options, on: interface) })
      await agree(request, but: [])
      let description =
        grant?.description ?? LegDescription(path: .foreign, openWritesMax: 64, credit: .max)
      let added = await withCheckedContinuation { continuation in
        inbox.post(.add(leg, description) { continuation.resume(returning: $0) })
      }
      precondition(added == index, "legs are numbered in the order in which they come")
      self.membership.withLock {
        $0.legs.append(leg)
        $0.epoch = request.epoch
        $0.request = request
      }
      if grant != nil { await probe(LegSet(index), epoch: request.epoch) }
      inbox.post(.resume(epoch: request.epoch, joining: LegSet(index)))
    } catch {
      inbox.post(.resume(epoch: nil, joining: []))
      throw error
    }
  }

  /// Lets a leg go, with all its LUNs: writes from now on are good without it; its map is removed.
  public func dropLeg(_ url: LogicalUnitURL) async throws {
    try await changing { membership in
      let member = membership.legs.indices.first {
        membership.legs[$0].urls.contains(url) && !membership.dropped.contains(LegSet($0))
      }
      guard let index = member else {
        throw MirrorcastError("\(url) is no leg of this mirror")
      }
      guard membership.legs.count - membership.dropped.count > 1 else {
        throw MirrorcastError("\(url) is the last leg", advice: "terminate the mirror instead")
      }
      let leg = membership.legs[index]
      var request = membership.request
      request.epoch = membership.nextEpoch
      request.firstWrite = await pause()
      // What is open belongs to the leg, too: it ends there before the leg goes.
      await withCheckedContinuation { continuation in
        inbox.post(.whenNoneOpen { continuation.resume() })
      }
      await agree(request, but: LegSet(index))
      inbox.post(.drop(leg: index))
      inbox.post(.resume(epoch: request.epoch, joining: []))
      self.membership.withLock {
        $0.epoch = request.epoch
        $0.request = request
        $0.dropped.insert(LegSet(index))
      }
      // A leg that is gone has lost its map with its session.
      do {
        if !leg.isForeign, !leg.isGone {
          try await leg.connection.terminate(request, leg.urls, within: options.deadlineSeconds)
        }
      } catch {
        await leg.connection.close()
        throw error
      }
      await leg.connection.close()
    }
  }

  /// One change of membership at a time.
  private func changing(_ body: (Membership) async throws -> Void) async throws {
    let membership = self.membership.withLock { membership -> Membership? in
      guard !membership.isChanging, membership.end == nil else { return nil }
      membership.isChanging = true
      return membership
    }
    guard let membership else {
      throw MirrorcastError("the mirror ended, or its members are just being changed")
    }
    defer {
      let waiters = self.membership.withLock { membership in
        membership.isChanging = false
        defer { membership.changeWaiters = [] }
        return membership.changeWaiters
      }
      for waiter in waiters { waiter.resume() }
    }
    try await body(membership)
  }

  private func changeEnded() async {
    await withCheckedContinuation { continuation in
      let isChanging = membership.withLock { membership in
        if membership.isChanging { membership.changeWaiters.append(continuation) }
        return membership.isChanging
      }
      if !isChanging { continuation.resume() }
    }
  }

  private func pause() async -> SerialNumber {
    await withCheckedContinuation { continuation in
      inbox.post(.pause { continuation.resume(returning: $0) })
    }
  }

  /// Every present member confirms the new epoch; one that doesn't leaves the mirror and is named.
  /// There is no way back: those that have confirmed take nothing of the old epoch any more.
  private func agree(_ request: RegistrationRequest, but excluded: LegSet) async {
    let membership = self.membership.withLock { $0 }
    let limit = options.deadlineSeconds
    await withTaskGroup(of: Void.self) { group in
      for (index, leg) in membership.legs.enumerated() {
        guard !leg.isForeign, !excluded.contains(LegSet(index)), !leg.isGone,
          !membership.dropped.contains(LegSet(index))
        else { continue }
        group.addTask { [inbox] in
          do {
            _ = try await leg.connection.register(request, leg.urls, within: limit)
          } catch {
            inbox.post(.lost(leg: index, "\(error)"))
          }
        }
      }
    }
  }

  // MARK: Flushing and ending

  /// Everything written so far to the medium of every leg, in parallel (SBC-3 §5.22).
  public func flush() async -> [LegStatus] {
    let isIdle = await withCheckedContinuation { continuation in
      let isPosted = post(.whenIdle { continuation.resume(returning: true) })
      if !isPosted { continuation.resume(returning: false) }
    }
    guard isIdle else { return membership.withLock { $0.legs.flatMap(\.statuses) } }
    return await eachLeg { leg in
      for url in leg.urls {
        do {
          let outcome = try await leg.connection.command(lun: url.number, .synchronizeCache16)
          if !outcome.isGood { leg.record("flush: \(outcome.text)") }
        } catch {
          leg.record("flush: \(error)")
        }
      }
    }
  }

  /// Ends the mirror: waits for open writes, removes the map at each leg, leaves the group, logs
  /// out.
  ///
  /// - Returns: how each leg stands at the end; a leg that failed before keeps its words.
  public func terminate() async -> [LegStatus] {
    let end = membership.withLock { membership in
      let end = membership.end ?? Task { await self.end() }
      membership.end = end
      return end
    }
    return await end.value
  }

  private func end() async -> [LegStatus] {
    await changeEnded()
    await withCheckedContinuation { continuation in
      inbox.post(.whenIdle { continuation.resume() })
    }
    let request = membership.withLock { $0.request }
    let limit = options.deadlineSeconds
    let statuses = await eachLeg { leg in
      if !leg.isForeign {
        do {
          try await leg.connection.terminate(request, leg.urls, within: limit)
        } catch {
          leg.record("termination: \(error)")
        }
      }
    }
    await Self.close(membership.withLock { $0.legs }, lane)
    return statuses
  }

  /// The sessions end, then the lane.
  static func close(_ legs: [MirrorLeg], _ lane: Lane<SenderDuty>) async {
    await withTaskGroup(of: Void.self) { group in
      for leg in legs { group.addTask { await leg.connection.close() } }
    }
    lane.stop()
  }

  /// Does something at all legs that are still here, at once; then tells how they stand.
  private func eachLeg(
    _ body: @escaping @Sendable (MirrorLeg) async -> Void
  ) async -> [LegStatus] {
    let (legs, dropped) = membership.withLock { ($0.legs, $0.dropped) }
    await withTaskGroup(of: Void.self) { group in
      for (index, leg) in legs.enumerated()
      where !leg.isGone && !dropped.contains(LegSet(index)) {
        group.addTask { await body(leg) }
      }
    }
    return legs.flatMap(\.statuses)
  }
}

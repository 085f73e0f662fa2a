// Members that come and go in one part. Coming is of two steps, so that a leg joins all parts or
// none: until the second step there is a way back, after it there is none, since the legs that have
// confirmed an epoch take nothing of the old one any more.
import Bytes
import Datagrams
import Lanes
import Logging
import Replication
import SCSI
import Synchronization

extension MirrorPart {
  /// A leg that has agreed to join; the part's new writes are held back meanwhile.
  struct Joining: Sendable {
    let leg: MirrorLeg
    let way: DepartureWay?
    let grant: RegistrationGrant?
    let request: RegistrationRequest
    /// Of the epoch that begins with it; nil where datagrams go in the clear.
    let key: EpochKey?
  }

  /// Opens a session with a leg that is to be the next one.
  func open(
    _ url: LogicalUnitURL, as index: Int, stay: Int = 0, logger: Logger
  ) async throws -> LegSession {
    inbox.post(.expect(leg: index, stay: stay))
    return try await LegSession.open(
      [url], place: (index, stay), options, inbox: inbox, logger: logger)[0]
  }

  /// Holds new writes back and registers the next epoch with the new leg; undone by `abandon`.
  func prepare(_ session: LegSession, _ fate: LegRecord, as index: Int) async throws -> Joining {
    let (request, key) = await beginEpoch()
    do {
      var grant: RegistrationGrant?
      if session.connection.isMirrorcast {
        let got = try await session.connection.register(
          request, session.urls, within: joiningSeconds, key: key,
          orWithoutRDMA: options.transport.admitsOthers)
        guard got.blockLength == request.blockLength, got.writeLengthMax >= request.writeLengthMax
        else {
          throw MirrorcastError("\(session.urls[0]) takes shorter blocks or writes than the mirror")
        }
        grant = got.answering(by: options)
      }
      let leg = try MirrorLeg(
        session, grant, request, place: (fate, index), interface: interface, inbox: inbox)
      let way = try await ways.way(to: session.urls[0], grant, in: request)
      return Joining(leg: leg, way: way, grant: grant, request: request, key: key)
    } catch {
      inbox.post(.resume(epoch: nil, joining: []))
      epochTurn.give()
      throw error
    }
  }

  /// Goes on without the leg, which forgets the mirror.
  func abandon(_ joining: Joining) async {
    inbox.post(.resume(epoch: nil, joining: []))
    epochTurn.give()
    guard !joining.leg.isForeign else { return }
    try? await joining.leg.connection.terminate(
      joining.request, joining.leg.urls, within: options.deadlineSeconds)
  }

  /// The leg is a member from the next write on.
  func commit(_ joining: Joining, as index: Int) async {
    await agree(joining.request, joining.key, but: [])
    if let key = joining.grant?.proofKey {
      inbox.post(.proofKey(leg: index, key, epoch: joining.request.epoch))
    }
    let description =
      joining.grant?.description(of: joining.request)
      ?? LegDescription(path: .foreign, openWritesMax: Limits.openWritesMax, credit: .max)
    let isBack = membership.withLock { index < $0.legs.count }
    if isBack {
      inbox.post(.readmit(leg: index, joining.leg, joining.way, description))
    } else {
      let added = await withCheckedContinuation { continuation in
        inbox.post(
          .add(joining.leg, joining.way, description) { continuation.resume(returning: $0) })
      }
      precondition(added == index, "legs are numbered in the order in which they come")
    }
    membership.withLock {
      if isBack { $0.legs[index] = joining.leg } else { $0.legs.append(joining.leg) }
      $0.deaf.remove(LegSet(index))
      $0.request = joining.request
    }
    if joining.leg.hearsDatagrams { _ = await probe(LegSet(index)) }
    inbox.post(.resume(epoch: joining.request.epoch, joining: LegSet(index)))
    epochTurn.give()
  }

  /// Lets a leg go; what is open ends there before.
  func drop(_ index: Int) async throws {
    let (request, key) = await beginEpoch()
    let leg = membership.withLock { $0.legs[index] }
    await withCheckedContinuation { continuation in
      inbox.post(.whenNoneOpen { continuation.resume() })
    }
    await agree(request, key, but: LegSet(index))
    inbox.post(.drop(leg: index))
    inbox.post(.resume(epoch: request.epoch, joining: []))
    membership.withLock {
      $0.request = request
      $0.dropped.insert(LegSet(index))
    }
    epochTurn.give()
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

  /// How long an answer to a new epoch is waited for: writes wait meanwhile. Legs of a kept mirror
  /// come back at any time, and by themselves.
  private var joiningSeconds: Double {
    options.name == nil ? options.deadlineSeconds : min(options.deadlineSeconds, 2)
  }

  private func pause() async -> SerialNumber {
    await withCheckedContinuation { continuation in
      inbox.post(.pause { continuation.resume(returning: $0) })
    }
  }

  /// Holds new writes back for a new epoch, when it is its turn: what the members are to confirm,
  /// and its key. Whoever ends that gives the turn back.
  private func beginEpoch() async -> (request: RegistrationRequest, key: EpochKey?) {
    await epochTurn.take()
    let membership = membership.withLock { $0 }
    var request = membership.request
    request.epoch = membership.nextEpoch
    request.firstWrite = await pause()
    await endOldEpochs()
    return (request, options.newKey)
  }

  /// Before so many epochs may have writes open that legs would take no further one: those end.
  private func endOldEpochs() async {
    let isDue = membership.withLock { membership in
      membership.epochsBegun += 1
      guard membership.epochsBegun >= Limits.epochsMax / 2 else { return false }
      membership.epochsBegun = 0
      return true
    }
    guard isDue else { return }
    await withCheckedContinuation { continuation in
      inbox.post(.whenNoneOpen { continuation.resume() })
    }
  }

  /// A new epoch of the same members, for the sake of its key: who left can read nothing of it.
  func renewKey() async {
    let (request, key) = await beginEpoch()
    defer { epochTurn.give() }
    await agree(request, key, but: [])
    membership.withLock { $0.request = request }
    inbox.post(.resume(epoch: request.epoch, joining: []))
  }

  /// Every present member confirms the new epoch, and has its key; one that doesn't leaves the
  /// mirror and is named.
  private func agree(
    _ request: RegistrationRequest, _ key: EpochKey?, but excluded: LegSet
  ) async {
    if let key { inbox.post(.key(key, epoch: request.epoch)) }
    let present = membership.withLock { $0.present }
    let limit = joiningSeconds
    await withTaskGroup(of: Void.self) { group in
      for (index, leg) in present where !leg.isForeign && !excluded.contains(LegSet(index)) {
        group.addTask { [inbox] in
          do {
            let own = leg.lacksQueuePair ? request.withoutQueuePair : request
            let grant = try await leg.connection.register(
              own, leg.urls, within: limit, key: key)
            if let proofKey = grant.proofKey {
              inbox.post(.proofKey(leg: index, proofKey, epoch: request.epoch))
            }
          } catch {
            inbox.post(.lost(leg: index, stay: leg.stay, "\(error)"))
          }
        }
      }
    }
  }
}

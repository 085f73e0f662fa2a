// An initiator of a shared mirror: how it finds the one that leads it, or leads it itself, and what
// becomes of its callers' writes when that one is gone.
import Bytes
import Replication

/// What an initiator of a shared mirror has besides its keeping.
struct SharingCalls {
  /// Legs that are asked who leads, one after the other.
  struct Seeking {
    var targets: [Int]
    var channel: Int
  }

  var seeking: Seeking?
  /// A guest that has not been welcomed yet: its way to the leader, and its number.
  var awaiting: (channel: Int, number: UInt64)?
  /// Writes that are to be done in the next stay, in their order.
  var pending: [Submission] = []
  /// What fails from now on is to be done again.
  var isLeaderGone = false
  /// It has nothing more to do.
  var isRetired = false

  func isPending(_ stamp: Stamp) -> Bool { pending.contains { $0.token == UInt64(stamp) } }

  mutating func letGo() {
    seeking = nil
    awaiting = nil
  }
}

extension Initiator {
  // MARK: Coming

  /// Asks the legs who leads; where nobody does this initiator tries to.
  func seek() {
    if world.workload.isEnding, sharing.pending.isEmpty,
      world.initiators.contains(where: { $0 !== self && !$0.sharing.isRetired })
    {
      return retire()
    }
    sharing.isRetired = false
    phase = .opening
    sharing.seeking = SharingCalls.Seeking(targets: world.legTargets, channel: -1)
    seekNext()
  }

  private func retire() {
    phase = .waiting
    guard !sharing.isRetired else { return }
    world.note(index, "has nothing more to do")
    sharing.isRetired = true
    // Whoever waits for all to be gone looks again.
    for other in world.initiators where other !== self { other.wake(at: world.now) }
  }

  func seekNext() {
    guard var seeking = sharing.seeking else { return }
    guard !seeking.targets.isEmpty else {
      sharing.seeking = nil
      return lead()
    }
    seeking.channel = world.connect(index, seeking.targets.removeFirst())
    sharing.seeking = seeking
  }

  func askForLeader() {
    guard let channel = sharing.seeking?.channel else { return }
    world.send(.findLeader, on: channel)
  }

  /// Whether something came from a leg that was asked who leads.
  func handleSought(_ message: InitiatorMessage, on channel: Int) -> Bool {
    guard let seeking = sharing.seeking, seeking.channel == channel else { return false }
    guard case .leader(let place) = message else { return true }
    world.close(channel, atInitiator: true)
    guard let place, let leader = Int(place.address.dropFirst()), leader != index else {
      seekNext()
      return true
    }
    sharing.seeking = nil
    let number = world.random.next() | 1
    world.note(index, "would be a guest of initiator %", leader)
    let channel = world.connectSharing(index, to: leader, as: number, secret: place.secret)
    sharing.awaiting = (channel, number)
    return true
  }

  private func lead() {
    world.note(index, "opens the mirror")
    world.happens(.opening)
    keeping = Keeping(self, in: world)
    turn()
  }

  // MARK: Words

  /// Whether a guest that knows that word comes to the right one.
  func mayBeGuest(_ secret: UInt64) -> Bool {
    phase != .down && keeping?.desk?.hall != nil && keeping?.secret == secret
  }

  /// A guest's.
  func handleSaid(_ message: SharingMessage, by guest: UInt64) {
    keeping?.handleGuest(guest, message)
    turn()
  }

  /// The leader's.
  func handleSaid(_ message: SharingMessage, on channel: Int) {
    if let awaiting = sharing.awaiting, awaiting.channel == channel {
      guard case .welcome(let mirror) = message else { return }
      sharing.awaiting = nil
      world.note(index, "is welcomed with % legs", mirror.here.count)
      keeping = Keeping(
        self, in: world, following: mirror, as: awaiting.number, by: channel)
    } else if keeping?.leaderChannel == channel {
      keeping?.handleLeader(message)
    }
    turn()
  }

  func handleUnsaid(by guest: UInt64) {
    keeping?.handleGuestGone(guest)
    turn()
  }

  func handleUnsaid(on channel: Int) {
    if sharing.awaiting?.channel == channel { return retry() }
    guard keeping?.leaderChannel == channel else { return }
    keeping?.handleLeaderGone()
    turn()
  }

  /// The process is gone, and what its callers wait for.
  func forgetSharing() {
    if let seeking = sharing.seeking { world.dropChannel(seeking.channel, atInitiator: true) }
    sharing = SharingCalls()
    world.dropSharing(of: index)
  }

  /// The stay is over.
  func closeSharing() {
    for channel in world.sharing.channels.indices {
      if world.sharing.channels[channel].guest == index {
        world.closeSharing(channel, atLeader: false)
      } else if world.sharing.channels[channel].leader == index {
        world.closeSharing(channel, atLeader: true)
      }
    }
  }

  // MARK: Writes

  /// A caller's write goes to the sender, or first to the gate; or to the next stay.
  func pass(_ submission: Submission) {
    guard world.scenario.isShared else { return waiting.append(submission) }
    guard let keeping, let desk = keeping.desk, !desk.isEnded else {
      return sharing.pending.append(submission)
    }
    keeping.enterGate(submission)
  }

  /// What the last stay has left is done again.
  func redo() {
    sharing.isLeaderGone = false
    var pending = sharing.pending.sorted { $0.token < $1.token }
    if world.plants(.reversedRedo) { pending.reverse() }
    sharing.pending = []
    for submission in pending {
      world.note(index, "does write % again", Int(submission.token))
      pass(submission)
    }
  }

  func leaveGate(_ stamp: Stamp) { keeping?.leaveGate(stamp) }

  /// A write that could not begin, since the mirror has ended.
  func refuse(_ submission: Submission) {
    if sharing.isLeaderGone {
      sharing.pending.append(submission)
    } else {
      world.oracle.end(Stamp(submission.token), .bad)
    }
  }

  /// Whether a write that failed is to be done again.
  func postpone(_ stamp: Stamp) -> Bool {
    guard sharing.isLeaderGone else { return false }
    let sectors = world.oracle.record(stamp).sectors
    sharing.pending.append(
      Submission(
        token: UInt64(stamp), byteOffset: UInt64(sectors.lowerBound * Sector.byteCount),
        length: sectors.count * Sector.byteCount,
        forceUnitAccess: world.oracle.record(stamp).isForced))
    return true
  }

  /// A stay is over: all that is left of it is told, or done in the next one.
  func handOver() {
    guard world.scenario.isShared else { return }
    if sender != nil {
      sender?.value.stop(now: world.now)
      handleEvents()
    }
    for submission in waiting { refuse(submission) }
    waiting = []
    keeping?.endGate()
    closeSharing()
  }

  /// A guest that its leader doesn't have any more.
  var isCutOff: Bool {
    guard let keeping, !keeping.isLeader else { return false }
    return !world.initiators.contains {
      $0.keeping?.desk?.hall?.isPresent(keeping.holder) == true
    }
  }

  // MARK: The end

  /// Whether nothing of this initiator's callers waits.
  var hasNothingPending: Bool {
    sharing.pending.isEmpty && keeping?.desk?.waitingCount ?? 0 == 0
  }

  /// Whether a leader may end the mirror: for good only behind all others.
  var mayEnd: Bool {
    guard let hall = keeping?.desk?.hall, isEndWanted else { return true }
    return hall.isEmpty
      && world.initiators.allSatisfy { $0 === self || $0.sharing.isRetired }
  }

  /// No token is held by one that is gone.
  func checkTokens() {
    guard let hall = keeping?.desk?.hall, hall.keptRegions > 0 else { return }
    world.violate("\(hall.keptRegions) regions are kept for guests that are gone")
  }

  /// Whether others go on with the mirror when this one ends it.
  var hasGuests: Bool { keeping?.desk?.hall.map { !$0.isEmpty } ?? false }
}

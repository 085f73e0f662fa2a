// What callers ask of an initiator.
import Bytes
import Replication

/// A caller's flush of a kept mirror.
struct FlushCall {
  let number: Int
  /// What was acknowledged when it began.
  let floor: [Stamp]
  var tags: Set<Int>
  var isAnyGood = false
}

extension Initiator {
  /// A caller's write.
  func write(_ sectors: Range<Int>, isForced: Bool) {
    let stamp = world.oracle.begin(
      WrittenRecord(
        sectors: sectors, initiator: index, isForced: isForced, submittedAt: world.now))
    world.counters.writes += 1
    world.note(
      index, "write % to sectors % to %", Int(stamp), sectors.lowerBound, sectors.upperBound)
    pass(
      Submission(
        token: UInt64(stamp), byteOffset: UInt64(sectors.lowerBound * Sector.byteCount),
        length: sectors.count * Sector.byteCount, forceUnitAccess: isForced))
    turn()
  }

  /// Hands callers' writes to the machine, as many as its queue takes.
  func submitWaiting() {
    var taken = 0
    for submission in waiting {
      guard sender?.value.submit(submission, now: world.now) == true else { break }
      taken += 1
    }
    if taken > 0 { waiting.removeFirst(taken) }
  }

  // MARK: Flushes

  /// Everything that was acknowledged goes to the medium of every leg that has it.
  func flush() {
    let floor = world.oracle.acknowledged
    var call = FlushCall(number: nextTag, floor: floor, tags: [])
    for number in places(ofWhole: false) {
      guard let channel = channel(ofLeg: number) else { continue }
      nextTag += 1
      flushes[nextTag] = (floor, call.number)
      bulkTags[nextTag] = channel
      call.tags.insert(nextTag)
      world.send(.flush(tag: nextTag), on: channel)
    }
    if keeping != nil, !call.tags.isEmpty { flushCalls.append(call) }
  }

  /// The sender's legs; those that have everything, or all.
  private func places(ofWhole: Bool) -> [Int] {
    guard let keeping else {
      var all: [Int] = []
      sender?.value.activeLegs.forEach { all.append($0) }
      return all
    }
    let joined = keeping.machine.joinedLegs
    return keeping.seats.indices.compactMap { leg in
      guard joined.contains(LegSet(leg)),
        !ofWhole || keeping.machine.state(ofLeg: leg).hasEverything,
        let place = keeping.seats[leg].place, !legs[place].isLost
      else { return nil }
      return place
    }
  }

  func handleFlushed(_ tag: Int, _ isGood: Bool, on channel: Int) {
    bulkTags[tag] = nil
    guard let flush = flushes.removeValue(forKey: tag) else { return }
    guard let leg = legs.first(where: { $0.channel == channel }) else { return }
    guard let keeping else {
      if isGood { world.oracle.noteFlushed(leg.target, flush.floor) }
      return
    }
    if let index = flushCalls.firstIndex(where: { $0.number == flush.call }) {
      flushCalls[index].tags.remove(tag)
      if isGood { flushCalls[index].isAnyGood = true }
    }
    guard !isGood, let seat = keeping.seats.firstIndex(where: { $0.place == leg.number }) else {
      return
    }
    if keeping.seats[seat].link != nil { keeping.lose(seat) }
  }

  /// A flush is done when all legs have done it, or the others have stored that they left.
  func endFlushes() {
    guard !flushCalls.isEmpty, keeping?.awaited.rawValue == 0 else { return }
    for call in flushCalls where call.tags.isEmpty && call.isAnyGood {
      world.note(index, "has flushed")
      world.oracle.noteFlushed(call.floor)
    }
    flushCalls.removeAll { $0.tags.isEmpty }
  }

  // MARK: Reads

  /// Reads from one leg.
  func read(_ sectors: Range<Int>) {
    let present = places(ofWhole: true)
    guard !present.isEmpty, let channel = channel(ofLeg: world.random.pick(present)) else { return }
    nextTag += 1
    reads[nextTag] = (sectors, world.oracle.acknowledged)
    world.send(.read(tag: nextTag, sectors: sectors), on: channel)
  }

  func handleData(_ tag: Int, _ stamps: [Stamp]?, on channel: Int) {
    if bulkTags.removeValue(forKey: tag) != nil {
      keeping?.handleRead(tag: tag, stamps)
      return
    }
    guard let read = reads.removeValue(forKey: tag), let stamps else { return }
    guard let leg = legs.first(where: { $0.channel == channel }) else { return }
    world.oracle.checkRead(
      stamps, read.sectors, floor: read.floor, target: leg.target, world)
  }

  /// What was asked by a channel that is lost is not answered.
  func loseBulk(on channel: Int) {
    guard keeping != nil else { return }
    for tag in bulkTags.filter({ $0.value == channel }).map(\.key).sorted() {
      bulkTags[tag] = nil
      if let flush = flushes.removeValue(forKey: tag) {
        if let index = flushCalls.firstIndex(where: { $0.number == flush.call }) {
          flushCalls[index].tags.remove(tag)
        }
      } else {
        keeping?.readsLost.append(tag)
      }
    }
  }

  // MARK: The end

  /// Ends the mirror in order; for good, when all of it is in sync.
  func end(forGood: Bool) {
    guard phase == .running else { return }
    isEndWanted = forGood
    isClosedWhole = false
    phase = .ending
    turn()
  }

  /// What could not be read once is not tried again before the mirror is opened anew: whoever runs
  /// it does that.
  static let patienceNanoseconds: UInt64 = 5_000_000_000

  private var isImpatient: Bool {
    guard let healed = world.weather.healedAt else { return false }
    return world.now > max(healed, ranAt) + Self.patienceNanoseconds
  }

  func endIfIdle() {
    guard let sender, sender.value.isIdle, waiting.isEmpty, hasNothingPending, mayEnd else {
      return
    }
    guard let keeping else { return terminate() }
    if isTerminating { return terminate() }
    guard !keeping.isClosing else { return }
    if hasGuests {
      // They go on: one of them opens the mirror as one does whose leader is gone.
      guard keeping.join == nil, flushCalls.isEmpty else { return }
      return terminate()
    }
    let isWhole = !keeping.isLeader || keeping.isWhole
    guard keeping.join == nil, isWhole || !isEndWanted || isImpatient, flushCalls.isEmpty else {
      return
    }
    if isEndWanted, isWhole, !keeping.isVerifiedAtLast() {
      if keeping.coordinator.orders.isEmpty { return }
      return turn()
    }
    keeping.isClosing = true
    world.happens(.closing)
    keeping.joinsWaiting = []
    // The legs take away the marks of what has ended everywhere.
    keeping.tellLowest()
    keeping.machine.close(now: world.now)
    turn()
  }

  /// The legs have stored that all is well.
  func handleClosed(isWhole: Bool) {
    // A leg that was lost meanwhile has not stored that it was closed.
    isClosedWhole =
      isWhole && keeping?.isWhole == true
      && (keeping?.isLeader == false || Set(keeping?.targets ?? []) == Set(world.legTargets))
    terminate()
  }

  private func terminate() {
    var isWaiting = false
    for leg in legs where !leg.isLost && leg.number != nil {
      isWaiting = true
      if !isTerminating { world.send(.terminate, on: leg.channel) }
    }
    isTerminating = true
    if !isWaiting { finishEnding() }
  }

  func handleTerminated(_ channel: Int) {
    guard let leg = legs.firstIndex(where: { $0.channel == channel }) else { return }
    legs[leg].isLost = true
    world.close(channel, atInitiator: true)
    if isTerminating, keeping != nil { terminate() }
  }

  private func finishEnding() {
    let isForGood = keeping.map { $0.isLeader && isEndWanted && isClosedWhole } ?? true
    if isForGood { checkTokens() }
    world.note(index, "has ended the mirror, for good: %", isForGood ? 1 : 0)
    keeping?.close()
    closeSharing()
    letGo()
    phase = .waiting
    if isForGood {
      world.workload.hasEnded = true
    } else {
      world.wake(
        index, at: world.now + world.random.octaves(1_000_000...50_000_000), incarnation)
    }
  }
}

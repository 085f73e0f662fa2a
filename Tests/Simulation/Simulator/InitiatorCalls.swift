// What callers ask of an initiator.
import Bytes
import Replication

extension Initiator {
  /// A caller's write.
  func write(_ sectors: Range<Int>, isForced: Bool) {
    let stamp = world.oracle.begin(
      WrittenRecord(
        sectors: sectors, initiator: index, isForced: isForced, submittedAt: world.now))
    world.counters.writes += 1
    world.note(
      index, "write % to sectors % to %", Int(stamp), sectors.lowerBound,
      sectors.upperBound)
    waiting.append(
      Submission(
        token: UInt64(stamp), byteOffset: UInt64(sectors.lowerBound * Sector.byteCount),
        length: sectors.count * Sector.byteCount, forceUnitAccess: isForced))
    turn()
  }

  /// Hands callers' writes to the machine, as many as its queue takes.
  func submitWaiting() {
    var taken = 0
    for submission in waiting {
      guard sender?.submit(submission, now: world.now) == true else { break }
      taken += 1
    }
    if taken > 0 { waiting.removeFirst(taken) }
  }

  /// Everything that was acknowledged goes to the medium of every leg.
  func flush() {
    let floor = world.oracle.acknowledged
    sender?.activeLegs.forEach { number in
      guard let channel = channel(ofLeg: number) else { return }
      nextTag += 1
      flushes[nextTag] = floor
      world.send(.flush(tag: nextTag), on: channel)
    }
  }

  /// Reads from one leg.
  func read(_ sectors: Range<Int>) {
    let present = targetOf.indices.filter { sender?.activeLegs.contains(LegSet($0)) == true }
    guard !present.isEmpty, let channel = channel(ofLeg: world.random.pick(present)) else { return }
    nextTag += 1
    reads[nextTag] = (sectors, world.oracle.acknowledged)
    world.send(.read(tag: nextTag, sectors: sectors), on: channel)
  }

  // MARK: The end

  /// Ends the mirror in order.
  func end() {
    guard phase == .running else { return }
    phase = .ending
    turn()
  }

  func endIfIdle() {
    guard let sender, sender.isIdle, waiting.isEmpty, world.oracle.openCount == 0 else { return }
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
  }

  private func finishEnding() {
    world.note(index, "has ended the mirror")
    letGo()
    phase = .waiting
    world.workload.hasEnded = true
  }
}

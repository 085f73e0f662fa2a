/// What callers do in a run, and when that is all.
struct Workload {
  private(set) var callsLeft: Int
  /// The mirror was ended in order.
  var hasEnded = false
  /// There is no leg left that could be trusted.
  var isDead = false
  var isOver: Bool { hasEnded || isDead }
  private(set) var isEnding = false

  init(_ scenario: Scenario) { callsLeft = scenario.callCount }

  mutating func takeCall() -> Bool {
    guard callsLeft > 0 else { return false }
    callsLeft -= 1
    return true
  }

  mutating func beginEnding() { isEnding = true }

  func handleRunning(_ initiator: Initiator) {
    if isEnding { initiator.end(forGood: true) }
  }
}

extension World {
  /// How long the last calls are left to themselves before all is made well.
  private static let patienceNanoseconds: UInt64 = 1_000_000_000
  private static let callsUntilNanoseconds: UInt64 = 20_000_000_000

  func makeCall() {
    guard !workload.isOver else { return }
    writePlainly()
    guard let initiator = caller else {
      if now > Self.callsUntilNanoseconds { return endCalls() }
      return enter(.call, node: -1, at: now + 5_000_000)
    }
    if awaitsGuests { return enter(.call, node: -1, at: now + 500_000) }
    guard workload.takeCall(), now < Self.callsUntilNanoseconds else { return endCalls() }
    let length = Int(random.octaves(1...UInt64(scenario.writeSectorsMax)))
    let span = scenario.hotSectors > 0 && random.chance(0.7) ? scenario.hotSectors : 0
    let last = scenario.sectorCount - length
    let start = min(random.below((span > 0 ? span : last) + 1), last)
    let sectors = start..<start + length
    addLate(initiator)
    verifyAtTimes(initiator)
    steer(initiator)
    guard initiator.isRunning else { return enter(.call, node: -1, at: now + 1) }
    if scenario.isKept, random.chance(scenario.closeRate) {
      initiator.end(forGood: false)
    } else if random.chance(scenario.readRate) {
      if scenario.isKept, random.chance(0.7) {
        readPlainly(sectors)
      } else {
        initiator.read(sectors)
      }
    } else if random.chance(scenario.flushRate) {
      initiator.flush()
    } else {
      initiator.write(sectors, isForced: random.chance(scenario.forcedRate))
    }
    if scenario.isShared, random.chance(0.5) { callAgain(sectors) }
    enter(.call, node: -1, at: now + 1 + random.below(2 * scenario.callGapNanoseconds))
  }

  /// Most calls are made when all initiators are there.
  private var awaitsGuests: Bool {
    scenario.isShared && counters.guests < scenario.initiatorCount - 1 && now < 500_000_000
      && random.chance(0.9)
  }

  /// Whoever's caller is next.
  private var caller: Initiator? {
    guard scenario.isShared else { return initiators.first(where: \.isRunning) }
    let running = initiators.filter(\.isRunning)
    return running.isEmpty ? nil : random.pick(running)
  }

  /// Another initiator's caller writes to nearly the same place.
  private func callAgain(_ sectors: Range<Int>) {
    // Also one whose leader is gone: nobody tells its callers.
    let others = initiators.filter { $0.isRunning || $0.sharing.isLeaderGone }
    guard !others.isEmpty else { return }
    let length = Int(random.octaves(1...UInt64(sectors.count)))
    let start = sectors.lowerBound + random.below(sectors.count - length + 1)
    random.pick(others).write(start..<start + length, isForced: random.chance(scenario.forcedRate))
  }

  /// All calls were made: once more time for what goes wrong, then all is made well, and the mirror
  /// ends.
  private func endCalls() {
    guard weather.healedAt == nil else { return }
    guard oracle.openCount == 0 || weather.patientUntil.map({ now >= $0 }) == true else {
      if weather.patientUntil == nil { weather.patientUntil = now + Self.patienceNanoseconds }
      return enter(.call, node: -1, at: now + 10_000_000)
    }
    heal()
    attachAll()
    workload.beginEnding()
    for initiator in initiators {
      if initiator.phase == .ending { initiator.isEndWanted = true }
      if initiator.isRunning { initiator.end(forGood: true) }
    }
  }

  private func addLate(_ initiator: Initiator) {
    guard scenario.isKept, !isLateAdded, initiator.keeping?.isLeader == true, let late = lateTarget,
      let at = scenario.addsLateAt,
      workload.callsLeft <= at, let keeping = initiator.keeping
    else { return }
    isLateAdded = keeping.add(late)
    if isLateAdded { note(initiator.index, "adds target %", late) }
  }

  /// A session that has nothing to do with the mirror reads at any target, where that is served.
  private func readPlainly(_ sectors: Range<Int>) {
    let target = random.pick(targets)
    guard target.isUp, target.service == .readable else { return }
    let tag = plainReads.count
    plainReads[tag] = (sectors, oracle.acknowledged)
    target.begin(.read, sectors, owner: -1, tag: tag)
  }

  func finishPlainRead(_ tag: Int, _ stamps: [Stamp]?, at target: Target) {
    guard let read = plainReads[tag], let stamps else { return }
    let isInSync = targets(where: \.isReadable).contains(target.index)
    guard isInSync else { return }
    oracle.checkRead(stamps, read.sectors, floor: read.floor, target: target.index, self)
  }
}

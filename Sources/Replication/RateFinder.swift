// Finds the rate that the narrowest leg's path carries, from the losses that legs tell.
// What the path loses by itself, it loses at any rate; a full queue loses only above its own. So a
// rate is judged by the loss that a slower one would have saved. A leg's floor is the loss that
// stayed at a slow rate; what lies above it counts, and the leg with most of that governs.
// Law, with L a leg's loss, B its floor, S the speed of what was lost:
// - Unlimited until a leg's L lies above B by 40 %: less costs less to repair than to search, and a
//   path too narrow for an unlimited sender loses far more. A floor nobody looked for is looked for
//   by a test: some milliseconds at S(1−L) × 0.6, slower while L goes on falling. L then is B.
//   Where that explains the loss, the rate comes back: random loss costs a dip every two seconds.
// - Else rate := S(1−L)/(1−B) × 0.98, after a moment at 0.9 of it in which queues run empty. At
//   most × 0.3 in one cut: the next answers tell whether to cut again. A loss that stands still
//   over three cuts is no congestion, or not alone: test.
// - Without excess: hold 100 ms, then raise by 4 % a phase near what was found, later by twice as
//   much each time. Answers that come later than before the raise tell of a queue that fills: the
//   raise is taken back, mostly before anything is lost. After a deep cut, a guess, raise at once.
// - Drops at a leg's own socket are congestion: no test, and no part of a floor.
// - Evidence is what was sent after the last cut had its effect (an answer time later), so that no
//   loss is paid for twice; a phase lasts until each leg that answers has told enough. A write
//   tells when it has ended at a leg; its first sendings are what is counted.
// Bound: what is lost when a path narrows was sent until the cut, within a queue's filling, an
// answer time and a phase (5 to 50 ms), never more than a window; further cuts halve at least.
// Roads not taken. AIMD, PGMCC, TFMCC: rate ~ 1/√loss, so 1 % random loss on a LAN would cripple.
// BBR's delivery rate: legs answer writes, not datagrams, and after their disks; S(1−L) is the same
// rate without a clock at the leg. Delay alone (Vegas, Swift): disks make it, too; here it can only
// stop a raise. PCC's trials: the same idea as the test, but paid all the time.
/// Finds the rate that the narrowest leg's path carries.
struct RateFinder: Sendable {
  /// What is being found out at the present rate.
  enum Phase: Sendable, Equatable {
    /// The rate is kept: unlimited, or just below what was found.
    case holding
    /// The rate rises step by step.
    case raising
    /// The rate was cut: does the loss fall?
    case settling
    /// The rate is far lower for a moment: which loss stays?
    case testing
  }

  private(set) var phase = Phase.holding
  /// Bytes per second; nil is unlimited.
  private(set) var rate: Double?
  private(set) var legs: [PathEvidence]
  private(set) var counters = PacingCounters()
  private var pulse = SendPulse()
  private var answerTime: UInt64 = 1_000_000
  private var phaseFrom: UInt64 = 0
  /// What was sent earlier met another, higher rate.
  private var evidenceFrom: UInt64 = 0
  private var holdUntil: UInt64 = 0
  private var recheckAt = Law.recheckNanoseconds
  private var step = Law.stepMin
  private var lastClean: Double?
  private var heldRate: Double?
  /// The rate held is a guess after a deep cut.
  private var isRough = false
  /// The rate under examination: the pace as it was set, and the bytes per second that it gave.
  private var examined: (rate: Double?, sent: Double) = (nil, 0)
  private var testSteps = 0
  /// The last rate of a test that was still too high.
  private var testCeiling = Double.infinity
  private var settleCuts = 0
  /// Cuts since a raise went well.
  private var cutsInRow = 0
  /// What the rate will be once the queues are empty; a rough guess after a deep cut.
  private var found: (rate: Double, isRough: Bool) = (0, false)

  private var scale: Scale { Scale(rate: rate ?? pulse.rate, isPaced: rate != nil) }

  init(legCount: Int) { legs = [PathEvidence](repeating: PathEvidence(), count: legCount) }

  // MARK: Input

  mutating func handleSent(bytes: Int, now: UInt64) { pulse.note(bytes: bytes, now: now) }

  /// Something waits that the rate does not yet allow.
  mutating func noteLimited() { pulse.isLimited = true }

  mutating func forget(leg: Int) {
    if legs.indices.contains(leg) { legs[leg].forget() }
  }

  mutating func handleDelivery(_ delivery: Delivery, now: UInt64) {
    guard legs.indices.contains(delivery.leg),
      delivery.blocks > 0, delivery.blocks <= Law.deliveryBlocksMax,
      delivery.firstSentAt <= delivery.lastSentAt, delivery.lastSentAt <= now
    else {
      counters.invalidDeliveries += 1
      return
    }
    let delay = now - delivery.lastSentAt
    // A report of loss comes early, since nothing of it waited in the queue.
    if delivery.lostBlocks <= delivery.blocks / 2 {
      answerTime = answerTime - answerTime / 8 + min(delay, Law.answerMax) / 8
    }
    guard delivery.firstSentAt >= evidenceFrom else {
      counters.staleDeliveries += 1
      return
    }
    let leg = delivery.leg
    legs[leg].take(delivery, ripe: ripe(delivery), delay: delay)
    if phase == .testing {
      if isPhaseOver(now) { concludeTest(now) }
    } else if legs[leg].isCongested(scale), isRepresentative(leg, now) {
      handleCongestion(leg, now)
    } else if legs[leg].ripe >= scale.blocksMin, isPhaseOver(now) {
      handleClean(now)
    }
  }

  /// The blocks that were sent since the phase began, when the sending was even.
  private func ripe(_ delivery: Delivery) -> Int {
    if delivery.firstSentAt >= phaseFrom { return delivery.blocks }
    guard delivery.lastSentAt > phaseFrom else { return 0 }
    let part =
      Double(delivery.lastSentAt - phaseFrom)
      / Double(delivery.lastSentAt - delivery.firstSentAt)
    return Int(part * Double(delivery.blocks))
  }

  // MARK: Phases

  private var phaseLength: UInt64 {
    min(max((phase == .testing ? 1 : 2) * answerTime, Law.phaseMin), Law.phaseMax)
  }

  /// Long enough, and every leg that answers at all has told enough, or had time to.
  private func isPhaseOver(_ now: UInt64) -> Bool {
    guard now > phaseFrom, now - phaseFrom >= phaseLength else { return false }
    let elapsed = now - phaseFrom
    let isLate = elapsed >= max(4 * (phaseLength + answerTime), Law.lateNanoseconds)
    let scale = scale
    let enough = phase == .testing ? max(scale.blocksMin, Law.testBlocksMin) : scale.blocksMin
    return legs.allSatisfy { !$0.isLive || $0.ripe >= enough }
      || (isLate && legs.contains { $0.ripe >= enough })
  }

  /// The first answers of a phase are of what was lost; those of what queued come later.
  private func isRepresentative(_ leg: Int, _ now: UInt64) -> Bool {
    now - phaseFrom >= max(Law.phaseMin / 2, answerTime)
      || (phase != .settling && legs[leg].lost > Law.manyLost)
  }

  private mutating func begin(_ next: Phase, rate: Double?, now: UInt64) {
    let isLower = (rate ?? .infinity) < (self.rate ?? .infinity)
    phase = next
    self.rate = rate.map { max($0, Law.rateMin) }
    // Local queues still hold what was sent at the old rate; it arrives within an answer time.
    phaseFrom = isLower ? now + answerTime : now
    if isLower { evidenceFrom = phaseFrom }
    for leg in legs.indices { legs[leg].beginPhase() }
    pulse.beginPhase(now: now)
  }

  /// Keeps the rate for a while before more is looked for; after a deep cut, whose depth is a
  /// rough guess, not at all.
  private mutating func hold(rate: Double?, isRough: Bool = false, now: UInt64) {
    holdUntil = isRough ? now : now + Law.holdNanoseconds
    step = isRough ? Law.stepDeep : Law.stepMin
    lastClean = rate
    heldRate = rate
    self.isRough = isRough
    begin(.holding, rate: rate, now: now)
  }

  /// Goes below the rate that was found until the queues have run empty.
  private mutating func settle(found rate: Double, isRough: Bool, now: UInt64) {
    found = (rate, isRough)
    begin(.settling, rate: rate * Law.drainFactor, now: now)
    guard !legs.contains(where: { $0.floor > Law.surprisingFloor }) else { return }
    recheckAt = max(recheckAt, now + Law.recheckNanoseconds / 2)
  }

  // MARK: Loss

  private mutating func handleCongestion(_ leg: Int, _ now: UInt64) {
    if phase == .settling, legs[leg].isStanding {
      settleCuts += 1
      guard settleCuts <= Law.settleCutsMax else {
        beginTest(now)
        return
      }
    } else {
      settleCuts = 0
      cutsInRow += 1
      examine()
      guard legs[leg].isOverrun || (legs[leg].isFloorKnown && cutsInRow <= Law.cutsInRowMax)
      else {
        beginTest(now)
        return
      }
    }
    counters.cuts += 1
    let scale = scale
    let excess = legs.reduce(0) { max($0, $1.trustedExcess(scale)) }
    settle(
      found: sentRate * (1 - excess) * Law.margin, isRough: excess >= Law.deepCut, now: now)
  }

  private mutating func examine() {
    examined = (rate, sentRate)
    for leg in legs.indices { legs[leg].examine() }
  }

  /// Bytes per second that legs' answers speak of.
  private var sentRate: Double {
    if let rate, pulse.isLimited { return rate }
    return min(pulse.rate, rate ?? .infinity)
  }

  private mutating func beginTest(_ now: UInt64) {
    counters.tests += 1
    testSteps = 0
    cutsInRow = 0
    tryLower(from: min(examined.sent, rate ?? .infinity), now)
  }

  private mutating func tryLower(from base: Double, _ now: UInt64) {
    testSteps += 1
    let excess = legs.reduce(0) { max($0, $1.excess) }
    for leg in legs.indices { legs[leg].noteTry() }
    begin(.testing, rate: base * (1 - min(excess, Law.deepCut)) * Law.testFactor, now: now)
  }

  /// What is lost now is the path's own. What was lost above it, at the rate under examination, was
  /// congestion.
  private mutating func concludeTest(_ now: UInt64) {
    let scale = scale
    let isUnsure =
      legs.contains { $0.isFalling(scale) }
      || testSteps < Law.surprisesMax && legs.contains { $0.loss > Law.surprisingFloor }
    if isUnsure, testSteps < Law.testStepsMax, let rate, rate > Law.rateMin {
      testCeiling = rate
      tryLower(from: rate, now)
      return
    }
    for leg in legs.indices { legs[leg].learnFloor() }
    recheckAt = now + Law.recheckNanoseconds
    let excess = legs.reduce(0) { max($0, $1.examinedExcess(scale)) }
    if excess > 0 {
      counters.cuts += 1
      let least = rate ?? Law.rateMin
      let most = testSteps > 1 ? testCeiling : .infinity
      let found = max(min(examined.sent * (1 - excess) * Law.margin, most), least)
      hold(rate: found, isRough: excess > Law.deepCut, now: now)
    } else {
      counters.floorsFound += 1
      hold(rate: examined.rate, isRough: isRough, now: now)
    }
  }

  // MARK: No loss

  private mutating func handleClean(_ now: UInt64) {
    let scale = scale
    for leg in legs.indices { legs[leg].correctFloor(isRising: phase == .raising, scale) }
    switch phase {
    case .settling: hold(rate: found.rate, isRough: found.isRough, now: now)
    case .testing: break
    case .holding:
      for leg in legs.indices { legs[leg].noteDelayBase() }
      if now >= recheckAt, legs.contains(where: { $0.floor > Law.lossMin }) {
        examine()
        beginTest(now)
      } else if now >= holdUntil, let rate, pulse.isLimited {
        cutsInRow = 0
        raise(rate, now)
      } else {
        begin(.holding, rate: rate, now: now)
      }
    case .raising:
      guard let rate else { return }
      if legs.contains(where: { $0.isQueueing }) {
        counters.queuesSeen += 1
        settleCuts = 0
        examine()
        let least = heldRate ?? 0
        settle(
          found: max((lastClean ?? rate) * Law.queueFactor, least),
          isRough: step > Law.stepDeep, now: now)
      } else if rate > 2 * pulse.rate {
        // Not the pacer but something at home is the narrow part.
        hold(rate: nil, now: now)
      } else if pulse.isLimited {
        lastClean = rate
        cutsInRow = 0
        raise(rate, now)
      } else {
        begin(.raising, rate: rate, now: now)
      }
    }
  }

  private mutating func raise(_ rate: Double, _ now: UInt64) {
    counters.raises += 1
    // Near what was found by small steps: a queue tells of the last step, not yet of this one.
    if rate > Law.nearby * (heldRate ?? 0) { step = min(step * Law.stepGrowth, Law.stepMax) }
    begin(.raising, rate: rate * (1 + step), now: now)
  }
}

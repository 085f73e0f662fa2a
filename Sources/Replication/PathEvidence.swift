/// What one leg's first answers tell of the path to it: counts since the present phase began, and
/// the loss that is the path's own.
struct PathEvidence: Sendable {
  /// The loss that stays however slow the sender is.
  private(set) var floor = 0.0
  /// The floor was looked for; zero may be the truth or ignorance.
  private(set) var isFloorKnown = false
  /// What the last test found: corrections stay near it.
  private var tested = 0.0
  /// How many blocks told it.
  private var floorBlocks = 0.0

  private(set) var blocks = 0
  private(set) var lost = 0
  private(set) var drops = 0
  /// Blocks that were sent in the present phase, at its rate.
  private(set) var ripe = 0
  /// The quickest answer of the phase, and of the last one that filled no queue.
  private(set) var delayMin = UInt64.max
  private(set) var delayBase = UInt64.max
  /// Answered in this phase or the last one: the sender waits for its evidence.
  private(set) var isLive = false
  /// Loss, and the blocks behind it, at the rate that is being examined.
  private(set) var examined = (loss: 0.0, blocks: 0, drops: 0)
  /// Loss at the last slower rate that was tried.
  private(set) var tried = 0.0
  /// How much more the losses of one answer vary than those of single blocks would: trains are
  /// lost as a whole.
  private(set) var burstiness = 1.0
  private var squares = (lost: 0.0, mixed: 0.0, blocks: 0.0)

  /// - Parameter ripe: the blocks of it that were sent in the present phase.
  mutating func take(_ delivery: Delivery, ripe count: Int, delay: UInt64) {
    let part = min(max(delivery.lostBlocks, 0), delivery.blocks)
    blocks += delivery.blocks
    lost += part
    squares.lost += Double(part * part)
    squares.mixed += Double(part * delivery.blocks)
    squares.blocks += Double(delivery.blocks * delivery.blocks)
    drops += min(max(delivery.socketDrops, 0), Law.deliveryBlocksMax)
    guard count > 0 else { return }
    isLive = true
    ripe += count
    delayMin = min(delayMin, delay)
  }

  mutating func beginPhase() {
    isLive = ripe > 0
    blocks = 0
    lost = 0
    drops = 0
    ripe = 0
    delayMin = .max
    squares = (0, 0, 0)
  }

  mutating func forget() { self = PathEvidence() }

  // MARK: Loss

  var loss: Double { blocks > 0 ? Double(lost) / Double(blocks) : 0 }

  /// Drops at the leg's own socket beyond a handful: it can't keep up, whatever the floor is.
  var isOverrun: Bool { min(drops, lost) > Law.dropsMax && drops * 100 > blocks }

  /// The part of the loss above the floor, of what the floor lets through.
  var excess: Double { max(loss - floor, 0) / (1 - floor) }

  /// The excess that a cut may trust: little evidence of a great loss is evidence of half of it.
  func trustedExcess(_ scale: Scale) -> Double {
    guard isCongested(scale) else { return 0 }
    return min(excess, blocks < 2 * scale.blocksMin ? Law.deepCut : Law.cutMax)
  }

  /// The loss lies above the floor by more than chance, or one lost train, explains.
  func isCongested(_ scale: Scale) -> Bool {
    blocks >= scale.blocksMin && (isOverrun || isExcessive(loss, blocks, scale))
  }

  private func isExcessive(_ loss: Double, _ blocks: Int, _ scale: Scale) -> Bool {
    let count = Double(blocks)
    let above = (loss - max(floor, scale.toleratedLoss)) * count
    // Both the loss and the floor are known from so many blocks only.
    let pooled = (loss * count + floor * floorBlocks) / max(count + floorBlocks, 1)
    let spread = pooled * (1 - pooled) * count * (1 + count / max(floorBlocks, 1))
    let chance = isFloorKnown ? Law.sigmas * (burstiness * spread).squareRoot() : 0
    return above > max(Law.lossMin * count, chance + scale.trainBlocks)
  }

  // MARK: Examining

  /// The rate that gave this loss will be compared with slower ones.
  mutating func examine() {
    examined = (loss, blocks, drops)
    tried = loss
  }

  /// Nothing is under suspicion, but a floor is looked for anew.
  mutating func noteTry() { tried = loss }

  /// At a slower rate the loss is smaller by more than chance explains, but not yet gone.
  func isFalling(_ scale: Scale) -> Bool {
    let count = Double(blocks)
    let below = (tried - loss) * count
    let chance = Law.sigmas * (burstiness * loss * (1 - loss) * count).squareRoot()
    guard loss > Law.lossMin, !isFloorKnown || isExcessive(loss, blocks, scale) else {
      return false
    }
    return below > max(0.1 * tried * count, chance + scale.trainBlocks)
  }

  /// The loss did not follow the rate down, nor is it a new and greater one.
  var isStanding: Bool {
    !isOverrun && loss > Law.sameLoss * examined.loss && loss < examined.loss / Law.sameLoss
  }

  mutating func learnFloor() {
    guard blocks >= Law.floorBlocksMin else { return }
    isFloorKnown = true
    // What the leg's own socket dropped is no property of the path.
    let path = Double(max(lost - drops, 0)) / Double(blocks)
    floor = min(path, Law.floorMax)
    tested = floor
    floorBlocks = Double(blocks)
    noteBurstiness()
  }

  /// What a slower rate would have saved of the loss under examination.
  func examinedExcess(_ scale: Scale) -> Double {
    guard examined.blocks > 0,
      examined.drops > Law.dropsMax
        || isExcessive(examined.loss, examined.blocks, scale)
    else { return 0 }
    return max(examined.loss - floor, 0) / (1 - floor)
  }

  /// A clean phase tells how far the floor was off. Upwards only where the rate is below what was
  /// found: while it rises, congestion that grows little by little would become the floor.
  mutating func correctFloor(isRising: Bool, _ scale: Scale) {
    guard isFloorKnown, blocks >= scale.blocksMin / 4 else { return }
    noteBurstiness()
    guard loss < floor || (!isRising && floor > Law.lossMin / 2) else { return }
    let count = Double(blocks)
    floor += (loss - floor) * count / (count + floorBlocks)
    floor = min(floor, tested * 1.25 + Law.lossMin / 4, Law.floorMax)
    floorBlocks = min(floorBlocks + count, Law.floorBlocksMax)
  }

  private mutating func noteBurstiness() {
    let loss = loss
    let expected = loss * (1 - loss) * Double(blocks)
    guard floor > Law.lossMin, expected > 1 else { return }
    let found = squares.lost - 2 * loss * squares.mixed + loss * loss * squares.blocks
    burstiness += (min(max(found / expected, 1), 16) - burstiness) / 4
  }

  // MARK: Queueing

  mutating func noteDelayBase() {
    if delayMin != .max { delayBase = delayMin }
  }

  /// The quickest answer is late by more than an idle path explains: a queue is filling.
  var isQueueing: Bool {
    guard delayMin != .max, delayBase != .max else { return false }
    return delayMin > delayBase + delayBase / 4 + Law.delayTolerance
  }
}

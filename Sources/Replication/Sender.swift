// The mirror at the initiator: one registration's writes, as a machine of events and times.
//
// Law: a write begins only where it overlaps no open one, and as far as every leg's grant reaches;
// its data goes out with its command where the legs grant that, else when every leg is ready for it
// (R2T); it ends when every leg has answered it, was fenced from it, or left the mirror. What a
// leg lacks is sent again the way that the recovery mode says, and over its connection when
// datagrams keep failing, so a write always ends.
//
// Order of calls: `submit` and `handle…`; `handleTimeout` when `nextDeadline` has passed; then
// `pollTransmission` as long as there is room, `assemble` for each; `handleDeparted` when all of it
// was handed to the network; then take `events`, empty them.
package import Bytes
import ISCSI

/// The machine of one mirror at its initiator.
package struct Sender: Sendable {
  package let configuration: SenderConfiguration
  package internal(set) var counters = SenderCounters()
  /// What the owner has to do or to know; the owner empties it.
  package var events: [SenderEvent] = []

  var legs: [SenderLeg] = []
  var writes: [OutgoingWrite]
  /// By write number modulo the window: the slot of an open write, and one; 0 for none.
  var slotOfNumber: [UInt8]
  /// Slots that no write uses; the last one is used first.
  var freeSlots: [Int]
  var queue = Fifo<Submission>()
  /// Writes that start anew go before those that wait.
  var restarted: [Submission] = []
  var repairs: [RepairJob] = []
  var announcements: [Int] = []
  var sendings: [Int] = []
  var epoch: UInt16
  var nextNumber: SerialNumber
  /// The lowest write number still open, as the legs are told; the next number where none is. In a
  /// kept mirror it stands still while the legs may differ in writes that have ended.
  package internal(set) var lowestOpen: SerialNumber
  var openBytes = 0
  var sentToGroup = SendMoments()
  /// Legs of which datagrams to them alone may not be on their way yet.
  var undeparted: LegSet = []
  /// Not later than the moment at which `handleTimeout` has something to do.
  var timerDue = UInt64.max
  var isPaused = false
  var flow: SenderFlow
  var withheld = Withheld()
  var holds = RangeHolds()
  var turns = TaskTurns()

  package init(_ configuration: SenderConfiguration, legs: [LegDescription]) {
    precondition(!legs.isEmpty && legs.count <= Limits.legsMax, "a mirror has 1 to 64 legs")
    self.configuration = configuration
    epoch = configuration.epoch
    nextNumber = configuration.firstWrite
    lowestOpen = configuration.firstWrite
    slotOfNumber = [UInt8](repeating: 0, count: Limits.writeWindowMax)
    freeSlots = Array((0..<Limits.openWritesMax).reversed())
    let blocksMax = Limits.blocks(
      of: configuration.writeLengthMax, blockLength: configuration.blockLength)
    writes = (0..<Limits.openWritesMax).map { _ in OutgoingWrite(blocksMax: blocksMax) }
    self.legs = legs.map { SenderLeg(description: $0) }
    flow = SenderFlow(configuration)
  }

  // MARK: Look

  /// Whether nothing is open and nothing waits.
  package var isIdle: Bool {
    openCount == 0 && queue.isEmpty && restarted.isEmpty && !holds.hasWaiting && withheld.isEmpty
      && turns.isIdle
  }

  var openCount: Int { writes.count - freeSlots.count }
  package var firstUnusedNumber: SerialNumber { nextNumber }
  package var currentEpoch: UInt16 { epoch }
  package var openWrites: Int { openCount }

  package func counters(ofLeg leg: Int) -> LegCounters { legs[leg].counters }
  /// The caller's write in a slot that a transmission names.
  package func submission(inSlot slot: Int) -> Submission { writes[slot].submission }

  /// The legs that still take writes.
  package var activeLegs: LegSet {
    var set: LegSet = []
    for index in legs.indices where legs[index].isActive { set.insert(LegSet(index)) }
    return set
  }

  /// The legs that are served over their connections.
  package var carriedLegs: LegSet {
    LegSet(legs.indices.filter { legs[$0].description.path == .connection })
  }

  /// When `handleTimeout` wants to be called.
  package var nextDeadline: UInt64? {
    guard openCount > 0 else { return nil }
    return hasWaiting ? min(timerDue, flow.heldUntil ?? .max) : timerDue
  }

  /// The pace that losses led to, in bytes a second, nil while they hold nothing back.
  package var pace: Int? { flow.pacer.foundRate }

  private var earliestTimer: UInt64 {
    var earliest = UInt64.max
    for slot in writes.indices where writes[slot].phase != .idle {
      earliest = min(earliest, writes[slot].nextDeadline, writes[slot].repairDue ?? .max)
      writes[slot].open.forEach { leg in
        guard let asked = writes[slot].progress[leg].askedAt else { return }
        earliest = min(earliest, max(asked + legs[leg].timer.timeout, legs[leg].askAgainAt))
      }
    }
    return earliest
  }

  func isWhole(_ submission: Submission) -> Bool {
    submission.length > 0 && submission.length <= configuration.writeLengthMax
      && submission.length % configuration.unitBlockSize == 0
      && submission.byteOffset % UInt64(configuration.unitBlockSize) == 0
  }

  // MARK: Handle

  /// A caller's write. False when the queue is full.
  package mutating func submit(_ submission: Submission, now: UInt64) -> Bool {
    precondition(
      isWhole(submission), "a mirrored write is whole logical blocks and no longer than was agreed")
    return enter(submission, now: now)
  }

  /// A leg is ready for a write's data.
  package mutating func handleReadyToTransfer(leg: Int, tag: UInt32, now: UInt64) {
    guard let slot = openSlot(leg: leg, tag: tag, now: now) else { return }
    answered(slot, leg, now: now)
    markReady(slot, leg, now: now)
  }

  /// A leg's SCSI Response, with the status of each LUN where it isn't GOOD.
  package mutating func handleResponse(
    leg: Int, tag: UInt32, status: UInt8, sense: [UInt8] = [], units: [UnitStatus] = [], now: UInt64
  ) {
    guard let slot = openSlot(leg: leg, tag: tag, now: now) else { return }
    guard
      status != 0 || writes[slot].phase == .restarting
        || writes[slot].isSent(by: path(leg, writes[slot].submission))
    else {
      fail(leg, .violation("GOOD for a write whose data was not sent yet"), now: now)
      return
    }
    // Where its proof was wrong the write starts anew when it has ended everywhere.
    guard
      status != 0 || writes[slot].phase == .restarting || !configuration.wantsProof
        || writes[slot].proven.union(writes[slot].doubted).contains(LegSet(leg))
    else {
      fail(leg, .violation("GOOD for a write that it has not proved"), now: now)
      return
    }
    answered(slot, leg, now: now)
    measure(slot, leg, now: now)
    finish(
      slot, leg, failure: status == 0 ? nil : .status(status, sense: sense, units: units), now: now)
  }

  /// The status of a plain unicast WRITE that `SenderEvent.unicast` asked for.
  package mutating func handleForeign(
    leg: Int, number: SerialNumber, failure: LegFailure?, now: UInt64
  ) {
    guard let slot = slot(of: number), writes[slot].open.contains(LegSet(leg)) else { return }
    finish(slot, leg, failure: failure, now: now)
  }

  /// A leg can't touch the medium by this write any more.
  package mutating func handleFenced(leg: Int, number: SerialNumber, now: UInt64) {
    guard legs[leg].isActive else { return }
    legs[leg].timer.heard()
    guard let slot = slot(of: number), writes[slot].open.contains(LegSet(leg)) else { return }
    guard writes[slot].phase == .restarting else {
      fail(leg, .violation("fenced a write that it was not asked to"), now: now)
      return
    }
    finish(slot, leg, failure: writes[slot].isAborting ? .aborted : nil, now: now)
  }

  /// A leg's connection is gone, or it is dropped from the mirror on purpose.
  package mutating func handleLost(leg: Int, _ loss: LegLoss, now: UInt64) {
    if loss == .dropped { legs[leg].isDropped = true }
    fail(leg, loss, now: now)
  }

  /// What a leg has said lately may be lost, though its session is there: it is asked again.
  package mutating func handleAnswersLost(leg: Int, now: UInt64) {
    guard legs[leg].isActive, legs[leg].description.path != .foreign else { return }
    for slot in writes.indices where writes[slot].phase != .idle {
      guard writes[slot].open.contains(LegSet(leg)), writes[slot].commandDigest != nil else {
        continue
      }
      setAsked(slot, leg, now: now)
    }
  }

  /// Time has passed.
  package mutating func handleTimeout(now: UInt64) {
    flow.handleTimeout(now: now)
    guard openCount > 0, now >= timerDue else { return }
    if now - timerDue > Limits.heldUpNanoseconds { putOff(by: now - timerDue) }
    timerDue = .max
    for slot in writes.indices where writes[slot].phase != .idle {
      if writes[slot].phase == .pausing {
        guard writes[slot].deadline <= now else { continue }
        retry(slot, now: now)
        admit(now: now)
      } else if writes[slot].deadline <= now {
        writes[slot].open.forEach { fail($0, .deadline, now: now) }
      } else if writes[slot].nextDeadline <= now {
        // Legs that wait for data, too, owe nothing: only who holds it back is failed.
        writes[slot].unready.forEach { fail($0, .deadline, now: now) }
      } else if let due = writes[slot].repairDue, due <= now {
        repairTogether(slot, now: now)
      }
    }
    for leg in legs.indices where legs[leg].isActive { ask(leg, now: now) }
    timerDue = min(timerDue, earliestTimer)
  }

  /// The lane was held up for so long, and the legs wait for it: their time begins anew.
  private mutating func putOff(by nanoseconds: UInt64) {
    for slot in writes.indices where writes[slot].phase != .idle {
      writes[slot].deadline += nanoseconds
      writes[slot].readyDeadline += nanoseconds
    }
  }

  // MARK: Membership

  /// Holds new writes back while an epoch is being agreed on; open ones go on.
  package mutating func pause() { isPaused = true }

  /// A new leg; it takes writes from the next epoch on. Returns its index.
  package mutating func add(_ leg: LegDescription) -> Int {
    precondition(legs.count < Limits.legsMax, "a mirror has at most 64 legs")
    var new = SenderLeg(description: leg)
    new.isActive = false
    new.isDropped = true
    legs.append(new)
    return legs.count - 1
  }

  /// A leg that doesn't hear the group is served over its connection from the next write on.
  package mutating func serveByConnection(_ leg: Int) {
    legs[leg].description.path = .connection
  }

  /// A leg says that no datagram comes there any more: what it lacks now goes by its connection,
  /// too.
  package mutating func handleDeaf(leg: Int) {
    guard legs[leg].isActive, legs[leg].description.path == .datagrams else { return }
    serveByConnection(leg)
    events.append(.deaf(leg: leg))
  }

  /// No datagram can be sent to a leg by itself, though it hears the group.
  package mutating func serveAlone(byConnection leg: Int) { legs[leg].carriedUntil = .max }

  /// All members have confirmed the epoch: new writes belong to it.
  package mutating func resume(epoch: UInt16, joining: LegSet, now: UInt64) {
    precondition(withheld.unconfirmed.isDisjoint(with: joining), "a leg returns before it has left")
    self.epoch = epoch
    joining.forEach {
      legs[$0].isActive = true
      legs[$0].isDropped = false
      flow.pacer.handleLegChanged($0)
    }
    isPaused = false
    admit(now: now)
  }

  /// Goes on in the present epoch, when the new one could not be agreed on.
  package mutating func resume(now: UInt64) {
    isPaused = false
    admit(now: now)
  }
}

// The mirror at a leg: one registration, as a machine of bytes and times.
//
// Law: a byte is stored only inside the write that a checked command announced, each sound block
// once; a write ends once, with a status or by a fence, and its number is remembered as long as the
// initiator may still send for it. Everything that fits nowhere is dropped and counted.
//
// Data that needs no R2T may come before its command, or without it when that was lost: it waits in
// a buffer, so that a lost command costs one datagram again and not the write. The road not taken
// was to repeat the command's fields in each Data-Out, which would be no PDU of RFC 7143 any more.
//
// Order of calls: `handle…` for what came (datagrams, carried ones alike), copy the data where the
// placement says, then `settle(slot)`; `handleTimeout` when `nextDeadline` has passed; then take
// `stores` and `answers` and empty them.
package import Bytes
import SCSI

/// The machine of one registration at a leg.
package struct Receiver: Sendable {
  package private(set) var configuration: ReceiverConfiguration
  package internal(set) var counters = ReceiverCounters()
  /// Writes ready for the medium; the owner empties it.
  package var stores: [StoreRequest] = []
  /// Slots of writes whose data is here, and is to be proved first; see `nextUnproven`.
  var unproven: [Int] = []
  /// Of ended writes, by number modulo the window.
  var proofs: [WriteProof] = []
  /// Answers for the connection; the owner empties it.
  package var answers: [ReceiverAnswer] = []
  package private(set) var isClosing = false
  /// Why LUNs take no writes just now, empty where all do: a reservation, protection. The owner
  /// keeps it; commands that come meanwhile are answered so.
  package var refusals: [UnitStatus] = []
  /// What the initiator is to hear first, SAM-5 §5.14: the next write that begins ends with it, and
  /// then it is empty again.
  package var attentions: [UnitStatus] = []
  /// Whether copies between legs are for this one, which lacks what they bring. The owner keeps it;
  /// one that has all that was written leaves them alone, since they may be older.
  package var takesCopies = false
  /// A LUN has no write cache: each write is a forced one. The owner keeps it.
  package var forcesWrites = false
  /// The LUNs whose sense has the descriptor format.
  package var descriptorUnits: [UInt64] = []

  var epochs: EpochTable
  var window: WriteWindow
  var writes: [ReceivedWrite]
  /// Slots that no write uses; the last one is used first.
  var freeSlots: [Int]
  /// How long it lately was between arrivals, smoothed.
  var arrivalGap: UInt64 = 0
  var arrivedAt: UInt64 = 0
  var highestWithData: SerialNumber?
  /// What has come to the group, and to this leg's own address.
  var groupStream = HeardStream()
  var ownStream = HeardStream()
  /// Statuses of ended writes that were not GOOD, to be told again.
  var endedBadly: [UInt32: [UnitStatus]] = [:]

  package init(_ configuration: ReceiverConfiguration) {
    self.configuration = configuration
    epochs = EpochTable(first: configuration.epoch, firstWrite: configuration.firstWrite)
    window = WriteWindow(lowest: configuration.firstWrite)
    let blocksMax = Limits.blocks(
      of: configuration.writeLengthMax, blockLength: configuration.blockLength)
    writes = (0..<configuration.openWritesMax).map { _ in ReceivedWrite(blocksMax: blocksMax) }
    freeSlots = Array((0..<configuration.openWritesMax).reversed())
    guard configuration.wantsProof else { return }
    proofs = [WriteProof](repeating: .none, count: Limits.writeWindowMax)
    unproven.reserveCapacity(configuration.openWritesMax)
  }

  var openCount: Int { writes.count - freeSlots.count }

  // MARK: Look

  /// Whether no write is open and no I/O is running.
  package var isQuiescent: Bool { openCount == 0 }

  package var currentEpoch: UInt16 { epochs.current }

  /// Whether writes of that epoch may be open, or come.
  package func knows(_ epoch: UInt16) -> Bool { epochs.knows(epoch) }
  /// The lowest write number that is not forgotten.
  package var lowestNumber: SerialNumber { window.lowest }

  /// When `handleTimeout` wants to be called.
  package var nextDeadline: UInt64? {
    guard openCount > 0 else { return nil }
    var earliest: UInt64?
    for slot in writes.indices where writes[slot].isOpenForData {
      if let due = writes[slot].reporting.due, due < earliest ?? .max { earliest = due }
    }
    return earliest
  }

  // MARK: Handle

  /// A verified datagram of this registration, by multicast, as a repair or carried by TCP.
  package mutating func handleDatagram(
    _ datagram: Datagram, isCarried: Bool = false, now: UInt64
  ) -> Placement {
    guard !isClosing, epochs.covers(datagram.writeNumber, datagram.epoch) || datagram.kind == .probe
    else {
      counters.staleEpoch += 1
      return .nowhere
    }
    if !isCarried, datagram.kind != .probe {
      noteHeard(datagram.sequence, isOwn: datagram.flags.contains(.own), now: now)
    }
    if isIgnored(datagram) {
      counters.copiesIgnored += 1
      _ = moveUp(datagram)
      return .nowhere
    }
    switch datagram.kind {
    case .probe:
      handleProbe(datagram)
      return .nowhere
    case .command:
      guard admit(datagram) else { return .nowhere }
      return handleCommand(datagram, isCarried: isCarried, now: now)
    case .data:
      guard admit(datagram) else { return .nowhere }
      return handleData(datagram, isCarried: isCarried, now: now)
    }
  }

  /// The data of a placement is where it was to go: what is whole goes on to the medium.
  package mutating func settle(_ slot: Int) {
    guard writes[slot].phase == .collecting else { return }
    guard writes[slot].missing.missingCount == 0 else {
      if !writes[slot].isDirect { storeAhead(slot) }
      return
    }
    guard !configuration.wantsProof || writes[slot].proof != nil else {
      unproven.append(slot)
      return
    }
    writes[slot].phase = .storing
    writes[slot].reporting.due = nil
    if writes[slot].isDirect {
      finishStoring(slot)
    } else {
      store(slot, upTo: writes[slot].length)
    }
  }

  /// One LUN has stored a piece of a write, or couldn't.
  package mutating func handleStored(slot: Int, unit: Int, status: UInt8, sense: [UInt8]) {
    precondition(writes[slot].storing.pending > 0, "a store completed that was not asked for")
    writes[slot].storing.pending -= 1
    let lun = configuration.units[unit]
    if status != 0, !writes[slot].storing.statuses.contains(where: { $0.lun == lun }) {
      writes[slot].storing.statuses.append(UnitStatus(lun: lun, status: status, sense: sense))
    }
    guard writes[slot].phase == .storing, writes[slot].storing.pending == 0 else { return }
    finishStoring(slot)
  }

  private mutating func finishStoring(_ slot: Int) {
    let number = writes[slot].number
    let epoch = writes[slot].epoch
    let ending = writes[slot].storing.ending
    let bad = writes[slot].storing.statuses
    if let proof = writes[slot].proof {
      proofs[Int(number.rawValue) % Limits.writeWindowMax] = proof
    }
    free(slot)
    switch ending {
    case .fenced:
      remember(number, .fenced)
      answers.append(.fenced(number, epoch: epoch))
    case .forgotten: remember(number, .fenced)
    case .answered where isClosing, .distrusted where isClosing, .aborted where isClosing:
      remember(number, .fenced)
    case .aborted: end(number, bad: taskAborted)
    case .distrusted: distrust(number)
    case .answered:
      counters.writes += 1
      end(number, bad: bad)
    }
  }

  /// The initiator wants a write to touch the medium no more.
  package mutating func handleFence(_ number: SerialNumber, epoch: UInt16) {
    // A number given out tells that all numbers a window's length below it have ended.
    let reach = window.lowest.distance(to: number)
    if reach >= Limits.writeWindowMax, reach < 2 * Limits.writeWindowMax {
      advance(to: number.advanced(by: 1 - Limits.writeWindowMax))
    }
    switch window.place(of: number) {
    case .below:
      answers.append(.fenced(number, epoch: epoch))
    case .beyond:
      // It can't be remembered, so nothing is promised: a fence without an answer ends the leg.
      counters.beyondWindow += 1
    case .inside:
      guard case .open(let slot) = window[number] else {
        if window[number] == .unseen || window[number] == .distrusted {
          window[number] = .fenced
        }
        answers.append(.fenced(number, epoch: epoch))
        return
      }
      guard !abandon(slot) else {
        writes[slot].storing.ending = .fenced
        return
      }
      window[number] = .fenced
      answers.append(.fenced(number, epoch: epoch))
    }
  }

  /// The initiator asks about writes of which it heard nothing.
  package mutating func handleSync(_ open: [SerialNumber], lowestOpen: SerialNumber, now: UInt64) {
    advance(to: lowestOpen)
    for number in open where window.place(of: number) == .inside {
      switch window[number] {
      case .unseen:
        counters.reports += 1
        answers.append(
          .report(
            number, epoch: epochs.epoch(of: number), heard: heard(now: now), missing: [],
            command: true, asked: true))
      case .open(let slot):
        // Without any data either all of it is lost or none was sent yet: the sender knows which.
        if writes[slot].isOpenForData { report(slot, isAsked: true, now: now) }
      case .ended: answerAgain(number)
      // What ended with the registration was not asked for: that is told otherwise.
      case .fenced where isClosing: break
      case .fenced: answers.append(.fenced(number, epoch: epochs.epoch(of: number)))
      case .distrusted: answers.append(.distrusted(number, epoch: epochs.epoch(of: number)))
      }
    }
  }

  /// A higher epoch: writes from `firstWrite` on belong to it. False when it is not newer.
  package mutating func handleEpoch(_ epoch: UInt16, firstWrite: SerialNumber) -> Bool {
    epochs.install(epoch, firstWrite: firstWrite)
  }

  /// More LUNs under the same vLUN, while no write is open. False when one is.
  package mutating func addUnits(_ units: [UInt64]) -> Bool {
    guard isQuiescent, configuration.units.count + units.count <= Limits.unitsMax else {
      return false
    }
    configuration.units += units
    configuration.placesDirectly = false
    return true
  }

  /// The port is lost: no datagram comes here any more, which the initiator hears at once.
  package mutating func handlePortLost() { answers.append(.deaf(epoch: currentEpoch)) }

  /// Time has passed.
  package mutating func handleTimeout(now: UInt64) {
    guard openCount > 0 else { return }
    for slot in writes.indices where writes[slot].isOpenForData {
      if let due = writes[slot].reporting.due, due <= now { report(slot, now: now) }
    }
  }

  /// The registration ends: nothing more is taken; what runs is waited for (`isQuiescent`).
  package mutating func close() {
    isClosing = true
    for slot in writes.indices where writes[slot].isOpenForData {
      let number = writes[slot].number
      if !abandon(slot) { remember(number, .fenced) }
    }
  }
}

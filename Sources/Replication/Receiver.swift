// The mirror at a leg: one registration, as a machine of bytes and times.
//
// Law: a byte is stored only inside the write that a checked command announced, each block once; a
// write ends once, with a status or by a fence, and its number is remembered as long as the
// initiator may still send for it. Everything that fits nowhere is dropped and counted.
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
  /// Answers for the connection; the owner empties it.
  package var answers: [ReceiverAnswer] = []
  package private(set) var isClosing = false

  var epochs: EpochTable
  var window: WriteWindow
  var writes: [ReceivedWrite]
  var openCount = 0
  var highestWithData: SerialNumber?
  /// Statuses of ended writes that were not GOOD, to be told again.
  var endedBadly: [UInt32: [UnitStatus]] = [:]

  package init(_ configuration: ReceiverConfiguration) {
    self.configuration = configuration
    epochs = EpochTable(first: configuration.epoch, firstWrite: configuration.firstWrite)
    window = WriteWindow(lowest: configuration.firstWrite)
    let blocksMax = Limits.blocks(
      of: configuration.writeLengthMax, blockLength: configuration.blockLength)
    writes = (0..<configuration.openWritesMax).map { _ in ReceivedWrite(blocksMax: blocksMax) }
  }

  // MARK: Look

  /// Whether no write is open and no I/O is running.
  package var isQuiescent: Bool { openCount == 0 }

  package var currentEpoch: UInt16 { epochs.current }
  /// The lowest write number that is not forgotten.
  package var lowestNumber: SerialNumber { window.lowest }

  /// When `handleTimeout` wants to be called.
  package var nextDeadline: UInt64? {
    guard openCount > 0 else { return nil }
    var earliest: UInt64?
    for slot in writes.indices where writes[slot].phase == .collecting {
      if let due = writes[slot].reportDue, due < earliest ?? .max { earliest = due }
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
    switch datagram.kind {
    case .probe:
      handleProbe(datagram)
      return .nowhere
    case .command:
      guard admit(datagram) else { return .nowhere }
      return handleCommand(datagram, isCarried: isCarried)
    case .data:
      guard admit(datagram) else { return .nowhere }
      return handleData(datagram, isCarried: isCarried, now: now)
    }
  }

  /// The data of a placement is in the slot's buffer: a write that is whole goes to the medium.
  package mutating func settle(_ slot: Int) {
    guard writes[slot].phase == .collecting, writes[slot].missing.missingCount == 0 else { return }
    writes[slot].phase = .storing
    writes[slot].reportDue = nil
    writes[slot].unitsPending = configuration.units.count
    for unit in configuration.units.indices {
      stores.append(
        StoreRequest(
          slot: slot, unit: unit, byteOffset: writes[slot].byteOffset,
          length: writes[slot].length, forceUnitAccess: writes[slot].forceUnitAccess))
    }
  }

  /// One LUN has stored a write, or couldn't.
  package mutating func handleStored(slot: Int, unit: Int, status: UInt8, sense: [UInt8]) {
    precondition(writes[slot].phase == .storing, "a store completed that was not asked for")
    writes[slot].unitsPending -= 1
    if status != 0 {
      writes[slot].unitStatuses.append(
        UnitStatus(lun: configuration.units[unit], status: status, sense: sense))
    }
    guard writes[slot].unitsPending == 0 else { return }
    let number = writes[slot].number
    let epoch = writes[slot].epoch
    let isFencing = writes[slot].isFencing
    let isForged = writes[slot].isForged
    let bad = writes[slot].unitStatuses
    free(slot)
    if isFencing || isClosing {
      remember(number, .fenced)
      if isFencing { answers.append(.fenced(number, epoch: epoch)) }
      return
    }
    guard !isForged else {
      distrust(number)
      return
    }
    counters.writes += 1
    end(number, bad: bad)
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
      if writes[slot].phase == .storing {
        writes[slot].isFencing = true
      } else {
        free(slot)
        window[number] = .fenced
        answers.append(.fenced(number, epoch: epoch))
      }
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
            number, epoch: epochs.epoch(of: number), roundSeen: 0, missing: [], command: true))
      case .open(let slot):
        // Without any data either all of it is lost or none was sent yet: the sender knows which.
        if writes[slot].phase == .collecting { report(slot, now: now) }
      case .ended: answerAgain(number)
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
    return true
  }

  /// Time has passed.
  package mutating func handleTimeout(now: UInt64) {
    guard openCount > 0 else { return }
    for slot in writes.indices where writes[slot].phase == .collecting {
      if let due = writes[slot].reportDue, due <= now { report(slot, now: now) }
    }
  }

  /// The registration ends: nothing more is taken; what runs is waited for (`isQuiescent`).
  package mutating func close() {
    isClosing = true
    for slot in writes.indices where writes[slot].phase == .collecting {
      remember(writes[slot].number, .fenced)
      free(slot)
    }
  }
}

// What the receiver says and does of its own: stores, reports, ends.
import Bytes
import SCSI

extension Receiver {
  // MARK: Storing

  /// Hands the storage what is whole at the beginning, while the rest is on its way. Forced writes
  /// are stored in one piece: each piece would have to reach the medium by itself.
  mutating func storeAhead(_ slot: Int) {
    guard !writes[slot].forceUnitAccess else { return }
    let whole = writes[slot].storing.firstGap * configuration.blockLength / 4096 * 4096
    guard whole - writes[slot].storing.handedOver >= configuration.storeAheadByteCount else {
      return
    }
    store(slot, upTo: whole)
  }

  mutating func store(_ slot: Int, upTo end: Int) {
    let start = writes[slot].storing.handedOver
    writes[slot].storing.handedOver = end
    writes[slot].storing.pending += configuration.units.count
    for unit in configuration.units.indices {
      stores.append(
        StoreRequest(
          slot: slot, number: writes[slot].number, slotOffset: start, unit: unit,
          byteOffset: writes[slot].byteOffset + UInt64(start), length: end - start,
          forceUnitAccess: writes[slot].forceUnitAccess))
    }
  }

  /// Takes no more data for a write. True when I/O of it runs: then its slot stays until that ends.
  mutating func abandon(_ slot: Int) -> Bool {
    writes[slot].reporting.due = nil
    if writes[slot].phase == .storing { return true }
    guard writes[slot].storing.pending > 0 else {
      free(slot)
      return false
    }
    writes[slot].phase = .storing
    writes[slot].storing.ending = .forgotten
    return true
  }

  // MARK: Reporting

  /// Sets when the gaps of this write, and of earlier ones, are to be reported.
  mutating func noteArrival(_ slot: Int, block: Int, now: UInt64) {
    let timing = configuration.timing
    if now != arrivedAt {
      let gap = now &- arrivedAt
      arrivedAt = now
      if gap < timing.quietMaxNanoseconds { arrivalGap = arrivalGap - arrivalGap / 8 + gap / 8 }
    }
    writes[slot].reporting.hasData = true
    writes[slot].reporting.quietFactor = 1
    // What comes behind the last block that is awaited was overtaken by it.
    let last = writes[slot].reporting.lastAwaited
    let isOver = block >= last || !writes[slot].missing.isMissing(last)
    writes[slot].reporting.due = now + (isOver ? timing.reorderNanoseconds : quiet)
    let number = writes[slot].number
    guard highestWithData?.precedes(number) ?? true else { return }
    // Data of a later write: the bursts of the earlier ones are over.
    highestWithData = number
    guard openCount > 1 else { return }
    for other in writes.indices where other != slot && writes[other].isOpenForData {
      guard writes[other].reporting.hasData, writes[other].number.precedes(number) else {
        continue
      }
      let due = now + timing.reorderNanoseconds
      writes[other].reporting.due = min(writes[other].reporting.due ?? due, due)
    }
  }

  /// Silence after which what is missing is reported.
  private var quiet: UInt64 {
    let timing = configuration.timing
    return min(max(4 * arrivalGap, timing.quietNanoseconds), timing.quietMaxNanoseconds)
  }

  mutating func report(_ slot: Int, isAsked: Bool = false, now: UInt64) {
    let timing = configuration.timing
    counters.reports += 1
    let isEarly = writes[slot].phase == .early
    writes[slot].reporting.lastAwaited = writes[slot].missing.lastMissing ?? 0
    let factor = min(writes[slot].reporting.quietFactor * 2, timing.quietFactorMax)
    writes[slot].reporting.quietFactor = factor
    writes[slot].reporting.due = now + quiet * factor
    let known =
      isEarly
      ? writes[slot].last.map { $0.block + 1 } ?? writes[slot].missing.lastPresent + 1
      : writes[slot].missing.blockCount
    answers.append(
      .report(
        writes[slot].number, epoch: writes[slot].epoch, heard: heard(now: now),
        missing: writes[slot].missing.serialize(first: known), command: isEarly,
        asked: isAsked))
  }

  // MARK: Ending

  /// A write ends with an answer.
  mutating func end(_ number: SerialNumber, bad: [UnitStatus]) {
    let status = bad.first?.status ?? Status.good.rawValue
    remember(number, .ended(status: status))
    if !bad.isEmpty { endedBadly[number.rawValue] = bad }
    answerAgain(number)
  }

  mutating func answerAgain(_ number: SerialNumber) {
    guard case .ended(let status) = window[number] else { return }
    if configuration.wantsProof, status == 0 {
      let proof = proofs[Int(number.rawValue) % Limits.writeWindowMax]
      answers.append(.proof(number, epoch: epochs.epoch(of: number), proof))
    }
    let bad = endedBadly.isEmpty ? [] : endedBadly[number.rawValue] ?? []
    answers.append(
      .response(number, status: status, sense: bad.first?.sense ?? [], units: allStatuses(bad)))
  }

  /// The status of each LUN, where any is not GOOD.
  private func allStatuses(_ bad: [UnitStatus]) -> [UnitStatus] {
    guard !bad.isEmpty else { return [] }
    return configuration.units.map { unit in
      bad.first { $0.lun == unit } ?? UnitStatus(lun: unit, status: Status.good.rawValue)
    }
  }

  mutating func remember(_ number: SerialNumber, _ state: WriteWindow.State) {
    if window.place(of: number) == .inside { window[number] = state }
  }

  mutating func free(_ slot: Int) {
    writes[slot].phase = .idle
    writes[slot].reporting.due = nil
    writes[slot].storing.isAwaited = false
    freeSlots.append(slot)
  }
}

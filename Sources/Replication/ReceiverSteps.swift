// The single steps of the receiver: command, data, report, end.
import Bytes
import ISCSI
import SCSI

extension Receiver {
  mutating func handleProbe(_ datagram: Datagram) {
    guard epochs.knows(datagram.epoch) else {
      counters.staleEpoch += 1
      return
    }
    let length = Datagram.overheadByteCount + (datagram.dataLength + 3) & ~3
    answers.append(.probeSeen(epoch: datagram.epoch, byteCount: UInt32(length)))
  }

  /// Whether the number is one that may still be written, after the window moved up.
  mutating func admit(_ datagram: Datagram) -> Bool {
    guard !datagram.writeNumber.precedes(datagram.lowestOpen) else {
      counters.late += 1
      return false
    }
    guard window.lowest.distance(to: datagram.lowestOpen) < Limits.writeWindowMax else {
      counters.beyondWindow += 1
      return false
    }
    advance(to: datagram.lowestOpen)
    switch window.place(of: datagram.writeNumber) {
    case .inside: return true
    case .below: counters.late += 1
    case .beyond: counters.beyondWindow += 1
    }
    return false
  }

  /// Forgets the numbers below `lowest`; a write still open there has ended for the initiator.
  mutating func advance(to lowest: SerialNumber) {
    guard window.lowest.precedes(lowest) else { return }
    var isHeld = false
    for slot in writes.indices
    where writes[slot].phase != .idle && writes[slot].number.precedes(lowest) {
      // Its data must not move under running I/O: such a write holds the window where it is.
      guard writes[slot].phase == .collecting else {
        isHeld = true
        continue
      }
      // The window may yet stay where it is: the number must not name a slot that isn't its own.
      window[writes[slot].number] = .fenced
      free(slot)
    }
    guard !isHeld else { return }
    for number in endedBadly.keys where SerialNumber(number).precedes(lowest) {
      endedBadly[number] = nil
    }
    window.advance(to: lowest)
    epochs.forget(below: lowest)
    if let highest = highestWithData, highest.precedes(lowest) { highestWithData = nil }
  }

  mutating func handleCommand(_ datagram: Datagram, isCarried: Bool) -> Placement {
    let number = datagram.writeNumber
    switch window[number] {
    case .fenced:
      counters.late += 1
    case .ended:
      counters.duplicates += 1
      if datagram.flags.contains(.repair) { answerAgain(number) }
    case .open(let slot):
      guard writes[slot].commandDigest == datagram.contentDigest else {
        noteForgery(slot, isCarried: isCarried)
        return .nowhere
      }
      counters.duplicates += 1
      if datagram.flags.contains(.repair) { noteRound(slot, datagram.flags.round) }
    case .distrusted where !isCarried:
      counters.distrusted += 1
    case .distrusted, .unseen:
      return begin(datagram, isDistrusted: window[number] == .distrusted)
    }
    return .nowhere
  }

  /// Two checksums for one piece of a write: nobody can tell which is the initiator's, so all of it
  /// is wanted again, by the connection. What runs into the medium is waited for first.
  private mutating func noteForgery(_ slot: Int, isCarried: Bool) {
    counters.conflicting += 1
    // Where the connection itself was believed already, what comes beside it is dropped.
    guard !writes[slot].isDistrusted || isCarried else { return }
    if writes[slot].phase == .storing {
      writes[slot].isForged = true
    } else {
      let number = writes[slot].number
      free(slot)
      distrust(number)
    }
  }

  mutating func distrust(_ number: SerialNumber) {
    remember(number, .distrusted)
    answers.append(.distrusted(number, epoch: epochs.epoch(of: number)))
  }

  private mutating func begin(_ datagram: Datagram, isDistrusted: Bool) -> Placement {
    let number = datagram.writeNumber
    let header = datagram.header
    // RFC 7143 §11.3.1: F and W, not R; a mirrored command is a WRITE and nothing else.
    guard header.flags & 0xe0 == 0xa0, header.lun == configuration.virtualLUN,
      header.initiatorTaskTag == Datagram.taskTag(of: number)
    else {
      counters.malformedCommands += 1
      return .nowhere
    }
    let range: WriteRange
    do {
      range = try WriteRange(
        cdb: header.commandDescriptorBlock, geometry: configuration.geometry)
    } catch {
      end(number, bad: everyUnit(error))
      return .nowhere
    }
    let length = Int(range.bytes.length)
    let immediate = datagram.dataLength
    guard length > 0, length <= configuration.writeLengthMax, length == Int(header.word20),
      immediate == 0 || (immediate == length && length <= configuration.blockLength)
    else {
      counters.malformedCommands += 1
      return .nowhere
    }
    guard let slot = writes.firstIndex(where: { $0.phase == .idle }) else {
      counters.withoutSlot += 1
      return .nowhere
    }
    openCount += 1
    counters.commands += 1
    window[number] = .open(slot: slot)
    writes[slot].begin(
      AcceptedCommand(
        number: number, epoch: datagram.epoch, byteOffset: range.bytes.offset, length: length,
        forceUnitAccess: range.isForced, digest: datagram.contentDigest,
        isCarried: isDistrusted),
      blockLength: configuration.blockLength)
    if datagram.flags.contains(.repair) { noteRound(slot, datagram.flags.round) }
    guard immediate > 0 else {
      answers.append(.readyToTransfer(number, length: UInt32(length)))
      return .nowhere
    }
    counters.blocks += 1
    writes[slot].digests[0] = datagram.contentDigest
    _ = writes[slot].missing.markPresent(0)
    return .store(slot: slot, offset: 0, length: immediate)
  }

  mutating func handleData(
    _ datagram: Datagram, isCarried: Bool, now: UInt64
  ) -> Placement {
    let slot: Int
    switch window[datagram.writeNumber] {
    case .open(let open): slot = open
    case .unseen:
      counters.withoutCommand += 1
      return .nowhere
    case .distrusted:
      counters.distrusted += 1
      return .nowhere
    case .ended, .fenced:
      counters.duplicates += 1
      return .nowhere
    }
    guard isCarried || !writes[slot].isDistrusted else {
      counters.distrusted += 1
      return .nowhere
    }
    guard let block = block(of: datagram, in: slot) else {
      counters.misplaced += 1
      return .nowhere
    }
    if datagram.flags.contains(.repair) { noteRound(slot, datagram.flags.round) }
    guard writes[slot].phase == .collecting, writes[slot].missing.isMissing(block) else {
      if writes[slot].digests[block] == datagram.contentDigest {
        counters.duplicates += 1
      } else {
        noteForgery(slot, isCarried: isCarried)
      }
      return .nowhere
    }
    _ = writes[slot].missing.markPresent(block)
    writes[slot].digests[block] = datagram.contentDigest
    counters.blocks += 1
    if datagram.flags.contains(.repair) { counters.repairedBlocks += 1 }
    noteArrival(slot, block: block, now: now)
    return .store(
      slot: slot, offset: block * configuration.blockLength, length: datagram.dataLength)
  }

  /// The block that a Data-Out carries, when all its fields say the same.
  private func block(of datagram: Datagram, in slot: Int) -> Int? {
    let header = datagram.header
    let offset = Int(header.word40)
    let block = offset / configuration.blockLength
    let write = writes[slot]
    guard header.lun == configuration.virtualLUN, header.word20 == header.initiatorTaskTag,
      header.initiatorTaskTag == Datagram.taskTag(of: write.number),
      offset % configuration.blockLength == 0, block < write.missing.blockCount,
      header.word36 == UInt32(block),
      header.isFinal == (block == write.missing.blockCount - 1),
      datagram.dataLength == write.length(ofBlock: block, blockLength: configuration.blockLength)
    else { return nil }
    return block
  }

  /// Sets when the gaps of this write, and of earlier ones, are to be reported.
  private mutating func noteArrival(_ slot: Int, block: Int, now: UInt64) {
    let timing = configuration.timing
    writes[slot].hasData = true
    writes[slot].quietFactor = 1
    let wait = block >= writes[slot].roundEnd ? timing.reorderNanoseconds : timing.quietNanoseconds
    writes[slot].reportDue = now + wait
    let number = writes[slot].number
    guard highestWithData?.precedes(number) ?? true else { return }
    // Data of a later write: the bursts of the earlier ones are over.
    highestWithData = number
    for other in writes.indices where other != slot && writes[other].phase == .collecting {
      guard writes[other].hasData, writes[other].number.precedes(number) else { continue }
      let due = now + timing.reorderNanoseconds
      writes[other].reportDue = min(writes[other].reportDue ?? due, due)
    }
  }

  private mutating func noteRound(_ slot: Int, _ round: UInt8) {
    if Int8(bitPattern: round &- writes[slot].roundSeen) > 0 { writes[slot].roundSeen = round }
  }

  mutating func report(_ slot: Int, now: UInt64) {
    let timing = configuration.timing
    counters.reports += 1
    writes[slot].roundEnd = writes[slot].missing.lastMissing ?? 0
    writes[slot].quietFactor = min(writes[slot].quietFactor * 2, timing.quietFactorMax)
    writes[slot].reportDue = now + timing.quietNanoseconds * writes[slot].quietFactor
    answers.append(
      .report(
        writes[slot].number, epoch: writes[slot].epoch, roundSeen: writes[slot].roundSeen,
        missing: writes[slot].missing.serialize(), command: false))
  }

  private func everyUnit(_ sense: SenseData) -> [UnitStatus] {
    let bytes = sense.fixedFormat
    return configuration.units.map {
      UnitStatus(lun: $0, status: Status.checkCondition.rawValue, sense: bytes)
    }
  }

  /// A write ends with an answer.
  mutating func end(_ number: SerialNumber, bad: [UnitStatus]) {
    let status = bad.first?.status ?? Status.good.rawValue
    remember(number, .ended(status: status))
    if !bad.isEmpty { endedBadly[number.rawValue] = bad }
    answerAgain(number)
  }

  mutating func answerAgain(_ number: SerialNumber) {
    guard case .ended(let status) = window[number] else { return }
    let bad = endedBadly[number.rawValue] ?? []
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
    writes[slot].reportDue = nil
    openCount -= 1
  }
}

// The single steps of the receiver: a datagram's admission, its command or data, forgery.
import Bytes
import ISCSI
import SCSI

extension Receiver {
  mutating func noteHeard(_ sequence: UInt32, isOwn: Bool, now: UInt64) {
    guard sequence != 0 else { return }
    if isOwn {
      ownStream.note(sequence, now: now)
    } else {
      groupStream.note(sequence, now: now)
    }
  }

  func heard(now: UInt64) -> HeardStreams {
    HeardStreams(group: groupStream.heard(now: now), own: ownStream.heard(now: now))
  }

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
    guard moveUp(datagram) else { return false }
    switch window.place(of: datagram.writeNumber) {
    case .inside: return true
    case .below: counters.late += 1
    case .beyond: counters.beyondWindow += 1
    }
    return false
  }

  /// Moves the window up to what a datagram tells; false when that can't be.
  mutating func moveUp(_ datagram: Datagram) -> Bool {
    let lowestOpen = datagram.lowestOpen
    guard window.lowest.distance(to: lowestOpen) < Limits.writeWindowMax else {
      counters.beyondWindow += 1
      return false
    }
    advance(to: lowestOpen)
    return true
  }

  /// Whether a datagram is of a copy that others lack: such a write never begins here.
  func isIgnored(_ datagram: Datagram) -> Bool {
    datagram.flags.contains(.copy) && !takesCopies && datagram.kind != .probe
  }

  /// Forgets the numbers below `lowest`; a write still open there has ended for the initiator.
  mutating func advance(to lowest: SerialNumber) {
    guard window.lowest.precedes(lowest) else { return }
    var isHeld = false
    if openCount > 0 {
      for slot in writes.indices
      where writes[slot].phase != .idle && writes[slot].number.precedes(lowest) {
        let number = writes[slot].number
        // Its data must not move under running I/O: such a write holds the window where it is.
        guard writes[slot].isOpenForData, !abandon(slot) else {
          isHeld = true
          continue
        }
        // The window may yet stay where it is: the number must not name a slot not its own.
        window[number] = .fenced
      }
    }
    guard !isHeld else { return }
    if !endedBadly.isEmpty {
      for number in endedBadly.keys where SerialNumber(number).precedes(lowest) {
        endedBadly[number] = nil
      }
    }
    window.advance(to: lowest)
    epochs.forget(below: lowest)
    if let highest = highestWithData, highest.precedes(lowest) { highestWithData = nil }
  }

  // MARK: Commands

  mutating func handleCommand(_ datagram: Datagram, isCarried: Bool, now: UInt64) -> Placement {
    let number = datagram.writeNumber
    switch window[number] {
    case .fenced:
      counters.late += 1
    case .ended:
      counters.duplicates += 1
      if datagram.flags.contains(.repair) { answerAgain(number) }
    case .open(let slot) where writes[slot].phase == .early:
      return begin(datagram, early: slot, isDistrusted: false, now: now)
    case .open(let slot):
      guard writes[slot].commandDigest == datagram.contentDigest else {
        noteForgery(slot, isCarried: isCarried)
        return .nowhere
      }
      counters.duplicates += 1
    case .distrusted where !isCarried:
      counters.distrusted += 1
    case .distrusted, .unseen:
      return begin(
        datagram, early: nil, isDistrusted: window[number] == .distrusted, now: now)
    }
    return .nowhere
  }

  /// Two checksums for one piece of a write: nobody can tell which is the initiator's, so all of it
  /// is wanted again, by the connection. What runs into the medium is waited for first.
  mutating func noteForgery(_ slot: Int, isCarried: Bool) {
    counters.conflicting += 1
    // Where the connection itself was believed already, what comes beside it is dropped.
    guard !writes[slot].isDistrusted || isCarried else { return }
    let number = writes[slot].number
    if abandon(slot) {
      if writes[slot].storing.ending != .fenced { writes[slot].storing.ending = .distrusted }
    } else {
      distrust(number)
    }
  }

  mutating func distrust(_ number: SerialNumber) {
    remember(number, .distrusted)
    answers.append(.distrusted(number, epoch: epochs.epoch(of: number)))
  }

  /// A slot for a write, nil when all are taken: the sender knows how many there are.
  mutating func takeSlot(for number: SerialNumber) -> Int? {
    guard let slot = freeSlots.popLast() else {
      counters.withoutSlot += 1
      return nil
    }
    window[number] = .open(slot: slot)
    return slot
  }

  private mutating func begin(
    _ datagram: Datagram, early: Int?, isDistrusted: Bool, now: UInt64
  ) -> Placement {
    let number = datagram.writeNumber
    let header = datagram.header
    // RFC 7143 §11.3.1: W, not R; F where no unsolicited data follows. A mirrored command is a
    // WRITE and nothing else.
    guard header.flags & 0x60 == 0x20, header.lun == configuration.virtualLUN else {
      counters.malformedCommands += 1
      return .nowhere
    }
    let range: WriteRange
    do throws(WriteRefusal) {
      range = try judged(header)
    } catch {
      if let early { free(early) }
      end(number, bad: error.units)
      return .nowhere
    }
    let length = Int(range.bytes.length)
    let immediate = datagram.dataLength
    // Immediate data is all of the write where nothing follows, else its first block.
    let fits =
      header.isFinal
      ? immediate == 0 || immediate == length && length <= configuration.blockLength
      : immediate == configuration.blockLength && length > immediate
    guard length > 0, length <= configuration.writeLengthMax, length == Int(header.word20), fits
    else {
      counters.malformedCommands += 1
      return .nowhere
    }
    guard let slot = early ?? takeSlot(for: number) ?? takeEarlySlot(for: number) else {
      return .nowhere
    }
    counters.commands += 1
    let fitsEarly = writes[slot].begin(
      AcceptedCommand(
        number: number, epoch: datagram.epoch, byteOffset: range.bytes.offset, length: length,
        forceUnitAccess: range.isForced || forcesWrites,
        isUnsolicited: !header.isFinal || immediate == length,
        digest: datagram.contentDigest, isCarried: isDistrusted),
      blockLength: configuration.blockLength, isDirect: configuration.placesDirectly)
    if !fitsEarly { counters.misplaced += 1 }
    guard immediate > 0 else {
      answers.append(.readyToTransfer(number, length: UInt32(length)))
      return .nowhere
    }
    return place(datagram, block: 0, in: slot, now: now)
  }

  // MARK: Data

  mutating func handleData(
    _ datagram: Datagram, isCarried: Bool, now: UInt64
  ) -> Placement {
    let slot: Int
    switch window[datagram.writeNumber] {
    case .open(let open): slot = open
    case .unseen:
      return handleEarly(datagram, now: now)
    case .distrusted:
      counters.distrusted += 1
      return .nowhere
    case .ended, .fenced:
      counters.duplicates += 1
      return .nowhere
    }
    guard writes[slot].phase != .early else { return handleEarly(datagram, in: slot, now: now) }
    guard isCarried || !writes[slot].isDistrusted else {
      counters.distrusted += 1
      return .nowhere
    }
    guard let block = block(of: datagram, in: slot) else {
      counters.misplaced += 1
      return .nowhere
    }
    return takeBlock(datagram, block, in: slot, isCarried: isCarried, now: now)
  }

  mutating func takeBlock(
    _ datagram: Datagram, _ block: Int, in slot: Int, isCarried: Bool, now: UInt64
  ) -> Placement {
    guard writes[slot].isOpenForData, writes[slot].missing.isMissing(block) else {
      if writes[slot].digests[block] == datagram.contentDigest {
        counters.duplicates += 1
      } else {
        noteForgery(slot, isCarried: isCarried)
      }
      return .nowhere
    }
    return place(datagram, block: block, in: slot, now: now)
  }

  private mutating func place(
    _ datagram: Datagram, block: Int, in slot: Int, now: UInt64
  ) -> Placement {
    _ = writes[slot].missing.markPresent(block)
    writes[slot].digests[block] = datagram.contentDigest
    if block == writes[slot].storing.firstGap {
      writes[slot].storing.firstGap =
        writes[slot].missing.firstMissing(from: block + 1) ?? writes[slot].missing.blockCount
    }
    counters.blocks += 1
    if datagram.flags.contains(.repair) { counters.repairedBlocks += 1 }
    if writes[slot].missing.blockCount > 1 { noteArrival(slot, block: block, now: now) }
    let offset = block * configuration.blockLength
    guard writes[slot].isDirect else {
      return .store(slot: slot, offset: offset, length: datagram.dataLength)
    }
    return .medium(
      slot: slot, byteOffset: writes[slot].byteOffset + UInt64(offset),
      length: datagram.dataLength)
  }

  /// The block that a Data-Out carries, when all its fields say the same.
  private func block(of datagram: Datagram, in slot: Int) -> Int? {
    let tag = Datagram.taskTag(of: datagram.writeNumber)
    // RFC 7143 §11.7.4: unsolicited data has no transfer tag.
    let transferTag = writes[slot].isUnsolicited ? 0xffff_ffff : tag
    let block = Int(datagram.word36)
    let blockCount = writes[slot].missing.blockCount
    guard datagram.lun == configuration.virtualLUN,
      datagram.word20 == transferTag,
      block < blockCount, Int(datagram.word40) == block * configuration.blockLength,
      datagram.isFinal == (block == blockCount - 1),
      datagram.dataLength
        == min(configuration.blockLength, writes[slot].length - block * configuration.blockLength)
    else { return nil }
    return block
  }
}

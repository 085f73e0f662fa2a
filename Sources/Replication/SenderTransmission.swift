// What goes out next, and the bytes of it.
import Bytes
import ISCSI
import SCSI

extension Sender {
  /// The next datagram to send, nil when there is none. Repairs and new data take turns, so that
  /// neither starves the other.
  package mutating func pollTransmission(now: UInt64) -> Transmission? {
    isRepairsTurn.toggle()
    if isRepairsTurn, let repair = nextRepair(now: now) { return repair }
    return nextFresh(now: now) ?? nextRepair(now: now)
  }

  private mutating func nextFresh(now: UInt64) -> Transmission? {
    while let slot = announcements.first {
      announcements.removeFirst()
      guard writes[slot].phase == .announcing, !writes[slot].isAnnounced else { continue }
      writes[slot].isAnnounced = true
      writes[slot].open.forEach { leg in
        if legs[leg].description.path != .foreign { writes[slot].progress[leg].askedAt = now }
      }
      if writes[slot].isImmediate { markSent(slot, now: now) }
      return Transmission(destination: .group, slot: slot, content: .command, flags: [])
    }
    while let slot = sendings.first {
      guard writes[slot].phase == .sending else {
        sendings.removeFirst()
        continue
      }
      let block = writes[slot].nextBlock
      writes[slot].nextBlock += 1
      if writes[slot].nextBlock == writes[slot].blockCount {
        sendings.removeFirst()
        markSent(slot, now: now)
      }
      return Transmission(destination: .group, slot: slot, content: .block(block), flags: [])
    }
    return nil
  }

  private mutating func nextRepair(now: UInt64) -> Transmission? {
    while !repairs.isEmpty {
      let job = repairs[0]
      let write = writes[job.slot]
      let isWanted = job.leg.map { write.open.contains(LegSet($0)) } ?? !write.open.isEmpty
      guard write.phase != .idle, write.phase != .restarting, write.number == job.number, isWanted
      else {
        repairs.removeFirst()
        continue
      }
      if job.sendsCommand {
        repairs[0].sendsCommand = false
        return Transmission(
          destination: job.destination, slot: job.slot, content: .command, flags: job.flags)
      }
      if let block = job.blocks?.firstMissing(from: job.nextBlock) {
        repairs[0].nextBlock = block + 1
        return Transmission(
          destination: job.destination, slot: job.slot, content: .block(block), flags: job.flags)
      }
      repairs.removeFirst()
      noteRepaired(job, now: now)
    }
    return nil
  }

  /// The legs that a finished repair was for owe an answer again.
  private mutating func noteRepaired(_ job: RepairJob, now: UInt64) {
    writes[job.slot].open.forEach { leg in
      guard job.leg == nil || job.leg == leg else { return }
      guard legs[leg].description.path != .foreign else { return }
      writes[job.slot].progress[leg].askedAt = now
      writes[job.slot].progress[leg].repairedAt = now
    }
  }

  /// Puts a datagram into `bytes`. `data` is all of the write's data.
  /// - Returns: its length; nil when the data is not what was sent before: the write starts anew.
  package mutating func assemble(
    _ transmission: Transmission, data: RawSpan, into bytes: inout MutableRawSpan, now: UInt64
  ) -> Int? {
    let slot = transmission.slot
    precondition(
      writes[slot].phase != .idle && data.byteCount == writes[slot].submission.length,
      "data of another write")
    let trailer = DatagramTrailer(
      registration: configuration.registration, epoch: writes[slot].epoch,
      flags: transmission.flags, writeNumber: writes[slot].number)
    let header: BasicHeaderSegment
    let piece: RawSpan
    switch transmission.content {
    case .command:
      piece = data.extracting(0..<(writes[slot].isImmediate ? data.byteCount : 0))
      header = commandHeader(slot, immediate: piece.byteCount)
    case .block(let block):
      let start = block * configuration.blockLength
      piece = data.extracting(start..<min(start + configuration.blockLength, data.byteCount))
      header = dataHeader(slot, block: block, count: piece.byteCount)
    }
    let made = trailer.assemble(header: header, data: piece, into: &bytes)
    guard note(transmission, digest: made.contentDigest) else {
      restart(slot, now: now)
      return nil
    }
    return made.byteCount
  }

  /// Keeps a first sending's digest, compares a later one with it; counts both.
  private mutating func note(_ transmission: Transmission, digest: UInt32) -> Bool {
    let slot = transmission.slot
    let isRepair = transmission.flags.contains(.repair)
    switch transmission.content {
    case .command:
      guard writes[slot].commandDigest ?? digest == digest else { return false }
      writes[slot].commandDigest = digest
    case .block(let block):
      if writes[slot].unsent.markPresent(block) {
        writes[slot].digests[block] = digest
      } else if writes[slot].digests[block] != digest {
        return false
      }
    }
    count(transmission, isRepair: isRepair)
    return true
  }

  private mutating func count(_ transmission: Transmission, isRepair: Bool) {
    switch transmission.destination {
    case .connection(let leg):
      counters.carried += 1
      if isRepair { legs[leg].counters.repairsCarried += 1 }
    case .group, .leg:
      if isRepair {
        counters.repairDatagrams += 1
      } else if transmission.content == .command, !writes[transmission.slot].isImmediate {
        counters.commandDatagrams += 1
      } else {
        counters.dataDatagrams += 1
      }
    }
    guard isRepair, transmission.content != .command || writes[transmission.slot].isImmediate else {
      return
    }
    switch transmission.destination {
    case .leg(let leg), .connection(let leg): legs[leg].counters.repairedBlocks += 1
    case .group:
      writes[transmission.slot].open.forEach { leg in
        if writes[transmission.slot].progress[leg].hasReported {
          legs[leg].counters.repairedBlocks += 1
        }
      }
    }
  }

  private func commandHeader(_ slot: Int, immediate: Int) -> BasicHeaderSegment {
    let write = writes[slot]
    // RFC 7143 §11.3: F, W and a simple task; I, since CmdSN differs between the legs' sessions.
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xa1, isImmediate: true)
    header.dataSegmentLength = immediate
    header.lun = configuration.virtualLUN
    header.initiatorTaskTag = Datagram.taskTag(of: write.number)
    header.word20 = UInt32(write.submission.length)
    header.word24 = write.number.rawValue
    header.word28 = write.lowestOpen.rawValue
    let size = UInt64(configuration.unitBlockSize)
    header.commandDescriptorBlock =
      CommandDescriptorBlock.write16(
        BlockRange(
          address: write.submission.byteOffset / size,
          count: UInt32(UInt64(write.submission.length) / size)),
        forced: write.submission.forceUnitAccess
      ).bytes
    return header
  }

  private func dataHeader(_ slot: Int, block: Int, count: Int) -> BasicHeaderSegment {
    let write = writes[slot]
    // RFC 7143 §11.7: F on the last PDU; the tag of an R2T is copied, here it is the task's own.
    let isLast = block == write.blockCount - 1
    var header = BasicHeaderSegment(opcode: .dataOut, flags: isLast ? 0x80 : 0)
    header.dataSegmentLength = count
    header.lun = configuration.virtualLUN
    header.initiatorTaskTag = Datagram.taskTag(of: write.number)
    header.word20 = header.initiatorTaskTag
    header.word28 = write.lowestOpen.rawValue
    header.word36 = UInt32(block)
    header.word40 = UInt32(block * configuration.blockLength)
    return header
  }

  /// A full-size probe of the path to the group.
  package func assembleProbe(into bytes: inout MutableRawSpan, epoch: UInt16) -> Int {
    var header = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    header.initiatorTaskTag = 0xffff_ffff
    header.word20 = 0xffff_ffff
    header.dataSegmentLength = configuration.blockLength
    let data = [UInt8](repeating: 0x5a, count: configuration.blockLength)
    let trailer = DatagramTrailer(
      registration: configuration.registration, epoch: epoch, flags: .probe,
      writeNumber: nextNumber)
    // Safe: the span over our own array ends with the statement.
    return unsafe trailer.assemble(header: header, data: data.span.bytes, into: &bytes).byteCount
  }
}

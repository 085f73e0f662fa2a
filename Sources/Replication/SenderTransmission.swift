// What goes out next, and the bytes of it.
import Bytes
import ISCSI
import SCSI

extension Sender {
  /// The next datagram to send, nil when there is none, or none may go now. Repairs and new data
  /// take turns, so that neither starves the other, each as far as its allowance reaches.
  package mutating func pollTransmission(now: UInt64) -> Transmission? {
    if !repairs.isEmpty { endFinishedRepairs(now: now) }
    guard !repairs.isEmpty else { return mayGo(.fresh, now: now) ? nextFresh(now: now) : nil }
    if flow.takeTurn(), mayGo(.repair, now: now) { return nextRepair() }
    if mayGo(.fresh, now: now), let fresh = nextFresh(now: now) { return fresh }
    return mayGo(.repair, now: now) ? nextRepair() : nil
  }

  /// Whether something waits to be sent.
  var hasWaiting: Bool { !sendings.isEmpty || !announcements.isEmpty || !repairs.isEmpty }

  private mutating func mayGo(_ traffic: Pacer.Traffic, now: UInt64) -> Bool {
    guard !flow.hasAllowance(traffic) else { return true }
    return flow.ask(traffic, waiting: waitingByteCount(traffic), now: now)
  }

  /// About how much is ready to go.
  private func waitingByteCount(_ traffic: Pacer.Traffic) -> Int {
    var blocks = 0
    switch traffic {
    case .fresh:
      blocks = announcements.count
      for slot in sendings { blocks += writes[slot].blockCount - writes[slot].nextBlock }
    case .repair:
      for job in repairs { blocks += job.waitingCount }
    }
    return blocks * flow.datagramByteCount
  }

  private mutating func nextFresh(now: UInt64) -> Transmission? {
    while let slot = announcements.first {
      announcements.removeFirst()
      guard writes[slot].phase == .announcing, !writes[slot].isAnnounced else { continue }
      announce(slot, now: now)
      if writes[slot].isImmediate { markSent(slot, now: now) }
      return Transmission(destination: .group, slot: slot, content: .command, flags: [])
    }
    while let slot = sendings.first {
      guard writes[slot].phase == .sending else {
        sendings.removeFirst()
        continue
      }
      let block = writes[slot].nextBlock
      writes[slot].nextBlock = block + 1
      if block + 1 == writes[slot].blockCount {
        sendings.removeFirst()
        markSent(slot, now: now)
      }
      guard block == 0, writes[slot].isUnsolicited else {
        return Transmission(
          destination: .group, slot: slot, content: .block(block), flags: dataFlags)
      }
      announce(slot, now: now)
      return Transmission(destination: .group, slot: slot, content: .command, flags: [])
    }
    return nil
  }

  private mutating func announce(_ slot: Int, now: UInt64) {
    writes[slot].isAnnounced = true
    writes[slot].beganAt = now
    writes[slot].open.forEach { leg in
      if legs[leg].description.path != .foreign { setAsked(slot, leg, now: now) }
    }
  }

  /// Flags of data: what says that its bytes are not digested.
  var dataFlags: Datagram.Flags { configuration.omitsDataDigest ? .dataNotDigested : [] }

  /// Takes out the jobs at the front that are done, or that nobody wants any more: that costs no
  /// datagram and needs no allowance.
  private mutating func endFinishedRepairs(now: UInt64) {
    while let job = repairs.first {
      let slot = job.slot
      let open = writes[slot].open
      let isWanted = job.leg.map { open.contains(LegSet($0)) } ?? !open.isEmpty
      let isCurrent =
        writes[slot].phase != .idle && writes[slot].phase != .restarting
        && writes[slot].number == job.number && isWanted
      if isCurrent, job.waitingCount > 0 { return }
      repairs.removeFirst()
      if isCurrent { noteRepaired(job, now: now) }
    }
  }

  /// The next datagram of the first job, which has one.
  private mutating func nextRepair() -> Transmission? {
    guard let job = repairs.first else { return nil }
    if job.sendsCommand {
      repairs[0].sendsCommand = false
      return Transmission(
        destination: job.destination, slot: job.slot, content: .command, flags: job.flags)
    }
    guard let block = job.blocks?.firstMissing(from: job.nextBlock) else { return nil }
    repairs[0].nextBlock = block + 1
    repairs[0].sentCount += 1
    return Transmission(
      destination: job.destination, slot: job.slot, content: .block(block),
      flags: job.flags.union(dataFlags))
  }

  /// The legs that a finished repair was for owe an answer again.
  private mutating func noteRepaired(_ job: RepairJob, now: UInt64) {
    writes[job.slot].open.forEach { leg in
      guard job.leg == nil || job.leg == leg else { return }
      guard legs[leg].description.path != .foreign else { return }
      setAsked(job.slot, leg, now: now)
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
    let sequence = nextSequence(to: transmission.destination, now: now)
    let trailer = DatagramTrailer(
      registration: configuration.registration, epoch: writes[slot].epoch,
      flags: wireFlags(transmission), sequence: sequence)
    let blockLength = configuration.blockLength
    let made: (byteCount: Int, contentDigest: UInt32)
    switch transmission.content {
    case .command:
      let immediate = writes[slot].hasImmediateData ? min(data.byteCount, blockLength) : 0
      let header = commandHeader(slot, immediate: immediate)
      made = trailer.assemble(header: header, data: data.extracting(0..<immediate), into: &bytes)
    case .block(let block):
      let start = block * blockLength
      let piece = data.extracting(start..<min(start + blockLength, data.byteCount))
      storeDataHeader(slot, block: block, count: piece.byteCount, into: &bytes)
      made = trailer.assemble(behind: piece, into: &bytes)
    }
    guard note(transmission, digest: made.contentDigest) else {
      events.append(.bufferChanged(token: writes[slot].submission.token))
      restart(slot, now: now)
      return nil
    }
    noteOrder(transmission, sequence, now: now)
    flow.noteSent(transmission, byteCount: made.byteCount)
    return made.byteCount
  }

  /// The flags of the trailer.
  private func wireFlags(_ transmission: Transmission) -> Datagram.Flags {
    var flags = transmission.flags
    if case .leg = transmission.destination { flags.insert(.own) }
    if writes[transmission.slot].submission.isCopy { flags.insert(.copy) }
    return flags
  }

  /// Keeps a first sending's digest, compares a later one with it; counts both.
  private mutating func note(_ transmission: Transmission, digest: UInt32) -> Bool {
    let slot = transmission.slot
    switch transmission.content {
    case .command:
      guard writes[slot].commandDigest ?? digest == digest else { return false }
      writes[slot].commandDigest = digest
      if writes[slot].hasImmediateData { _ = writes[slot].unsent.markPresent(0) }
    case .block(let block):
      if writes[slot].unsent.markPresent(block) {
        writes[slot].digests[block] = digest
      } else if writes[slot].digests[block] != digest {
        return false
      }
    }
    if transmission.destination == .group, !transmission.flags.contains(.repair) {
      if transmission.content == .command, !writes[slot].hasImmediateData {
        counters.commandDatagrams += 1
      } else {
        counters.dataDatagrams += 1
      }
    } else {
      count(transmission)
    }
    return true
  }

  /// Counts what was carried or sent again.
  private mutating func count(_ transmission: Transmission) {
    let slot = transmission.slot
    let isRepair = transmission.flags.contains(.repair)
    let isBlock = transmission.content != .command || writes[slot].hasImmediateData
    switch transmission.destination {
    case .connection(let leg):
      counters.carried += 1
      guard isRepair else { return }
      legs[leg].counters.repairsCarried += 1
      if isBlock { legs[leg].counters.repairedBlocks += 1 }
    case .leg(let leg):
      counters.repairDatagrams += 1
      if isBlock { legs[leg].counters.repairedBlocks += 1 }
    case .group:
      counters.repairDatagrams += 1
      counters.groupRepairDatagrams += 1
      guard isBlock else { return }
      writes[slot].open.forEach { leg in
        if writes[slot].progress[leg].hasReported { legs[leg].counters.repairedBlocks += 1 }
      }
    }
  }

  func commandHeader(_ slot: Int, immediate: Int) -> BasicHeaderSegment {
    let submission = writes[slot].submission
    // RFC 7143 §11.3: W and the task attribute; F unless unsolicited data follows; I, since CmdSN
    // differs between the legs' sessions.
    let isFinal = !writes[slot].isUnsolicited || immediate == submission.length
    var header = BasicHeaderSegment(
      opcode: .scsiCommand, flags: (isFinal ? 0xa0 : 0x20) | submission.attribute.rawValue,
      isImmediate: true)
    header.dataSegmentLength = immediate
    header.lun = configuration.virtualLUN
    header.initiatorTaskTag = Datagram.taskTag(of: writes[slot].number)
    header.word20 = UInt32(submission.length)
    header.word24 = writes[slot].number.rawValue
    header.word28 = writes[slot].lowestOpen.rawValue
    let size = UInt64(configuration.unitBlockSize)
    header.commandDescriptorBlock =
      CommandDescriptorBlock.write16(
        BlockRange(
          address: submission.byteOffset / size,
          count: UInt32(UInt64(submission.length) / size)),
        forced: submission.forceUnitAccess
      ).bytes
    return header
  }

  /// A Data-Out's header, RFC 7143 §11.7, field by field into the datagram: one for each block.
  func storeDataHeader(
    _ slot: Int, block: Int, count: Int, into bytes: inout MutableRawSpan
  ) {
    let tag = UInt64(Datagram.taskTag(of: writes[slot].number))
    // F on the last PDU; the tag of an R2T is copied, here it is the task's own.
    let isLast: UInt64 = block == writes[slot].blockCount - 1 ? 0x80 << 48 : 0
    let transferTag = writes[slot].isUnsolicited ? 0xffff_ffff : tag
    let opcode = UInt64(Opcode.dataOut.rawValue) << 56
    bytes.store(
      SixWords(
        first: opcode | isLast | UInt64(count), second: configuration.virtualLUN,
        third: tag << 32 | transferTag, fourth: UInt64(writes[slot].lowestOpen.rawValue),
        fifth: UInt64(UInt32(block)),
        sixth: UInt64(UInt32(block * configuration.blockLength)) << 32))
  }

  /// A full-size probe of the path to the group.
  package func assembleProbe(into bytes: inout MutableRawSpan, epoch: UInt16) -> Int {
    var header = BasicHeaderSegment(opcode: .nopOut, isImmediate: true)
    header.initiatorTaskTag = 0xffff_ffff
    header.word20 = 0xffff_ffff
    header.dataSegmentLength = configuration.blockLength
    let data = [UInt8](repeating: 0x5a, count: configuration.blockLength)
    let trailer = DatagramTrailer(
      registration: configuration.registration, epoch: epoch, flags: .probe, sequence: 0)
    // Safe: the span over our own array ends with the statement.
    return unsafe trailer.assemble(header: header, data: data.span.bytes, into: &bytes).byteCount
  }
}

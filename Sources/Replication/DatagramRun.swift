// A train's datagrams are mostly the blocks of one write, one after another: what the first one's
// header says tells what the others' must be, but for their numbers. They are compared with that,
// digested while they are copied, and told to the machine all at once: so a block costs its bytes
// and little more.
//
// A block is copied to its place before its digest is known. The place belongs to a block that is
// missing, of a write that is open: its range is undefined as long as the write has not ended (so
// says SBC), and the block stays missing until its digest was right. But where that place is the
// medium, and the write never ends, bytes of a damaged datagram may stay there.
import Bytes
import ISCSI

/// Blocks that follow one that was placed, in one message.
package struct DatagramRun: Sendable {
  package static let blocksMax = 64

  /// Where the run's blocks go, one behind the other: the place of the first, `byteCountMax` bytes.
  package let placement: Placement
  package let slot: Int
  /// The first block of the run.
  let first: Int
  let isRepair: Bool
  /// How many blocks were taken.
  package private(set) var count = 0
  private(set) var sequence: UInt32
  let isOwn: Bool
  private let most: Int
  private let byteCount: Int
  private let dataLength: Int
  private let isDigested: Bool
  private let isOpened: Bool
  private var header: SixWords
  // Registration, epoch and flags.
  private let trailer: UInt64
  private var digests = InlineArray<64, UInt32>(repeating: 0)

  init(behind datagram: Datagram, _ placement: Placement, slot: Int, block: Int, most: Int) {
    switch placement {
    case .nowhere: self.placement = placement
    case .store(let slot, let offset, let length):
      self.placement = .store(slot: slot, offset: offset + length, length: length)
    case .medium(let slot, let offset, let length):
      self.placement = .medium(slot: slot, byteOffset: offset + UInt64(length), length: length)
    }
    self.slot = slot
    first = block + 1
    isRepair = datagram.flags.contains(.repair)
    isOwn = datagram.flags.contains(.own)
    self.most = min(most, Self.blocksMax)
    sequence = datagram.sequence
    dataLength = datagram.dataLength
    byteCount = Datagram.overheadByteCount + (datagram.dataLength + 3) & ~3
    isOpened = datagram.flags.contains(.sealed)
    isDigested = !isOpened && !datagram.flags.contains(.dataNotDigested)
    header = datagram.words
    trailer =
      UInt64(datagram.registration) << 32 | UInt64(datagram.epoch) << 16
      | UInt64(datagram.flags.rawValue)
    advance()
  }

  private mutating func advance() {
    header.fifth += 1
    header.sixth += UInt64(dataLength) << 32
  }

  /// Bytes of all blocks that may come.
  package var byteCountMax: Int { most * dataLength }

  /// Whether a datagram is the next of the run, as far as all but its digest says.
  package func foresees(_ bytes: RawSpan) -> Bool {
    // Behind the highest sequence comes 1, not in a run.
    guard count < most, sequence != .max, bytes.byteCount == byteCount else { return false }
    let words = bytes.sixWords()
    let end = byteCount - Datagram.trailerByteCount
    let upper = words.first ^ header.first | words.second ^ header.second
    let middle = words.third ^ header.third | words.fourth ^ header.fourth
    let lower = words.fifth ^ header.fifth | words.sixth ^ header.sixth
    return upper | middle | lower == 0 && bytes.bigEndian64(at: end) == trailer
      && bytes.bigEndian32(at: end + 8) == (sequence == 0 ? 0 : sequence &+ 1)
  }

  /// Copies the datagram that was foreseen to its place in `place`, where all of the run goes.
  ///
  /// No reference may be taken or let go on the way: an atomic operation waits until copies past
  /// the cache are in memory.
  /// - Returns: false when the digest is wrong: the block is as missing as before.
  package mutating func take(
    _ bytes: RawSpan, into place: inout MutableRawSpan, isPastCache: Bool
  ) -> Bool {
    let start = BasicHeaderSegment.byteCount
    let end = byteCount - Datagram.trailerByteCount
    var checksum = Checksum()
    checksum.update(bytes.extracting(0..<start))
    let data = bytes.extracting(start..<start + dataLength)
    let offset = count * dataLength
    switch (isDigested, isPastCache) {
    case (false, false): place.copy(data, at: offset)
    case (false, true): place.copyPastCache(data, at: offset)
    case (true, _):
      checksum.update(copying: data, into: &place, at: offset, isPastCache: isPastCache)
    }
    if isDigested, end > start + dataLength {
      checksum.update(bytes.extracting(start + dataLength..<end))
    }
    let content = checksum.state
    if !isOpened {
      checksum.update(bytes.extracting(end..<end + 12))
      guard checksum.value == bytes.bigEndian32(at: end + 12) else { return false }
    }
    digests[count] = content
    count += 1
    if sequence != 0 { sequence &+= 1 }
    advance()
    return true
  }

  func digest(_ index: Int) -> UInt32 { digests[index] }
}

extension Receiver {
  /// What may follow a block that was just placed: the blocks behind it that are missing, up to the
  /// write's last one; nil where that is nothing.
  package func run(behind datagram: Datagram, _ placement: Placement) -> DatagramRun? {
    let slot: Int
    switch placement {
    case .nowhere: return nil
    case .store(let place, _, _), .medium(let place, _, _): slot = place
    }
    guard datagram.kind == .data, writes[slot].phase == .collecting else { return nil }
    let block = Int(datagram.word36)
    // The last one has another header: F, and its own length.
    let room = writes[slot].missing.blockCount - 2 - block
    guard room > 0 else { return nil }
    let most = writes[slot].missing.missingRun(
      from: block + 1, most: min(room, DatagramRun.blocksMax))
    guard most > 0 else { return nil }
    return DatagramRun(behind: datagram, placement, slot: slot, block: block, most: most)
  }

  /// The blocks of a run are where they were to go.
  package mutating func handleRun(_ run: DatagramRun, now: UInt64) {
    let (slot, count) = (run.slot, run.count)
    guard count > 0 else { return }
    let end = run.first + count
    writes[slot].missing.markPresent(run.first..<end)
    for index in 0..<count { writes[slot].digests[run.first + index] = run.digest(index) }
    if run.first == writes[slot].storing.firstGap {
      writes[slot].storing.firstGap =
        writes[slot].missing.firstMissing(from: end) ?? writes[slot].missing.blockCount
    }
    counters.blocks += UInt64(count)
    if run.isRepair { counters.repairedBlocks += UInt64(count) }
    noteArrival(slot, block: end - 1, now: now)
    noteHeard(run.sequence, isOwn: run.isOwn, now: now)
    settle(slot)
  }
}

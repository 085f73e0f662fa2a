// A train's datagrams are mostly the blocks of one write, one after another: what the first one's
// header says tells what the others' must be, but for their numbers. They are compared with that,
// digested while they are copied, and told to the machine all at once: so a block costs its bytes
// and little more.
//
// A block is copied to its place before its digest is known. That is harmless: the place belongs to
// a block that is missing, of a write that is open, so it holds nothing that anybody may rely on;
// and the block stays missing until its digest was right.
import Bytes
import ISCSI

/// Blocks that follow one that was placed, in one message.
package struct DatagramRun: Sendable {
  package static let blocksMax = 64

  /// Where the next block goes.
  package private(set) var placement: Placement
  package let slot: Int
  /// The first block of the run.
  let first: Int
  let isRepair: Bool
  /// How many blocks were taken.
  package private(set) var count = 0
  private(set) var sequence: UInt32
  private let isOwn: Bool
  private let most: Int
  private let byteCount: Int
  private let dataLength: Int
  private let isDigested: Bool
  private var header: SixWords
  // Registration, epoch and flags.
  private let trailer: UInt64
  private var digests = InlineArray<64, UInt32>(repeating: 0)

  init(behind datagram: Datagram, _ placement: Placement, slot: Int, block: Int, most: Int) {
    self.placement = placement
    self.slot = slot
    first = block + 1
    isRepair = datagram.flags.contains(.repair)
    isOwn = datagram.flags.contains(.own)
    self.most = min(most, Self.blocksMax)
    sequence = datagram.sequence
    dataLength = datagram.dataLength
    byteCount = Datagram.overheadByteCount + (datagram.dataLength + 3) & ~3
    isDigested = !datagram.flags.contains(.dataNotDigested)
    header = datagram.words
    trailer =
      UInt64(datagram.registration) << 32 | UInt64(datagram.epoch) << 16
      | UInt64(datagram.flags.rawValue)
    advance()
  }

  private mutating func advance() {
    header.fifth += 1
    header.sixth += UInt64(dataLength) << 32
    switch placement {
    case .nowhere: break
    case .store(let slot, let offset, let length):
      placement = .store(slot: slot, offset: offset + length, length: length)
    case .medium(let slot, let offset, let length):
      placement = .medium(slot: slot, byteOffset: offset + UInt64(length), length: length)
    }
  }

  /// Whether a datagram is the next of the run, as far as all but its digest says.
  package func foresees(_ bytes: RawSpan) -> Bool {
    // Behind the highest sequence comes 1, not in a run.
    guard count < most, sequence != .max, bytes.byteCount == byteCount,
      bytes.sixWords() == header
    else {
      return false
    }
    let end = byteCount - Datagram.trailerByteCount
    return bytes.bigEndian64(at: end) == trailer
      && bytes.bigEndian32(at: end + 8) == (sequence == 0 ? 0 : sequence &+ 1)
  }

  /// Takes the datagram that was foreseen, while `copy` puts its data where `placement` says and
  /// advances the digest over it, if it is given one.
  /// - Returns: false when the digest is wrong: the block is as missing as before.
  package mutating func take(
    _ bytes: RawSpan, copy: (RawSpan, Placement, _ digest: inout UInt32?) -> Void
  ) -> Bool {
    let start = BasicHeaderSegment.byteCount
    let end = byteCount - Datagram.trailerByteCount
    var checksum = Checksum()
    checksum.update(bytes.extracting(0..<start))
    let data = bytes.extracting(start..<start + dataLength)
    var digest = isDigested ? checksum.state : nil
    copy(data, placement, &digest)
    if let digest {
      checksum = Checksum(state: digest)
      if end > start + dataLength { checksum.update(bytes.extracting(start + dataLength..<end)) }
    }
    let content = checksum.state
    checksum.update(bytes.extracting(end..<end + 12))
    guard checksum.value == bytes.bigEndian32(at: end + 12) else { return false }
    digests[count] = content
    count += 1
    if sequence != 0 { sequence &+= 1 }
    advance()
    return true
  }

  func digest(_ index: Int) -> UInt32 { digests[index] }
  var heardOwn: Bool { isOwn }
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
    noteHeard(run.sequence, isOwn: run.heardOwn, now: now)
    settle(slot)
  }
}

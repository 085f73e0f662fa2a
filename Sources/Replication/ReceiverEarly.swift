// Data that came before its command: kept as far as it makes sense, and never in a command's way.
import Bytes
import ISCSI

extension Receiver {
  /// Unsolicited data of a write whose command is not here: kept, as far as it makes sense.
  mutating func handleEarly(
    _ datagram: Datagram, in known: Int? = nil, now: UInt64
  ) -> Placement {
    let number = datagram.writeNumber
    let blocksMax = Limits.blocks(
      of: configuration.writeLengthMax, blockLength: configuration.blockLength)
    let block = Int(datagram.word36)
    let isWhole = datagram.dataLength == configuration.blockLength
    guard datagram.word20 == 0xffff_ffff, datagram.lun == configuration.virtualLUN,
      block > 0, block < blocksMax,
      Int(datagram.word40) == block * configuration.blockLength,
      isWhole || datagram.isFinal && datagram.dataLength < configuration.blockLength,
      datagram.dataLength > 0,
      block * configuration.blockLength + datagram.dataLength <= configuration.writeLengthMax
    else {
      counters.withoutCommand += 1
      return .nowhere
    }
    guard let slot = known ?? takeSlot(for: number) else { return .nowhere }
    if known == nil {
      writes[slot].beginEarly(number, epoch: datagram.epoch, blocksMax: blocksMax)
    }
    // Two ends of one write, or a block behind its end: one of them is forged.
    if let last = writes[slot].last,
      block > last.block || datagram.isFinal && last != (block, datagram.dataLength)
    {
      noteForgery(slot, isCarried: false)
      return .nowhere
    }
    if datagram.isFinal { writes[slot].last = (block, datagram.dataLength) }
    counters.early += 1
    return takeBlock(datagram, block, in: slot, isCarried: false, now: now)
  }

  /// The slot of the latest write that only data has come of: a command goes before it.
  mutating func takeEarlySlot(for number: SerialNumber) -> Int? {
    var latest: Int?
    for slot in writes.indices where writes[slot].phase == .early {
      guard number.precedes(writes[slot].number) else { continue }
      if latest.map({ writes[$0].number.precedes(writes[slot].number) }) ?? true { latest = slot }
    }
    guard let latest else { return nil }
    window[writes[latest].number] = .unseen
    free(latest)
    return takeSlot(for: number)
  }
}

import Bytes

extension LogicalUnit {
  /// READ CAPACITY (10) data, SBC-3 §5.15.
  var capacity10: [UInt8] {
    var data: [UInt8] = []
    // SBC-3 §5.15.2: more than 32 bits can tell shows as all ones.
    data.appendBigEndian(UInt32(clamping: geometry.blockCount - 1))
    data.appendBigEndian(geometry.blockLength)
    return data
  }

  /// READ CAPACITY (16) data, SBC-3 §5.16.
  var capacity16: [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(geometry.blockCount - 1)
    data.appendBigEndian(geometry.blockLength)
    data.append(0)
    data.append(UInt8(blocksPerPhysicalBlock.trailingZeroBitCount))
    // LBPME, and LBPRZ: what was discarded reads as zeros.
    data.append(isThin ? 0xc0 : 0)
    data.append(contentsOf: repeatElement(0, count: 32 - data.count))
    return data
  }
}

/// READ CAPACITY (16) data as an initiator reads it.
package struct Capacity: Equatable, Sendable {
  package let geometry: BlockGeometry
  package let isThin: Bool

  /// Nil when the bytes are too few, or no disk has such blocks.
  package init?(_ data: RawSpan) {
    guard data.byteCount >= 12 else { return nil }
    let last = data.bigEndian64(at: 0)
    guard last < UInt64.max,
      let geometry = BlockGeometry(
        blockLength: data.bigEndian32(at: 8), blockCount: last + 1)
    else { return nil }
    self.geometry = geometry
    isThin = data.byteCount >= 15 && data.byte(at: 14) & 0x80 != 0
  }
}

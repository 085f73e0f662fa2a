// UNMAP and GET LBA STATUS: giving space back, and telling what has some.
import Bytes

extension LogicalUnit {
  func unmap(
    _ length: Int, _ request: CommandRequest, _ mayWrite: Bool
  ) throws(SenseData) -> Outcome {
    // SBC-3 §5.28: a list length of zero is no error; nothing is unmapped.
    guard length > 0 else { return .done(CommandResult()) }
    guard length >= 8, request.expectedDataOut >= 8 else { throw .parameterListLengthError }
    guard mayWrite else { throw .writeProtected }
    return .parameters(byteCount: min(length, request.expectedDataOut))
  }

  /// The ranges that UNMAP's parameters name.
  func unmapRanges(_ data: RawSpan) throws(SenseData) -> [ByteRange] {
    guard data.byteCount >= 8 else { throw .parameterListLengthError }
    // SBC-3 §5.28.2: a last descriptor that is incomplete shall be ignored.
    let count = min(data.byteCount - 8, Int(data.bigEndian16(at: 2))) / 16
    guard count <= Self.unmapDescriptorsMax else { throw .invalidParameter(2) }
    var ranges: [ByteRange] = []
    ranges.reserveCapacity(count)
    for index in 0..<count {
      let offset = 8 + index * 16
      let blocks = BlockRange(
        address: data.bigEndian64(at: offset), count: data.bigEndian32(at: offset + 8))
      let bytes = try geometry.bytes(of: blocks)
      if bytes.length > 0 { ranges.append(bytes) }
    }
    return ranges
  }

  // SBC-3 §5.5: the address is compared in blocks; 2^63 shifted would be a valid offset.
  func allocation(
    from address: UInt64, _ allocationLength: Int
  ) throws(SenseData) -> Outcome {
    guard address < geometry.blockCount else {
      throw SenseData(.illegalRequest, .blockAddressOutOfRange, information: address)
    }
    let range = try geometry.bytes(of: BlockRange(address: address, count: 0))
    let rest = ByteRange(offset: range.offset, length: geometry.byteCount - range.offset)
    let room = min(allocationLength, LBAStatus.byteCountMax)
    return .disk(
      DiskRequest(
        .allocation(rest, blockLength: geometry.blockLength),
        dataInLength: room, expectedTransfer: nil))
  }
}

/// The parameter data of GET LBA STATUS, SBC-3 §5.5.2, written where an operation leaves its bytes.
package enum LBAStatus {
  static let headerByteCount = 8
  static let descriptorByteCount = 16
  package static let descriptorsMax = 256
  package static let byteCountMin = headerByteCount + descriptorByteCount
  static let byteCountMax = headerByteCount + descriptorsMax * descriptorByteCount

  /// How many descriptors have room in so many bytes; the last may be cut.
  package static func descriptorCount(in byteCount: Int) -> Int {
    max((byteCount - headerByteCount) / descriptorByteCount, 1)
  }

  /// How many bytes a header tells.
  package static func byteCount(_ header: RawSpan) -> Int {
    min(Int(header.bigEndian32(at: 0)) + 4, byteCountMax)
  }

  /// One descriptor: blocks, and whether they have space.
  package static func append(
    _ address: UInt64, _ count: UInt32, isMapped: Bool, to data: inout [UInt8]
  ) {
    data.appendBigEndian(address)
    data.appendBigEndian(count)
    // 0h mapped, 1h deallocated.
    data.append(isMapped ? 0 : 1)
    data += [0, 0, 0]
  }

  /// The whole data of these descriptors.
  package static func data(_ descriptors: [UInt8]) -> [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(UInt32(descriptors.count + 4))
    data.appendBigEndian(0 as UInt32)
    return data + descriptors
  }
}

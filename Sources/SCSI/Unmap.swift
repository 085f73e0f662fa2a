import Bytes

extension LogicalUnit {
  func unmap(
    parameterListLength length: Int, _ request: CommandRequest
  ) throws(SenseData) -> Outcome {
    guard isThin else { throw .invalidOperationCode }
    // SBC-3 §5.28: a list length of zero is no error; nothing is unmapped.
    guard length > 0 else { return .done(CommandResult()) }
    guard length >= 8, request.expectedDataOut >= 8 else { throw .parameterListLengthError }
    if isWriteProtected { throw .writeProtected }
    return .parameters(byteCount: min(length, request.expectedDataOut))
  }

  /// The parameters of an UNMAP have come, the only command that has any.
  package func handleParameters(_ data: RawSpan, of request: CommandRequest) -> Outcome {
    do throws(SenseData) {
      guard case .unmap(let length) = try BlockCommand(cdb: request.cdb) else {
        throw .invalidOperationCode
      }
      let ranges = try unmapRanges(data)
      guard !ranges.isEmpty else { return .done(CommandResult(expectedTransfer: length)) }
      return .disk(DiskRequest(.zero(ranges), expectedTransfer: length))
    } catch {
      return .done(CommandResult(error))
    }
  }

  private func unmapRanges(_ data: RawSpan) throws(SenseData) -> [ByteRange] {
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
}

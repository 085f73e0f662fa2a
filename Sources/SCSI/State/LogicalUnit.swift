// A disk as it is: who, how large, of what kind. What changes while it is served is the device
// server's (`DeviceServer`); what a command asks of the blocks is worked out here.

/// One disk of a target: who it is, how large, and what its blocks can do.
package struct LogicalUnit: Sendable {
  package static let transferLengthMax = 32 << 20
  package static let writeSameLengthMax = 64 << 20
  package static let unmapDescriptorsMax = 256
  /// NUMBER OF LOGICAL BLOCKS of COMPARE AND WRITE has one byte.
  package static let compareAndWriteBlocksMax = 255
  package static let atomicLengthMax = 1 << 20
  /// The page, which files and most devices really write; what is atomic and what is given back are
  /// pieces of it.
  package static let pageLength: UInt32 = 4096

  package let identity: LogicalUnitIdentity
  package let geometry: BlockGeometry
  /// Whether discarded blocks give their space back.
  package let isThin: Bool
  /// Whether UNMAP discards, where the disk is thin, too: else WRITE SAME alone.
  package let takesUnmap: Bool
  package let isRemovable: Bool
  /// Whether its backing is never written, whatever the mode parameters say.
  package let isWriteProtected: Bool
  /// What initiators are told that the medium writes at once.
  package let physicalBlockLength: UInt32
  /// Whether there is a place for what outlasts the daemon.
  package let keepsState: Bool

  package init(
    identity: LogicalUnitIdentity, geometry: BlockGeometry, isThin: Bool,
    takesUnmap: Bool = true, isRemovable: Bool = false, isWriteProtected: Bool = false,
    physicalBlockLength: UInt32 = pageLength, keepsState: Bool = false
  ) {
    precondition(physicalBlockLength.nonzeroBitCount == 1, "no power of two")
    self.identity = identity
    self.geometry = geometry
    self.isThin = isThin
    self.takesUnmap = isThin && takesUnmap
    self.isRemovable = isRemovable
    self.isWriteProtected = isWriteProtected
    self.physicalBlockLength = physicalBlockLength
    self.keepsState = keepsState
  }

  var blocksPerPhysicalBlock: UInt32 { max(physicalBlockLength / geometry.blockLength, 1) }
  var blocksPerPage: UInt32 { max(Self.pageLength / geometry.blockLength, 1) }

  package var reachable: ReachableUnit { ReachableUnit(identity: identity, geometry: geometry) }
}

// MARK: What is asked of the blocks

extension LogicalUnit {
  /// The operation of a command about blocks; `mayWrite`: nothing protects the medium.
  func mediumOutcome(
    of command: BlockCommand, _ request: CommandRequest, mayWrite: Bool
  ) throws(SenseData) -> Outcome {
    switch command {
    case .read(let blocks): return try read(blocks, request)
    case .write(let blocks, let isForced):
      return try receive(blocks, request, mayWrite) { .write($0, isForced: isForced) }
    case .writeAtomic(let blocks, let isForced):
      try checkAtomic(blocks)
      return try receive(blocks, request, mayWrite) { .writeAtomic($0, isForced: isForced) }
    case .orWrite(let blocks, let isForced):
      return try receive(blocks, request, mayWrite) { .orWrite($0, isForced: isForced) }
    case .compareAndWrite(let blocks, let isForced):
      return try compareAndWrite(blocks, request, mayWrite, isForced: isForced)
    case .writeAndVerify(let blocks, comparesBytes: false):
      return try receive(blocks, request, mayWrite) { .write($0, isForced: true) }
    case .writeAndVerify(let blocks, comparesBytes: true):
      return try receive(blocks, request, mayWrite) { .writeAndCompare($0) }
    case .verify(let blocks, comparesBytes: true):
      return try receive(blocks, request, true) { .compare($0) }
    case .verify(let blocks, comparesBytes: false):
      let bytes = try transferBytes(blocks)
      return bytes.length == 0 ? .done(CommandResult()) : .disk(DiskRequest(.verify(bytes)))
    case .prefetch(let blocks): return try prefetch(blocks)
    case .synchronizeCache(let blocks):
      _ = try geometry.bytes(of: blocks)
      return .disk(DiskRequest(.flush))
    case .writeSame(let same): return try fill(same, request, mayWrite)
    case .unmap(let length): return try unmap(length, request, mayWrite)
    case .lbaStatus(let address, let allocationLength):
      return try allocation(from: address, allocationLength)
    case .readDefectData(let wanted): return .done(wanted.data, wanted.allocationLength)
    default: throw .invalidOperationCode
    }
  }

  private func read(_ blocks: BlockRange, _ request: CommandRequest) throws(SenseData) -> Outcome {
    let bytes = try transferBytes(blocks)
    let part = min(UInt64(request.expectedDataIn), bytes.length)
    guard part > 0 else { return .done(CommandResult(expectedTransfer: Int(bytes.length))) }
    return .disk(
      DiskRequest(
        .read(ByteRange(offset: bytes.offset, length: part)), dataInLength: Int(part),
        expectedTransfer: Int(bytes.length)))
  }

  /// The bytes of a transfer, within the limit that the block limits page declares.
  private func transferBytes(_ blocks: BlockRange) throws(SenseData) -> ByteRange {
    let bytes = try geometry.bytes(of: blocks)
    // SBC-3 §6.6.4: MAXIMUM TRANSFER LENGTH exceeded is an invalid field.
    guard bytes.length <= UInt64(Self.transferLengthMax) else { throw .invalidField(10) }
    return bytes
  }

  /// Data-out against the medium: what the initiator doesn't send can't be stored, and a block that
  /// comes in part isn't a block.
  private func receive(
    _ blocks: BlockRange, _ request: CommandRequest, _ mayWrite: Bool,
    _ operation: (ByteRange) -> DiskOperation
  ) throws(SenseData) -> Outcome {
    let bytes = try transferBytes(blocks)
    guard mayWrite else { throw .writeProtected }
    // RFC 7143 §11.4.5.1: with less expected than the command asks, that part is moved.
    let collected = min(UInt64(request.expectedDataOut), bytes.length)
    let whole = collected - collected % UInt64(geometry.blockLength)
    guard whole > 0 else { return .done(CommandResult(expectedTransfer: Int(bytes.length))) }
    return .disk(
      DiskRequest(
        operation(ByteRange(offset: bytes.offset, length: whole)),
        dataOutLength: Int(collected), expectedTransfer: Int(bytes.length)))
  }

  // SBC-4 §5.48: at the granularity and alignment of the block limits page.
  private func checkAtomic(_ blocks: BlockRange) throws(SenseData) {
    let bytes = try transferBytes(blocks)
    let unit = UInt64(blocksPerPage)
    guard bytes.length <= UInt64(Self.atomicLengthMax) else { throw .invalidField(12) }
    guard blocks.address % unit == 0 else { throw .invalidField(2) }
    guard UInt64(blocks.count) % unit == 0 else { throw .invalidField(12) }
  }

  // SBC-3 §5.3: as many bytes to compare with, then as many to write.
  private func compareAndWrite(
    _ blocks: BlockRange, _ request: CommandRequest, _ mayWrite: Bool, isForced: Bool
  ) throws(SenseData) -> Outcome {
    let bytes = try geometry.bytes(of: blocks)
    guard blocks.count <= Self.compareAndWriteBlocksMax else { throw .invalidField(13) }
    let length = Int(bytes.length) * 2
    // Half a comparison is none: the initiator must send all of it.
    guard request.expectedDataOut == length else { throw .invalidField(13) }
    guard mayWrite else { throw .writeProtected }
    guard length > 0 else { return .done(CommandResult()) }
    return .disk(
      DiskRequest(
        .compareAndWrite(bytes, isForced: isForced), dataOutLength: length,
        expectedTransfer: length))
  }

  // SBC-3 §5.9: a count of zero means to the end; GOOD: not all of it need be in the cache.
  private func prefetch(_ blocks: BlockRange) throws(SenseData) -> Outcome {
    let bytes = try geometry.bytes(of: blocks)
    let length = blocks.count == 0 ? geometry.byteCount - bytes.offset : bytes.length
    let part = min(length, UInt64(Self.transferLengthMax))
    guard part > 0 else { return .done(CommandResult()) }
    return .disk(DiskRequest(.prefetch(ByteRange(offset: bytes.offset, length: part))))
  }

  private func fill(
    _ same: BlockCommand.WriteSame, _ request: CommandRequest, _ mayWrite: Bool
  ) throws(SenseData) -> Outcome {
    let bytes = try geometry.bytes(of: same.blocks)
    // SBC-3 §6.6.4: WSNZ is set, so a count of zero doesn't mean all of the disk.
    guard bytes.length > 0, bytes.length <= UInt64(Self.writeSameLengthMax) else {
      throw .invalidField(10)
    }
    guard isThin || !same.mayUnmap else { throw .invalidField(1) }
    guard mayWrite else { throw .writeProtected }
    guard same.hasDataOut else { return .disk(DiskRequest(.zero([bytes]))) }
    let block = Int(geometry.blockLength)
    // SBC-3 §5.45: one block, no more and no less.
    guard request.expectedDataOut == block else {
      throw SenseData(.illegalRequest, .invalidFieldInCommand)
    }
    return .disk(DiskRequest(.fill(bytes), dataOutLength: block, expectedTransfer: block))
  }
}

extension BlockCommand.DefectData {
  /// SBC-3 §5.17: the lists that were asked for, in that format, and empty.
  var data: [UInt8] {
    [0, wanted & 0x1f] + [UInt8](repeating: 0, count: isLong ? 6 : 2)
  }
}

extension Outcome {
  /// Parameter data cut to what the command left room for, SPC-4 §4.2.5.6.
  static func done(_ data: [UInt8], _ allocationLength: Int) -> Outcome {
    .done(CommandResult(dataIn: Array(data.prefix(allocationLength))))
  }
}

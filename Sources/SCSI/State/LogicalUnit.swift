// A disk, as a value: it answers what needs no disk and says what the disk must do for the rest.
//
//   begin      a command comes; done, or an operation, or parameters are wanted first
//   handleParameters   those parameters have come
//   finish     the operation has ended
//
// Nothing is kept between commands: reservations, mode parameters and unit attentions belong to a
// session or to a later version. Data never passes through here; the caller holds the buffers.

/// One disk of a target: who it is, how large, and how it answers commands.
package struct LogicalUnit: Sendable {
  package static let transferLengthMax = 16 << 20
  package static let writeSameLengthMax = 64 << 20
  package static let unmapDescriptorsMax = 256

  package let identity: LogicalUnitIdentity
  package let geometry: BlockGeometry
  /// Whether discarded blocks give their space back.
  package let isThin: Bool
  package var isWriteProtected: Bool

  package init(
    identity: LogicalUnitIdentity, geometry: BlockGeometry, isThin: Bool,
    isWriteProtected: Bool = false
  ) {
    self.identity = identity
    self.geometry = geometry
    self.isThin = isThin
    self.isWriteProtected = isWriteProtected
  }

  /// What to do about a command; `inventory` is what REPORT LUNS shall list.
  package func begin(_ request: CommandRequest, inventory: [LogicalUnitNumber]) -> Outcome {
    do throws(SenseData) {
      return try outcome(of: BlockCommand(cdb: request.cdb), request, inventory)
    } catch {
      return .done(CommandResult(error))
    }
  }

  /// The end of an operation that `begin` asked for.
  package func finish(_ request: DiskRequest, _ failure: DiskFailure?) -> CommandResult {
    guard let failure else { return CommandResult(expectedTransfer: request.expectedTransfer) }
    return CommandResult(SenseData(failure, geometry))
  }

  private func outcome(
    of command: BlockCommand, _ request: CommandRequest, _ inventory: [LogicalUnitNumber]
  ) throws(SenseData) -> Outcome {
    switch command {
    case .testUnitReady, .preventAllowMediumRemoval, .startStopUnit(starts: true):
      return .done(CommandResult())
    case .startStopUnit(starts: false):
      return .disk(DiskRequest(.flush))
    case .requestSense(let isDescriptorFormat, let allocationLength):
      let sense = SenseData.noSense
      let data = isDescriptorFormat ? sense.descriptorFormat : sense.fixedFormat
      return .done(data, allocationLength)
    case .inquiry(let page, let allocationLength):
      return .done(try inquiryData(page: page), allocationLength)
    case .modeSense(let sense): return .done(try modeData(sense), sense.allocationLength)
    case .readCapacity10: return .done(capacity10, 8)
    case .readCapacity16(let allocationLength): return .done(capacity16, allocationLength)
    case .reportLUNs(let selection, let allocationLength):
      return .done(
        try ReportLUNs.data(selection, allocationLength, inventory), allocationLength)
    default: return try mediumOutcome(of: command, request)
    }
  }

  private func mediumOutcome(
    of command: BlockCommand, _ request: CommandRequest
  ) throws(SenseData) -> Outcome {
    switch command {
    case .read(let blocks):
      let bytes = try transferBytes(blocks)
      let part = min(UInt64(request.expectedDataIn), bytes.length)
      guard part > 0 else { return .done(CommandResult(expectedTransfer: Int(bytes.length))) }
      return .disk(
        DiskRequest(
          .read(ByteRange(offset: bytes.offset, length: part)),
          expectedTransfer: Int(bytes.length)))
    case .write(let blocks, let isForced):
      return try receive(blocks, request) { .write($0, isForced: isForced) }
    case .writeAndVerify(let blocks, comparesBytes: false):
      return try receive(blocks, request) { .write($0, isForced: true) }
    case .writeAndVerify(let blocks, comparesBytes: true):
      return try receive(blocks, request) { .writeAndCompare($0) }
    case .verify(let blocks, comparesBytes: true):
      return try receive(blocks, request, writes: false) { .compare($0) }
    case .verify(let blocks, comparesBytes: false):
      let bytes = try transferBytes(blocks)
      return bytes.length == 0 ? .done(CommandResult()) : .disk(DiskRequest(.verify(bytes)))
    case .synchronizeCache(let blocks):
      _ = try geometry.bytes(of: blocks)
      return .disk(DiskRequest(.flush))
    case .writeSame(let same): return try fill(same, request)
    case .unmap(let length): return try unmap(parameterListLength: length, request)
    default: throw .invalidOperationCode
    }
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
    _ blocks: BlockRange, _ request: CommandRequest, writes: Bool = true,
    _ operation: (ByteRange) -> DiskOperation
  ) throws(SenseData) -> Outcome {
    let bytes = try transferBytes(blocks)
    if writes && isWriteProtected { throw .writeProtected }
    // RFC 7143 §11.4.5.1: with less expected than the command asks, that part is moved.
    let collected = min(UInt64(request.expectedDataOut), bytes.length)
    let whole = collected - collected % UInt64(geometry.blockLength)
    guard whole > 0 else { return .done(CommandResult(expectedTransfer: Int(bytes.length))) }
    return .disk(
      DiskRequest(
        operation(ByteRange(offset: bytes.offset, length: whole)),
        dataOutLength: Int(collected), expectedTransfer: Int(bytes.length)))
  }

  private func fill(
    _ same: BlockCommand.WriteSame, _ request: CommandRequest
  ) throws(SenseData) -> Outcome {
    let bytes = try geometry.bytes(of: same.blocks)
    // SBC-3 §6.6.4: WSNZ is set, so a count of zero doesn't mean all of the disk.
    guard bytes.length > 0, bytes.length <= UInt64(Self.writeSameLengthMax) else {
      throw .invalidField(10)
    }
    guard isThin || !same.mayUnmap else { throw .invalidField(1) }
    if isWriteProtected { throw .writeProtected }
    guard same.hasDataOut else { return .disk(DiskRequest(.zero([bytes]))) }
    let block = Int(geometry.blockLength)
    guard request.expectedDataOut >= block else {
      return .done(CommandResult(expectedTransfer: block))
    }
    return .disk(DiskRequest(.fill(bytes), dataOutLength: block, expectedTransfer: block))
  }
}

extension Outcome {
  /// Parameter data cut to what the command left room for, SPC-4 §4.2.5.6.
  fileprivate static func done(_ data: [UInt8], _ allocationLength: Int) -> Outcome {
    .done(CommandResult(dataIn: Array(data.prefix(allocationLength))))
  }
}

extension SenseData {
  /// What a backing's failure is called on the wire.
  package init(_ failure: DiskFailure, _ geometry: BlockGeometry) {
    let blockLength = UInt64(geometry.blockLength)
    switch failure {
    case .readError(let offset):
      self.init(.mediumError, .unrecoveredReadError, information: offset / blockLength)
    case .writeError(let offset):
      self.init(.mediumError, .writeError, information: offset / blockLength)
    // SBC-3 §4.7.3.6: no space left for a thin block is DATA PROTECT.
    case .noSpace: self.init(.dataProtect, .spaceAllocationFailed)
    case .readOnly: self = .writeProtected
    case .differs(let offset):
      self.init(.miscompare, .miscompareDuringVerify, information: offset)
    case .stopped: self.init(.notReady, .notReady)
    }
  }
}

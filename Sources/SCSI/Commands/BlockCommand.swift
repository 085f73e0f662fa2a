// A command descriptor block, read once: fields with names, and every field refused that this disk
// doesn't act on. The block commands share four layouts, told by the operation code's top bits.

/// What a command asks of a disk; nothing compared yet with a particular one.
package enum BlockCommand: Equatable, Sendable {
  case testUnitReady
  case requestSense(isDescriptorFormat: Bool, allocationLength: Int)
  case inquiry(page: UInt8?, allocationLength: Int)
  case modeSense(ModeSense)
  case startStopUnit(starts: Bool)
  case preventAllowMediumRemoval
  case readCapacity10
  case readCapacity16(allocationLength: Int)
  case reportLUNs(selection: UInt8, allocationLength: Int)
  case read(BlockRange)
  case write(BlockRange, isForced: Bool)
  case writeAndVerify(BlockRange, comparesBytes: Bool)
  case verify(BlockRange, comparesBytes: Bool)
  case synchronizeCache(BlockRange)
  case writeSame(WriteSame)
  case unmap(parameterListLength: Int)

  /// MODE SENSE (6) and (10), SPC-4 §6.11.
  package struct ModeSense: Equatable, Sendable {
    package var isLong: Bool
    package var hasBlockDescriptor: Bool
    package var pageControl: UInt8
    package var page: UInt8
    package var subpage: UInt8
    package var allocationLength: Int
  }

  /// WRITE SAME (10) and (16), SBC-3 §5.45: one block of data for many, or none for zeros.
  package struct WriteSame: Equatable, Sendable {
    package var blocks: BlockRange
    package var mayUnmap: Bool
    package var hasDataOut: Bool
  }
}

extension BlockCommand {
  /// Reads the sixteen bytes; throws the sense of a command that isn't known or can't be obeyed.
  package init(cdb bytes: InlineArray<16, UInt8>) throws(SenseData) {
    let cdb = CommandDescriptorBlock(bytes)
    guard let code = OperationCode(rawValue: cdb[0]), let length = cdb.length else {
      throw .invalidOperationCode
    }
    // SAM-5 §5.2: NACA asks for auto contingent allegiance, which this disk does not have.
    guard cdb[length - 1] & 0x04 == 0 else { throw .invalidField(length - 1) }
    switch code {
    case .testUnitReady, .requestSense, .inquiry, .modeSense6, .modeSense10, .startStopUnit,
      .preventAllowMediumRemoval, .readCapacity10, .serviceActionIn16, .reportLUNs, .unmap:
      self = try Self.device(code, cdb)
    default:
      self = try Self.medium(code, cdb)
    }
  }

  private static func device(
    _ code: OperationCode, _ cdb: CommandDescriptorBlock
  ) throws(SenseData) -> BlockCommand {
    switch code {
    case .requestSense:
      return .requestSense(isDescriptorFormat: cdb[1] & 1 != 0, allocationLength: Int(cdb[4]))
    case .inquiry:
      let hasPage = cdb[1] & 1 != 0
      // SPC-4 §6.6.1: a page code without EVPD is an error; CMDDT is obsolete.
      guard cdb[1] & 2 == 0 else { throw .invalidField(1) }
      guard hasPage || cdb[2] == 0 else { throw .invalidField(2) }
      return .inquiry(
        page: hasPage ? cdb[2] : nil, allocationLength: Int(cdb.bigEndian16(at: 3)))
    case .modeSense6, .modeSense10:
      let isLong = code == .modeSense10
      return .modeSense(
        ModeSense(
          isLong: isLong, hasBlockDescriptor: cdb[1] & 0x08 == 0, pageControl: cdb[2] >> 6,
          page: cdb[2] & 0x3f, subpage: cdb[3],
          allocationLength: isLong ? Int(cdb.bigEndian16(at: 7)) : Int(cdb[4])))
    case .startStopUnit:
      // SBC-3 §5.25: no power conditions, and nothing to load or eject.
      guard cdb[4] & 0xf0 == 0, cdb[4] & 0x02 == 0 else { throw .invalidField(4) }
      return .startStopUnit(starts: cdb[4] & 0x01 != 0)
    case .preventAllowMediumRemoval: return .preventAllowMediumRemoval
    case .readCapacity10: return .readCapacity10
    case .serviceActionIn16:
      // Only READ CAPACITY (16); of the others an initiator must hear that they are unknown.
      guard cdb[1] & 0x1f == 0x10 else { throw .invalidOperationCode }
      return .readCapacity16(allocationLength: Int(cdb.bigEndian32(at: 10)))
    case .reportLUNs:
      return .reportLUNs(selection: cdb[2], allocationLength: Int(cdb.bigEndian32(at: 6)))
    case .unmap:
      // SBC-3 §5.28: ANCHOR needs anchored blocks, which this disk does not have.
      guard cdb[1] & 1 == 0 else { throw .invalidField(1) }
      return .unmap(parameterListLength: Int(cdb.bigEndian16(at: 7)))
    default: return .testUnitReady
    }
  }

  private static func medium(
    _ code: OperationCode, _ cdb: CommandDescriptorBlock
  ) throws(SenseData) -> BlockCommand {
    let blocks = BlockRange(cdb)
    switch code {
    case .read6: return .read(blocks)
    case .write6: return .write(blocks, isForced: false)
    case .synchronizeCache10, .synchronizeCache16: return .synchronizeCache(blocks)
    default: break
    }
    // SBC-3 §4.22: no protection information, so RDPROTECT and its likes must be zero.
    guard cdb[1] & 0xe0 == 0 else { throw .invalidField(1) }
    switch code {
    case .read10, .read12, .read16: return .read(blocks)
    case .write10, .write12, .write16:
      return .write(blocks, isForced: cdb[1] & 0x08 != 0)
    case .writeSame10, .writeSame16: return .writeSame(try WriteSame(blocks, cdb))
    default:
      // SBC-3 §5.33: BYTCHK 00b checks the medium, 01b compares; 10b and 11b aren't supported.
      guard cdb[1] & 0x04 == 0 else { throw .invalidField(1) }
      let compares = cdb[1] & 0x02 != 0
      switch code {
      case .verify10, .verify12, .verify16: return .verify(blocks, comparesBytes: compares)
      default: return .writeAndVerify(blocks, comparesBytes: compares)
      }
    }
  }
}

extension BlockCommand.WriteSame {
  fileprivate init(_ blocks: BlockRange, _ cdb: CommandDescriptorBlock) throws(SenseData) {
    // SBC-3 §5.45: ANCHOR isn't supported, LBDATA and PBDATA are obsolete; NDOB is of (16) only.
    guard cdb[1] & 0x16 == 0 else { throw .invalidField(1) }
    let isLong = cdb[0] == OperationCode.writeSame16.rawValue
    guard isLong || cdb[1] & 0x01 == 0 else { throw .invalidField(1) }
    self.init(
      blocks: blocks, mayUnmap: cdb[1] & 0x08 != 0, hasDataOut: cdb[1] & 0x01 == 0)
  }
}

extension BlockRange {
  /// Address and count, at the places that a command of this length has them.
  package init(_ cdb: CommandDescriptorBlock) {
    switch cdb.length {
    case 6:
      // SBC-3 §5.7: 21 bits of address; a count of zero means 256.
      let address = cdb.bigEndian32(at: 0) & 0x1f_ffff
      self.init(address: UInt64(address), count: cdb[4] == 0 ? 256 : UInt32(cdb[4]))
    case 12:
      self.init(address: UInt64(cdb.bigEndian32(at: 2)), count: cdb.bigEndian32(at: 6))
    case 16:
      self.init(address: cdb.bigEndian64(at: 2), count: cdb.bigEndian32(at: 10))
    default:
      self.init(
        address: UInt64(cdb.bigEndian32(at: 2)), count: UInt32(cdb.bigEndian16(at: 7)))
    }
  }
}

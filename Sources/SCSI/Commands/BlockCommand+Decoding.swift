// From sixteen bytes to a command. The table has refused unknown codes and reserved bits before a
// field is read here, so that each case only says where its fields stand.

extension BlockCommand {
  /// Reads the sixteen bytes; throws the sense of a command that isn't known or can't be obeyed.
  package init(cdb bytes: InlineArray<16, UInt8>) throws(SenseData) {
    let cdb = CommandDescriptorBlock(bytes)
    let description = try CommandTable.description(of: cdb)
    // SBC-3 §4.22, SAM-5 §5.2: no protection information and no auto contingent allegiance, so
    // their fields are reserved here, like all others that the table leaves out.
    try description.check(cdb)
    self = try Self.command(description, cdb)
  }

  static func command(
    _ description: CommandDescription, _ cdb: CommandDescriptorBlock
  ) throws(SenseData) -> BlockCommand {
    switch description.code {
    case .read6, .read10, .read12, .read16, .write6, .write10, .write12, .write16, .writeAtomic16,
      .orWrite16, .compareAndWrite, .writeAndVerify10, .writeAndVerify12, .writeAndVerify16,
      .verify10, .verify12, .verify16, .prefetch10, .prefetch16, .synchronizeCache10,
      .synchronizeCache16, .writeSame10, .writeSame16, .unmap:
      return medium(description.code, cdb)
    case .persistentReserveIn, .persistentReserveOut, .extendedCopy, .receiveCopyResults,
      .sanitize, .serviceActionIn16, .maintenanceIn:
      return try action(description.code, cdb)
    default:
      return try device(description.code, cdb)
    }
  }

  /// Commands about blocks.
  private static func medium(_ code: OperationCode, _ cdb: CommandDescriptorBlock) -> BlockCommand {
    let blocks = BlockRange(cdb)
    let isForced = code != .write6 && cdb[1] & 0x08 != 0
    // SBC-3 §5.33: BYTCHK 00b checks the medium, 01b compares.
    let compares = cdb[1] & 0x02 != 0
    switch code {
    case .write6, .write10, .write12, .write16: return .write(blocks, isForced: isForced)
    case .writeAtomic16:
      let count = UInt32(cdb.bigEndian16(at: 12))
      return .writeAtomic(
        BlockRange(address: blocks.address, count: count), isForced: isForced)
    case .orWrite16: return .orWrite(blocks, isForced: isForced)
    case .compareAndWrite:
      let range = BlockRange(address: blocks.address, count: UInt32(cdb[13]))
      return .compareAndWrite(range, isForced: isForced)
    case .writeAndVerify10, .writeAndVerify12, .writeAndVerify16:
      return .writeAndVerify(blocks, comparesBytes: compares)
    case .verify10, .verify12, .verify16: return .verify(blocks, comparesBytes: compares)
    case .prefetch10, .prefetch16: return .prefetch(blocks)
    case .synchronizeCache10, .synchronizeCache16: return .synchronizeCache(blocks)
    case .writeSame10, .writeSame16:
      return .writeSame(
        WriteSame(
          blocks: blocks, mayUnmap: cdb[1] & 0x08 != 0, hasDataOut: cdb[1] & 0x01 == 0))
    case .unmap: return .unmap(parameterListLength: Int(cdb.bigEndian16(at: 7)))
    default: return .read(blocks)
    }
  }

  /// Commands that a service action names.
  private static func action(
    _ code: OperationCode, _ cdb: CommandDescriptorBlock
  ) throws(SenseData) -> BlockCommand {
    let action = cdb[1] & 0x1f
    switch code {
    case .persistentReserveIn:
      guard let action = PersistentReserveIn(rawValue: action) else { throw .invalidField(1) }
      return .persistentReserveIn(action, allocationLength: Int(cdb.bigEndian16(at: 7)))
    case .persistentReserveOut:
      guard let action = PersistentReserveOut.Action(rawValue: action) else {
        throw .invalidField(1)
      }
      return .persistentReserveOut(
        PersistentReserveOut(
          action: action, scope: cdb[2] >> 4, type: cdb[2] & 0x0f,
          parameterListLength: Int(cdb.bigEndian32(at: 5))))
    case .extendedCopy:
      return .extendedCopy(parameterListLength: Int(cdb.bigEndian32(at: 10)))
    case .receiveCopyResults:
      guard let action = CopyResult(rawValue: action) else { throw .invalidField(1) }
      return .receiveCopyResults(
        action, listIdentifier: cdb[2], allocationLength: Int(cdb.bigEndian32(at: 10)))
    case .sanitize:
      guard let action = Sanitize.Action(rawValue: action) else { throw .invalidField(1) }
      return .sanitize(
        Sanitize(
          action: action, isImmediate: cdb[1] & 0x80 != 0,
          allowsUnrestrictedExit: cdb[1] & 0x20 != 0,
          parameterListLength: Int(cdb.bigEndian16(at: 7))))
    case .maintenanceIn:
      return .reportSupportedOperationCodes(
        SupportedOperationCodes(
          includesTimeouts: cdb[2] & 0x80 != 0, options: cdb[2] & 0x07, code: cdb[3],
          serviceAction: cdb.bigEndian16(at: 4), allocationLength: Int(cdb.bigEndian32(at: 6))))
    default:
      let allocationLength = Int(cdb.bigEndian32(at: 10))
      guard action == 0x12 else { return .readCapacity16(allocationLength: allocationLength) }
      return .lbaStatus(address: cdb.bigEndian64(at: 2), allocationLength: allocationLength)
    }
  }

  /// Commands about the disk itself.
  private static func device(
    _ code: OperationCode, _ cdb: CommandDescriptorBlock
  ) throws(SenseData) -> BlockCommand {
    switch code {
    case .requestSense:
      return .requestSense(isDescriptorFormat: cdb[1] & 1 != 0, allocationLength: Int(cdb[4]))
    case .inquiry:
      let hasPage = cdb[1] & 1 != 0
      // SPC-4 §6.6.1: a page code without EVPD is an error.
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
    case .modeSelect6, .modeSelect10:
      let isLong = code == .modeSelect10
      return .modeSelect(
        ModeSelect(
          isLong: isLong, hasPageFormat: cdb[1] & 0x10 != 0,
          parameterListLength: isLong ? Int(cdb.bigEndian16(at: 7)) : Int(cdb[4])))
    case .startStopUnit:
      return .startStopUnit(
        StartStop(
          powerCondition: cdb[4] >> 4, flushes: cdb[4] & 0x04 == 0,
          loadsOrEjects: cdb[4] & 0x02 != 0, starts: cdb[4] & 0x01 != 0))
    case .preventAllowMediumRemoval: return .preventAllowMediumRemoval(prevents: cdb[4])
    case .reserve6: return .reserve6
    case .release6: return .release6
    case .readCapacity10: return .readCapacity10
    case .readDefectData10:
      return .readDefectData(
        DefectData(
          isLong: false, wanted: cdb[2], allocationLength: Int(cdb.bigEndian16(at: 7))))
    case .readDefectData12:
      return .readDefectData(
        DefectData(
          isLong: true, wanted: cdb[1], allocationLength: Int(cdb.bigEndian32(at: 6))))
    case .reportLUNs:
      return .reportLUNs(selection: cdb[2], allocationLength: Int(cdb.bigEndian32(at: 6)))
    default: return .testUnitReady
    }
  }
}

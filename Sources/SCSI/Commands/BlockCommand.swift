// What a command descriptor block says, as a value: fields with names, read by `+Decoding` once the
// table of commands has refused every bit that its command doesn't have.

/// What a command asks of a disk; nothing compared yet with a particular one.
package enum BlockCommand: Equatable, Sendable {
  case testUnitReady
  case requestSense(isDescriptorFormat: Bool, allocationLength: Int)
  case inquiry(page: UInt8?, allocationLength: Int)
  case modeSense(ModeSense)
  case modeSelect(ModeSelect)
  case reserve6
  case release6
  case startStopUnit(StartStop)
  /// Bit 0: no ejecting by anybody.
  case preventAllowMediumRemoval(prevents: UInt8)
  case readCapacity10
  case readCapacity16(allocationLength: Int)
  case reportLUNs(selection: UInt8, allocationLength: Int)
  case reportSupportedOperationCodes(SupportedOperationCodes)
  case read(BlockRange)
  case write(BlockRange, isForced: Bool)
  case writeAtomic(BlockRange, isForced: Bool)
  case orWrite(BlockRange, isForced: Bool)
  case compareAndWrite(BlockRange, isForced: Bool)
  case writeAndVerify(BlockRange, comparesBytes: Bool)
  case verify(BlockRange, comparesBytes: Bool)
  case prefetch(BlockRange)
  case synchronizeCache(BlockRange)
  case writeSame(WriteSame)
  case unmap(parameterListLength: Int)
  case lbaStatus(address: UInt64, allocationLength: Int)
  case readDefectData(DefectData)
  case sanitize(Sanitize)
  case persistentReserveIn(PersistentReserveIn, allocationLength: Int)
  case persistentReserveOut(PersistentReserveOut)
  case extendedCopy(parameterListLength: Int)
  case receiveCopyResults(CopyResult, listIdentifier: UInt8, allocationLength: Int)

  /// MODE SENSE (6) and (10), SPC-4 §6.11.
  package struct ModeSense: Equatable, Sendable {
    package var isLong: Bool
    package var hasBlockDescriptor: Bool
    package var pageControl: UInt8
    package var page: UInt8
    package var subpage: UInt8
    package var allocationLength: Int
  }

  /// MODE SELECT (6) and (10), SPC-4 §6.9.
  package struct ModeSelect: Equatable, Sendable {
    package var isLong: Bool
    /// The parameters are pages as SPC forms them.
    package var hasPageFormat: Bool
    package var parameterListLength: Int
  }

  /// START STOP UNIT, SBC-3 §5.25.
  package struct StartStop: Equatable, Sendable {
    package var powerCondition: UInt8
    package var flushes: Bool
    /// START says which: the medium in, or out.
    package var loadsOrEjects: Bool
    package var starts: Bool
  }

  /// WRITE SAME (10) and (16), SBC-3 §5.45: one block of data for many, or none for zeros.
  package struct WriteSame: Equatable, Sendable {
    package var blocks: BlockRange
    package var mayUnmap: Bool
    package var hasDataOut: Bool
  }

  /// READ DEFECT DATA (10) and (12), SBC-3 §5.17.
  package struct DefectData: Equatable, Sendable {
    package var isLong: Bool
    /// PLIST, GLIST and the format asked for.
    package var wanted: UInt8
    package var allocationLength: Int
  }

  /// SANITIZE, SBC-3 §5.24.
  package struct Sanitize: Equatable, Sendable {
    /// How the medium is made unreadable, or that a failure is to be forgotten.
    package enum Action: UInt8, Sendable {
      case overwrite = 1
      case blockErase = 2
      case cryptographicErase = 3
      case exitFailureMode = 0x1f
    }

    package var action: Action
    package var isImmediate: Bool
    /// AUSE: a failure may be left by EXIT FAILURE MODE.
    package var allowsUnrestrictedExit: Bool
    package var parameterListLength: Int
  }

  /// The service actions of PERSISTENT RESERVE IN, SPC-4 §6.15.
  package enum PersistentReserveIn: UInt8, Sendable {
    case readKeys = 0
    case readReservation = 1
    case reportCapabilities = 2
    case readFullStatus = 3
  }

  /// PERSISTENT RESERVE OUT, SPC-4 §6.16.
  package struct PersistentReserveOut: Equatable, Sendable {
    /// The service actions.
    package enum Action: UInt8, Sendable {
      case register = 0
      case reserve = 1
      case release = 2
      case clear = 3
      case preempt = 4
      case preemptAndAbort = 5
      case registerAndIgnoreExistingKey = 6
      case registerAndMove = 7
    }

    package var action: Action
    package var scope: UInt8
    package var type: UInt8
    package var parameterListLength: Int
  }

  /// The service actions of RECEIVE COPY RESULTS, SPC-4 §6.24.
  package enum CopyResult: UInt8, Sendable {
    case copyStatus = 0
    case operatingParameters = 3
  }

  /// REPORT SUPPORTED OPERATION CODES, SPC-4 §6.35.
  package struct SupportedOperationCodes: Equatable, Sendable {
    package var includesTimeouts: Bool
    package var options: UInt8
    package var code: UInt8
    package var serviceAction: UInt16
    package var allocationLength: Int
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

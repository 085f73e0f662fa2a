import SCSI

typealias CDB = InlineArray<16, UInt8>

/// A command from its first bytes, the rest zero.
func cdb(_ bytes: UInt8...) -> CDB {
  InlineArray { $0 < bytes.count ? bytes[$0] : 0 }
}

/// A block command of any length, by its operation code.
func blockCommand(
  _ code: OperationCode, _ address: UInt64, _ count: UInt32, flags: UInt8 = 0
) -> CDB {
  var block = CommandDescriptorBlock(code)
  switch block.length {
  case 6:
    block.setBigEndian(UInt32(address), at: 0)
    block[0] = code.rawValue
    block[4] = UInt8(count)
    return block.bytes
  case 12:
    block.setBigEndian(UInt32(address), at: 2)
    block.setBigEndian(count, at: 6)
  case 16:
    block.setBigEndian(address, at: 2)
    block.setBigEndian(count, at: 10)
  default:
    block.setBigEndian(UInt32(address), at: 2)
    block.setBigEndian(UInt16(count), at: 7)
  }
  block[1] = flags
  return block.bytes
}

func number(_ value: Int) -> LogicalUnitNumber {
  guard let number = LogicalUnitNumber(value) else { fatalError("no such LUN: \(value)") }
  return number
}

func disk(
  blocks: UInt64 = 1000, isThin: Bool = true, isWriteProtected: Bool = false
) -> LogicalUnit {
  guard let geometry = BlockGeometry(blockCount: blocks) else { fatalError("no such disk") }
  return LogicalUnit(
    identity: LogicalUnitIdentity(targetName: "iqn.2026-01.org.example:one", number: number(3)),
    geometry: geometry, isThin: isThin,
    isWriteProtected: isWriteProtected)
}

extension LogicalUnit {
  func begin(_ cdb: CDB, in dataIn: Int = 0, out dataOut: Int = 0) -> Outcome {
    begin(
      CommandRequest(cdb: cdb, expectedDataIn: dataIn, expectedDataOut: dataOut),
      inventory: [number(3), number(0), number(300)])
  }

  /// The parameter data of a command that must end GOOD.
  func data(_ cdb: CDB) -> [UInt8]? {
    guard case .done(let result) = begin(cdb, in: 4096), result.status == .good else { return nil }
    return result.dataIn
  }

  func sense(_ cdb: CDB, in dataIn: Int = 1 << 20, out dataOut: Int = 1 << 20) -> SenseData? {
    guard case .done(let result) = begin(cdb, in: dataIn, out: dataOut) else { return nil }
    return result.sense
  }

  func request(_ cdb: CDB, in dataIn: Int = 1 << 30, out dataOut: Int = 1 << 30) -> DiskRequest? {
    guard case .disk(let request) = begin(cdb, in: dataIn, out: dataOut) else { return nil }
    return request
  }
}

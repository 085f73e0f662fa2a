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

let one = Nexus(session: 1, port: InitiatorPort(name: "iqn.2026-01.org.example:a", isid: 1))
let two = Nexus(session: 2, port: InitiatorPort(name: "iqn.2026-01.org.example:b", isid: 0x2_0000))
let three = Nexus(session: 3, port: InitiatorPort(name: "iqn.2026-01.org.example:c", isid: 3))

func identity(_ lun: Int) -> LogicalUnitIdentity {
  LogicalUnitIdentity(targetName: "iqn.2026-01.org.example:one", number: number(lun))
}

func geometry(_ blocks: UInt64, _ blockLength: UInt32 = 512) -> BlockGeometry {
  guard let geometry = BlockGeometry(blockLength: blockLength, blockCount: blocks) else {
    fatalError("no such disk")
  }
  return geometry
}

func around(isMirrored: Bool = false) -> Surroundings {
  Surroundings(
    units: [0, 3, 300].map {
      ReachableUnit(identity: identity($0), geometry: geometry(1000))
    }, isMirrored: isMirrored)
}

func disk(
  blocks: UInt64 = 1000, blockLength: UInt32 = 512, isThin: Bool = true,
  isRemovable: Bool = false, isWriteProtected: Bool = false, keepsState: Bool = true,
  sessions: [Nexus] = [one]
) -> DeviceServer {
  var device = DeviceServer(
    LogicalUnit(
      identity: identity(3), geometry: geometry(blocks, blockLength), isThin: isThin,
      isRemovable: isRemovable,
      isWriteProtected: isWriteProtected, keepsState: keepsState))
  for nexus in sessions { device.attach(nexus) }
  return device
}

extension DeviceServer {
  var geometry: BlockGeometry { unit.geometry }

  /// What would be done about a command; nothing is remembered of it.
  func begin(_ cdb: CDB, in dataIn: Int = 0, out dataOut: Int = 0) -> Outcome {
    var copy = self
    return copy.begin(
      CommandRequest(cdb: cdb, expectedDataIn: dataIn, expectedDataOut: dataOut), from: one,
      around())
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

/// A disk that remembers: one device server, kept.
final class LiveDisk {
  var device: DeviceServer

  init(_ device: DeviceServer) { self.device = device }

  /// Sends a command with its parameters.
  func send(
    _ cdb: CDB, _ data: [UInt8] = [], from nexus: Nexus = one, isMirrored: Bool = false
  ) -> Outcome {
    let request = CommandRequest(cdb: cdb, expectedDataIn: 1 << 16, expectedDataOut: data.count)
    let surroundings = around(isMirrored: isMirrored)
    let outcome = device.begin(request, from: nexus, surroundings)
    guard case .parameters(let count) = outcome else { return outcome }
    return bytes(Array(data.prefix(count))) {
      device.handleParameters($0, of: request, from: nexus, surroundings)
    }
  }

  /// The status and sense of a command that needs no disk; nil where it needs one.
  func result(
    _ cdb: CDB, _ data: [UInt8] = [], from nexus: Nexus = one, isMirrored: Bool = false
  ) -> CommandResult? {
    switch send(cdb, data, from: nexus, isMirrored: isMirrored) {
    case .done(let result): result
    case .conclude(let conclusion): device.conclude(conclusion).result
    default: nil
    }
  }

  func reset() { device.reset() }
  func noteCleared(_ session: UInt64) { device.noteCleared(session) }
  func attach(_ nexus: Nexus) { device.attach(nexus) }
  func detach(_ session: UInt64, isLost: Bool = false) {
    device.detach(session, isLost: isLost)
  }
  func restore(_ state: [UInt8]) -> Bool { bytes(state) { device.restore($0) } }
  func finishSanitize(_ failure: DiskFailure?) -> CommandResult { device.finishSanitize(failure) }

  func data(_ cdb: CDB) -> [UInt8]? { device.data(cdb) }
  func sense(_ cdb: CDB) -> SenseData? { device.sense(cdb) }
  func request(_ cdb: CDB) -> DiskRequest? { device.request(cdb) }
  var isOpenToAll: Bool { device.isOpenToAll }
  func refusal(ofWriteFrom session: UInt64) -> CommandResult? {
    device.refusal(ofWriteFrom: session)
  }
}

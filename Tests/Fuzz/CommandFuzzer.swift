// Commands to a disk, from three nexuses: 16 bytes each, with their parameters and how they end.
//
//     unit │ records…      a record: act, 16 bytes of CDB, counted parameters
//
// Law: every answer is a status with sense that reads back; nothing is moved outside the medium,
// and no parameter data is longer than the allocation length.
import Bytes
import SCSI

/// What is done with a record; byte 0 of it.
private struct Act {
  let byte: UInt8

  var nexus: Int { Int(byte & 0x03) % 3 }
  /// The disk fails.
  var fails: Bool { byte & 0x04 != 0 }
  var isMirrored: Bool { byte & 0x08 != 0 }
  /// 0–11: the command; the rest about sessions, resets, SANITIZE and what is kept.
  var kind: UInt8 { byte >> 4 }
}

func fuzzCommands(_ bytes: [UInt8]) {
  guard bytes.count <= 1 << 14 else { return }
  var input = Input(bytes)
  var disk = FuzzedDisk(input.byte())
  while !input.isEmpty {
    let act = Act(byte: input.byte())
    let bytes = input.bytes(16)
    let cdb = InlineArray<16, UInt8> { $0 < bytes.count ? bytes[$0] : 0 }
    disk.take(act, cdb, input.counted())
  }
}

private let sessions = (0..<3).map { index in
  Nexus(
    session: UInt64(index) + 1,
    port: InitiatorPort(name: "iqn.2026-01.org.example:\(index)", isid: UInt64(index) << 24))
}

private func unit(_ number: Int, _ blockLength: UInt32, _ blocks: UInt64) -> ReachableUnit {
  guard let number = LogicalUnitNumber(number),
    let geometry = BlockGeometry(blockLength: blockLength, blockCount: blocks)
  else { fatalError("no such unit") }
  return ReachableUnit(
    identity: LogicalUnitIdentity(targetName: "iqn.2026-01.org.example:disk", number: number),
    geometry: geometry)
}

/// A disk, the target's other disks, and three sessions.
private struct FuzzedDisk {
  var device: DeviceServer
  let units: [ReachableUnit]

  init(_ kind: UInt8) {
    let blockLength: UInt32 = kind & 0x01 != 0 ? 4096 : 512
    // As large as a disk can be, or as small as makes limits near.
    let blocks: UInt64 = kind & 0x02 != 0 ? 0x7fff_ffff_ffff_ffff / UInt64(blockLength) : 65536
    let own = unit(0, blockLength, blocks)
    units = [own, unit(1, 512, 4096), unit(300, 4096, 1000)]
    device = DeviceServer(
      LogicalUnit(
        identity: own.identity, geometry: own.geometry, isThin: kind & 0x04 != 0,
        isRemovable: kind & 0x08 != 0, isWriteProtected: kind & 0x10 != 0,
        physicalBlockLength: kind & 0x20 != 0 ? 512 : 4096, keepsState: kind & 0x40 != 0))
    for nexus in sessions { device.attach(nexus) }
  }

  mutating func take(_ act: Act, _ cdb: InlineArray<16, UInt8>, _ data: [UInt8]) {
    let nexus = sessions[act.nexus]
    switch act.kind {
    case 0...10: command(act, cdb, data, from: nexus)
    case 11: check(device.finishSanitize(act.fails ? .writeError(offset: 512) : nil))
    case 12:
      device.detach(nexus.session)
      device.attach(nexus)
    case 13: device.reset()
    case 14: restore(data)
    default:
      device.noteSanitized(UInt64(cdb[0]) << 40, of: UInt64(cdb[1]) << 40)
      if let refusal = device.refusal(ofWriteFrom: nexus.session) { check(refusal) }
      if let refusal = device.refusal(ofReadFrom: nexus.session) { check(refusal) }
    }
  }

  private mutating func command(
    _ act: Act, _ cdb: InlineArray<16, UInt8>, _ data: [UInt8], from nexus: Nexus
  ) {
    let around = Surroundings(units: units, isMirrored: act.isMirrored)
    let request = CommandRequest(cdb: cdb, expectedDataIn: 1 << 20, expectedDataOut: data.count)
    var outcome = device.begin(request, from: nexus, around)
    if case .parameters(let count) = outcome {
      require(count <= data.count, "more parameters than the initiator sends")
      let parameters = Array(data.prefix(count))
      outcome = device.handleParameters(
        parameters.span.bytes, of: request, from: nexus, around)
    }
    switch outcome {
    case .parameters: fatalError("parameters are wanted twice")
    case .done(let result): check(result, of: cdb)
    case .conclude(let conclusion):
      let state = device.changedState(by: conclusion)
      if let state { checkKept(state) }
      if act.fails {
        let before = device.keptState
        check(device.abandonConclusion().result)
        require(device.keptState == before, "what was abandoned has changed something")
      } else {
        check(device.conclude(conclusion).result, of: cdb)
        require(state.map { $0 == device.keptState } ?? true, "kept is what doesn't count")
      }
    case .disk(let disk):
      check(disk)
      check(device.finish(disk, act.fails ? failure(cdb[15]) : nil, dataInLength: 0))
    case .copy(let copy): finish(copy, act, from: nexus)
    case .sanitize(let sanitize):
      let blockLength = Int(device.unit.geometry.blockLength)
      for pass in [0, sanitize.passes - 1] {
        let block = sanitize.block(pass: pass, blockLength: blockLength)
        require(block.count == blockLength, "a block of SANITIZE's is none")
      }
    }
  }

  private func failure(_ kind: UInt8) -> DiskFailure {
    switch kind % 6 {
    case 0: .readError(offset: 4096)
    case 1: .writeError(offset: 1 << 62)
    case 2: .noSpace
    case 3: .readOnly
    case 4: .differs(offset: 7)
    default: .stopped
    }
  }

  private mutating func finish(_ copy: CopyRequest, _ act: Act, from nexus: Nexus) {
    for segment in copy.segments {
      for (number, offset) in [
        (segment.source, segment.sourceOffset), (segment.destination, segment.destinationOffset),
      ] {
        let unit = units.first { $0.identity.number == number }
        require(
          unit.map { offset + segment.length <= $0.geometry.byteCount } ?? false,
          "a copy outside a disk")
      }
    }
    let refusal = act.fails ? CommandResult(.writeProtected) : nil
    check(
      device.finishCopy(
        copy, refusal, done: copy.segments.count, bytes: 1 << 40, from: nexus))
  }

  // MARK: Kept

  private mutating func restore(_ data: [UInt8]) {
    var other = device
    guard other.restore(data.span.bytes) else { return }
    checkKept(other.keptState)
    device = other
    guard let sanitize = device.pendingSanitize else { return }
    for pass in 0..<sanitize.passes {
      _ = sanitize.block(pass: pass, blockLength: 512)
    }
    require(sanitize.passes > 0, "a SANITIZE of no passes")
  }

  private func checkKept(_ state: [UInt8]) {
    var other = DeviceServer(device.unit)
    require(other.restore(state.span.bytes), "what is kept can't be read")
    require(other.keptState == state, "what is kept reads as another")
  }

  // MARK: Laws

  private func check(_ request: DiskRequest) {
    let size = device.unit.geometry.byteCount
    require((0...32 << 20).contains(request.dataOutLength), "a transfer's length out")
    require((0...32 << 20).contains(request.dataInLength), "a transfer's length in")
    let ranges: [ByteRange] =
      switch request.operation {
      case .read(let range), .write(let range, _), .writeAtomic(let range, _),
        .orWrite(let range, _), .compareAndWrite(let range, _), .writeAndCompare(let range),
        .compare(let range), .verify(let range), .fill(let range), .prefetch(let range),
        .allocation(let range, _):
        [range]
      case .zero(let ranges): ranges
      case .flush: []
      }
    for range in ranges {
      require(range.offset <= size && range.length <= size - range.offset, "outside the medium")
    }
    require(
      !request.operation.changesMedium || !device.unit.isWriteProtected,
      "a protected medium is written")
  }

  private func check(_ result: CommandResult, of cdb: InlineArray<16, UInt8>) {
    check(result)
    guard !result.dataIn.isEmpty else { return }
    guard let command = try? BlockCommand(cdb: cdb), let length = allocationLength(of: command)
    else { fatalError("data of a command that has none") }
    require(result.dataIn.count <= length, "data over the allocation length")
  }

  private func check(_ result: CommandResult) {
    let bytes = result.senseBytes
    require(bytes.count <= 252, "sense over 252 bytes")
    require((result.status == .checkCondition) == !bytes.isEmpty, "a status without its sense")
    guard let sense = result.sense else { return }
    for form in [sense.fixedFormat, sense.descriptorFormat] {
      let read = SenseData(form.span.bytes)
      require(
        read?.key == sense.key && read?.additional == sense.additional, "sense reads as another")
    }
  }

  private func allocationLength(of command: BlockCommand) -> Int? {
    switch command {
    case .requestSense(_, let length), .inquiry(_, let length), .readCapacity16(let length),
      .reportLUNs(_, let length), .lbaStatus(_, let length), .persistentReserveIn(_, let length),
      .receiveCopyResults(_, _, let length):
      length
    case .modeSense(let sense): sense.allocationLength
    case .reportSupportedOperationCodes(let codes): codes.allocationLength
    case .readDefectData(let defects): defects.allocationLength
    case .readCapacity10: 8
    default: nil
    }
  }
}

// Sessions that have nothing to do with the mirror, and write to its legs by ordinary commands.
//
// What decides is what decides in the target: the device server judges the command, the gate counts
// it, the kept unit says whether the LUN is a mirror's. While it is, claimed or not, the answer is
// DATA PROTECT, and nothing of it is ever at a disk; while it isn't, the write is done, and whoever
// takes the LUN for a mirror waits for its end.
import Bytes
import ISCSI
import Replication
import SCSI

extension World {
  /// A disk that is about to become a leg is written to once more.
  func writePlainly(before request: KeepingRequest, at target: Target) {
    guard scenario.hasPlainWriter, request.awaitsQuiet, target.record == nil,
      target.index == lateTarget || steering.released.contains(target.index),
      plainRandom.chance(0.5)
    else { return }
    target.writePlainly(sectorsWrittenPlainly())
  }

  private func sectorsWrittenPlainly() -> Range<Int> {
    let length = Int(plainRandom.octaves(1...UInt64(scenario.writeSectorsMax)))
    let start = plainRandom.below(scenario.sectorCount - length + 1)
    return start..<start + length
  }

  /// Now and then somebody writes to any target that is up.
  func writePlainly() {
    guard scenario.hasPlainWriter, plainRandom.chance(0.3) else { return }
    let target = plainRandom.pick(targets)
    let sectors = sectorsWrittenPlainly()
    guard target.isUp, target.pausedUntil == nil else { return }
    // The legs of a new mirror are as they are said to be.
    guard target.record != nil || !legTargets.contains(target.index) else { return }
    target.writePlainly(sectors)
  }
}

extension Target {
  static func device(_ index: Int, _ geometry: BlockGeometry) -> DeviceServer {
    guard let number = LogicalUnitNumber(0) else { preconditionFailure("no such LUN") }
    let identity = LogicalUnitIdentity(targetName: "iqn.2026-01.simulated:\(index)", number: number)
    return DeviceServer(LogicalUnit(identity: identity, geometry: geometry, isThin: false))
  }

  private static let nexus = Nexus(
    session: 1, port: InitiatorPort(name: "iqn.2026-01.simulated:plain", isid: 1))

  /// A WRITE of a session that is no part of the mirror.
  func writePlainly(_ sectors: Range<Int>) {
    let block = CommandDescriptorBlock.write16(
      BlockRange(address: UInt64(sectors.lowerBound), count: UInt32(sectors.count)))
    let request = CommandRequest(
      cdb: block.bytes, expectedDataOut: sectors.count * Sector.byteCount)
    world.counters.plainWrites += 1
    guard case .disk(let disk) = device.begin(request, from: Self.nexus, Surroundings(units: []))
    else { return world.violate("an ordinary write is not for the disk to do") }
    gate.begin()
    if let refusal = disk.refusal(isMirrored: service.refusesChanges), !world.plants(.plainWrites) {
      gate.end()
      world.counters.refusedWrites += 1
      guard refusal.status == .checkCondition, refusal.sense?.key == .dataProtect else {
        return world.violate("an ordinary write is refused as \(refusal)")
      }
      return
    }
    let stamp = world.oracle.begin(
      WrittenRecord(
        sectors: sectors, initiator: -1, isForced: true, submittedAt: world.now,
        isForbidden: record != nil))
    world.oracle.end(stamp, .unknown)
    world.note(node, "is written plainly, sectors % to %", sectors.lowerBound, sectors.upperBound)
    enter(
      SimulatedDisk.Operation(
        action: .write(isForced: true), sectors: sectors, bytes: nil, stamp: stamp, owner: -1,
        tag: 0))
  }

  /// One sector of it reaches the disk, and its medium.
  func applyPlain(_ operation: SimulatedDisk.Operation, _ offset: Int) {
    guard let stamp = operation.stamp else { return }
    let sector = operation.sectors.lowerBound + offset
    if let holder = keeping?.tenancy.channel, keeping?.adoptedBy == holder {
      return world.violate(
        "an ordinary write ends at target \(index), which a mirror has begun with")
    }
    world.oracle.checkStore(stamp, over: disk.live[sector], at: sector, target: index, world)
    disk.put(stamp, at: sector)
    disk.makeDurable(sector..<sector + 1)
  }

  func finishPlainWrite() {
    gate.end()
    guard gate.isQuiet, let held = keeping?.repliesHeld, !held.isEmpty else { return }
    keeping?.repliesHeld = []
    for reply in held { hand(over: reply) }
  }
}

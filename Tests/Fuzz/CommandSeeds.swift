// Commands as they should be, to begin with: each of the table's, and what follows on some.
import Bytes
import SCSI

private func record(_ act: UInt8, _ cdb: [UInt8], _ data: [UInt8] = []) -> [UInt8] {
  [act] + cdb + [UInt8](repeating: 0, count: 16 - cdb.count) + counted(data)
}

private func registering(_ action: UInt8, key: UInt8, new: UInt8, nexus: UInt8) -> [UInt8] {
  var data = [UInt8](repeating: 0, count: 24)
  (data[7], data[15], data[20]) = (key, new, 1)
  return record(nexus, [0x5f, action, 0x05, 0, 0, 0, 0, 0, 24], data)
}

func commandSeeds() -> [Seed] {
  var seeds: [Seed] = []
  for (kind, name) in [
    (0x00, "plain"), (0x44, "thin"), (0x0c, "removable"), (0x10, "read-only"), (0x07, "large"),
  ] {
    var all: [UInt8] = []
    for cdb in descriptorBlocks() { all += record(0, cdb, [UInt8](repeating: 1, count: 64)) }
    seeds.append(Seed(name: "all-\(name)", bytes: [UInt8(kind)] + all))
  }
  for (name, bytes) in stories() { seeds.append(Seed(name: name, bytes: [0x4c] + bytes)) }
  return seeds
}

private func descriptorBlocks() -> [[UInt8]] {
  let short: [[UInt8]] = [
    [0x00], [0x03, 0, 0, 0, 18], [0x12, 0, 0, 0, 96], [0x1a, 0, 0x3f, 0, 255], [0x16], [0x17],
    [0x1b, 0, 0, 0, 1], [0x1e, 0, 0, 0, 1], [0x08, 0, 0, 1, 1], [0x0a, 0, 0, 1, 1],
  ]
  let pages: [[UInt8]] = [0x00, 0x80, 0x83, 0x8f, 0xb0, 0xb1, 0xb2].map { [0x12, 1, $0, 0, 255] }
  let ten: [[UInt8]] = [0x28, 0x2a, 0x2e, 0x2f, 0x34, 0x35, 0x41, 0x5a].map {
    [$0, 0, 0, 0, 0, 1, 0, 0, 1]
  }
  let twelve: [[UInt8]] = [0xa8, 0xaa, 0xae, 0xaf].map { [$0, 0, 0, 0, 0, 1, 0, 0, 0, 1] }
  let sixteen: [[UInt8]] = [0x88, 0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93].map {
    [$0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
  }
  let others: [[UInt8]] = [
    [0x25], [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32],
    [0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 64], [0x37, 0, 0x0d, 0, 0, 0, 0, 0, 8],
    [0xb7, 0x0d, 0, 0, 0, 0, 0, 0, 0, 8], [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64],
    [0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 16, 0], [0xa3, 0x0c, 0x82, 0x9e, 0, 0x12, 0, 0, 1, 0],
    [0x5e, 3, 0, 0, 0, 0, 0, 0, 255], [0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64],
    [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], [0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8],
    [0x42, 0, 0, 0, 0, 0, 0, 0, 24], [0x48, 3], [0x55, 0x10, 0, 0, 0, 0, 0, 0, 20],
  ]
  return short + pages + ten + twelve + sixteen + others
}

private func stories() -> [(String, [UInt8])] {
  let unmap: [UInt8] = [0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0, 0, 0]
  let control: [UInt8] = [0, 0, 0, 0, 0x0a, 0x0a, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0]
  let overwrite: [UInt8] = [0x82, 0, 0, 4, 1, 2, 3, 4]
  return [
    ("unmap", record(0, [0x42, 0, 0, 0, 0, 0, 0, 0, 24], unmap)),
    (
      "reservations",
      registering(0, key: 0, new: 1, nexus: 0) + registering(6, key: 0, new: 2, nexus: 1)
        + registering(1, key: 1, new: 0, nexus: 0) + record(2, [0x0a, 0, 0, 1, 1])
        + record(0, [0x5e, 1, 0, 0, 0, 0, 0, 0, 64]) + registering(5, key: 2, new: 1, nexus: 1)
        + registering(3, key: 2, new: 0, nexus: 1)
    ),
    (
      "reserve",
      record(0, [0x16]) + record(1, [0x00]) + record(1, [0x0a, 0, 0, 1, 1]) + record(0xd0, [])
    ),
    (
      "modes",
      record(0, [0x15, 0x10, 0, 0, 16], control) + record(1, [0x00])
        + record(0, [0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1])
    ),
    (
      "eject",
      record(0, [0x1e, 0, 0, 0, 1]) + record(1, [0x1b, 0, 0, 0, 2])
        + record(0, [0x1e]) + record(1, [0x1b, 0, 0, 0, 2]) + record(0, [0x00])
        + record(0, [0x1b, 0, 0, 0, 3])
    ),
    (
      "sanitize",
      record(0, [0x48, 0xa1, 0, 0, 0, 0, 0, 0, 8], overwrite) + record(0xf0, [1, 2])
        + record(1, [0x00]) + record(0xb4, []) + record(0, [0x48, 0x1f])
    ),
    ("copy", copyStory()),
    ("kept", record(0xe0, [], [0, 0, 0]) + record(0xe0, [], [0, 0, 1, 3, 0, 1, 0, 0, 0, 0, 0])),
    (
      "failures",
      (0..<6).flatMap { record(4, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, $0]) }
    ),
  ]
}

/// EXTENDED COPY of one segment within the disk, by its NAA, as VPD page 83h tells it.
private func copyStory() -> [UInt8] {
  guard let number = LogicalUnitNumber(0),
    let geometry = BlockGeometry(blockCount: 65536)
  else { return [] }
  let unit = LogicalUnit(
    identity: LogicalUnitIdentity(targetName: "iqn.2026-01.org.example:disk", number: number),
    geometry: geometry, isThin: true)
  var device = DeviceServer(unit)
  let outcome = device.begin(
    CommandRequest(cdb: CommandDescriptorBlock.inquiry(page: 0x83).bytes, expectedDataIn: 255),
    from: Nexus(session: 1, port: InitiatorPort(name: "a", isid: 1)), Surroundings(units: []))
  guard case .done(let result) = outcome, result.dataIn.count > 16 else { return [] }
  let target =
    [0xe4, 0, 0, 0] + Array(result.dataIn[4..<16]) + [UInt8](repeating: 0, count: 12)
    + [0, 0, 2, 0]
  let segment: [UInt8] =
    [2, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 8]
    + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
  let list: [UInt8] = [3, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0] + target + segment
  let length = UInt8(list.count)
  return record(0, [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, length], list)
    + record(0, [0x84, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64])
}

// The mirror's wire as it should be, to begin with.
import Bytes
import ISCSI
import Replication

func datagramSeeds() -> [Seed] {
  var seeds = [
    Seed(name: "datagram", bytes: [0, 0] + datagram(count: 64)),
    Seed(name: "datagram-odd", bytes: [0, 1] + datagram(count: 61)),
    Seed(name: "datagram-empty", bytes: [0, 0] + datagram(count: 0)),
    Seed(name: "bitmap", bytes: [3, 0, 20, 0, 3, 9, 0x81, 0x00, 0xf0]),
  ]
  seeds += pduSeeds() + registrationSeeds()
  for shape: UInt8 in [0, 1, 2, 4, 0x08, 0x19] {
    for (name, bytes) in legStories() {
      seeds.append(Seed(name: "leg-\(name)-\(shape)", bytes: [4, shape] + bytes))
    }
  }
  for (name, bytes) in keyedStories() {
    seeds.append(Seed(name: "keyed-\(name)", bytes: [4, 0x08] + bytes))
  }
  for shape: UInt8 in [0, 1, 2, 3, 0x04, 0x48, 0x60] {
    for (name, bytes) in mirrorStories() {
      seeds.append(Seed(name: "mirror-\(name)-\(shape)", bytes: [5, shape] + bytes))
    }
  }
  return seeds
}

private func datagram(count: Int) -> [UInt8] {
  var header = BasicHeaderSegment(opcode: .dataOut)
  header.lun = 5 << 48
  header.initiatorTaskTag = Datagram.taskTag(of: SerialNumber(2))
  header.word20 = reservedTag
  header.word28 = 1
  header.dataSegmentLength = count
  let trailer = DatagramTrailer(registration: 7, epoch: 1, flags: [], sequence: 9)
  var bytes = [UInt8](repeating: 0, count: Datagram.overheadByteCount + (count + 3) & ~3)
  let data = [UInt8](repeating: 0x61, count: count)
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  _ = trailer.assemble(header: header, data: data.span.bytes, into: &raw)
  return bytes
}

private func pduSeeds() -> [Seed] {
  let number = SerialNumber(3)
  let sync = MirrorRequest(
    .sync, registration: 7, epoch: 1, writeNumber: number, lowestOpen: SerialNumber(1))
  var report = MirrorAnswer(.report, registration: 7, epoch: 1, writeNumber: number)
  report.heard = HeardStreams(group: Heard(5, silence: 1), own: Heard(2))
  let statuses = UnitStatus.serialize([
    UnitStatus(lun: 0, status: 2, sense: [0x70, 0, 5]), UnitStatus(lun: 1 << 48, status: 0),
  ])
  return [
    Seed(name: "sync", bytes: [1, 0] + sync.header.array + [0, 0, 0, 1, 0, 0, 0, 2]),
    Seed(
      name: "attach",
      bytes: [1, 0] + MirrorRequest.attach(registration: 7, token: 0x1234_5678_9abc).array),
    Seed(name: "report", bytes: [1, 1] + report.header.array + statuses),
  ]
}

private func registrationSeeds() -> [Seed] {
  var request = RegistrationRequest(
    registration: 7, group: "239.1.2.3", port: 5000, luns: [0, 1], virtualLUN: 5)
  request.sender = "10.0.0.1:5000"
  var parts = request
  parts.stripe = Stripe(mirror: 9, index: 1, count: 4)
  parts.queuePair = QueuePairText(gid: "::ffff:10.0.0.1", number: 17, key: 0x1234, mtu: 4096)
  var grant = RegistrationGrant(request)
  grant.repair = "10.0.0.2:5001"
  grant.lunSizes = [65536, 65536]
  grant.answers = AnswerStream(endpoint: "10.0.0.2:5002", token: 77)
  let literal =
    "multicast_group_ip = 239.1.1.1\0lun_map=(0,1,2),5)\0command=register\0"
  let end = "command=terminate\0multicast_group_ip=239.1.1.1\0virtual_lun=5"
  let termination = TextKeys([
    .init(RegistrationKey.operation, "terminate"),
    .init(RegistrationKey.registration, "0x00000007"),
  ])
  return [
    Seed(name: "register", bytes: [2] + request.keys.encoded),
    Seed(name: "register-part", bytes: [2] + parts.keys.encoded),
    Seed(name: "register-literal", bytes: [2] + Array(literal.utf8)),
    Seed(name: "terminate-literal", bytes: [2] + Array(end.utf8)),
    Seed(name: "terminate", bytes: [2] + termination.encoded),
    Seed(name: "grant", bytes: [2] + grant.keys(firstWrite: SerialNumber(1), port: 5000).encoded),
    Seed(name: "refusal", bytes: [2] + RegistrationFault(.busy, "it is busy").keys.encoded),
  ]
}

/// Records of `FuzzedLeg`.
private func legStories() -> [(String, [UInt8])] {
  let whole: [UInt8] = [0, 0, 0, 8, 1]
  let command: [UInt8] = [0, 0, 0, 8, 4]
  let blocks: [UInt8] = [3, 0, 1, 0, 3, 0, 2, 0, 3, 0, 3, 1]
  return [
    ("one-block", whole + [9, 0]),
    ("blocks", command + blocks + [9, 0, 9, 0]),
    ("early", Array(blocks.prefix(8)) + command + Array(blocks.suffix(4)) + [9, 0]),
    ("run", [0, 0, 0, 8, 12] + [6, 0xf0, 1, 0] + [3, 0, 11, 1] + [9, 0]),
    ("gap", command + Array(blocks.prefix(4)) + [10, 255, 10, 255] + [11, 1, 0]),
    ("forged", command + blocks + [3, 0, 1, 0xf0] + [11, 1, 0]),
    ("fence", command + [12, 0] + blocks + [13, 0x20]),
    ("asked", [0, 0, 1, 8, 4, 3, 0, 0, 2, 3, 0, 1, 2]),
    ("refused", [0x8e, 0] + whole + [14, 0] + whole + [15, 0]),
    ("store-fails", whole + [0x89, 0] + [11, 1, 0]),
  ]
}

/// Records of `FuzzedLeg` that has keys: what is done to a datagram stands before it.
private func keyedStories() -> [(String, [UInt8])] {
  let whole: [UInt8] = [0, 0, 0, 8, 1]
  let raw: [UInt8] = [8, 0] + counted(datagram(count: 512))
  let block: [UInt8] = [3, 0, 0, 0]
  return [
    ("replayed", whole + [15, 0x01] + whole + [9, 0]),
    ("behind", [15, 0xfb] + whole + [15, 0x5a] + block + [15, 0xfa] + block),
    ("ahead", [15, 0x0c] + whole + [15, 0xfc] + block + [15, 0xfc] + block + block),
    ("flipped", [15, 0x05] + whole + [15, 0x65] + block + [15, 0xfd] + block),
    ("cut", [15, 0x06] + whole + [15, 0x7e] + block + [15, 0xfe] + block),
    ("another-key", [15, 0x07] + whole + block + [9, 0]),
    ("epochs", whole + [13, 0x20] + whole + [13, 0x30] + block + [13, 0x40] + whole),
    ("raw", raw + [15, 0x05] + raw),
  ]
}

/// Records of `FuzzedMirror`.
private func mirrorStories() -> [(String, [UInt8])] {
  let write: [UInt8] = [0, 0, 1, 3]
  let sent: [UInt8] = [2, 255]
  let answers: [UInt8] = [5, 0, 5, 1, 13, 0]
  return [
    ("write", write + sent + answers),
    ("ready", write + sent + [4, 0, 4, 1] + sent + answers),
    ("report", write + sent + [0x16, 0, 2, 5, 0, 0x60] + sent + answers),
    ("many", write + [0, 0, 9, 7] + [0, 0, 1, 0x83] + sent + [0x85, 0] + sent + answers),
    ("silence", write + sent + [9, 255, 0x99, 255] + sent + [8, 0]),
    ("lost", write + sent + [10, 0xf1, 12, 0xc4, 15, 0xc0, 11, 0] + sent),
    ("proved", write + sent + [12, 0, 0xcc, 1] + answers + sent + [12, 0, 12, 1] + answers),
    ("pause", write + [14, 0] + write + sent + answers + [14, 0] + sent),
    ("distrusted", write + sent + [6, 0, 0x0c, 1] + sent + [8, 0] + sent + answers),
  ]
}

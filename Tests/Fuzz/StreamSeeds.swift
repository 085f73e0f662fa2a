// Connections as they should be, to begin with.
import Bytes
import ISCSI

/// A record as `StreamRecord` reads it.
private func record(
  _ header: BasicHeaderSegment, _ data: [UInt8] = [], action: UInt8 = 0, keeps: RecordControl = []
) -> [UInt8] {
  [action << 5 | keeps.rawValue] + header.array + counted(data)
}

private func request(
  _ opcode: Opcode, flags: UInt8 = 0x80, tag: UInt32 = 1, isImmediate: Bool = false,
  _ change: (inout BasicHeaderSegment) -> Void = { _ in }
) -> BasicHeaderSegment {
  var header = BasicHeaderSegment(opcode: opcode, flags: flags, isImmediate: isImmediate)
  header.initiatorTaskTag = tag
  header.word20 = reservedTag
  change(&header)
  return header
}

func streamSeeds() -> [Seed] {
  var seeds = targetSeeds()
  for shape: StreamShape in [[], .headerDigest, .dataDigest, .initialR2T, .small, .discovery] {
    for (name, bytes) in initiatorRecords() {
      let first = shape.union(.initiator)
      let name = "initiator-\(name)-\(shape.rawValue)"
      seeds.append(Seed(name: name, bytes: [first.rawValue, 7] + bytes))
    }
  }
  let login = StreamShape.login
  seeds.append(Seed(name: "login-records", bytes: [login.rawValue, 1] + loginRecords()))
  let raw = StreamShape.login.union(.raw)
  seeds.append(Seed(name: "login-raw", bytes: [raw.rawValue, 1] + loginStream()))
  return seeds
}

private func targetSeeds() -> [Seed] {
  let shapes: [StreamShape] = [
    [], [.headerDigest, .dataDigest], .initialR2T, [.small, .dataDigest], .discovery,
  ]
  var seeds: [Seed] = []
  for shape in shapes {
    var all: [UInt8] = []
    for (name, bytes) in commandRecords() + requestRecords() {
      all += bytes
      let name = "target-\(name)-\(shape.rawValue)"
      seeds.append(Seed(name: name, bytes: [shape.rawValue, 3] + bytes))
    }
    seeds.append(Seed(name: "target-all-\(shape.rawValue)", bytes: [shape.rawValue, 9] + all))
  }
  return seeds
}

private let read = request(.scsiCommand, flags: 0xc1) {
  $0.word20 = 2048
  $0.storage[32] = 0x08
  $0.storage[36] = 32
}

private func commandRecords() -> [(String, [UInt8])] {
  func write(_ length: UInt32, flags: UInt8 = 0xa1) -> BasicHeaderSegment {
    request(.scsiCommand, flags: flags, tag: 2) {
      $0.word20 = length
      $0.storage[32] = 0x0a
    }
  }
  let data = request(.dataOut, tag: 2)
  let part = request(.dataOut, flags: 0, tag: 2)
  let block = [UInt8](repeating: 0x33, count: 512)
  return [
    ("read", record(read, action: 1) + record(read, action: 2)),
    ("write", record(write(512), block, action: 1)),
    (
      "write-asked",
      record(write(2048), block) + record(part, block) + record(data, block + block, action: 7)
    ),
    (
      "write-unasked",
      record(write(1536, flags: 0x21), block) + record(part, block) + record(data, block, action: 1)
    ),
    (
      "write-damaged",
      record(write(1024), block) + record(data, block, keeps: .damaged) + record(data, block)
    ),
    ("write-long", record(write(1 << 20), action: 2)),
    (
      "out-of-order",
      record(request(.scsiCommand, flags: 0xc1, tag: 8) { $0.word24 = 3 }, keeps: .ownNumbers)
        + record(read, action: 7)
    ),
  ]
}

private func requestRecords() -> [(String, [UInt8])] {
  let keys = TextKeys([.init("SendTargets", "All")]).encoded
  let mirror = TextKeys([
    .init("X-org.mirrorcast.op", "terminate"), .init("X-org.mirrorcast.registration", "0x00000007"),
  ]).encoded
  return [
    ("ping", record(request(.nopOut), [1, 2, 3])),
    (
      "abort",
      record(read)
        + record(
          request(.taskManagementRequest, flags: 0x81, tag: 5, isImmediate: true) { $0.word20 = 1 },
          action: 3)
    ),
    (
      "reset",
      record(read)
        + record(request(.taskManagementRequest, flags: 0x85, tag: 6), action: 3)
        + record(request(.taskManagementRequest, flags: 0x86, tag: 7), action: 4)
    ),
    ("targets", record(request(.textRequest, tag: 9), keys)),
    (
      "text-pieces",
      record(request(.textRequest, flags: 0x40, tag: 9), Array(keys.prefix(5)))
        + record(request(.textRequest, tag: 9), Array(keys.dropFirst(5)))
    ),
    ("mirror-text", record(request(.textRequest, tag: 9), mirror, action: 6)),
    (
      "mirror",
      record(
        request(.mirrorRequest, flags: 0x81, tag: reservedTag, isImmediate: true) { $0.word20 = 7 },
        [0, 0, 0, 1], action: 7)
    ),
    ("snack", record(request(.snackRequest, flags: 0x81))),
    (
      "snack-data",
      record(read, action: 1) + record(request(.snackRequest, flags: 0x80, tag: 1), action: 2)
        + record(request(.snackRequest, flags: 0x82, tag: reservedTag) { $0.word40 = 1 }, action: 2)
        + record(request(.snackRequest, flags: 0x83, tag: 1) { $0.word20 = 9 }, action: 2)
        + record(request(.snackRequest, flags: 0x81, tag: reservedTag), action: 2)
    ),
    ("logout", record(request(.logoutRequest, tag: 11), action: 5)),
  ]
}

private func initiatorRecords() -> [(String, [UInt8])] {
  func answer(
    _ opcode: Opcode, flags: UInt8 = 0x80, _ change: (inout BasicHeaderSegment) -> Void = { _ in }
  ) -> BasicHeaderSegment {
    request(opcode, flags: flags, tag: 0) {
      $0.storage[47] = 8
      change(&$0)
    }
  }
  let idle = request(.nopIn, tag: reservedTag) { $0.storage[47] = 16 }
  func ask(_ action: UInt8) -> [UInt8] { record(idle, action: action, keeps: .ownTags) }
  let ready = answer(.readyToTransfer) {
    $0.word20 = 1
    $0.word40 = 4096
    $0.word44 = 0
  }
  return [
    (
      "read",
      ask(1)
        + record(answer(.dataIn, flags: 0), [UInt8](repeating: 1, count: 256))
        + record(
          answer(.dataIn, flags: 0x81) {
            $0.word36 = 1
            $0.word40 = 256
            $0.word44 = 0
          }, [UInt8](repeating: 2, count: 256))
    ),
    ("write", ask(2) + record(ready) + record(answer(.scsiResponse))),
    ("sense", ask(1) + record(answer(.scsiResponse) { $0.byte3 = 2 }, [0, 3, 0x70, 0, 5])),
    (
      "text",
      ask(3) + record(answer(.textResponse), Array("TargetName=iqn.2026-01.org.example:a\0".utf8))
    ),
    ("management", ask(1) + ask(4) + record(answer(.taskManagementResponse))),
    (
      "ping",
      ask(5) + record(answer(.nopIn))
        + record(request(.nopIn, tag: reservedTag) { $0.word20 = 3 })
    ),
    (
      "reject",
      ask(1) + record(answer(.reject) { $0.byte2 = 4 }, request(.scsiCommand).array)
    ),
    ("async", record(request(.asyncMessage, tag: reservedTag) { $0.word36 = 1 << 24 }, action: 6)),
    ("logout", ask(7) + record(answer(.logoutResponse))),
    ("mirrored", record(request(.mirrorAnswer, tag: reservedTag), keeps: .ownTags)),
  ]
}

// MARK: Login

private func loginPDU() -> PDU {
  var session = InitiatorSession(configuration: fuzzedInitiatorConfiguration([.dataDigest]))
  guard let pdu = session.pollOutput() else { fatalError("no login") }
  return pdu
}

private func loginRecords() -> [UInt8] {
  let first = loginPDU()
  var second = first.header
  second.flags = 0x87
  let keys = TextKeys([.init("HeaderDigest", "CRC32C"), .init("InitialR2T", "No")])
  return record(first.header, Array(first.data)) + record(second, keys.encoded)
    + record(request(.nopOut, isImmediate: true), [5])
}

private func loginStream() -> [UInt8] {
  var bytes: [UInt8] = []
  let first = loginPDU()
  first.encode(into: &bytes)
  var second = first.header
  second.flags = 0x87
  PDU(header: second, data: TextKeys([.init("InitialR2T", "No")]).encoded).encode(into: &bytes)
  PDU(header: request(.nopOut, isImmediate: true), data: [1, 2, 3, 4]).encode(into: &bytes)
  return bytes
}

import Testing

@testable import Replication

/// A record as bytes and back, and what is refused.
@Suite struct RecordBytesTests {
  @Test func `a record is read as it was written`() throws {
    var record = KeepingBench.record(counter: 9, states: [.inSync, .absent, .stale])
    record.isClosed = true
    record.generation.ancestors = (1...16).map { UInt64($0) << 40 }
    record.generation.members[1].isRequired = true
    record.generation.members[2].label = "iscsi://[fd00::1]/iqn.2025-01.org.example:über/0"
    let read = try MirrorRecord(bytes: record.bytes)
    #expect(read == record)
  }

  @Test func `no bytes trap, and what is read is valid`() throws {
    var random = SeededRandom(1)
    let sound = KeepingBench.record(counter: 3, states: [.inSync, .stale]).bytes
    var readCount = 0
    for _ in 0..<20_000 {
      var bytes = sound
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      if Bool.random(using: &random) {
        bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
      }
      guard let record = try? MirrorRecord(bytes: bytes) else { continue }
      readCount += 1
      try record.validate()
      let isSame = record.bytes == bytes
      #expect(isSame)
    }
    #expect(readCount > 100)
    for length in 0..<sound.count {
      #expect(throws: RecordFault.self) { try MirrorRecord(bytes: Array(sound[..<length])) }
    }
    #expect(throws: RecordFault.length) { try MirrorRecord(bytes: sound + [0]) }
    let tooLong = [UInt8](repeating: 1, count: MirrorRecord.byteCountMax + 1)
    #expect(throws: RecordFault.length) { try MirrorRecord(bytes: tooLong) }
  }

  @Test(arguments: RecordFault.allCases.filter { $0 != .version && $0 != .state })
  func `each limit has its fault`(_ fault: RecordFault) {
    var record = KeepingBench.record(counter: 3, states: [.inSync, .stale])
    switch fault {
    case .length:
      let label = String(repeating: "l", count: MirrorMember.labelMax)
      record.generation.members = (1...64).map {
        MirrorMember(id: $0, label: label, state: .inSync)
      }
    case .version, .state: break
    case .name: record.name = "a\u{7}b"
    case .label:
      record.generation.members[0].label = String(repeating: "l", count: MirrorMember.labelMax + 1)
    case .members: record.generation.members[1].id = record.generation.members[0].id
    case .own: record.member = 77
    case .required: record.generation.requiredCount = 3
    case .counter: record.generation.counter = .max
    case .ancestors:
      record.generation.ancestors = [UInt64](
        repeating: 5, count: MirrorGeneration.ancestorsMax + 1)
    }
    #expect(throws: fault) { try record.validate() }
    #expect(throws: fault) { try MirrorRecord(bytes: record.bytes) }
  }

  @Test func `names have 1 to 64 bytes of UTF-8`() throws {
    var record = KeepingBench.record(counter: 3, states: [.inSync])
    for name in ["", String(repeating: "ü", count: 33)] {
      record.name = name
      #expect(throws: RecordFault.name) { try record.validate() }
    }
    record.name = String(repeating: "ü", count: 32)
    try record.validate()
    record.name = "ab"
    var bytes = record.bytes
    let place = try #require(bytes.firstIndex(of: UInt8(ascii: "a")))
    bytes[place] = 0xff
    #expect(throws: RecordFault.name) { try MirrorRecord(bytes: bytes) }
  }

  @Test func `versions, flags and states that are not known are refused`() throws {
    var bytes = KeepingBench.record(counter: 3, states: [.inSync]).bytes
    bytes[0] = 2
    #expect(throws: RecordFault.version) { try MirrorRecord(bytes: bytes) }
    bytes[0] = 1
    bytes[1] = 2
    #expect(throws: RecordFault.version) { try MirrorRecord(bytes: bytes) }
    bytes[1] = 0
    // The only member's: id, state, flags, two bytes of length, and its label.
    let state = bytes.count - KeepingBench.label.utf8.count - 4
    bytes[state] = 5
    #expect(throws: RecordFault.state) { try MirrorRecord(bytes: bytes) }
  }
}

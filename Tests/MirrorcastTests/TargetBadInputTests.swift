// What no honest initiator sends, to a daemon over a socket: what is answered, that the connection
// goes on where its framing is intact, that the next login is served, and that a session beside it
// notices nothing.

import Foundation
import ISCSI
import SCSI
import Synchronization
import Testing

@testable import Mirrorcast

/// One thing that a bad initiator does, and what the daemon is to say to it.
enum BadInput: String, CaseIterable, Sendable {
  case dataPastItsRequest, dataElsewhere, dataFarAway, wrongTransferTag, shortData
  case immediateDataPastLength, tagInUse, reservedTag, longSegment, additionalHeaders
  case unknownOpcode, vendorOpcode, targetOpcode, unknownFunction, snack, bothDirections
  case finalMissing, unknownAttribute, addressPastEnd, lowNumber, farNumber, unknownKey
  case malformedText, secondLogin, silentWrites

  /// Does it; what comes back, in words.
  func play(_ client: TargetClient) throws -> [String] {
    switch self {
    case .dataPastItsRequest, .dataElsewhere, .dataFarAway, .wrongTransferTag, .shortData:
      return try playData(client)
    case .immediateDataPastLength, .tagInUse, .reservedTag, .bothDirections, .finalMissing,
      .unknownAttribute, .additionalHeaders:
      return try playCommand(client)
    case .addressPastEnd:
      let ended = try client.read(1024, at: .max)
      return ["status \(ended.status) \(ended.words.hexadecimal)"]
    case .silentWrites:
      let writes = (0..<300).flatMap { _ in client.write(4096).encoded }
      try client.send(writes)
      let told = try client.told(128)
      // Those that the window had no place for were ignored.
      for _ in 0..<(300 - 64) { client.takeNumberBack() }
      return Array(Set(told)).sorted() + ["\(told.count)"]
    default: return try playOther(client)
    }
  }

  var wanted: [String] {
    switch self {
    case .dataPastItsRequest, .dataElsewhere, .dataFarAway: ["reject 9", "status 2 b0c0d"]
    case .wrongTransferTag: ["reject 9", "status 0 "]
    case .shortData: ["status 2 b0c0d"]
    case .tagInUse: ["R2T", "reject 7"]
    case .longSegment, .secondLogin: ["reject 4"]
    case .unknownOpcode, .vendorOpcode, .targetOpcode: ["reject 5"]
    case .unknownFunction: ["function 5"]
    case .snack: ["reject 3"]
    case .addressPastEnd: ["status 2 52100"]
    case .lowNumber, .farNumber: ["ping"]
    case .unknownKey: ["X-com.example.key=NotUnderstood"]
    case .silentWrites: ["R2T", "status 2 b4705", "128"]
    default: ["reject 9"]
    }
  }

  private func playData(_ client: TargetClient) throws -> [String] {
    let command = client.write(4096)
    try client.send(command.encoded)
    guard let request = try client.receive(), request.header.opcode == .readyToTransfer else {
      return ["no R2T"]
    }
    var data = BasicHeaderSegment(opcode: .dataOut, flags: 0x80)
    data.initiatorTaskTag = command.header.initiatorTaskTag
    data.word20 = request.header.word20
    switch self {
    case .dataPastItsRequest: try client.send(PDU(header: data, data: pattern(8192, 1)).encoded)
    case .dataElsewhere, .dataFarAway:
      data.word40 = self == .dataFarAway ? 0xffff_f000 : 512
      try client.send(PDU(header: data, data: pattern(512, 1)).encoded)
    case .wrongTransferTag:
      data.word20 &+= 1
      try client.send(PDU(header: data, data: pattern(4096, 1)).encoded)
      data.word20 &-= 1
      try client.send(PDU(header: data, data: pattern(4096, 1)).encoded)
    default: try client.send(PDU(header: data, data: pattern(512, 1)).encoded)
    }
    return try client.told(wanted.count)
  }

  private func playCommand(_ client: TargetClient) throws -> [String] {
    var pdu = client.write(512)
    switch self {
    case .immediateDataPastLength: pdu.data = pattern(4096, 1)[...]
    case .tagInUse:
      try client.send(pdu.encoded)
      let tag = pdu.header.initiatorTaskTag
      pdu = client.write(512)
      pdu.header.initiatorTaskTag = tag
    case .reservedTag: pdu.header.initiatorTaskTag = ISCSI.reservedTag
    case .bothDirections: pdu.header.flags |= 0x40
    case .finalMissing: pdu.header.flags = 0x41
    case .unknownAttribute: pdu.header.flags |= 7
    default: pdu.additional = [UInt8](repeating: 0xff, count: 1020)
    }
    try client.send(pdu.encoded)
    let told = try client.told(wanted.count)
    client.takeNumberBack()
    return told
  }

  private func playOther(_ client: TargetClient) throws -> [String] {
    var pdu = client.request(.nopOut)
    switch self {
    case .longSegment: pdu.data = ArraySlice(repeating: 1, count: 0xff_ffff)
    case .unknownOpcode: pdu.header.storage[0] = 0x0f
    case .vendorOpcode: pdu.header.storage[0] = 0x1e
    case .targetOpcode: pdu.header.storage[0] = 0x25
    case .unknownFunction: pdu = client.request(.taskManagementRequest, flags: 0xff)
    case .snack: pdu = client.request(.snackRequest)
    case .secondLogin:
      pdu = TargetClient.loginRequest(TargetScene.name, initiator: "iqn.2026-01.test:x", isid: 3)
    case .unknownKey: pdu = client.request(.textRequest, data: Array("X-com.example.key=1\0".utf8))
    case .malformedText: pdu = client.request(.textRequest, data: Array("no pair\0".utf8))
    default:
      // Ignored without a word; a ping behind it shows that there was none.
      var ignored = pdu
      ignored.header.isImmediate = false
      ignored.header.word24 &+= self == .lowNumber ? .max : 1000
      try client.send(ignored.encoded)
      pdu = client.request(.nopOut)
    }
    try client.send(pdu.encoded)
    return try client.told(wanted.count)
  }
}

/// A session that reads the same blocks again and again, on a thread of its own.
private final class Witness: @unchecked Sendable {
  private static let readsMin = 20
  private let ends = Atomic(false)
  private let finished = DispatchSemaphore(value: 0)
  private let started = DispatchSemaphore(value: 0)
  /// The thread's until it has finished: how many reads there were, and what went wrong.
  private var reads = 0
  private var problem: (any Error)?

  init(_ client: TargetClient, reading data: [UInt8], at block: UInt64) {
    let box = UncheckedBox(client)
    Thread.detachNewThread { [self] in
      defer { finished.signal() }
      do {
        let client = box.value
        while reads < Self.readsMin || !ends.load(ordering: .acquiring) {
          let ended = try client.read(data.count, at: block)
          guard ended.status == 0, ended.data == data else {
            throw TargetClientError(words: "read \(reads): \(ended.status) \(ended.words)")
          }
          reads += 1
          if reads == 1 { started.signal() }
        }
      } catch {
        problem = error
        started.signal()
      }
    }
    started.wait()
  }

  /// Throws where it has noticed anything.
  func end() throws {
    ends.store(true, ordering: .releasing)
    finished.wait()
    if let problem { throw problem }
    #expect(reads >= Self.readsMin)
  }
}

@Suite struct `A target daemon and bad input` {
  @Test(arguments: BadInput.allCases)
  func `is answered, and hurts nobody`(row: BadInput) async throws {
    var limits = TargetLimits()
    // Short only where the data is never to come: an honest client may have to wait for its turn.
    if row == .silentWrites { limits.dataOutMilliseconds = 200 }
    try await TargetScene.serving(["0=memory:1M"], limits: limits) { scene in
      let beside = try scene.client("iqn.2026-01.test:beside")
      let bad = try scene.client("iqn.2026-01.test:bad")
      #expect(try beside.write(pattern(4096, 9), at: 100).status == 0)
      let witness = Witness(beside, reading: pattern(4096, 9), at: 100)
      #expect(try row.play(bad) == row.wanted)
      try witness.end()
      #expect(try beside.read(4096, at: 100).data == pattern(4096, 9))
      #expect(try bad.read(4096, at: 100).data == pattern(4096, 9))
      let next = try scene.client("iqn.2026-01.test:next")
      #expect(try next.read(4096, at: 100).data == pattern(4096, 9))
    }
  }

  /// RFC 7143 §6.3.3: a session has one connection here, which nobody else takes over or joins,
  /// though he knows its handle. The second connection is the same again (reinstatement), or new.
  @Test(arguments: [0, 1] as [UInt32])
  func `that names a session which lives doesn't touch it`(connection: UInt32) async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let live = try TargetClient(port: scene.port)
      var login = TargetClient.loginRequest(
        TargetScene.name, initiator: "iqn.2026-01.test:live", isid: 3)
      try live.send(login.encoded)
      let tsih = try #require(try live.receive()).header.tsih
      #expect(tsih != 0)
      #expect(try live.write(pattern(512, 9), at: 0).status == 0)
      for name in ["iqn.2026-01.test:live", "iqn.2026-01.test:other"] {
        login = TargetClient.loginRequest(TargetScene.name, initiator: name, isid: 3)
        login.header.tsih = tsih
        login.header.word20 = connection << 16
        let stranger = try TargetClient(port: scene.port)
        try stranger.send(login.encoded)
        #expect(try stranger.receive()?.header.loginStatusCode == 0x020a)
        try stranger.expectEnd()
      }
      #expect(scene.daemon.connections.replaced == 0)
      #expect(try live.read(512, at: 0).data == pattern(512, 9))
    }
  }

  @Test func `that comes before a login ends its connection and no other`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let beside = try scene.client("iqn.2026-01.test:beside")
      let witness = Witness(beside, reading: [UInt8](repeating: 0, count: 512), at: 0)
      var login = TargetClient.loginRequest(
        TargetScene.name, initiator: "iqn.2026-01.test:bad", isid: 9)

      let stranger = try TargetClient(port: scene.port)
      login.header.tsih = 77
      try stranger.send(login.encoded)
      #expect(try stranger.receive()?.header.loginStatusCode == 0x020a)
      try stranger.expectEnd()

      let flood = try TargetClient(port: scene.port)
      login.header.tsih = 0
      login.header.flags = 0x44
      login.data = ArraySlice(repeating: 0x41, count: 8192)
      var status: UInt16 = 0
      for _ in 0..<9 where status == 0 {
        try flood.send(login.encoded)
        status = try #require(try flood.receive()).header.loginStatusCode
      }
      #expect(status == 0x0200)
      try flood.expectEnd()

      let long = try TargetClient(port: scene.port)
      login.header.dataSegmentLength = 0xff_ffff
      try long.send(login.header.array)
      try long.expectEnd()

      try witness.end()
      #expect(try scene.client().read(512, at: 0).status == 0)
    }
  }
}

extension TargetClient {
  /// A WRITE (16) of `count` bytes at block 0 without any of them.
  func write(_ count: Int) -> PDU {
    command(
      .write16(BlockRange(address: 0, count: UInt32(count / 512))), expected: count, isWrite: true)
  }

  /// The next PDUs, in words.
  func told(_ count: Int) throws -> [String] {
    try (0..<count).map { _ in try receive().map(\.inWords) ?? "closed" }
  }
}

extension PDU {
  /// What a daemon says by it.
  fileprivate var inWords: String {
    switch header.opcode {
    case .reject: "reject \(header.byte2)"
    case .readyToTransfer: "R2T"
    case .nopIn: "ping"
    case .taskManagementResponse: "function \(header.byte2)"
    case .textResponse: String(decoding: data.dropLast(), as: UTF8.self)
    case .scsiResponse: "status \(header.byte3) \(senseWords.hexadecimal)"
    default: "\(header.array)"
    }
  }

  private var senseWords: [UInt8] {
    let sense = Array(data.dropFirst(2))
    return sense.count > 13 ? [sense[2], sense[12], sense[13]] : []
  }
}

extension [UInt8] {
  /// A sense key as one digit, the rest as two.
  fileprivate var hexadecimal: String {
    enumerated().map { index, byte in
      (byte < 16 && index > 0 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }
}

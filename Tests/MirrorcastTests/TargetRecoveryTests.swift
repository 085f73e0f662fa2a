import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

/// Bytes that are damaged on their way, over a socket, with digests on both.
@Suite struct `A target daemon whose peer's bytes are damaged` {
  private func client(
    _ scene: TargetScene, level: Int, isid: UInt64 = 1
  ) throws -> TargetClient {
    let client = try TargetClient(port: scene.port)
    let keys = [
      "DataDigest=CRC32C", "HeaderDigest=CRC32C", "ErrorRecoveryLevel=\(level)",
      "MaxRecvDataSegmentLength=4096",
    ]
    #expect(
      try client.logIn(TargetScene.name, isid: isid, keys: keys, digests: [.header, .data]) == 0)
    return client
  }

  /// As it stands on the wire, with a byte of the data wrong where `isDamaged`.
  private func bytes(_ pdu: PDU, isDamaged: Bool = false) -> [UInt8] {
    var sealed = pdu
    sealed.digests = [.header, .data]
    var bytes = sealed.encoded
    if isDamaged { bytes[60] ^= 0x10 }
    return bytes
  }

  private func data(
    for request: BasicHeaderSegment, _ data: [UInt8], from offset: Int = 0, number: UInt32 = 0,
    isFinal: Bool = true
  ) -> PDU {
    var header = BasicHeaderSegment(opcode: .dataOut, flags: isFinal ? 0x80 : 0)
    header.initiatorTaskTag = request.initiatorTaskTag
    header.word20 = request.word20
    header.word36 = number
    header.word40 = request.word40 + UInt32(offset)
    return PDU(header: header, data: data)
  }

  /// Begins a write of 8192 bytes and sends the first half of its data damaged; what follows.
  private func writeDamaged(_ client: TargetClient, _ bytes: [UInt8]) throws -> [PDU] {
    try client.send(self.bytes(client.write(bytes.count)))
    let request = try #require(try client.receive()).header
    #expect(request.opcode == .readyToTransfer)
    let half = bytes.count / 2
    let first = data(for: request, Array(bytes[..<half]), isFinal: false)
    let second = data(for: request, Array(bytes[half...]), from: half, number: 1)
    try client.send(self.bytes(first, isDamaged: true) + self.bytes(second))
    return try (0..<2).map { _ in try #require(try client.receive()) }
  }

  @Test func `asks for lost data again at level 1`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try client(scene, level: 1)
      let wanted = pattern(8192, 6)
      let answers = try writeDamaged(client, wanted)
      #expect(answers.map(\.header.opcode) == [.reject, .readyToTransfer])
      #expect(answers[0].header.byte2 == RejectReason.dataDigestError.rawValue)
      let again = answers[1].header
      #expect(again.word36 == 1 && again.word40 == 0 && again.word44 == 4096)
      try client.send(bytes(data(for: again, Array(wanted[..<4096]))))
      let response = try #require(try client.receive())
      #expect(response.header.opcode == .scsiResponse && response.header.byte3 == 0)
      #expect(try scene.client("iqn.2026-01.test:other").read(8192, at: 0).data == wanted)
    }
  }

  @Test func `fails the write at level 0, and goes on`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try client(scene, level: 0)
      let answers = try writeDamaged(client, pattern(8192, 6))
      #expect(answers.map(\.header.opcode) == [.reject, .scsiResponse])
      let sense = Array(answers[1].data.dropFirst(2))
      #expect(answers[1].header.byte3 == 2)
      #expect([sense[2], sense[12], sense[13]] == [0x0b, 0x47, 0x05])
      try client.send(bytes(client.request(.nopOut)))
      #expect(try client.receive()?.header.opcode == .nopIn)
      let other = try scene.client("iqn.2026-01.test:other")
      #expect(try other.read(8192, at: 0).data == [UInt8](repeating: 0, count: 8192))
    }
  }

  @Test(arguments: [0, 1])
  func `asks for data that doesn't come, and ends the write when it never does`(level: Int)
    async throws
  {
    var limits = TargetLimits()
    limits.dataOutMilliseconds = 40
    try await TargetScene.serving(["0=memory:1M"], limits: limits) { scene in
      let client = try client(scene, level: level)
      try client.send(bytes(client.write(4096)))
      var numbers: [UInt32] = []
      var answer = try #require(try client.receive())
      while answer.header.opcode == .readyToTransfer {
        numbers.append(answer.header.word36)
        answer = try #require(try client.receive())
      }
      #expect(numbers == (level == 0 ? [0] : Array(0...16)))
      #expect(answer.header.opcode == .scsiResponse && answer.header.byte3 == 2)
    }
  }

  @Test func `sends data and a status again`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try client(scene, level: 1)
      let wanted = pattern(10_000, 2).prefix(9728)
      let other = try scene.client("iqn.2026-01.test:other")
      #expect(try other.write(Array(wanted), at: 0).status == 0)
      let blocks = BlockRange(address: 0, count: 19)
      try client.send(bytes(client.command(.read16(blocks), expected: 9728)))
      let first = try (0..<4).map { _ in try #require(try client.receive()) }
      #expect(first.map(\.header.opcode) == [.dataIn, .dataIn, .dataIn, .scsiResponse])
      var snack = client.request(.snackRequest)
      snack.header.initiatorTaskTag = first[0].header.initiatorTaskTag
      snack.header.word28 = first[3].header.word24
      snack.header.word40 = 1
      snack.header.word44 = 2
      try client.send(bytes(snack))
      for pdu in first[1...2] {
        let again = try #require(try client.receive())
        #expect(again.data == pdu.data && again.header.word36 == pdu.header.word36)
      }
      snack.header.flags = 0x81
      snack.header.initiatorTaskTag = reservedTag
      snack.header.word40 = first[3].header.word24
      snack.header.word44 = 1
      try client.send(bytes(snack))
      let again = try #require(try client.receive())
      #expect(again.header.array == first[3].header.array)
    }
  }

  @Test func `keeps no data where all sessions have kept enough`() async throws {
    var limits = TargetLimits()
    limits.recoveryBytesInAllMax = 4096
    try await TargetScene.serving(["0=memory:1M"], limits: limits) { scene in
      let clients = try [client(scene, level: 1), client(scene, level: 1, isid: 2)]
      let blocks = BlockRange(address: 0, count: 8)
      for (client, isKept) in zip(clients, [true, false]) {
        try client.send(bytes(client.command(.read16(blocks), expected: 4096)))
        let answers = try (0..<2).map { _ in try #require(try client.receive()) }
        #expect(answers.map(\.header.opcode) == [.dataIn, .scsiResponse])
        var snack = client.request(.snackRequest)
        snack.header.initiatorTaskTag = answers[0].header.initiatorTaskTag
        snack.header.word28 = answers[1].header.word24
        try client.send(bytes(snack))
        let again = try #require(try client.receive())
        #expect(again.header.opcode == (isKept ? .dataIn : .reject))
        if !isKept { #expect(again.header.byte2 == RejectReason.snackReject.rawValue) }
      }
    }
  }

  // A length, and a tag.
  @Test(arguments: [0, 1], [5, 20])
  func `ends the connection when a header is damaged`(level: Int, place: Int) async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try client(scene, level: level)
      var ping = bytes(client.request(.nopOut))
      ping[place] ^= 0x80
      try client.send(ping)
      try client.expectEnd()
      #expect(try scene.client("iqn.2026-01.test:other").read(512, at: 0).status == 0)
    }
  }
}

import Bytes
import ISCSI
import Testing

private let kinds: [Digests] = [[], .header, .data, [.header, .data]]

private func sample(_ digests: Digests, data: Int, additional: Int = 0) -> PDU {
  var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0x80)
  header.initiatorTaskTag = 0x0102_0304
  var pdu = PDU(
    header: header, additional: pattern(additional, seed: 9), data: pattern(data)[...])
  pdu.digests = digests
  return pdu
}

private func read(_ bytes: [UInt8], _ digests: Digests, chunk: Int = .max) throws -> [PDU] {
  var decoder = FrameDecoder(dataSegmentLengthMax: 1 << 20)
  decoder.digests = digests
  return try decode(bytes, chunk: chunk, decoder: &decoder)
}

struct DigestTests {
  // RFC 7143 appendix A.4: 32 bytes each.
  @Test(
    arguments: [
      ([UInt8](repeating: 0, count: 32), [0xaa, 0x36, 0x91, 0x8a]),
      ([UInt8](repeating: 0xff, count: 32), [0x43, 0xab, 0xa8, 0x62]),
      (Array(0..<32), [0x4e, 0x79, 0xdd, 0x46]),
      (Array((0..<32).reversed()), [0x5c, 0xdb, 0x3f, 0x11]),
    ] as [([UInt8], [UInt8])])
  func `digests are those of the standard`(bytes: [UInt8], digest: [UInt8]) {
    var running = PDUDigest()
    running.update(bytes[..<7])
    running.update(bytes[7...])
    #expect(running.bytes == digest)
  }

  @Test(arguments: kinds, [1, 3, 48, 53, 4096])
  func `what is written with digests is read with them`(digests: Digests, chunk: Int) throws {
    let pdus = [
      sample(digests, data: 0), sample(digests, data: 1), sample(digests, data: 4, additional: 8),
      sample(digests, data: 1000), sample(digests, data: 0, additional: 4),
    ]
    let bytes = pdus.flatMap(encoded)
    #expect(bytes.count == pdus.reduce(0) { $0 + $1.encodedCount })
    let found = try read(bytes, digests, chunk: chunk)
    #expect(found.map(\.data) == pdus.map(\.data))
    #expect(found.map(\.additional) == pdus.map(\.additional))
    #expect(found.allSatisfy { $0.fault == nil })
  }

  @Test func `a damaged header ends everything, wherever the damage is`() throws {
    let bytes = encoded(sample([.header, .data], data: 5, additional: 4))
    // Not what follows the digest; the lengths have a test of their own.
    for place in [0, 1, 8, 20, 47, 48, 51, 52, 55] {
      var damaged = bytes
      damaged[place] ^= 0x10
      #expect(throws: FramingError.self, "\(place)") { try read(damaged, [.header, .data]) }
    }
  }

  // Length of the additional segments, and the three bytes of the data's.
  @Test(arguments: [4, 5, 6, 7], [1, 53, 4096])
  func `a length that was damaged is not believed`(place: Int, chunk: Int) throws {
    var damaged = encoded(sample([.header, .data], data: 8, additional: 4))
    damaged[place] ^= 0x10
    var decoder = FrameDecoder(dataSegmentLengthMax: 8)
    decoder.digests = [.header, .data]
    let rest = [UInt8](repeating: 0, count: 1024)
    let error = #expect(throws: FramingError.self) {
      try decode(damaged + rest, chunk: chunk, decoder: &decoder)
    }
    guard case .headerDigest? = error else {
      Issue.record("it is believed")
      return
    }
    #expect(decoder.heldByteCount < 48 + 1024 + 8)
  }

  @Test func `damaged data comes marked, and what follows it whole`() throws {
    let first = encoded(sample([.header, .data], data: 5))
    let second = encoded(sample([.header, .data], data: 8))
    // Data, padding, digest.
    for place in 52..<first.count {
      var damaged = first
      damaged[place] ^= 0x01
      let found = try read(damaged + second, [.header, .data], chunk: 9)
      #expect(found.map(\.fault) == [.damaged, nil], "\(place)")
      #expect(found.last?.data == sample([], data: 8).data)
    }
  }

  @Test func `one that is too long is skipped with its digests`() throws {
    var decoder = FrameDecoder(dataSegmentLengthMax: 512)
    decoder.digests = [.header, .data]
    let bytes =
      encoded(sample([.header, .data], data: 513, additional: 4))
      + encoded(sample([.header, .data], data: 512))
    var offset = 0
    #expect(throws: FramingError.self) { try decoder.next(bytes, from: &offset) }
    // Its header segments and their digest were read.
    #expect(offset == 48 + 4 + 4)
    #expect(try decoder.next(bytes, from: &offset)?.data.count == 512)
    #expect(offset == bytes.count)
  }
}

struct DigestSessionTests {
  private func pair(_ initiator: Digests, _ target: Digests = []) -> SessionPair {
    var configuration = initiatorConfiguration()
    configuration.wanted.digests = initiator
    return SessionPair(initiator: configuration)
  }

  @Test(arguments: kinds) func `an initiator's wish is granted`(digests: Digests) throws {
    let pair = pair(digests)
    pair.answer = { task in
      CommandCompletion(status: 0, dataIn: task.isRead ? pattern(70_000) : [])
    }
    try pair.settle(chunk: 11)
    #expect(pair.isLoggedIn)
    #expect(pair.initiatorParameters.digests == digests)
    #expect(pair.targetParameters.digests == digests)
    let wanted = pattern(300_001)
    let write = try pair.run(
      InitiatorCommand(lun: 0, commandDescriptorBlock: block(0x2a), transfer: .write(wanted[...])))
    #expect(write?.isGood == true)
    #expect(pair.commands.last?.dataOut == wanted)
    let read = try pair.run(
      InitiatorCommand(
        lun: 0, commandDescriptorBlock: block(0x28), transfer: .read(lengthMax: 70_000)))
    #expect(read?.dataIn == pattern(70_000))
    // No PDU of login has any.
    let login: [Opcode] = [.loginRequest, .loginResponse]
    for pdu in pair.crossed {
      #expect(pdu.digests == (login.contains { $0 == pdu.header.opcode } ? [] : digests))
    }
  }

  @Test(arguments: [
    ("CRC32C", "CRC32C"), ("None,CRC32C", "None"), ("CRC32C,None", "CRC32C"), ("MD5,None", "None"),
    ("MD5,CRC32C", "CRC32C"), ("MD5", "Reject"), ("", "Reject"), ("crc32c", "Reject"),
  ])
  func `the first that both have is taken`(offer: String, answer: String) {
    let target = LoneTarget(offers: "DataDigest=\(offer)")
    #expect(target.session.digests == (answer == "CRC32C" ? .data : []))
  }

  @Test func `data that was damaged fails its task and nothing else`() throws {
    let target = LoneTarget(offers: "DataDigest=CRC32C", "InitialR2T=No", "ImmediateData=Yes")
    var header = writeHeader(tag: 1, length: 512)
    header.word24 = target.commandNumber
    target.commandNumber += 1
    var command = PDU(header: header, data: pattern(512))
    command.fault = .damaged
    let answers = target.send(command)
    #expect(answers.map(\.header.opcode) == [.reject, .scsiResponse])
    #expect(answers.first?.rejectReason == 0x02)
    // Aborted command, protocol service CRC error.
    let sense = answers.last?.data.dropFirst(2) ?? []
    #expect(sense.count == 18 && sense[sense.startIndex + 2] == 0x0b)
    #expect(sense[sense.startIndex + 12] == 0x47 && sense[sense.startIndex + 13] == 0x05)
    #expect(target.commands.isEmpty)
    #expect(target.openTaskCount == 0)
    #expect(target.request(writeHeader(tag: 2, length: 0)).isEmpty && target.commands.count == 1)
  }

  @Test(arguments: [0, 1])
  func `a length that was damaged is the end, at every level`(level: Int) throws {
    let target = LoneTarget(offers: "HeaderDigest=CRC32C", "ErrorRecoveryLevel=\(level)")
    var ping = PDU(header: BasicHeaderSegment(opcode: .nopOut, flags: 0x80))
    ping.header.initiatorTaskTag = 9
    ping.header.word24 = target.commandNumber
    ping.digests = target.session.digests
    #expect(ping.digests == .header)
    var bytes = encoded(ping)
    bytes[5] ^= 0x80
    var decoder = FrameDecoder(dataSegmentLengthMax: target.session.receiveDataSegmentLengthMax)
    decoder.digests = ping.digests
    var offset = 0
    let error = #expect(throws: FramingError.self) { try decoder.next(bytes, from: &offset) }
    #expect(offset == 52)
    #expect(target.take { if let error { $0.handle(error) } }.isEmpty)
    guard case .close(.headerDigest)? = target.events.last else {
      Issue.record("it goes on")
      return
    }
  }

  @Test func `an initiator doesn't go on with a target whose words come damaged`() throws {
    let pair = pair([.header, .data])
    try pair.settle()
    var answer = PDU(header: BasicHeaderSegment(opcode: .nopIn), data: [1, 2, 3, 4])
    answer.fault = .damaged
    pair.initiator.handle(answer)
    guard case .violation(.damaged)? = pair.initiator.pollEvent() else {
      Issue.record("it goes on")
      return
    }
    let other = self.pair([.header])
    try other.settle()
    other.initiator.handle(.headerDigest)
    guard case .violation(.damaged)? = other.initiator.pollEvent() else {
      Issue.record("it goes on")
      return
    }
  }
}

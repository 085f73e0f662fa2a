import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

@Suite struct `A target daemon` {
  /// One LUN in memory, one in a file.
  private static func units(_ scratch: ScratchDirectory) -> [String] {
    ["0=memory:8M", "1=file:\(scratch.path)/disk.img,size=8M"]
  }

  @Test(arguments: [0, 1])
  func `gives back to one session what another wrote`(lun: Int) async throws {
    let scratch = try ScratchDirectory()
    try await TargetScene.serving(Self.units(scratch)) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let other = try scene.client("iqn.2026-01.test:other")
      let (first, second) = (pattern(8192, 1), pattern(8192, 2))
      #expect(try one.write(first, at: 3, lun: lunField(lun)).status == 0)
      #expect(try other.write(second, at: 1003, lun: lunField(lun)).status == 0)
      #expect(try one.read(8192, at: 1003, lun: lunField(lun)).data == second)
      #expect(try other.read(8192, at: 3, lun: lunField(lun)).data == first)
      let between = try one.read(512, at: 2, lun: lunField(lun))
      #expect(between.data == [UInt8](repeating: 0, count: 512))
      let beyond = try one.read(1024, at: 16383, lun: lunField(lun))
      #expect(beyond.status == 2)
      #expect(beyond.words == [5, 0x21, 0])
    }
  }

  @Test func `answers for a LUN that is not there`() async throws {
    try await TargetScene.serving(["3=memory:1M"]) { scene in
      let client = try scene.client()
      let inquiry = try client.run(.inquiry(allocationLength: 36), lun: 0, expected: 36)
      #expect(inquiry.data.first == 0x7f)
      let list = try client.run(.reportLUNs(allocationLength: 64), lun: 0, expected: 64)
      #expect(list.data == [0, 0, 0, 8, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0])
      #expect(try client.run(.testUnitReady, lun: 0).words == [5, 0x25, 0])
      #expect(try client.run(.testUnitReady, lun: 0xffff_0000_0000_0000).words == [5, 0x25, 0])
    }
  }

  @Test func `serves a disk of zeros, in memory and read only`() async throws {
    try await TargetScene.serving(["0=memory:1M,readonly"]) { scene in
      let client = try scene.client()
      #expect(try client.write(pattern(512, 1), at: 0).words == [7, 0x27, 0])
      #expect(try client.read(512, at: 0).data == [UInt8](repeating: 0, count: 512))
    }
  }

  @Test func `lists itself where it was reached`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let client = try TargetClient(port: scene.port)
      #expect(try client.logIn(nil) == 0)
      try client.send(
        client.request(.textRequest, data: Array("SendTargets=All\0".utf8)).encoded)
      let answer = try #require(try client.receive())
      let text = String(decoding: answer.data, as: UTF8.self)
      #expect(
        text == "TargetName=\(TargetScene.name)\0TargetAddress=127.0.0.1:\(scene.port),1\0")
    }
  }

  @Test func `all data is on the medium when it has stopped`() async throws {
    let scratch = try ScratchDirectory()
    let data = pattern(1 << 20, 7)
    let client = try await TargetScene.serving(Self.units(scratch)) { scene in
      let client = try scene.client()
      for start in stride(from: 0, to: data.count, by: 65_536) {
        let piece = Array(data[start..<start + 65_536])
        #expect(try client.write(piece, at: UInt64(start / 512), lun: lunField(1)).status == 0)
      }
      return UncheckedBox(client)
    }
    #expect(Array(scratch.bytes("disk.img").prefix(data.count)) == data)
    try client.value.expectEnd()
  }

  @Test(arguments: [0, 1])
  func `large answers wait for a reader that is slow, and come whole`(lun: Int) async throws {
    let scratch = try ScratchDirectory()
    var limits = TargetLimits()
    limits.transferBytesMax = 1 << 20
    limits.outputBytesMax = 65_536
    try await TargetScene.serving(Self.units(scratch), limits: limits) { scene in
      let client = try scene.client()
      let block = pattern(4096, 9)
      #expect(try client.write(block, at: 0, lun: lunField(lun)).status == 0)
      let blocks = BlockRange(address: 0, count: 8192)
      for _ in 0..<20 {
        try client.send(
          client.command(.read16(blocks), lun: lunField(lun), expected: 4 << 20).encoded)
      }
      var received = 0
      var ended = 0
      while ended < 20, let pdu = try client.receive() {
        #expect(pdu.header.opcode == .dataIn)
        if pdu.header.word40 == 0 { #expect(Array(pdu.data.prefix(4096)) == block) }
        received += pdu.data.count
        ended += Int(pdu.header.flags & 1)
      }
      #expect(received == 80 << 20)
    }
  }

  @Test func `a logout is answered after what still runs, and ends the connection`() async throws {
    let scratch = try ScratchDirectory()
    try await TargetScene.serving(Self.units(scratch)) { scene in
      let client = try scene.client()
      let data = pattern(65_536, 5)
      var bytes: [UInt8] = []
      for index in 0..<16 {
        let blocks = BlockRange(address: UInt64(index * 128), count: 128)
        bytes += client.command(.write16(blocks), lun: lunField(1), data: data).encoded
      }
      bytes += client.request(.logoutRequest).encoded
      try client.send(bytes)
      var last: Opcode?
      while let pdu = try client.receive() { last = pdu.header.opcode }
      #expect(last == .logoutResponse)
    }
    let isWritten = Array(scratch.bytes("disk.img").prefix(65_536)) == pattern(65_536, 5)
    #expect(isWritten)
  }

  @Test func `a login of the same initiator port ends its old session`() async throws {
    try await TargetScene.serving(["0=memory:1M"]) { scene in
      let old = try scene.client(isid: 77)
      let other = try scene.client(isid: 78)
      let new = try scene.client(isid: 77)
      // SPC-4 §5.14.7: it hears that its nexus was lost.
      #expect(try new.run(.testUnitReady).words == [6, 0x29, 7])
      #expect(try new.write(pattern(512, 1), at: 0).status == 0)
      try old.expectEnd()
      #expect(try other.read(512, at: 0).data == pattern(512, 1))
    }
  }

  @Test func `a reset is told to every session once`() async throws {
    try await TargetScene.serving(["0=memory:1M", "1=memory:1M"]) { scene in
      let one = try scene.client("iqn.2026-01.test:one")
      let other = try scene.client("iqn.2026-01.test:other")
      var reset = one.request(.taskManagementRequest, flags: 0x85, lun: lunField(1))
      reset.header.word20 = 0xffff_ffff
      try one.send(reset.encoded)
      let answer = try #require(try one.receive())
      #expect(answer.header.opcode == .taskManagementResponse)
      #expect(answer.header.byte2 == 0)
      for client in [one, other] {
        #expect(try client.run(.testUnitReady, lun: lunField(0)).status == 0)
        #expect(try client.run(.inquiry(), lun: lunField(1), expected: 36).status == 0)
        #expect(try client.run(.testUnitReady, lun: lunField(1)).words == [6, 0x29, 3])
        #expect(try client.run(.testUnitReady, lun: lunField(1)).status == 0)
      }
      reset.header.lun = lunField(9)
      try one.send(reset.encoded)
      #expect(try one.receive()?.header.byte2 == 2)
    }
  }
}

/// Carries a client out of the scene; nobody else has it.
struct UncheckedBox<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}

import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

/// Memory has blocks placed as they come, a file takes stores: both are LUNs.
private let kinds = ["memory", "file"]

extension ScratchDirectory {
  /// What a LUN of 1 MiB stands on.
  fileprivate func place(_ kind: String) -> String {
    kind == "file" ? "file:\(path)/disk.img,size=1M" : "memory:1M"
  }
}

@Suite(.timeLimit(.minutes(10)))
struct `A virtual LUN is a LUN` {
  private let one = [UInt8](repeating: 1, count: 512)
  private let two = [UInt8](repeating: 2, count: 512)
  private let none = [UInt8](repeating: 0, count: 512)

  @Test(arguments: kinds) func `an attention is heard once, by whichever command comes first`(
    kind: String
  ) async throws {
    let scratch = try ScratchDirectory()
    try await MirrorScene.run([["0=\(scratch.place(kind))", "1=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene)
      let other = try scene.targets[0].client()
      #expect(try mirror.write(one, at: 0).status == 0)
      // MODE SELECT by another: heard by a mirrored write, of which nothing is stored.
      #expect(try other.setControl() == 0)
      #expect(try other.setControl(descriptors: true) == 0)
      #expect(try other.setControl() == 0)
      let ended = try mirror.write(two, at: 0)
      #expect(ended.status == 2 && ended.words == [6, 0x2a, 1])
      #expect(ended.units.map(\.lun) == [0] && ended.units.map(\.sense) == [ended.sense])
      #expect(try other.read(512, at: 0).data == one)
      #expect(try mirror.client.run(.testUnitReady).status == 0)
      #expect(try mirror.write(two, at: 0).status == 0)
      #expect(try other.read(512, at: 0).data == two)
      // The same, heard by a plain command: the mirrored write after it is done.
      #expect(try other.setControl(descriptors: true) == 0)
      #expect(try other.setControl() == 0)
      #expect(try mirror.client.run(.testUnitReady).words == [6, 0x2a, 1])
      #expect(try mirror.write(one, at: 0).status == 0)
      // What another LUN has to tell is no matter of this one.
      #expect(try other.manage(.logicalUnitReset, lun: 1) == 0)
      #expect(try mirror.write(two, at: 0).status == 0)
      #expect(try mirror.client.run(.testUnitReady, lun: lunField(1)).words == [6, 0x29, 3])
    }
  }

  @Test func `several LUNs tell their own, and none is written`() async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene, luns: "0,1")
      let other = try scene.targets[0].client()
      #expect(try other.manage(.logicalUnitReset, lun: 1) == 0)
      let ended = try mirror.write(one, at: 0)
      #expect(ended.words == [6, 0x29, 3] && ended.units.map(\.status) == [2, 2])
      #expect(try other.run(.testUnitReady, lun: lunField(1)).words == [6, 0x29, 3])
      for lun in [0, 1] { #expect(try other.read(512, at: 0, lun: lunField(lun)).data == none) }
      #expect(try mirror.write(one, at: 0).status == 0)
      for lun in [0, 1] { #expect(try other.read(512, at: 0, lun: lunField(lun)).data == one) }
    }
  }

  @Test(arguments: [false, true]) func `sense is byte for byte the LUN's own`(
    hasDescriptors: Bool
  ) async throws {
    try await MirrorScene.run([["0=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene)
      #expect(try mirror.client.setControl(descriptors: hasDescriptors) == 0)
      let plain = try mirror.client.write(one, at: 1 << 40)
      let mirrored = try mirror.write(one, at: 1 << 40)
      #expect(plain.sense.first == (hasDescriptors ? 0x72 : 0x70))
      #expect(mirrored.status == plain.status && mirrored.sense == plain.sense)
      #expect(mirrored.units.map(\.sense) == [plain.sense])
      let isProtected = try mirror.client.setControl(
        descriptors: hasDescriptors, writeProtected: true)
      #expect(isProtected == 0)
      let refused = try mirror.client.write(one, at: 0)
      let refusedMirrored = try mirror.write(one, at: 0)
      #expect(refused.sense == refusedMirrored.sense && refused.status == 2)
      #expect(try mirror.client.setControl(descriptors: hasDescriptors) == 0)
      #expect(try mirror.write(one, at: 0).status == 0)
    }
  }

  @Test(arguments: [1, 3, 5, 6, 7, 8] as [UInt8])
  func `reservations admit and refuse mirrored writes as plain ones`(type: UInt8) async throws {
    try await MirrorScene.run([["0=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene)
      let other = try scene.targets[0].client()
      #expect(try other.reserve(0, new: 2) == 0)
      #expect(try other.reserve(1, type: type, key: 2) == 0)
      #expect(try mirror.write(one, at: 0).status == 0x18)
      #expect(try mirror.client.reserve(0, new: 1) == 0)
      let admitted: UInt8 = type >= 5 ? 0 : 0x18
      #expect(try mirror.write(one, at: 0).status == admitted)
      // RELEASE tells registrants, but only of the types that were theirs.
      #expect(try other.reserve(2, type: type, key: 2) == 0)
      if type >= 5 { #expect(try mirror.write(one, at: 0).words == [6, 0x2a, 4]) }
      #expect(try mirror.write(one, at: 0).status == 0)
      // One's own reservation keeps the others out, not the mirror; CLEAR tells the others.
      #expect(try mirror.client.reserve(1, type: type, key: 1) == 0)
      #expect(try mirror.write(two, at: 0).status == 0)
      #expect(try other.reserve(3, key: 2) == 0)
      #expect(try mirror.write(one, at: 0).words == [6, 0x2a, 3])
      #expect(try mirror.write(one, at: 0).status == 0)
      #expect(try other.read(512, at: 0).data == one)
      // RESERVE (6) is its session's, by whichever command.
      #expect(try mirror.client.run(CommandDescriptorBlock(.reserve6)).status == 0)
      #expect(try mirror.write(two, at: 0).status == 0)
      #expect(try mirror.client.run(CommandDescriptorBlock(.release6)).status == 0)
    }
  }

  @Test func `plain commands find the LUNs, and no virtual one`() async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene, luns: "0")
      let virtual = lunField(LiteralMirror.virtualLUN)
      let client = mirror.client
      #expect(try client.run(.inquiry(), lun: virtual, expected: 36).data.first == 0x7f)
      let range = BlockRange(address: 0, count: 1)
      for (block, expected) in [
        (.testUnitReady, 0), (.readCapacity16(), 32), (.read16(range), 512),
        (CommandDescriptorBlock(.modeSense6), 0),
      ] as [(CommandDescriptorBlock, Int)] {
        let ended = try client.run(block, lun: virtual, expected: expected)
        #expect(ended.words == [5, 0x25, 0])
      }
      #expect(try client.write(one, at: 0, lun: virtual).words == [5, 0x25, 0])
      var report = CommandDescriptorBlock(.reportLUNs)
      report[9] = 64
      let luns = try client.run(report, expected: 64).data
      #expect(
        luns.prefix(4) == [0, 0, 0, 16]
          && luns.dropFirst(8) == [0, 0] + none.prefix(6) + [0, 1] + none.prefix(6))
      // The LUN itself is read and asked as ever, and written by its mirror alone.
      #expect(try client.write(one, at: 0).words == [7, 0x27, 0])
      #expect(try client.write(one, at: 0, lun: lunField(1)).status == 0)
      #expect(try mirror.write(two, at: 0).status == 0)
      #expect(try client.read(512, at: 0).data == two)
      #expect(try client.run(.readCapacity16(), expected: 32).status == 0)
      #expect(try client.run(.testUnitReady).status == 0)
    }
  }
}

@Suite(.timeLimit(.minutes(10)))
struct `Mirrored writes and command numbers` {
  private let data = [UInt8](repeating: 7, count: 512)

  /// Plain writes take the whole window and wait for their data; mirrored ones need none of it.
  @Test(arguments: [1, 0xffff_fff0, 0xffff_ffff, 0x7fff_fff8] as [UInt32])
  func `need none of a session's`(first: UInt32) async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene, first: first)
      let client = mirror.client
      let idle = try mirror.write(data, at: 0)
      #expect(idle.status == 0)
      try client.send(client.command(.testUnitReady).encoded)
      let before = try mirror.next().header
      let size = before.word32 &- before.word28 &+ 1
      #expect(before.word28 == first &+ 1 && size >= 16)
      var requests: [BasicHeaderSegment] = []
      for index in 0..<size {
        let range = BlockRange(address: UInt64(index), count: 1)
        let command = client.command(
          .write16(range), lun: lunField(1), expected: 512, isWrite: true)
        try client.send(command.encoded)
        let request = try mirror.next().header
        #expect(request.opcode == .readyToTransfer && request.word28 == command.header.word24 &+ 1)
        requests.append(request)
        if index % 8 == 7 {
          // Answered in between, without a number; what they tell of the window is the session's.
          #expect(try mirror.write(data, at: UInt64(index)).status == 0)
        }
      }
      // The window is closed, but not to mirrored writes, nor to immediate commands.
      let number = mirror.sendCommand(data, at: 100)
      let ended = try mirror.next().header
      #expect(ended.initiatorTaskTag == LiteralMirror.tag(number) && ended.byte3 == 0)
      #expect(ended.word32 &+ 1 == ended.word28 && ended.word28 == first &+ 1 &+ size)
      try client.send(client.command(.testUnitReady, isImmediate: true).encoded)
      #expect(try mirror.next().header.word28 == first &+ 1 &+ size)
      for request in requests {
        var header = BasicHeaderSegment(opcode: .dataOut, flags: 0x80)
        header.lun = request.lun
        header.initiatorTaskTag = request.initiatorTaskTag
        header.word20 = request.word20
        try client.send(PDU(header: header, data: data).encoded)
        #expect(try mirror.next().header.byte3 == 0)
        #expect(try mirror.write(data, at: 200).status == 0)
      }
      try client.send(client.command(.testUnitReady).encoded)
      let after = try mirror.next().header
      #expect(after.word28 == first &+ 2 &+ size && after.word32 &- after.word28 &+ 1 == size)
    }
  }
}

import Foundation
import ISCSI
import Replication
import SCSI
import Storage
import Testing

@testable import Mirrorcast

/// A daemon whose LUN belongs to a kept mirror, as initiators see it: over TCP and by datagrams.
@Suite(.timeLimit(.minutes(10))) struct `A target of a kept mirror` {
  private static let name = "iqn.2025-01.org.example:kept"
  private static let virtualLUN = 5
  private let scratch: ScratchDirectory
  private var file: String { "0=file:\(scratch.path)/disk.img,size=64M" }
  private var journal: String { "\(scratch.path)/disk.img.mirror" }

  init() throws { scratch = try ScratchDirectory() }

  /// Runs `body` with a daemon; each run is a new life of it.
  private func serving(
    _ units: [String]? = nil, lanes: Int = 1, _ body: (SceneTarget) async throws -> Void
  ) async throws {
    let target = try await SceneTarget.start(units ?? [file], name: Self.name, lanes: lanes)
    do {
      try await body(target)
    } catch {
      try? await target.stop()
      throw error
    }
    try await target.stop()
  }

  private func registration(
    _ number: UInt32, group: GroupAddress, holder: UInt64? = nil, stripe: Stripe? = nil
  ) -> RegistrationRequest {
    var request = RegistrationRequest(
      registration: number, group: group.address, port: UInt16(group.port), luns: [0],
      virtualLUN: Self.virtualLUN)
    request.sender = "127.0.0.1:0"
    request.holder = holder
    request.stripe = stripe
    return request
  }

  private func digest(_ bytes: [UInt8]) -> [UInt8] {
    CHAPFunctions.standard.hash(.sha256, bytes)
  }

  private func result(_ keys: TextKeys) -> String { keys[RegistrationKey.result] ?? "" }

  /// Sense key, code and qualifier of what is refused.
  private static let protected: [UInt8] = [7, 0x27, 0]
  private static let notOpened: [UInt8] = [2, 4, 2]
  private static let beingCopied: [UInt8] = [2, 4, 5]

  @Test func `refuses ordinary changes and strange registrations, and remembers it`() async throws {
    let group = try MirrorScene.newGroup()
    let image = pattern(512, 9)
    let record = keptRecord(members: 2)
    try await serving { target in
      try await beginLife(target, group, record, image)
    }
    try await serving { target in
      try await goOn(target, group, record, image)
    }
    try await serving { target in
      let other = try target.client()
      #expect(try other.read(512, at: 8).data == image)
      let holder = try KeptClient(target)
      _ = try holder.ask(.claim(holder: 78))
      #expect(try holder.ask(.release) == .done)
      #expect(try other.write(pattern(512, 3), at: 8).status == 0)
      #expect(!FileManager.default.fileExists(atPath: journal))
    }
  }

  /// The first life: a LUN becomes a mirror's, and takes a write of it.
  private func beginLife(
    _ target: SceneTarget, _ group: GroupAddress, _ record: MirrorRecord, _ image: [UInt8]
  ) async throws {
    let other = try target.client()
    #expect(try other.write(pattern(4096, 1), at: 0).status == 0)
    let holder = try KeptClient(target)
    #expect(try holder.ask(.adopt(record, replaces: false)).refusal == .notClaimed)
    try holder.open(record)
    // Another one has no part in it.
    let stranger = try KeptClient(target, "iqn.2026-01.test:stranger")
    #expect(try stranger.ask(.claim(holder: 2)).refusal == .held)
    #expect(
      result(try stranger.ask(registration(9, group: group, holder: 2).keys)) == "kept")
    #expect(result(try stranger.ask(registration(9, group: group).keys)) == "kept")
    #expect(try stranger.ask(.claim(holder: 2), lun: 3).refusal == .noSuchLUN)
    // What is in sync and open is read by everybody, and changed by nobody.
    #expect(try other.read(4096, at: 0).data == pattern(4096, 1))
    for client in [other, holder.client] {
      #expect(try client.write(image, at: 8).words == Self.protected)
      #expect(try client.run(.synchronizeCache16).status == 0)
    }
    #expect(try other.read(512, at: 8).data == [UInt8](repeating: 0, count: 512))
    // A mirrored write is stored, and what it touches is marked.
    #expect(
      result(try holder.ask(registration(9, group: group, holder: 1).keys)) == "registered")
    let sender = try PlainSender()
    let maker = DatagramMaker(registration: 9, virtualLUN: UInt16(Self.virtualLUN))
    sender.send(maker.command(0, block: 8, image), to: group.address, port: group.port)
    let answer = try #require(try holder.client.receive())
    #expect(answer.header.opcode == .scsiResponse && answer.header.byte3 == 0)
    #expect(try other.read(512, at: 8).data == image)
    let error = await #expect(throws: MirrorcastError.self) {
      try await target.daemon.reload(
        Mirrorcast.TargetConfiguration(
          portal: PortalAddress(parsing: "127.0.0.1:0"), targetName: Self.name,
          logicalUnits: ["7=memory:1M"]))
    }
    #expect(error?.what.contains("LUN 0") == true, "\(error?.what ?? "")")
  }

  /// The second one, after a first that ended without a word.
  private func goOn(
    _ target: SceneTarget, _ group: GroupAddress, _ record: MirrorRecord, _ image: [UInt8]
  ) async throws {
    let other = try target.client()
    #expect(try other.read(512, at: 8).words == Self.notOpened)
    #expect(try other.run(CommandDescriptorBlock(.testUnitReady)).words == Self.notOpened)
    #expect(try other.write(image, at: 8).words == Self.protected)
    #expect(try other.run(.readCapacity16(), expected: 32).status == 0)
    let holder = try KeptClient(target)
    #expect(result(try holder.ask(registration(9, group: group).keys)) == "kept")
    let descriptor = try holder.ask(.claim(holder: 77)).descriptor
    #expect(descriptor?.record == record)
    #expect(descriptor?.markedCount ?? 0 > 0)
    #expect(descriptor?.isIntact == false)
    // Whoever has claimed it may read and compare.
    #expect(try holder.client.read(512, at: 8).data == image)
    let next = keptRecord(members: 2, counter: 2)
    #expect(try holder.ask(.adopt(next, replaces: false)) == .done)
    #expect(try holder.ask(.close) == .done)
    #expect(try other.read(512, at: 8).data == image)
    #expect(try other.write(image, at: 8).words == Self.protected)
  }

  @Test func `gives a leg that lacks something copies, and nobody its bytes`() async throws {
    let group = try MirrorScene.newGroup()
    try await serving(["0=memory:64M"]) { target in
      let holder = try KeptClient(target)
      try holder.open(keptRecord(members: 2, [.stale, .inSync]))
      let other = try target.client()
      #expect(try other.read(512, at: 0).words == Self.beingCopied)
      #expect(
        result(try holder.ask(registration(3, group: group).keys)) == "registered")
      let sender = try PlainSender()
      var maker = DatagramMaker(registration: 3, virtualLUN: UInt16(Self.virtualLUN))
      maker.flags = .copy
      sender.send(
        maker.command(0, block: 0, pattern(512, 5)), to: group.address, port: group.port)
      #expect(try #require(try holder.client.receive()).header.byte3 == 0)
      #expect(try holder.client.read(512, at: 0).data == pattern(512, 5))
      // In sync, it leaves copies alone; an ordinary write behind one tells that it came and went.
      let next = keptRecord(members: 2, counter: 2)
      #expect(try holder.ask(.adopt(next, replaces: false)) == .done)
      sender.send(
        maker.command(1, block: 0, pattern(512, 6)), to: group.address, port: group.port)
      maker.flags = []
      sender.send(
        maker.command(2, block: 8, pattern(512, 7)), to: group.address, port: group.port)
      let answer = try #require(try holder.client.receive())
      #expect(answer.header.initiatorTaskTag == Datagram.taskTag(of: .init(2)))
      #expect(try other.read(512, at: 0).data == pattern(512, 5))
    }
  }

  @Test(arguments: [1, 2]) func `ends all parts of a mirror with its claim`(lanes: Int) async throws
  {
    let group = try MirrorScene.newGroup()
    try await serving(lanes: lanes) { target in
      let first = try KeptClient(target)
      let second = try KeptClient(target, isid: 2)
      try first.open(keptRecord(), holder: 50)
      for (index, client) in [first, second].enumerated() {
        let part = registration(
          UInt32(index) + 20, group: group, holder: 50,
          stripe: Stripe(mirror: 99, index: index, count: 2))
        #expect(result(try client.ask(part.keys)) == "registered")
      }
      #expect(try first.ask(.release).refusal == .conflict)
      first.client.close()
      // The daemon hears of the end when it does; then nothing of the mirror is left.
      let next = try KeptClient(target, "iqn.2026-01.test:next")
      var claimed = try next.ask(.claim(holder: 51))
      while claimed.refusal == .held { claimed = try next.ask(.claim(holder: 51)) }
      #expect(claimed.descriptor?.record == keptRecord())
      let again = registration(
        21, group: group, holder: 50, stripe: Stripe(mirror: 99, index: 1, count: 2))
      #expect(result(try second.ask(again.keys)) == "kept")
      #expect(try next.ask(.adopt(keptRecord(counter: 2), replaces: false)) == .done)
      #expect(
        result(try next.ask(registration(30, group: group, holder: 51).keys)) == "registered")
    }
  }

  @Test func `tells digests to its holder`() async throws {
    let image = pattern(1 << 20, 77)
    try await serving { target in
      let other = try target.client()
      for start in stride(from: 0, to: 128 << 10, by: 4096) {
        let piece = Array(image[start..<start + 4096])
        #expect(try other.write(piece, at: UInt64(start / 512)).status == 0)
      }
      let holder = try KeptClient(target)
      var request = DigestRequest(lun: 0, offset: 0, length: 256 << 10, chunk: 64 << 10)
      #expect(try holder.digests(request) == .refused(.notClaimed, "claim it first"))
      _ = try holder.ask(.claim(holder: 4))
      let zeros = [UInt8](repeating: 0, count: 64 << 10)
      let chunks = [Array(image[0..<65_536]), Array(image[65_536..<131_072]), zeros, zeros]
      let told = try holder.digests(request)
      let isRight = told == .digests(chunks.flatMap { digest($0) })
      #expect(isRight)
      // The last chunk is shorter, and half of it is a hole.
      request = DigestRequest(lun: 0, offset: 126 << 10, length: 6 << 10, chunk: 4096)
      let bytes = Array(image[(126 << 10)..<(128 << 10)]) + zeros.prefix(4096)
      let short = [Array(bytes.prefix(4096)), Array(bytes.suffix(2048))]
      let isShortRight =
        try holder.digests(request)
        == .digests(short.flatMap { digest($0) })
      #expect(isShortRight)
      request.offset = (64 << 20) - 4096
      #expect(
        try holder.digests(request) == .refused(.badRequest, "the range lies off the disk"))
    }
  }

  @Test func `a closed LUN takes no write of its mirror`() async throws {
    let group = try MirrorScene.newGroup()
    try await serving { target in
      let holder = try KeptClient(target)
      try holder.open()
      #expect(result(try holder.ask(registration(4, group: group).keys)) == "registered")
      #expect(try holder.ask(.close) == .done)
      let sender = try PlainSender()
      let maker = DatagramMaker(registration: 4, virtualLUN: UInt16(Self.virtualLUN))
      sender.send(
        maker.command(0, block: 0, pattern(512, 5)), to: group.address, port: group.port)
      var answer = try #require(try holder.client.receive())
      while answer.header.opcode != .scsiResponse {
        answer = try #require(try holder.client.receive())
      }
      #expect(answer.header.byte3 == 2)
      let sense = Array(answer.data.dropFirst(2))
      // SPC-4: HARDWARE ERROR, INTERNAL TARGET FAILURE.
      #expect([sense[2], sense[12], sense[13]] == [4, 0x44, 0])
      #expect(try holder.client.read(512, at: 0).data == [UInt8](repeating: 0, count: 512))
    }
  }

  @Test func `a lost session's mirror ends when its initiator is back`() async throws {
    let group = try MirrorScene.newGroup()
    try await serving { target in
      let lost = try KeptClient(target)
      try lost.open(keptRecord(), holder: 50)
      #expect(result(try lost.ask(registration(4, group: group).keys)) == "registered")
      let back = try KeptClient(target, isid: 2)
      #expect(try back.ask(.claim(holder: 50)).descriptor?.record == keptRecord())
      #expect(try lost.ask(.marks(from: 0)).refusal == .notClaimed)
      #expect(result(try lost.ask(registration(4, group: group, holder: 50).keys)) == "kept")
      #expect(try back.ask(.adopt(keptRecord(counter: 2), replaces: false)) == .done)
      #expect(result(try back.ask(registration(4, group: group).keys)) == "registered")
    }
  }

  @Test func `asks nobody about LUNs of mirrors without a name`() async throws {
    let group = try MirrorScene.newGroup()
    try await serving { target in
      let plain = try KeptClient(target, "iqn.2026-01.test:plain")
      #expect(result(try plain.ask(registration(9, group: group).keys)) == "registered")
      let holder = try KeptClient(target)
      _ = try holder.ask(.claim(holder: 1))
      #expect(try holder.ask(.adopt(keptRecord(), replaces: false)).refusal == .conflict)
      _ = try plain.ask(
        TerminationRequest(registration: 9, group: nil, virtualLUN: nil).keys)
      #expect(try holder.ask(.adopt(keptRecord(), replaces: false)) == .done)
      #expect(result(try plain.ask(registration(9, group: group).keys)) == "kept")
    }
  }
}

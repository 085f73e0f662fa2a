// Recovery within a connection, RFC 7143 §7.1.4: whatever PDU is lost or damaged, a command ends
// with the right bytes.
import Bytes
import ISCSI
import Testing

struct RecoveryTests {
  enum Work: CaseIterable, Sendable {
    case read, solicitedWrite, unsolicitedWrite, immediateWrite, wholeWrite

    var offers: [String] { self == .unsolicitedWrite ? ["InitialR2T=No"] : [] }
    var byteCount: Int { self == .wholeWrite ? 512 : 5000 }
  }

  /// Does one command's work; whether all went well.
  private func succeeds(_ work: Work, in scene: LossyScene) -> Bool {
    let bytes = pattern(work.byteCount, seed: 7)
    let tag: UInt32
    switch work {
    case .read:
      scene.disk.replaceSubrange(0..<bytes.count, with: bytes)
      tag = scene.read(bytes.count)
    case .solicitedWrite: tag = scene.write(bytes)
    case .unsolicitedWrite: tag = scene.write(bytes, immediate: 512, unasked: 512)
    case .immediateWrite, .wholeWrite: tag = scene.write(bytes, immediate: 512)
    }
    guard scene.settle(), let ended = scene.ended[tag] else { return false }
    let isGood = ended.response?.status == 0
    return isGood && (work == .read ? ended.bytes == bytes : scene.disk.starts(with: bytes))
  }

  private func scene(_ work: Work) -> LossyScene {
    LossyScene(offers: work.offers)
  }

  @Test(arguments: Work.allCases)
  func `nothing is asked for twice where nothing was lost`(work: Work) {
    let scene = scene(work)
    #expect(succeeds(work, in: scene))
    #expect(scene.silences == 0 && scene.target.session.rejectedCount == 0)
    let snacks = scene.requested.filter { $0.header.opcode == .snackRequest }
    // 5000 bytes are three bursts, and the last is acknowledged by its status.
    #expect(snacks.map(\.header.flags) == (work == .read ? [0x82, 0x82] : []))
    #expect(snacks.map(\.header.word40) == (work == .read ? [4, 8] : []))
    let statuses = scene.sent.filter { $0.header.opcode == .scsiResponse }
    #expect(statuses.map(\.header.word36) == [work == .read ? 10 : 0])
    // The next request acknowledges all.
    #expect(scene.target.session.keptByteCount == (work == .read ? 5000 - 4096 : 0))
    _ = scene.read(0)
    scene.settle()
    #expect(scene.target.session.keptByteCount == 0)
  }

  @Test(arguments: Work.allCases, Harm.allCases)
  func `any one PDU may be lost or damaged`(work: Work, harm: Harm) {
    let clean = scene(work)
    #expect(succeeds(work, in: clean))
    for isInitiators in [true, false] {
      let count = isInitiators ? clean.requested.count : clean.sent.count
      for index in 0..<count {
        let scene = scene(work)
        scene.harm = { sender, number, _ in
          sender == isInitiators && number == index ? harm : nil
        }
        #expect(succeeds(work, in: scene), "\(isInitiators) \(index)")
        #expect(scene.target.openTaskCount == 0)
      }
    }
  }

  @Test(arguments: 0..<60)
  func `many may be, of several commands at once`(seed: Int) {
    let scene = LossyScene(recoveriesMax: 1000, offers: ["InitialR2T=No"])
    var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
    scene.harm = { _, _, _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % 100 < 8 ? Harm.allCases[Int(state >> 40 & 1)] : nil
    }
    let bytes = pattern(9000, seed: UInt8(seed))
    let write = scene.write(bytes, immediate: 512, unasked: 512)
    #expect(scene.settle())
    let reads = (0..<3).map { scene.read(3000 * ($0 + 1)) }
    let again = scene.write(bytes)
    #expect(scene.settle())
    #expect(scene.ended[write]?.response?.status == 0)
    #expect(scene.ended[again]?.response?.status == 0)
    #expect(scene.disk.starts(with: bytes))
    for (index, tag) in reads.enumerated() {
      #expect(scene.ended[tag]?.bytes == Array(bytes.prefix(3000 * (index + 1))))
    }
    #expect(scene.target.openTaskCount == 0)
  }

  @Test func `only what was lost is asked for, under the next numbers`() {
    let scene = LossyScene()
    let bytes = pattern(4096)
    // The command is number 0, then come two bursts of four PDUs.
    scene.harm = { isInitiators, index, _ in
      isInitiators && (index == 2 || index == 4) ? .damaged : nil
    }
    scene.write(bytes)
    scene.settle()
    let requests = scene.sent.filter { $0.header.opcode == .readyToTransfer }.map(\.header)
    #expect(requests.map(\.word36) == [0, 1, 2, 3])
    #expect(requests.map(\.word40) == [0, 512, 1536, 2048])
    #expect(requests.map(\.word44) == [2048, 512, 512, 2048])
    #expect(Set(requests.map(\.word20)).count == 4)
    let rejects = scene.sent.compactMap(\.rejectReason)
    #expect(rejects == [2, 2])
    #expect(scene.disk.starts(with: bytes))
  }

  @Test(arguments: [0, 1, 5])
  func `data that is lost again and again fails its task`(recoveriesMax: Int) {
    let scene = LossyScene(recoveriesMax: recoveriesMax)
    scene.harm = { _, _, pdu in pdu.header.opcode == .dataOut ? .damaged : nil }
    let tag = scene.write(pattern(512))
    #expect(scene.settle())
    #expect(scene.ended[tag]?.response?.senseCode == [0x47, 0x05])
    #expect(scene.sent.count { $0.header.opcode == .readyToTransfer } == 1 + recoveriesMax)
    #expect(scene.target.openTaskCount == 0)
    scene.harm = { _, _, _ in nil }
    #expect(succeeds(.solicitedWrite, in: scene))
  }

  @Test func `what comes late of a sequence that was given up is dropped`() throws {
    let scene = LossyScene()
    let bytes = pattern(1024)
    // The data isn't lost but late: it comes when it has been asked for again.
    var late: [PDU] = []
    scene.harm = { isInitiators, _, pdu in
      guard isInitiators, pdu.header.opcode == .dataOut, late.count < 2 else { return nil }
      late.append(pdu)
      return .lost
    }
    scene.write(bytes)
    while scene.sent.count(where: { $0.header.opcode == .readyToTransfer }) < 2 {
      scene.crossAll()
      scene.pass()
    }
    let dropped = scene.target.droppedCount
    #expect(late.count == 2)
    for pdu in late { #expect(scene.target.send(pdu).isEmpty) }
    #expect(scene.target.droppedCount == dropped + 2)
    #expect(scene.settle())
    #expect(scene.disk.starts(with: bytes))
    #expect(scene.target.session.rejectedCount == 0)
  }

  @Test func `a sequence that ends short is asked for to its end`() throws {
    let scene = LossyScene(offers: ["InitialR2T=No"])
    let bytes = pattern(3000)
    scene.write(bytes, immediate: 512, unasked: 256)
    #expect(scene.settle())
    #expect(scene.disk.starts(with: bytes))
    let requests = scene.sent.filter { $0.header.opcode == .readyToTransfer }.map(\.header)
    #expect(requests.map(\.word40) == [768, 1024])
    #expect(requests.map(\.word44) == [256, 1976])
  }

  @Test(arguments: [(0, 0), (0, 2048), (1024, 4096), (4096, 0)])
  func `who sends what nobody asked for has lost nothing`(offset: Int, length: Int) throws {
    let scene = LossyScene()
    scene.harm = { isInitiators, _, pdu in pdu.header.opcode == .dataOut ? .lost : nil }
    let tag = scene.write(pattern(2048))
    scene.crossAll()
    let request = try #require(scene.sent.last).header
    #expect(request.opcode == .readyToTransfer)
    let first = dataOut(
      tag: tag, transferTag: request.word20, offset: 512, isFinal: false, pattern(512))
    #expect(scene.target.send(first).isEmpty)
    let wrong = dataOut(
      tag: tag, transferTag: request.word20, offset: offset, number: 1, pattern(length))
    let answers = scene.target.send(wrong)
    #expect(answers.map(\.rejectReason) == [9, nil])
    #expect(answers.last?.senseCode == [0x0c, 0x0d])
  }

  @Test(arguments: [("0", 0), ("1", 1), ("2", 1), ("3", 0)])
  func `the level is the lesser of both wishes`(offer: String, level: Int) {
    let target = LoneTarget(offering: ["ErrorRecoveryLevel=\(offer)"])
    #expect(target.session.parameters.errorRecoveryLevel == level)
    let discovery = LoneTarget(offering: ["ErrorRecoveryLevel=\(offer)"], isDiscovery: true)
    #expect(discovery.session.parameters.errorRecoveryLevel == 0)
  }

  @Test func `a header that was damaged is the end at every level`() {
    let scene = LossyScene()
    scene.target.take { $0.handle(.headerDigest) }
    #expect(scene.target.isClosed)
  }
}

struct DataGapsTests {
  @Test func `as many ranges as there may be, in order, apart`() {
    var gaps = DataGaps()
    for start in [40, 0, 20] { gaps.insert(start..<start + 10) }
    #expect(gaps.ranges == [0..<10, 20..<30, 40..<50])
    gaps.insert(10..<20)
    #expect(gaps.ranges == [0..<30, 40..<50])
    gaps.insert(60..<60)
    for start in [60, 80, 100] { gaps.insert(start..<start + 10) }
    #expect(gaps.ranges == [0..<30, 40..<50, 60..<70, 80..<110])
    #expect(gaps.takeFirst(20) == 0..<20)
    #expect(gaps.takeFirst(20) == 20..<30)
    #expect(gaps.takeFirst(100) == 40..<50)
    #expect(gaps.takeFirst(100) == 60..<70)
    #expect(gaps.takeFirst(100) == 80..<110)
    #expect(gaps.takeFirst(100) == nil && gaps.isEmpty)
  }
}

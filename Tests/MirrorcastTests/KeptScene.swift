// What the tests of kept LUNs have in common: records, a keeping without a daemon, and an
// initiator's session that says every byte itself.

import ISCSI
import Replication
import SCSI
import Storage
import Synchronization
import Testing

@testable import Mirrorcast

/// A record of the first of so many members, whose states are in turn these.
func keptRecord(
  members count: Int = 1, _ states: [MemberState] = [.inSync], counter: UInt64 = 1,
  mirror: UInt64 = 0xabcd
) -> MirrorRecord {
  let members = (0..<count).map { index in
    MirrorMember(
      id: UInt64(index) + 11, label: "iscsi://leg-\(index)/t/0",
      state: states[index % states.count])
  }
  let generation = MirrorGeneration(
    counter: counter, id: counter << 8 | 1, members: members, requiredCount: 1, madeAt: 1)
  return MirrorRecord(mirror: mirror, name: "vault", member: 11, generation: generation)
}

/// A LUN's keeping with workers of its own, and a time that passes when the test says so.
final class KeptDisk: Sendable {
  private static let layoutLength = RegionLayout.regionLengthDefault

  let unit: ServedUnit
  private let workers: StorageWorkers
  private let timers = Mutex<[@Sendable () -> Void]>([])

  init(_ specification: String, _ folder: String? = nil) throws {
    unit = try ServedUnit(
      opening: LogicalUnitSpecification(specification), targetName: TargetScene.name,
      stateFolder: folder)
    workers = StorageWorkers(count: 2)
    unit.keeping.start(
      UnitKeeping.Shell(workers: workers, logger: TargetScene.logger) { [weak self] _, body in
        self?.timers.withLock { $0.append(body) }
      })
  }

  /// The process ends without a word.
  deinit {
    workers.stop()
    unit.keeping.stop()
  }

  var keeping: UnitKeeping { unit.keeping }
  var timerCount: Int { timers.withLock { $0.count } }

  /// All that waits for a time is called.
  func passTime() {
    let due = timers.withLock { timers in
      defer { timers = [] }
      return timers
    }
    for body in due { body() }
  }

  func ask(_ request: KeepingRequest, session: UInt64 = 1) async -> KeepingAnswer {
    await withCheckedContinuation { continuation in
      keeping.ask(request, session: session) { continuation.resume(returning: $0) }
    }
  }

  /// Claims and adopts; what the second was answered.
  func open(_ record: MirrorRecord = keptRecord(), session: UInt64 = 1) async -> KeepingAnswer {
    _ = await ask(.claim(holder: session), session: session)
    return await ask(.adopt(record, replaces: false), session: session)
  }

  /// A store of some bytes at the beginning of a region; waits for its mark.
  func store(region: Int, part: UInt32 = 1, number: UInt32 = 1) async -> StoreAdmission {
    let start = UInt64(region) * Self.layoutLength
    while true {
      let admission = keeping.mayStore(
        start..<start + 4096, part: part, number: .init(number), now: 0)
      guard admission == .later else { return admission }
      // Answered behind the round that brings the mark.
      _ = await ask(.mark([region..<region + 1]))
    }
  }
}

extension KeepingAnswer {
  var descriptor: LegDescriptor? {
    if case .description(let descriptor) = self { descriptor } else { nil }
  }

  var refusal: KeepingRefusal? {
    if case .refused(let refusal, _) = self { refusal } else { nil }
  }

  var words: String {
    if case .refused(_, let words) = self { words } else { "" }
  }
}

/// An initiator's session with a target of ours.
final class KeptClient {
  let client: TargetClient

  init(
    _ target: SceneTarget, _ name: String = "iqn.2026-01.test:holder", isid: UInt64 = 1
  ) throws {
    client = try TargetClient(port: try target.port)
    let status = try client.logIn(
      target.name, initiator: name, isid: isid, keys: ["X-org.mirrorcast.version=1"])
    #expect(status == 0)
  }

  func ask(_ keys: TextKeys) throws -> TextKeys {
    try send(keys)
    return try receive()
  }

  func send(_ keys: TextKeys) throws {
    var request = client.request(.textRequest, data: keys.encoded)
    request.header.flags = 0x80
    try client.send(request.encoded)
  }

  func receive() throws -> TextKeys {
    while true {
      let answer = try #require(try client.receive())
      guard answer.header.opcode == .textResponse else { continue }
      return try TextKeys(strict: answer.data[...])
    }
  }

  func ask(_ request: KeepingRequest, lun: Int = 0) throws -> KeepingAnswer {
    try KeepingAnswer(try ask(KeepingText(lun: lun, request).keys))
  }

  func open(_ record: MirrorRecord = keptRecord(), holder: UInt64 = 1) throws {
    let claimed = try ask(.claim(holder: holder))
    #expect(claimed.descriptor != nil, "\(claimed)")
    let adopted = try ask(.adopt(record, replaces: false))
    #expect(adopted == .done, "\(adopted)")
  }

  func digests(_ request: DigestRequest) throws -> DigestAnswer {
    try DigestAnswer(try ask(request.keys), to: request)
  }
}

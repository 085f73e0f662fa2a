import Bytes

@testable import Replication

/// Records and layouts that the tests of what legs keep have in common.
enum KeepingBench {
  static let label = "iscsi://127.0.0.1/iqn.2025-01.org.example:leg/0"

  /// A record of member 1 of a mirror whose members stand so.
  static func record(counter: UInt64, states: [MemberState]) -> MirrorRecord {
    let members = states.indices.map {
      MirrorMember(id: UInt64($0) + 1, label: label, state: states[$0])
    }
    let generation = MirrorGeneration(
      counter: counter, id: 1000 + counter, members: members, requiredCount: 1, madeAt: 1)
    return MirrorRecord(mirror: 0x6d, name: "db", member: 1, generation: generation)
  }

  static func layout(regions: Int) -> RegionLayout {
    RegionLayout(byteCount: UInt64(regions) * 4096, regionLength: 4096)
  }
}

/// A kept unit with its journal's file, every request carried out at once unless the test says
/// otherwise.
struct UnitBench {
  var unit: KeptUnit
  var file = VirtualJournalFile()
  /// Requests that are not carried out yet.
  var held: [JournalRequest] = []
  var isHolding = false
  var now: UInt64 = 0
  private var nextToken: UInt64 = 0

  init(regions: Int = 64, file: VirtualJournalFile = VirtualJournalFile()) throws {
    self.file = file
    unit = try KeptUnit(
      layout: KeepingBench.layout(regions: regions), contents: file.isEmpty ? nil : file.contents)
  }

  /// With a record that says that both members are in sync, and open by session 1.
  static func opened(regions: Int = 64, states: [MemberState] = [.inSync, .inSync]) throws
    -> UnitBench
  {
    var bench = try UnitBench(regions: regions)
    bench.ask(.claim(holder: 5))
    bench.ask(.adopt(KeepingBench.record(counter: 1, states: states), replaces: false))
    return bench
  }

  /// What was answered to a request, nil where it waits.
  @discardableResult
  mutating func ask(_ request: KeepingRequest, session: UInt64 = 1) -> KeepingAnswer? {
    nextToken += 1
    unit.handle(request, session: session, token: nextToken, now: now)
    run()
    return takeAnswers().last { $0.token == nextToken }?.answer
  }

  mutating func takeAnswers() -> [KeepingReply] {
    defer { unit.answers.removeAll() }
    return unit.answers
  }

  /// Carries requests out until there are none, or holds them.
  mutating func run() {
    while !unit.requests.isEmpty {
      let requests = unit.requests
      unit.requests.removeAll()
      for request in requests {
        if isHolding { held.append(request) } else { carryOut(request) }
      }
    }
  }

  mutating func carryOut(_ request: JournalRequest, succeeds: Bool = true) {
    if succeeds { file.carryOut(request.work) }
    unit.handleCompleted(token: request.token, succeeded: succeeds, now: now)
  }

  /// Lets what was held go, and what follows from it.
  mutating func letGo() {
    isHolding = false
    let requests = held
    held.removeAll()
    for request in requests { carryOut(request) }
    run()
  }

  mutating func store(_ regions: Range<Int>, number: UInt32, part: UInt32 = 1) -> StoreAdmission {
    let bytes = UInt64(regions.lowerBound) * 4096..<UInt64(regions.upperBound) * 4096
    let admission = unit.mayStore(bytes, part: part, number: SerialNumber(number), now: now)
    run()
    return admission
  }

  mutating func end(below number: UInt32, part: UInt32 = 1) {
    unit.handleEnded(part: part, below: SerialNumber(number), now: now)
  }

  /// A period goes by.
  mutating func wait(periods: Int = 1) {
    for _ in 0..<periods {
      now += unit.clearNanoseconds
      unit.handleTimeout(now: now)
      run()
    }
  }

  /// The leg's process is killed, or its host loses power: what a new one finds.
  func reloaded() throws -> UnitBench {
    try UnitBench(regions: unit.layout.regionCount, file: file)
  }

  var marked: [Range<Int>] { unit.marks.ranges().ranges }
}

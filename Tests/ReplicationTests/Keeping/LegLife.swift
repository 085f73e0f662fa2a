import Bytes

@testable import Replication

/// One leg's life from a seed, and what it promised on the way.
struct LegLife {
  /// Regions on both sides of a border between two mark sectors.
  static let regions = 3956..<3980

  var random: SeededRandom
  var unit: KeptUnit
  var file = VirtualJournalFile()
  var promises = LegPromises()
  var counts = LifeCounts()
  /// Requests that wait to be carried out, and what a flush covers that has begun.
  private var work: [(request: JournalRequest, point: Int)] = []
  private var numbers: [UInt32] = [100, 4_294_967_290]
  private var lowest: [UInt32] = [100, 4_294_967_290]
  private var counter: UInt64 = 0
  private var token: UInt64 = 0
  private var session: UInt64 = 1
  private var adopts: [UInt64: MirrorRecord?] = [:]
  private var now: UInt64 = 0
  private var mayFail: Bool

  static let layout = KeepingBench.layout(regions: 3990)

  init(seed: UInt64) {
    random = SeededRandom(seed)
    guard let unit = try? KeptUnit(layout: Self.layout, contents: nil) else {
      preconditionFailure("a new journal is no damage")
    }
    self.unit = unit
    mayFail = seed % 4 == 0
  }

  mutating func live(steps: Int) throws {
    claim()
    for _ in 0..<steps {
      switch random.below(1000) {
      case 0..<300: store()
      case 300..<420: end()
      case 420..<800: carryOut()
      case 800..<860: ask()
      case 860..<960: passTime()
      case 960..<970: loseSession()
      case 970..<980: endPart()
      case 980..<985: try die(ofPower: false)
      case 985..<1000: try die(ofPower: true)
      default: break
      }
      takeRequests()
      takeAnswers()
      try check()
    }
  }

  // MARK: What the initiator does

  private mutating func claim() {
    token += 1
    unit.handle(.claim(holder: session), session: session, token: token, now: now)
    adopt(isDegraded: random.chance(0.3))
  }

  private mutating func adopt(isDegraded: Bool) {
    // What it says depends on what was stored before.
    guard adopts.isEmpty else { return }
    counter += 1
    let record = KeepingBench.record(
      counter: counter, states: [.inSync, isDegraded ? .stale : .inSync])
    // After a generation of which not all were in sync, all are made equal before the next says so.
    if unit.isOpen, isCleared(by: record) {
      guard promises.open.values.allSatisfy(\.isEmpty) else { return }
      promises.lost.removeAll()
    }
    send(.adopt(record, replaces: true))
    remember(record)
  }

  private func isCleared(by record: MirrorRecord) -> Bool {
    isDegraded && !record.generation.isDegraded
  }

  private mutating func send(_ request: KeepingRequest) {
    token += 1
    unit.handle(request, session: session, token: token, now: now)
  }

  private mutating func someRegion() -> Int {
    Self.regions.lowerBound + Int(random.below(UInt64(Self.regions.count)))
  }

  private mutating func store() {
    let part = Int(random.below(2))
    let region = someRegion()
    let end = min(region + 1 + Int(random.below(3)), Self.regions.upperBound)
    let number = numbers[part]
    let admission = unit.mayStore(
      UInt64(region) * 4096..<UInt64(end) * 4096, part: UInt32(part), number: SerialNumber(number),
      now: now)
    guard admission == .now, unit.record != nil else { return }
    counts.stores += 1
    numbers[part] &+= 1
    for region in region..<end {
      promises.touch(region)
      promises.open[region, default: []].insert(UInt64(part) << 32 | UInt64(number))
    }
  }

  private mutating func end() {
    let part = Int(random.below(2))
    let open = numbers[part] &- lowest[part]
    let ended = UInt32(random.below(UInt64(open) + 1))
    for _ in 0..<ended {
      let key = UInt64(part) << 32 | UInt64(lowest[part])
      for region in promises.open.keys { promises.open[region]?.remove(key) }
      lowest[part] &+= 1
    }
    unit.handleEnded(part: UInt32(part), below: SerialNumber(lowest[part]), now: now)
  }

  private mutating func endPart() {
    let part = Int(random.below(2))
    for (region, keys) in promises.open {
      let gone = keys.filter { $0 >> 32 == UInt64(part) }
      if !gone.isEmpty { promises.lost.insert(region) }
      promises.open[region] = keys.subtracting(gone)
    }
    unit.handlePartEnded(part: UInt32(part), holder: 7)
    lowest[part] = numbers[part]
  }

  private mutating func ask() {
    switch random.below(20) {
    case 0..<8: adopt(isDegraded: random.chance(0.3))
    case 8..<16:
      let region = someRegion()
      send(.synced([region..<region + 8]))
      guard unit.isOpen || unit.record != nil, !unit.isFailed else { return }
      promises.synced[token] = Set(region..<region + 8)
      promises.lost.subtract(region..<region + 8)
    case 16..<18:
      let region = someRegion()
      send(.mark([region..<region + 1]))
    case 18:
      guard var record = unit.record, unit.isOpen, adopts.isEmpty else { return }
      send(.close)
      record.isClosed = true
      remember(record)
    default:
      send(.release)
      remember(nil)
    }
  }

  private mutating func remember(_ record: MirrorRecord?) {
    adopts.updateValue(record, forKey: token)
    promises.coming.append(record)
  }

  private var isDegraded: Bool { unit.record?.generation.isDegraded ?? false }

  private mutating func loseSession() {
    unit.handleSessionClosed(session, now: now)
    adopts.removeAll()
    session += 1
    claim()
  }

  // MARK: What the machine does

  private mutating func passTime() {
    now += unit.clearNanoseconds
    unit.handleTimeout(now: now)
  }

  private mutating func takeRequests() {
    for request in unit.requests {
      if request.work == .flushMedium { promises.flushBegins() }
      work.append((request, file.flushPoint))
    }
    unit.requests.removeAll()
  }

  /// One request, whichever.
  private mutating func carryOut() {
    guard !work.isEmpty else { return }
    let (request, point) = work.remove(at: Int(random.below(UInt64(work.count))))
    let fails = mayFail && random.chance(0.01)
    if fails { counts.failures += 1 }
    switch request.work {
    case .write where fails:
      if random.chance(0.5) { file.carryOut(request.work) }
    case .write: file.carryOut(request.work)
    case .flush: fails ? file.failFlush(upTo: point) : file.flush(upTo: point)
    case .flushMedium where fails:
      promises.covered.removeAll()
      promises.syncedCovered.removeAll()
      promises.lost.formUnion(promises.owed)
    case .flushMedium:
      let before = promises.owed.count
      promises.flushEnds(isDegraded: isDegraded)
      counts.safelyCleared += before - promises.owed.count
    }
    unit.handleCompleted(token: request.token, succeeded: !fails, now: now)
  }

  private mutating func takeAnswers() {
    for reply in unit.answers {
      guard let record = adopts.removeValue(forKey: reply.token), case .done = reply.answer else {
        continue
      }
      promises.answered = record
    }
    unit.answers.removeAll()
  }

  private mutating func forgetAll() {
    promises.owed.removeAll()
    promises.lost.removeAll()
    promises.open.removeAll()
  }

  // MARK: Death

  private mutating func die(ofPower: Bool) throws {
    counts.marksTaken += Int(unit.journalCounters.marksTaken)
    if ofPower {
      counts.powerCuts += 1
      file.loseCache(using: &random)
    } else {
      counts.kills += 1
    }
    work.removeAll()
    adopts.removeAll()
    promises.answered = nil
    promises.die()
    lowest = numbers
    unit = try KeptUnit(layout: Self.layout, contents: file.contents)
    let possible = promises.older + [promises.record] + promises.coming
    guard possible.contains(unit.record) else {
      throw BrokenPromise(
        description: "the record is \(String(describing: unit.record?.generation.counter))")
    }
    promises.record = unit.record
    promises.coming.removeAll()
    try check()
    // What a killed process leaves in the page cache is what the next one finds, and not safe yet.
    promises.older = ofPower ? [] : possible
    session += 1
    claim()
  }

  private mutating func check() throws {
    // What the machine says to be stored is what the next life has to find, or something newer.
    if unit.record != promises.record {
      promises.record = unit.record
      promises.older.removeAll()
      if let index = promises.coming.firstIndex(of: unit.record) {
        promises.coming.removeFirst(index + 1)
      }
    }
    if let answered = promises.answered {
      promises.answered = nil
      guard answered == unit.record else {
        throw BrokenPromise(description: "a record was answered and is not there")
      }
    }
    guard unit.record != nil else { return forgetAll() }
    for region in promises.owed where !unit.marks.contains(region) {
      throw BrokenPromise(description: "region \(region) may differ and has no mark")
    }
  }
}

// A target of a kept mirror: what its shell does for the machine that keeps the record and the
// marks, and what it asks of it before it stores.
import Bytes
import Replication

/// What a target keeps of a mirror. What is asked often stands beside the machine.
final class TargetKeeping {
  private(set) var unit: KeptUnit
  var tenancy = Tenancy()
  /// The journal's token and the asker's own.
  var tokens: [UInt64: UInt64] = [:]
  /// Stores that wait for their marks.
  var admissions: [Admission] = []
  /// Sessions that are gone, and whose claim ends with their registrations.
  var departures: [Int] = []
  var isToldFailed = false
  /// Answers that wait until no ordinary command changes the medium any more.
  var repliesHeld: [KeepingReply] = []
  /// Whose `adopt` was told as done.
  var adoptedBy: Int?
  /// Something was said to the machine since it was looked at.
  private(set) var isStale = true
  private(set) var record: MirrorRecord?
  private(set) var service = UnitService.free
  private(set) var deadline = UInt64.max

  init(_ unit: KeptUnit) {
    self.unit = unit
    look()
  }

  func act<Result>(_ body: (inout KeptUnit) -> Result) -> Result {
    isStale = true
    return body(&unit)
  }

  func look() {
    isStale = false
    record = unit.record
    service = unit.service
    deadline = unit.nextDeadline ?? .max
  }

  /// A store that waits.
  struct Admission {
    let registration: Registration
    let store: StoreRequest
    /// The rounds that had ended when it asked last.
    var askedAt: UInt64?
  }
}

extension Target {
  // MARK: Process

  /// Reads the journal, as a process that starts does.
  func load() {
    let layout = world.scenario.layout
    do throws(JournalDamage) {
      var unit = try KeptUnit(layout: layout, contents: journal.contents)
      unit.clearNanoseconds = world.scenario.clearNanoseconds
      keeping = TargetKeeping(unit)
    } catch {
      world.violate("target \(index) can't read its journal: \(error)")
    }
  }

  var record: MirrorRecord? { keeping?.record }
  var service: UnitService { keeping?.service ?? .free }

  /// Ends what the journal's disk is doing, in parts.
  func stopJournal(losesPower: Bool) {
    for slot in journal.running {
      for request in journal.take(slot) {
        guard world.random.chance(0.5) else { break }
        guard case .write(let offset, let bytes) = request.work else { continue }
        journal.write(bytes, at: offset) { !losesPower || world.random.chance(0.5) }
      }
    }
    if losesPower { journal.losePower(keeping: world.scenario.keptRate, &world.random) }
  }

  // MARK: Stores

  func admitStores() {
    guard let keeping, !keeping.admissions.isEmpty else { return }
    let waiting = keeping.admissions
    keeping.admissions = []
    var left: [TargetKeeping.Admission] = []
    let now = world.now
    for var one in waiting {
      let rounds = keeping.unit.roundsEnded
      guard one.askedAt != rounds else {
        left.append(one)
        continue
      }
      let start = one.store.byteOffset
      let bytes = start..<start + UInt64(one.store.length)
      let (part, number) = (one.registration.number, one.store.number)
      let admission = keeping.act { $0.mayStore(bytes, part: part, number: number, now: now) }
      switch admission {
      case .now: begin(one.store, one.registration)
      case .later where world.plants(.lostIntent): begin(one.store, one.registration)
      case .later:
        one.askedAt = rounds
        left.append(one)
      case .never:
        one.registration.receiver.handleStored(
          slot: one.store.slot, unit: 0, status: 2, sense: Self.hardwareError)
      }
    }
    keeping.admissions = left
  }

  func tellEnded(_ registration: Registration) {
    let lowest = registration.receiver.lowestNumber
    guard let keeping, registration.toldLowest != lowest else { return }
    registration.toldLowest = lowest
    let (part, now) = (registration.number, world.now)
    keeping.act { $0.handleEnded(part: part, below: lowest, now: now) }
  }

  // MARK: The machine

  /// Carries out what the machine wants, and hands on what it answers.
  func settleKeeping() {
    guard let keeping, keeping.isStale || keeping.deadline <= world.now else { return }
    let now = world.now
    if keeping.deadline <= now { keeping.act { $0.handleTimeout(now: now) } }
    let (requests, answers) = keeping.act { unit in
      let said = (unit.requests, unit.answers)
      if !said.0.isEmpty { unit.requests = [] }
      if !said.1.isEmpty { unit.answers = [] }
      return said
    }
    if !requests.isEmpty { carry(requests) }
    for reply in answers { hand(over: reply) }
    keeping.look()
    if keeping.unit.isFailed, !keeping.isToldFailed {
      keeping.isToldFailed = true
      world.note(node, "its journal has failed")
    }
  }

  private func carry(_ requests: [JournalRequest]) {
    let own = requests.filter { $0.work != .flushMedium }
    if !own.isEmpty {
      let slot = journal.begin(own)
      var time: UInt64 = 0
      for _ in own {
        time +=
          journalBehaviour.nanoseconds
          + world.random.below(journalBehaviour.jitterNanoseconds)
      }
      world.note(node, "journal: % requests, batch %, for % ns", own.count, slot, Int(time))
      world.enter(
        .journaled, node: node, at: world.now + time, first: slot, incarnation: incarnation)
    }
    for request in requests where request.work == .flushMedium {
      begin(.flush, 0..<0, owner: -1, tag: Int(request.token))
    }
  }

  /// A batch of the journal's has ended.
  func finishJournal(_ slot: Int) {
    world.note(node, "journal: batch % is done", slot)
    var results: [(UInt64, Bool)] = []
    for request in journal.take(slot) {
      let fails =
        world.random.chance(journalBehaviour.errorRate) || journalBehaviour.isFull
      switch request.work {
      case .write(let offset, let bytes):
        journal.write(bytes, at: offset) { !fails || world.random.chance(0.5) }
      case .flush: if !fails, !world.plants(.idleJournalFlush) { journal.flush() }
      case .flushMedium: break
      }
      results.append((request.token, !fails))
    }
    let now = world.now
    for (token, isDone) in results {
      keeping?.act { $0.handleCompleted(token: token, succeeded: isDone, now: now) }
    }
    turn()
  }

  func finishMediumFlush(token: Int, isDone: Bool) {
    let now = world.now
    keeping?.act { $0.handleCompleted(token: UInt64(token), succeeded: isDone, now: now) }
  }

  func hand(over reply: KeepingReply) {
    if reply.answer == .done, !gate.isQuiet, !world.plants(.unawaitedWrites),
      keeping?.tenancy.asked[reply.token]?.request.awaitsQuiet == true
    {
      keeping?.repliesHeld.append(reply)
      return
    }
    guard let asked = keeping?.tenancy.asked.removeValue(forKey: reply.token),
      let token = keeping?.tokens.removeValue(forKey: reply.token)
    else { return }
    var answer = reply.answer
    if case .claim(let holder) = asked.request, case .description = answer {
      keeping?.tenancy.channel = asked.channel
      keeping?.tenancy.holder = holder
    }
    if case .adopt = asked.request, answer == .done { keeping?.adoptedBy = asked.channel }
    if case .done = answer { keeping?.tenancy.noteDone(asked.request) }
    if case .marks(var ranges, let next) = answer, world.plants(.forgottenMarks), !ranges.isEmpty {
      ranges.removeFirst()
      answer = .marks(ranges, next: next)
    }
    world.send(.kept(token: token, answer), on: asked.channel)
  }

  /// SPC-4 §4.5.3: fixed format, HARDWARE ERROR, internal target failure.
  private static let hardwareError: [UInt8] = [
    0x70, 0, 4, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0,
  ]
}

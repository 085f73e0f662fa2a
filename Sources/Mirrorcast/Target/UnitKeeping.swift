// What a leg remembers of its mirror, for all who have to do with a LUN: sessions ask for it, lanes
// ask before they store, commands look whether they may. The machine (`KeptUnit`) is behind a lock;
// what it wants written and flushed is carried out on the storage workers, and what it answers is
// handed on when the lock is free again.
//
// Most LUNs belong to no such mirror, and most that do are at rest: so whoever only looks reads an
// atomic, which is stored under the lock.

import Lanes
import Logging
import Replication
import SCSI
import Storage
import Synchronization

/// One LUN's record and marks, shared by all threads of a daemon.
package final class UnitKeeping: Sendable {
  /// What a daemon lends while it serves.
  struct Shell: Sendable {
    let workers: StorageWorkers
    let logger: Logger
    /// Calls back after so many nanoseconds, on a thread that must not wait.
    let after: @Sendable (_ nanoseconds: UInt64, _ body: @escaping @Sendable () -> Void) -> Void
  }

  /// The disk that it is about.
  struct Disk: Sendable {
    let number: LogicalUnitNumber
    let backing: any BlockBacking
    let device: SharedDevice
    let changes: MediumChanges
    let isWriteProtected: Bool
  }

  /// All that is behind the lock.
  struct State: Sendable {
    var unit: KeptUnit
    var tenants = KeepingTenants()
    var desk = KeepingDesk()
    /// By registration: what wakes its lane.
    var wakes: [UInt32: @Sendable () -> Void] = [:]
    var shell: Shell?
    /// When it is looked at next.
    var timerDue: UInt64?
    /// Why the journal can't be kept, in words.
    var failure: String?
  }

  let disk: Disk
  let journal: JournalFile
  let state: Mutex<State>
  private let service = Atomic<UInt8>(0)
  private let refusesChanges = Atomic(false)
  private let rounds = Atomic<UInt64>(0)

  /// Reads the journal; throws where it can't be read or believed.
  init(_ disk: Disk, journal place: JournalFile.Place) throws(BackingRefusal) {
    let layout = RegionLayout(byteCount: disk.backing.byteCount)
    self.disk = disk
    journal = JournalFile(
      place, byteCount: Journal.byteCount(for: layout), isReadOnly: disk.isWriteProtected)
    let contents = try journal.load()
    let unit: KeptUnit
    do throws(JournalDamage) {
      unit = try KeptUnit(layout: layout, contents: contents)
    } catch {
      guard case .file(let path) = place else { preconditionFailure("a journal of nothing") }
      throw BackingRefusal(journal: path, "\(error)")
    }
    state = Mutex(State(unit: unit))
    service.store(Self.code(unit.service), ordering: .relaxed)
    refusesChanges.store(unit.service.refusesChanges, ordering: .relaxed)
  }

  /// The daemon serves, and lends what is needed to keep anything.
  func start(_ shell: Shell) { state.withLock { $0.shell = shell } }

  /// Nothing more is carried out.
  func stop() { state.withLock { $0.shell = nil } }

  // MARK: Looking

  /// Whether ordinary commands may not change the medium.
  var isKept: Bool { refusesChanges.load(ordering: .acquiring) }

  /// Whether copies between members are to be stored here.
  var takesCopies: Bool { service.load(ordering: .acquiring) == Self.code(.beingCopied) }

  /// What changes when stores that wait are to be asked for again.
  var roundsEnded: UInt64 { rounds.load(ordering: .acquiring) }

  /// Whether a session may read. The holder's own always may.
  func readiness(for session: UInt64) -> MirrorReadiness {
    let readiness: MirrorReadiness
    switch service.load(ordering: .acquiring) {
    case Self.code(.mustBeOpened): readiness = .mustBeOpened
    case Self.code(.beingCopied): readiness = .beingCopied
    default: return .ready
    }
    return isHolder(session) ? .ready : readiness
  }

  /// Whether a session is of the initiator that has claimed it.
  func isHolder(_ session: UInt64) -> Bool { state.withLock { $0.tenants.isHolder(session) } }

  /// Where the initiator is to be found that leads a shared mirror of this LUN.
  var leader: LeaderPlace? { state.withLock { $0.tenants.leader } }

  /// What stands in the record, and how much is marked.
  var descriptor: LegDescriptor { state.withLock { $0.unit.descriptor } }

  /// What the journal has done since the daemon has it.
  var journalCounters: JournalCounters { state.withLock { $0.unit.journalCounters } }

  private static func code(_ service: UnitService) -> UInt8 {
    switch service {
    case .free: 0
    case .readable: 1
    case .mustBeOpened: 2
    case .beingCopied: 3
    }
  }

  // MARK: The target

  /// The LUN is to leave its target; false while an initiator has it.
  func withdraw() -> Bool { state.withLock { $0.tenants.withdraw() } }

  func restore() { state.withLock { $0.tenants.restore() } }

  // MARK: The machine

  /// Does something to the machine, and carries out what comes of it.
  func act<Result: Sendable>(
    _ body: (inout State) throws(RegistrationFault) -> Result
  ) throws(RegistrationFault) -> Result {
    var effects = KeepingEffects()
    var fault: RegistrationFault?
    let result = state.withLock { state -> Result? in
      defer { effects = settle(&state) }
      do throws(RegistrationFault) {
        return try body(&state)
      } catch {
        fault = error
        return nil
      }
    }
    carry(effects)
    if let fault { throw fault }
    guard let result else { preconditionFailure("neither a result nor a fault") }
    return result
  }

  func act<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    var effects = KeepingEffects()
    let result = state.withLock { state -> Result in
      let result = body(&state)
      effects = settle(&state)
      return result
    }
    carry(effects)
    return result
  }

  /// Takes what the machine has to say, and shows what has changed.
  private func settle(_ state: inout State) -> KeepingEffects {
    var effects = KeepingEffects()
    effects.shell = state.shell
    if !state.unit.requests.isEmpty {
      effects.requests = state.unit.requests
      state.unit.requests = []
    }
    for reply in state.unit.answers { take(reply, &state, &effects) }
    state.unit.answers = []
    let ended = state.unit.roundsEnded
    if rounds.exchange(ended, ordering: .acquiringAndReleasing) != ended {
      effects.wakes = Array(state.wakes.values)
    }
    service.store(Self.code(state.unit.service), ordering: .releasing)
    refusesChanges.store(state.unit.service.refusesChanges, ordering: .releasing)
    if let due = state.unit.nextDeadline, due < state.timerDue ?? .max, state.shell != nil {
      state.timerDue = due
      effects.timerDue = due
    }
    return effects
  }

  private func take(
    _ reply: KeepingReply, _ state: inout State, _ effects: inout KeepingEffects
  ) {
    guard let asked = state.desk.take(reply.token) else { return }
    var answer = reply.answer
    switch (asked.request, answer) {
    case (.claim(let holder), .description):
      state.tenants.take(session: asked.session, holder: holder)
    case (.lead(let place), .done): state.tenants.lead(place)
    case (.admit(let guest), .done): state.tenants.admit(guest)
    case (_, .refused(.storage, let words)):
      if let failure = state.failure { answer = .refused(.storage, "\(words): \(failure)") }
    case (.release, .done): effects.removesJournal = state.unit.record == nil
    default: break
    }
    if case .adopt = asked.request { state.tenants.endAdopting() }
    effects.replies.append(
      KeepingEffects.Reply(
        answer: answer, to: asked.answer, awaitsQuiet: asked.awaitsQuiet && answer == .done))
  }
}

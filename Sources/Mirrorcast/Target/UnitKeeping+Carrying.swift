// What comes of a kept LUN's machine, carried out without its lock: writes and flushes on the
// workers' threads, answers to sessions, wake-ups of lanes, the next look.

import Lanes
import Logging
import Replication
import SCSI
import Storage
import Synchronization

/// What is to be done when the lock is free.
struct KeepingEffects: Sendable {
  /// An answer on its way.
  struct Reply: Sendable {
    let answer: KeepingAnswer
    let to: KeepingDesk.Answer
    let awaitsQuiet: Bool
  }

  var shell: UnitKeeping.Shell?
  var requests: [JournalRequest] = []
  var replies: [Reply] = []
  var wakes: [@Sendable () -> Void] = []
  var timerDue: UInt64?
  /// The LUN was released: its journal goes before anybody is told.
  var removesJournal = false
}

extension UnitKeeping {
  /// How long until a full queue is asked again, and until it is looked again whether commands have
  /// ended.
  private static let retryNanoseconds: UInt64 = 2_000_000

  func carry(_ effects: KeepingEffects) {
    // What the journal wants and what the medium is to do need not wait for each other.
    let own = effects.requests.filter { $0.work != .flushMedium }
    let medium = effects.requests.filter { $0.work == .flushMedium }
    for requests in [own, medium] where !requests.isEmpty {
      run(effects.shell) { keeping in keeping.carryOut(requests) }
    }
    if effects.removesJournal {
      let replies = effects.replies
      run(effects.shell) { keeping in
        keeping.removeJournal()
        for reply in replies { keeping.hand(over: reply, effects.shell) }
      }
    } else {
      for reply in effects.replies { hand(over: reply, effects.shell) }
    }
    for wake in effects.wakes { wake() }
    if let due = effects.timerDue, let shell = effects.shell {
      let now = MonotonicClock.now()
      shell.after(due > now ? due - now : 0) { [weak self] in self?.look(due: due) }
    }
  }

  private func look(due: UInt64) {
    act { state in
      if state.timerDue == due { state.timerDue = nil }
      state.unit.handleTimeout(now: MonotonicClock.now())
    }
  }

  /// On a worker's thread, or here where nothing can wait. A queue that is full is asked again;
  /// when the workers have stopped nothing is done any more.
  private func run(_ shell: Shell?, _ body: @escaping @Sendable (UnitKeeping) -> Void) {
    if journal.place == .memory, disk.backing.isInline { return body(self) }
    guard let shell else { return }
    submit(KeepingWork(self, body), shell)
  }

  private func submit(_ work: KeepingWork, _ shell: Shell) {
    guard !shell.workers.submit(work), !shell.workers.isStopped else { return }
    shell.after(Self.retryNanoseconds) { [weak self] in self?.submit(work, shell) }
  }

  /// Hands an answer over, when what ordinary commands were changing has come to its end.
  private func hand(over reply: KeepingEffects.Reply, _ shell: Shell?) {
    guard reply.awaitsQuiet, !disk.changes.isQuiet, let shell else {
      return reply.to(reply.answer)
    }
    shell.after(Self.retryNanoseconds) { [weak self] in self?.hand(over: reply, shell) }
  }

  // MARK: On a thread that may wait

  private func carryOut(_ requests: [JournalRequest]) {
    var results: [(token: UInt64, failure: StorageError?)] = []
    for request in requests {
      do throws(StorageError) {
        switch request.work {
        case .write(let offset, let bytes): try journal.write(bytes, at: offset)
        case .flush: try journal.flush()
        case .flushMedium: try disk.backing.flush()
        }
        results.append((request.token, nil))
      } catch {
        results.append((request.token, error))
      }
    }
    act { [results] state in
      let now = MonotonicClock.now()
      for (token, failure) in results {
        if let failure { note(failure, &state) }
        state.unit.handleCompleted(token: token, succeeded: failure == nil, now: now)
      }
    }
  }

  private func note(_ failure: StorageError, _ state: inout State) {
    guard state.failure == nil else { return }
    var place = "the journal"
    if case .file(let path) = journal.place { place = path }
    state.failure = "\(place): \(failure)"
    state.shell?.logger.error(
      "what a LUN is to remember of its mirror can't be kept",
      metadata: ["lun": "\(disk.number.value)", "place": "\(place)", "failure": "\(failure)"])
  }

  private func removeJournal() {
    do throws(StorageError) {
      try journal.remove()
    } catch {
      state.withLock { $0.shell }?.logger.warning(
        "a released LUN's journal stays, and says that it belongs to nobody: \(error)")
    }
  }
}

/// Something of a kept LUN's that waits for a disk.
private final class KeepingWork: StorageWork {
  private let keeping: UnitKeeping
  private let body: @Sendable (UnitKeeping) -> Void

  init(_ keeping: UnitKeeping, _ body: @escaping @Sendable (UnitKeeping) -> Void) {
    self.keeping = keeping
    self.body = body
  }

  func run() { body(keeping) }
}

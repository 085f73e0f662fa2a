// A disk's device server as all sessions share it, and what it keeps over a restart.

package import SCSI
import Storage
import Synchronization

/// A disk's device server behind its lock, for sessions on several event loops. Commands take it
/// once or twice each; what mirrors do with datagrams only looks at a flag.
package final class SharedDevice: Sendable {
  private let server: Mutex<DeviceServer>
  private let isPlainNow = Atomic(true)
  private let stateFile: StateFile?
  /// What was kept last is what is kept at last: files are written in the order of the states.
  private let keeping = Mutex(())
  private let line = Mutex(Line())

  init(_ unit: LogicalUnit, stateFile: StateFile?) throws(BackingRefusal) {
    var device = DeviceServer(unit)
    self.stateFile = stateFile
    if let stateFile, let state = try stateFile.load() {
      // Safe: the span over the array ends with the statement.
      guard unsafe device.restore(state.span.bytes) else { throw stateFile.unreadable }
    }
    isPlainNow.store(device.isPlain, ordering: .relaxed)
    server = Mutex(device)
  }

  /// Runs `body` on the device server, alone.
  package func with<Result>(_ body: (inout sending DeviceServer) -> sending Result) -> Result {
    server.withLock { device in
      defer { isPlainNow.store(device.isPlain, ordering: .releasing) }
      return body(&device)
    }
  }

  /// Whether anybody may write and has nothing to hear before; when not, the device server says who
  /// and what.
  package var isPlain: Bool { isPlainNow.load(ordering: .acquiring) }

  /// Makes durable what is to outlast the daemon, as it stands now; on a thread that may wait.
  func keep() throws(BackingRefusal) {
    guard let stateFile else { return }
    let failure = keeping.withLock { _ -> BackingRefusal? in
      do throws(BackingRefusal) {
        try stateFile.store(with { $0.keptState })
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  // MARK: What changes what is kept

  /// Hears how a conclusion has ended, and why what it changes can't be kept.
  typealias ConclusionEnd = @Sendable (Concluded, BackingRefusal?) -> Void

  /// Conclusions that wait for their turn.
  private struct Line {
    var isRunning = false
    var waiting: [(conclusion: Conclusion, ended: ConclusionEnd)] = []
  }

  /// Carries it out after all that came before; `ended` is called on any thread, or at once.
  func conclude(
    _ conclusion: Conclusion, _ workers: StorageWorkers, _ ended: @escaping ConclusionEnd
  ) {
    guard stateFile != nil else { return ended(with { $0.conclude(conclusion) }, nil) }
    let isFirst = line.withLock { line in
      line.waiting.append((conclusion, ended))
      defer { line.isRunning = true }
      return !line.isRunning
    }
    guard isFirst, !workers.submit(ConclusionWork(self)) else { return }
    let refused = line.withLock { line in
      defer { line = Line() }
      return line.waiting
    }
    // SAM-5 §5.3.1: the initiator is to try again when there is less to do.
    for (_, ended) in refused { ended(Concluded(CommandResult(status: .taskSetFull)), nil) }
  }

  /// Carries out all that waits, in order; on a thread that may wait.
  fileprivate func runConclusions() {
    while true {
      let next = line.withLock { line -> (conclusion: Conclusion, ended: ConclusionEnd)? in
        guard line.waiting.isEmpty else { return line.waiting.removeFirst() }
        line.isRunning = false
        return nil
      }
      guard let next else { return }
      let (concluded, failure) = keeping.withLock { _ in carryOut(next.conclusion) }
      next.ended(concluded, failure)
    }
  }

  /// CHECK CONDITION means that nothing has changed: it counts only once it is durable.
  private func carryOut(_ conclusion: Conclusion) -> (Concluded, BackingRefusal?) {
    if let stateFile, let state = with({ $0.changedState(by: conclusion) }) {
      do throws(BackingRefusal) {
        try stateFile.store(state)
      } catch {
        return (with { $0.abandonConclusion() }, error)
      }
    }
    return (with { $0.conclude(conclusion) }, nil)
  }
}

/// One disk's conclusions, on a worker's thread.
private final class ConclusionWork: StorageWork {
  private let device: SharedDevice

  init(_ device: SharedDevice) { self.device = device }

  func run() { device.runConclusions() }
}

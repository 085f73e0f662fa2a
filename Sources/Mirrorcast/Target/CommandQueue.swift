// The commands of one session that need a disk: which waits, which runs, which may start.
//
//     waiting ──▶ running ──▶ answered
//        └──────▶ dropped, when aborted before it ran
//
// What runs can't be called back; whoever must know that it has ended leaves a `Drain`. Who waits
// is called by the owner (`takeFinished`), not from within: it may well come back here.

import ISCSI

/// Orders a session's disk commands and bounds what they hold.
struct CommandQueue {
  private struct Running {
    var transferBytes: Int
    var readBytes: Int
    var isOrdered: Bool
    /// The disk that it is about; nil: several.
    var unit: UInt64?
  }

  /// Somebody waits for the end of some running commands.
  private struct Drain {
    var handles: Set<TaskHandle>
    let ended: () -> Void
  }

  private let limits: TargetLimits
  private var waiting: [DiskCommand] = []
  private var running: [TaskHandle: Running] = [:]
  private var runningBytes = 0
  /// Bytes that running commands read from their disks.
  private(set) var readBytes = 0
  private var drains: [Drain] = []
  /// Small writes that run, but wait for their disk.
  var trains = DiskTrains()
  private var finished: [() -> Void] = []

  init(limits: TargetLimits) {
    self.limits = limits
  }

  var isRunning: Bool { !running.isEmpty }
  /// Whether one command runs and none waits.
  var isSingle: Bool { running.count == 1 && waiting.isEmpty }
  var isEmpty: Bool { waiting.isEmpty && running.isEmpty }
  /// Bytes that the first that waits is to read.
  var firstReadBytes: Int { waiting.first?.readBytes ?? 0 }

  mutating func append(_ command: DiskCommand) {
    waiting.append(command)
  }

  /// Whether the first that waits may start, with so many bytes still on their way to the socket.
  func canStart(outputBytes: Int) -> Bool {
    guard let first = waiting.first, running.count < limits.diskCommandsMax else { return false }
    // SAM-5 §8.6: an ordered command waits for all before it, and all after wait for it.
    let isFenced = first.isOrdered || running.values.contains { $0.isOrdered }
    guard running.isEmpty || !isFenced else { return false }
    let held = runningBytes + outputBytes
    return held == 0 || held + first.transferBytes <= limits.transferBytesMax
  }

  /// Takes the first that waits; only after `canStart`.
  mutating func start() -> DiskCommand {
    let command = waiting.removeFirst()
    running[command.handle] = Running(
      transferBytes: command.transferBytes, readBytes: command.readBytes,
      isOrdered: command.isOrdered, unit: command.unitID)
    runningBytes += command.transferBytes
    readBytes += command.readBytes
    return command
  }

  /// A running command has ended.
  mutating func end(_ handle: TaskHandle) {
    guard let ended = running.removeValue(forKey: handle) else {
      preconditionFailure("a disk command ended that was not running")
    }
    runningBytes -= ended.transferBytes
    readBytes -= ended.readBytes
    note(ended: [handle])
  }

  private mutating func note(ended handles: [TaskHandle]) {
    guard !drains.isEmpty else { return }
    for index in drains.indices { drains[index].handles.subtract(handles) }
    finished += drains.filter(\.handles.isEmpty).map(\.ended)
    drains.removeAll(where: \.handles.isEmpty)
  }

  /// Whoever waited, and need not any more; to be called at once.
  mutating func takeFinished() -> [() -> Void] {
    guard !finished.isEmpty else { return [] }
    defer { finished = [] }
    return finished
  }

  /// Forgets a command that has not started.
  mutating func drop(_ handle: TaskHandle) {
    waiting.removeAll { $0.handle == handle }
    if running[handle] == nil { note(ended: [handle]) }
  }

  mutating func dropAll() {
    let handles = waiting.map(\.handle)
    waiting = []
    note(ended: handles)
  }

  /// Finishes `ended` once none of `handles` (nil: none at all) runs: at once, or later.
  mutating func drain(_ handles: [TaskHandle]?, _ ended: @escaping () -> Void) {
    let meant = handles.map { Set($0).intersection(running.keys) } ?? Set(running.keys)
    drain(meant, ended)
  }

  /// Finishes `ended` once no command that is here is about one of these disks any more.
  mutating func drain(units: Set<UInt64>, _ ended: @escaping () -> Void) {
    func isMeant(_ unit: UInt64?) -> Bool { unit.map(units.contains) ?? true }
    var meant = Set(waiting.filter { isMeant($0.unitID) }.map(\.handle))
    meant.formUnion(running.filter { isMeant($0.value.unit) }.keys)
    drain(meant, ended)
  }

  private mutating func drain(_ handles: Set<TaskHandle>, _ ended: @escaping () -> Void) {
    guard !handles.isEmpty else { return finished.append(ended) }
    drains.append(Drain(handles: handles, ended: ended))
  }
}

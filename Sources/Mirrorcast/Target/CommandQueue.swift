// The commands of one session that need a disk: which waits, which runs, which may start.
//
//     waiting ──▶ running ──▶ answered
//        └──────▶ dropped, when aborted before it ran
//
// What runs can't be called back; whoever must know that it has ended leaves a `Drain`.

import ISCSI

/// Orders a session's disk commands and bounds what they hold.
struct CommandQueue {
  private struct Running {
    var transferBytes: Int
    var isOrdered: Bool
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
  private var drains: [Drain] = []
  /// Small writes that run, but wait for their disk.
  var trains = DiskTrains()

  init(limits: TargetLimits) {
    self.limits = limits
  }

  var isRunning: Bool { !running.isEmpty }
  /// Whether one command runs and none waits.
  var isSingle: Bool { running.count == 1 && waiting.isEmpty }

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
      transferBytes: command.transferBytes, isOrdered: command.isOrdered)
    runningBytes += command.transferBytes
    return command
  }

  /// A running command has ended.
  mutating func end(_ handle: TaskHandle) {
    guard let ended = running.removeValue(forKey: handle) else {
      preconditionFailure("a disk command ended that was not running")
    }
    runningBytes -= ended.transferBytes
    for index in drains.indices { drains[index].handles.remove(handle) }
    let empty = drains.filter(\.handles.isEmpty)
    drains.removeAll(where: \.handles.isEmpty)
    for drain in empty { drain.ended() }
  }

  /// Forgets a command that has not started.
  mutating func drop(_ handle: TaskHandle) {
    waiting.removeAll { $0.handle == handle }
  }

  mutating func dropAll() {
    waiting = []
  }

  /// Calls `ended` once none of `handles` (nil: none at all) runs: at once, or later.
  mutating func drain(_ handles: [TaskHandle]?, _ ended: @escaping () -> Void) {
    let meant = handles.map { Set($0).intersection(running.keys) } ?? Set(running.keys)
    guard !meant.isEmpty else { return ended() }
    drains.append(Drain(handles: meant, ended: ended))
  }
}

// Commands that are about more than one operation on one disk: copies, reservations that must be
// durable before they count, and SANITIZE, which outlives its session.

import ISCSI
import Logging
import NIOCore
import SCSI
import Storage

extension TargetConnection {
  func run(_ copy: CopyRequest, _ command: DiskCommand) {
    guard let nexus else { return end(command, CommandResult(status: .busy)) }
    let port = port
    let work = UnitCopy(copy, of: command.unit, among: units, serving, nexus) { result in
      port.visit { connection in
        connection.end(command, result)
        connection.settle()
      }
    }
    guard serving.workers.submit(work) else {
      return end(command, CommandResult(status: .taskSetFull))
    }
  }

  /// SPC-4 §5.13.2, §5.13.11.5: answered once what is kept is durable, and the preempted ones'
  /// tasks have ended.
  func run(_ conclusion: Conclusion, _ command: DiskCommand) {
    let loop = channel.eventLoop
    let lun = command.unit.number.field
    var awaited: [EventLoopFuture<Void>] = []
    for entry in serving.register.entries(of: conclusion.aborted) {
      let done = loop.makePromise(of: Void.self)
      entry.port.visit { $0.abortTasks([lun]) { done.succeed() } }
      awaited.append(done.futureResult)
    }
    if !conclusion.aborted.isEmpty {
      awaited.append(mirroredEnd(at: [command.unit], of: Set(conclusion.aborted)))
    }
    if conclusion.state != nil {
      let done = loop.makePromise(of: Void.self)
      let work = StateKeeping(command.unit.device) { failure in
        if let failure { done.fail(failure) } else { done.succeed() }
      }
      if !serving.workers.submit(work) { done.fail(MirrorcastError("too many commands")) }
      awaited.append(done.futureResult)
    }
    EventLoopFuture.andAllComplete(awaited, on: loop).assumeIsolated().whenComplete { [self] _ in
      EventLoopFuture.andAllSucceed(awaited, on: loop).assumeIsolated()
        .whenComplete { [self] outcome in
          var result = conclusion.result
          if case .failure(let error) = outcome {
            logger.error("what a disk is to remember can't be kept: \(error)")
            result = CommandResult(SenseData(.hardwareError, .internalTargetFailure))
          }
          end(command, result)
          settle()
        }
    }
  }

  private func end(_ command: DiskCommand, _ result: SCSI.CommandResult) {
    session.completeCommand(command.handle, CommandCompletion(result))
    commands.end(command.handle)
    callFinished()
  }

  /// Begins to sanitize; the device server has refused everything else by now.
  func start(_ request: SanitizeRequest, _ unit: ServedUnit, _ task: CommandTask) {
    let handle = task.handle
    let port = port
    let run = SanitizeRun(
      request, of: unit, serving.workers, serving.limits, on: channel.eventLoop, logger
    ) { result in
      guard !request.isImmediate else { return }
      port.visit { connection in
        connection.session.completeCommand(handle, CommandCompletion(result))
        connection.settle()
      }
    }
    guard run.start(unless: { serving.host?.isMirrored(unit) ?? false }) else {
      _ = unit.device.with { $0.finishSanitize(nil) }
      return session.completeCommand(
        handle, CommandCompletion(SCSI.CommandResult(status: .taskSetFull)))
    }
    guard request.isImmediate else { return }
    session.completeCommand(
      handle, CommandCompletion(SCSI.CommandResult(expectedTransfer: task.dataOut.count)))
  }
}

/// Makes a disk's state durable, on a worker's thread.
private final class StateKeeping: StorageWork {
  private let device: SharedDevice
  private let ended: @Sendable (BackingRefusal?) -> Void

  init(_ device: SharedDevice, _ ended: @escaping @Sendable (BackingRefusal?) -> Void) {
    self.device = device
    self.ended = ended
  }

  func run() {
    do throws(BackingRefusal) {
      try device.keep()
      ended(nil)
    } catch {
      ended(error)
    }
  }
}

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

  /// SPC-4 §5.13.2: answered once what is kept is durable.
  func run(_ conclusion: Conclusion, _ command: DiskCommand) {
    let port = port
    command.unit.device.conclude(conclusion, serving.workers) { concluded, failure in
      port.visit { connection in
        if let failure {
          connection.logger.error("what a disk is to remember can't be kept: \(failure)")
        }
        connection.finish(concluded, command)
        connection.settle()
      }
    }
  }

  // SPC-4 §5.13.11.5: not before the preempted ones' tasks have ended.
  private func finish(_ concluded: Concluded, _ command: DiskCommand) {
    guard !concluded.aborted.isEmpty else { return end(command, concluded.result) }
    let loop = channel.eventLoop
    let lun = command.unit.number.field
    var awaited = serving.register.entries(of: concluded.aborted).map { entry in
      let done = loop.makePromise(of: Void.self)
      entry.port.visit { $0.abortTasks([lun]) { done.succeed() } }
      return done.futureResult
    }
    awaited.append(mirroredEnd(at: [command.unit], of: Set(concluded.aborted)))
    EventLoopFuture.andAllComplete(awaited, on: loop).assumeIsolated().whenComplete { [self] _ in
      end(command, concluded.result)
      settle()
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
    guard run.start(unless: { serving.isMirrored(unit) }) else {
      _ = unit.device.with { $0.finishSanitize(nil) }
      return session.completeCommand(
        handle, CommandCompletion(SCSI.CommandResult(status: .taskSetFull)))
    }
    guard request.isImmediate else { return }
    session.completeCommand(
      handle, CommandCompletion(SCSI.CommandResult(expectedTransfer: task.dataOut.count)))
  }
}

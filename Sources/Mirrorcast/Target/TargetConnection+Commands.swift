// A SCSI command from its arrival to its answer. Memory answers on the event loop, disks on the
// workers' threads.

import Bytes
import ISCSI
import NIOCore
import SCSI
import Storage

extension TargetConnection {
  /// A command has come, with its data: answers it, or queues it for its disk.
  func begin(_ task: CommandTask) {
    let request = CommandRequest(
      cdb: task.commandDescriptorBlock, expectedDataIn: task.isRead ? task.expectedLength : 0,
      expectedDataOut: task.isWrite ? task.expectedLength : 0)
    let inventory = serving.units.inventory
    guard let unit = serving.units[field: task.lun] else {
      return answer(task, AbsentLogicalUnit.begin(request, inventory: inventory))
    }
    if let sense = takeAttention(unit, request) { return answer(task, CommandResult(sense)) }
    // More than is ever collected, so there is no data to go on with.
    guard !task.isTooLong else { return answer(task, CommandResult(.invalidField(0))) }
    proceed(unit.logicalUnit.begin(request, inventory: inventory), unit, task, request)
  }

  private func proceed(
    _ outcome: Outcome, _ unit: ServedUnit, _ task: CommandTask, _ request: CommandRequest
  ) {
    switch outcome {
    case .done(let result):
      answer(task, result)
    case .parameters(let byteCount):
      guard task.dataOut.count >= byteCount else {
        return answer(task, CommandResult(.parameterListLengthError))
      }
      // Safe: the span over the task's bytes ends with the expression.
      let next = unsafe unit.logicalUnit.handleParameters(
        task.dataOut.span.bytes.extracting(0..<byteCount), of: request)
      if case .parameters = next { preconditionFailure("parameters asked for twice") }
      proceed(next, unit, task, request)
    case .disk(let disk):
      guard task.dataOut.count >= disk.dataOutLength else {
        return answer(task, CommandResult(.parameterListLengthError))
      }
      commands.append(
        DiskCommand(
          handle: task.handle, unit: unit, request: disk, dataOut: data(of: task, for: disk),
          isOrdered: task.attribute == 2))
    }
  }

  /// What the operation is to have of the initiator's data: it may have sent more than the command
  /// asks for.
  private func data(of task: CommandTask, for disk: DiskRequest) -> [UInt8] {
    guard disk.operation.takesData else { return [] }
    if task.dataOut.count == disk.dataOutLength { return task.dataOut }
    return Array(task.dataOut.prefix(disk.dataOutLength))
  }

  private func answer(_ task: CommandTask, _ result: SCSI.CommandResult) {
    session.completeCommand(task.handle, CommandCompletion(result))
  }

  /// The unit attention that waits for this command, SAM-5 §5.14: INQUIRY, REPORT LUNS and REQUEST
  /// SENSE go on in spite of one.
  private func takeAttention(_ unit: ServedUnit, _ request: CommandRequest) -> SenseData? {
    guard !attentions.isEmpty else { return nil }
    switch OperationCode(rawValue: request.cdb[0]) {
    case .inquiry, .reportLUNs, .requestSense: return nil
    default: break
    }
    return attentions.removeValue(forKey: unit.number.field).map { SenseData(.unitAttention, $0) }
  }

  // MARK: At the disk

  /// Runs a command that was started.
  func run(_ command: DiskCommand) {
    let handle = command.handle
    // Counted before the mirror's mark is looked at, see MediumChanges.
    let changes = command.request.operation.changesMedium ? command.unit.changes : nil
    changes?.begin()
    let lun = Int(command.unit.number.value)
    if changes != nil, serving.host?.isMirrored(lun: lun) ?? false {
      changes?.end()
      return end(handle, CommandCompletion(SCSI.CommandResult(.writeProtected)))
    }
    if command.unit.backing.isInline {
      let completion = command.runInline()
      changes?.end()
      return end(handle, completion)
    }
    let port = port
    let isTaken = command.submit(to: serving.workers) { completion in
      changes?.end()
      port.visit { connection in
        connection.end(handle, completion)
        connection.settle()
      }
    }
    guard !isTaken else { return }
    changes?.end()
    // SAM-5 §5.3.1: the initiator is to try again when there is less to do.
    end(handle, CommandCompletion(SCSI.CommandResult(status: .taskSetFull)))
  }

  private func end(_ handle: TaskHandle, _ completion: CommandCompletion) {
    session.completeCommand(handle, completion)
    commands.end(handle)
  }
}

extension DiskOperation {
  /// Whether it may leave other bytes on the medium than before.
  fileprivate var changesMedium: Bool {
    switch self {
    case .write, .writeAndCompare, .fill, .zero: true
    case .read, .compare, .verify, .flush: false
    }
  }

  /// Whether it uses the initiator's data.
  fileprivate var takesData: Bool {
    switch self {
    case .write, .writeAndCompare, .fill, .compare: true
    case .read, .verify, .zero, .flush: false
    }
  }
}

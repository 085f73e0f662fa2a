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
    guard let unit = units[field: task.lun], let nexus else {
      let numbers = units.reachable.map(\.identity.number)
      noteInventory(request)
      return answer(task, AbsentLogicalUnit.begin(request, inventory: numbers))
    }
    // More than is ever collected, so there is no data to go on with.
    guard !task.isTooLong else { return answer(task, CommandResult(.invalidField(0))) }
    noteInventory(request)
    let around = surroundings(of: unit)
    proceed(unit.device.with { $0.begin(request, from: nexus, around) }, unit, task, request)
  }

  private func surroundings(of unit: ServedUnit) -> Surroundings {
    Surroundings(
      units: units.reachable, isMirrored: serving.isMirrored(unit),
      readiness: unit.keeping.readiness(for: port.id))
  }

  private func proceed(
    _ outcome: Outcome, _ unit: ServedUnit, _ task: CommandTask, _ request: CommandRequest
  ) {
    switch outcome {
    case .done(let result):
      answer(task, result)
    case .parameters(let byteCount):
      guard task.dataOut.count >= byteCount, let nexus else {
        return answer(task, CommandResult(.parameterListLengthError))
      }
      let around = surroundings(of: unit)
      let next = unit.device.with { device in
        // Safe: the span over the task's bytes ends with the expression.
        unsafe device.handleParameters(
          task.dataOut.span.bytes.extracting(0..<byteCount), of: request, from: nexus, around)
      }
      if case .parameters = next { preconditionFailure("parameters asked for twice") }
      proceed(next, unit, task, request)
    case .disk(let disk):
      guard task.dataOut.count >= disk.dataOutLength else {
        return answer(task, CommandResult(.parameterListLengthError))
      }
      append(.operation(disk), unit, task, dataOut: data(of: task, for: disk))
    case .copy(let copy): append(.copy(copy), unit, task)
    case .conclude(let conclusion): append(.conclude(conclusion), unit, task)
    case .sanitize(let sanitize): start(sanitize, unit, task)
    }
  }

  private func append(
    _ work: DiskCommand.Work, _ unit: ServedUnit, _ task: CommandTask, dataOut: [UInt8] = []
  ) {
    commands.append(
      DiskCommand(
        handle: task.handle, unit: unit, work: work, dataOut: dataOut,
        isOrdered: task.attribute == 2))
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

  // MARK: At the disk

  /// Runs a command that was started.
  func run(_ command: DiskCommand) {
    switch command.work {
    case .operation(let request):
      run(
        DiskOperationCommand(unit: command.unit, request: request, dataOut: command.dataOut),
        command.handle)
    case .copy(let copy): run(copy, command)
    case .conclude(let conclusion): run(conclusion, command)
    }
  }

  private func run(_ command: DiskOperationCommand, _ handle: TaskHandle) {
    // Counted before the marks of a mirror and of a SANITIZE are looked at, see MediumGate.
    let changes = command.request.operation.changesMedium ? command.unit.changes : nil
    changes?.begin()
    if changes != nil, let refusal = refusal(command) {
      changes?.end()
      return end(handle, CommandCompletion(refusal))
    }
    if command.unit.backing.isInline {
      let completion = command.run()
      changes?.end()
      return end(handle, completion)
    }
    switch command.request.operation {
    case .read(let range) where range.length <= UInt64(serving.limits.readAtHandBytesMax):
      if let completion = command.readAtHand() { return end(handle, completion) }
    case .write(let range, isForced: false)
    where range.length <= UInt64(serving.limits.trainWriteBytesMax):
      if commands.isSingle, let completion = command.writeAtOnce() {
        changes?.end()
        return end(handle, completion)
      }
      let lun = Int(command.unit.number.value)
      return commands.trains.board(DiskCar(handle: handle, command: command), lun: lun)
    default: break
    }
    let later = later(handle)
    let work = DiskWork(command) { completion in
      changes?.end()
      later(completion)
    }
    guard !serving.workers.submit(work) else { return }
    changes?.end()
    refuse(handle)
  }

  /// Why a command that changes its medium, and was let through, isn't carried out after all.
  private func refusal(_ command: DiskOperationCommand) -> SCSI.CommandResult? {
    let isMirrored = serving.isMirrored(command.unit)
    if let refusal = command.request.refusal(isMirrored: isMirrored) { return refusal }
    let device = command.unit.device
    return device.isPlain ? nil : device.with { $0.refusalWhileSanitizing }
  }

  /// Sends the small writes that wait to their disks.
  func departTrains() {
    while let (lun, cars) = commands.trains.depart() {
      let port = port
      let train = DiskTrain(cars) { results in
        port.visit { connection in
          connection.arrive(results, lun: lun)
          connection.departTrains()
          connection.settle()
        }
      }
      guard !serving.workers.submit(train) else { continue }
      commands.trains.arrive(lun: lun)
      for car in cars {
        car.command.unit.changes.end()
        refuse(car.handle)
      }
    }
  }

  private func arrive(_ results: TrainResults, lun: Int) {
    for (handle, completion) in results { end(handle, completion) }
    commands.trains.arrive(lun: lun)
  }

  /// Ends the command from another thread.
  private func later(_ handle: TaskHandle) -> @Sendable (CommandCompletion) -> Void {
    let port = port
    return { completion in
      port.visit { connection in
        connection.end(handle, completion)
        connection.settle()
      }
    }
  }

  // SAM-5 §5.3.1: the initiator is to try again when there is less to do.
  private func refuse(_ handle: TaskHandle) {
    end(handle, CommandCompletion(SCSI.CommandResult(status: .taskSetFull)))
  }

  private func end(_ handle: TaskHandle, _ completion: CommandCompletion) {
    session.completeCommand(handle, completion)
    commands.end(handle)
    callFinished()
  }
}

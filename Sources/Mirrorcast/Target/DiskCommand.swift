// One command at a disk. The worker copies what it has read into an array on its own thread, so
// that the event loop gets bytes it can send and nobody waits for the copy.

import ISCSI
import SCSI
import Storage

/// A command that needs its disk, with everything that is known about it.
struct DiskCommand: Sendable {
  /// What is to be done.
  enum Work: Sendable {
    case operation(DiskRequest)
    case copy(CopyRequest)
    /// What is to be durable, and whose tasks end, before the answer.
    case conclude(Conclusion)
  }

  let handle: TaskHandle
  let unit: ServedUnit
  let work: Work
  let dataOut: [UInt8]
  /// Task attribute ORDERED: it overtakes nothing and nothing overtakes it.
  let isOrdered: Bool

  /// Bytes that pass between disk and socket for it.
  var transferBytes: Int {
    guard case .operation(let request) = work else { return UnitCopy.pieceByteCount }
    return max(request.dataInLength, dataOut.count)
  }
}

/// One operation of a command, and its answer.
struct DiskOperationCommand: Sendable {
  let unit: ServedUnit
  let request: DiskRequest
  let dataOut: [UInt8]

  private var readLength: Int { request.dataInLength }

  /// Runs it here and now, for a backing that never waits.
  func runInline() -> CommandCompletion {
    var failure: StorageError?
    var data = dataOut
    if readLength > 0 { data = [UInt8](repeating: 0, count: bufferLength) }
    // Safe: the array's own bytes, used within the closure.
    unsafe data.withUnsafeMutableBytes { buffer in
      do throws(StorageError) {
        try unsafe unit.backing.perform(request.operation, buffer)
      } catch {
        failure = error
      }
    }
    return completion(failure, dataIn: readLength > 0 ? data : [])
  }

  /// What the operation fills, which may be more than is sent.
  fileprivate var bufferLength: Int {
    if case .allocation = request.operation {
      max(readLength, LBAStatus.byteCountMin)
    } else {
      max(readLength, dataOut.count)
    }
  }

  /// How it ended.
  func completion(_ failure: StorageError?, dataIn: [UInt8]) -> CommandCompletion {
    var data = failure == nil ? dataIn : []
    if failure == nil, case .allocation = request.operation {
      // Safe: the span over the array ends with the statement.
      let count = unsafe LBAStatus.byteCount(data.span.bytes)
      data = Array(data.prefix(min(count, readLength)))
    }
    let count = data.count
    let result = unit.device.with {
      $0.finish(request, failure?.diskFailure, dataInLength: count)
    }
    var completion = CommandCompletion(result)
    completion.dataIn = data
    return completion
  }

  /// Hands it to a worker; false when the workers' queue is full.
  func submit(
    to workers: StorageWorkers, then ended: @escaping @Sendable (CommandCompletion) -> Void
  ) -> Bool {
    workers.submit(DiskJob(self, readLength: readLength, ended).job)
  }
}

/// The buffer of a command while a worker has it.
// Safe: the buffer is filled before the job is submitted and read after it has run; between the two
// it is the worker's alone.
@safe private final class DiskJob: StorageCompletion, @unchecked Sendable {
  private let command: DiskOperationCommand
  private let readLength: Int
  private let buffer: UnsafeMutableRawBufferPointer
  private let ended: @Sendable (CommandCompletion) -> Void

  init(
    _ command: DiskOperationCommand, readLength: Int,
    _ ended: @escaping @Sendable (CommandCompletion) -> Void
  ) {
    self.command = command
    self.readLength = readLength
    self.ended = ended
    // Safe: allocated here, freed in deinit, as long as the longer of both directions.
    unsafe buffer = .allocate(byteCount: command.bufferLength, alignment: 4096)
    unsafe buffer.copyBytes(from: command.dataOut)
  }

  deinit {
    // Safe: the job that names the buffer holds this object.
    unsafe buffer.deallocate()
  }

  var job: StorageJob {
    // Safe: the job keeps its completion, this object, and so the buffer.
    unsafe StorageJob(
      command.request.operation, on: command.unit.backing, buffer: buffer, token: 0,
      completion: self)
  }

  func completed(token: UInt64, error: StorageError?) {
    var data: [UInt8] = []
    if error == nil, readLength > 0 {
      // Safe: the worker has filled the buffer and lets go of it now.
      data = unsafe [UInt8](buffer.prefix(command.bufferLength))
    }
    ended(command.completion(error, dataIn: data))
  }
}

extension CommandCompletion {
  /// What SCSI found, as the session sends it.
  init(_ result: SCSI.CommandResult) {
    self.init(
      status: result.status.rawValue, sense: result.senseBytes,
      dataIn: result.dataIn, transferLength: result.expectedTransfer)
  }
}

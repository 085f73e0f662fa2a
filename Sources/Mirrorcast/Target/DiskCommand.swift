// One command at a disk: read into the very array that is sent, written from the one that came.

import ISCSI
import Lanes
import SCSI
import Storage

/// A command that needs its disk, with everything that is known about it.
struct DiskCommand: Sendable {
  /// What is to be done.
  enum Work: Sendable {
    case operation(DiskRequest)
    case copy(CopyRequest)
    /// A change of what the disk keeps.
    case conclude(Conclusion)
  }

  let handle: TaskHandle
  let unit: ServedUnit
  let work: Work
  let dataOut: [UInt8]
  /// Task attribute ORDERED: it overtakes nothing and nothing overtakes it.
  let isOrdered: Bool

  /// The disk that it is about; nil for a copy, which may be about others, too.
  var unitID: UInt64? {
    if case .copy = work { nil } else { unit.id }
  }

  /// Bytes that pass between disk and socket for it.
  var transferBytes: Int {
    switch work {
    case .operation(let request): max(request.dataInLength, dataOut.count)
    case .copy: UnitCopy.pieceByteCount
    case .conclude: 0
    }
  }

  /// Those of them that are not here yet.
  var readBytes: Int {
    switch work {
    case .operation(let request): request.dataInLength
    case .copy: UnitCopy.pieceByteCount
    case .conclude: 0
    }
  }
}

/// One operation of a command, and its answer.
struct DiskOperationCommand: Sendable {
  let unit: ServedUnit
  let request: DiskRequest
  let dataOut: [UInt8]

  /// Runs it on this thread, which waits for the disk.
  func run() -> CommandCompletion {
    request.dataInLength > 0 ? runReading() : runWriting()
  }

  /// Runs a read that the disk's cache can serve, on a thread that must not wait; nil, and nothing
  /// is done, where that can't be.
  func readAtHand() -> CommandCompletion? {
    guard case .read(let range) = request.operation else { return nil }
    var isDone = false
    // Safe: the array's own memory, all of which was filled when it is counted.
    let data = unsafe [UInt8](unsafeUninitializedCapacity: Int(range.length)) { memory, count in
      let whole = unsafe UnsafeMutableBufferPointer(rebasing: memory[..<Int(range.length)])
      let buffer = UnsafeMutableRawBufferPointer(whole)
      isDone = unsafe (try? unit.backing.performAtOnce(request.operation, buffer)) ?? false
      count = isDone ? Int(range.length) : 0
    }
    return isDone ? completion(nil, dataIn: data) : nil
  }

  /// Runs a small write while the disk's cache takes such promptly; nil, and nothing is done, where
  /// it doesn't, or another operation has to be waited for.
  func writeAtOnce() -> CommandCompletion? {
    let began = MonotonicClock.now()
    guard unit.pace.isPrompt(now: began) else { return nil }
    let waits = ThreadWaits.count
    var failure: StorageError?
    var isDone = true
    // Safe: the array's bytes are lent for the call, and a write only reads them.
    unsafe dataOut.withUnsafeBytes { bytes in
      do throws(StorageError) {
        isDone = try unsafe unit.backing.performAtOnce(
          request.operation, UnsafeMutableRawBufferPointer(mutating: bytes))
      } catch {
        failure = error
      }
    }
    unit.pace.noteWrite(
      from: began, to: MonotonicClock.now(), hasWaited: ThreadWaits.count > waits)
    return isDone ? completion(failure, dataIn: []) : nil
  }

  private func runReading() -> CommandCompletion {
    var failure: StorageError?
    // Safe: the array's own memory, all of which was filled when it is counted.
    let data = unsafe [UInt8](unsafeUninitializedCapacity: bufferLength) { memory, count in
      let whole = unsafe UnsafeMutableBufferPointer(rebasing: memory[..<bufferLength])
      let buffer = UnsafeMutableRawBufferPointer(whole)
      do throws(StorageError) {
        try unsafe unit.backing.perform(request.operation, buffer)
        count = bufferLength
      } catch {
        failure = error
      }
    }
    return completion(failure, dataIn: data)
  }

  private func runWriting() -> CommandCompletion {
    var failure: StorageError?
    // Safe: the array's bytes are lent for the call; an operation without data for the initiator
    // only reads its buffer.
    unsafe dataOut.withUnsafeBytes { bytes in
      do throws(StorageError) {
        try unsafe unit.backing.perform(
          request.operation, UnsafeMutableRawBufferPointer(mutating: bytes))
      } catch {
        failure = error
      }
    }
    return completion(failure, dataIn: [])
  }

  /// What the operation fills, which may be more than is sent.
  private var bufferLength: Int {
    switch request.operation {
    case .read(let range): Int(range.length)
    case .allocation: max(request.dataInLength, LBAStatus.byteCountMin)
    default: request.dataInLength
    }
  }

  /// How it ended.
  private func completion(_ failure: StorageError?, dataIn: [UInt8]) -> CommandCompletion {
    var data = failure == nil ? dataIn : []
    if failure == nil, case .allocation = request.operation {
      // Safe: the span over the array ends with the statement.
      let count = unsafe LBAStatus.byteCount(data.span.bytes)
      data = Array(data.prefix(min(count, request.dataInLength)))
    }
    let count = data.count
    let result = unit.device.with {
      $0.finish(request, failure?.diskFailure, dataInLength: count)
    }
    var completion = CommandCompletion(result)
    completion.dataIn = data
    return completion
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

/// A command that goes to its disk alone, on a worker's thread.
final class DiskWork: StorageWork {
  private let command: DiskOperationCommand
  private let ended: @Sendable (CommandCompletion) -> Void

  init(
    _ command: DiskOperationCommand, _ ended: @escaping @Sendable (CommandCompletion) -> Void
  ) {
    self.command = command
    self.ended = ended
  }

  func run() { ended(command.run()) }
}

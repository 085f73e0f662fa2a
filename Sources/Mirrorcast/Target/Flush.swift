import SCSI
import Storage

/// A flush that somebody awaits.
final class Flush: StorageCompletion {
  /// All that was written to a disk is on its medium when this returns; else the failure.
  static func of(_ unit: ServedUnit, by workers: StorageWorkers) async -> StorageError? {
    await withCheckedContinuation { continuation in
      if !Flush(continuation).submit(unit.backing, to: workers) {
        // No room in the queue, so it is done here.
        var failure: StorageError?
        do throws(StorageError) { try unit.backing.flush() } catch { failure = error }
        continuation.resume(returning: failure)
      }
    }
  }

  private let continuation: CheckedContinuation<StorageError?, Never>

  private init(_ continuation: CheckedContinuation<StorageError?, Never>) {
    self.continuation = continuation
  }

  private func submit(_ backing: any BlockBacking, to workers: StorageWorkers) -> Bool {
    // Safe: a flush has no data, and the empty buffer no memory.
    let buffer = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    return workers.submit(
      unsafe StorageJob(.flush, on: backing, buffer: buffer, token: 0, completion: self))
  }

  func completed(token: UInt64, error: StorageError?) {
    continuation.resume(returning: error)
  }
}

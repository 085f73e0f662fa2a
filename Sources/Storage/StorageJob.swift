package import SCSI

/// Hears that a job has ended, on the worker's thread; must be quick, and may submit another.
package protocol StorageCompletion: AnyObject, Sendable {
  func completed(token: UInt64, error: StorageError?)
}

/// Something else that waits for disks: a copy between two, a piece of a longer job.
package protocol StorageWork: AnyObject, Sendable {
  /// On a worker's thread.
  func run()
}

/// One operation for a worker, with the buffer that its submitter keeps alive and alone until
/// `completed` is called.
// Safe: the buffer crosses threads by being handed over, submitter to worker and back.
@safe package struct StorageJob: @unchecked Sendable {
  package let backing: any BlockBacking
  package let operation: DiskOperation
  package let buffer: UnsafeMutableRawBufferPointer
  package let token: UInt64
  package let completion: any StorageCompletion

  package init(
    _ operation: DiskOperation, on backing: any BlockBacking,
    buffer: UnsafeMutableRawBufferPointer, token: UInt64, completion: any StorageCompletion
  ) {
    self.backing = backing
    self.operation = operation
    // Safe: stored, not touched; only the worker reads or fills it.
    unsafe self.buffer = buffer
    self.token = token
    self.completion = completion
  }

  /// Does it, and tells.
  package func run() {
    var failure: StorageError?
    do throws(StorageError) {
      // Safe: the submitter keeps the buffer until `completed`.
      try unsafe backing.perform(operation, buffer)
    } catch {
      failure = error
    }
    completion.completed(token: token, error: failure)
  }
}

// A few threads that wait for disks so that nobody else does. The queue is bounded: when it is full
// `submit` says so, and the submitter holds its initiator back.

import Glibc

/// A fixed number of threads that run storage jobs, in the order of submission but side by side.
package final class StorageWorkers: Sendable {
  private let queue: JobQueue
  private let threads: [pthread_t]

  package init(count: Int = 4, queueLengthMax: Int = 256) {
    precondition(count > 0 && queueLengthMax > 0, "workers without threads or queue")
    let queue = JobQueue(lengthMax: queueLengthMax)
    self.queue = queue
    threads = (0..<count).map { _ in Self.startThread(queue) }
  }

  deinit { precondition(queue.isClosed, "storage workers let go without stop()") }

  /// Takes a job; false when the queue is full or the workers have been stopped.
  package func submit(_ job: StorageJob) -> Bool {
    queue.append(.job(job))
  }

  /// Whether `stop` was called.
  package var isStopped: Bool { queue.isClosed }

  /// As `submit` of a job.
  package func submit(_ work: any StorageWork) -> Bool {
    queue.append(.work(work))
  }

  /// Ends all jobs that were taken, then the threads. Never from a completion.
  package func stop() {
    guard queue.close() else { return }
    for thread in threads {
      let result = pthread_join(thread, nil)
      precondition(result == 0, "a storage worker can't be joined")
    }
  }

  private static func startThread(_ queue: JobQueue) -> pthread_t {
    var thread = pthread_t()
    // Safe: the thread takes over the reference that is retained here.
    let argument = unsafe Unmanaged.passRetained(queue).toOpaque()
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let queue = unsafe Unmanaged<JobQueue>.fromOpaque(argument).takeRetainedValue()
        while let job = queue.next() { job.run() }
        return nil
      }, argument)
    precondition(result == 0, "no thread for a storage worker")
    return thread
  }
}

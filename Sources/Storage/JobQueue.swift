import Glibc

/// What a worker does.
enum StorageTask: Sendable {
  case job(StorageJob)
  case work(any StorageWork)

  func run() {
    switch self {
    case .job(let job): job.run()
    case .work(let work): work.run()
    }
  }
}

/// A bounded queue that threads may wait on.
// Safe: everything below `lock` is touched only while it is held.
@safe final class JobQueue: @unchecked Sendable {
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let filled: UnsafeMutablePointer<pthread_cond_t>
  private var ring: [StorageTask?]
  private var head = 0
  private var count = 0
  private var closed = false

  init(lengthMax: Int) {
    ring = Array(repeating: nil, count: lengthMax)
    // Safe: both live at fixed addresses until deinit, as pthreads wants it.
    unsafe lock = .allocate(capacity: 1)
    unsafe lock.initialize(to: pthread_mutex_t())
    unsafe filled = .allocate(capacity: 1)
    unsafe filled.initialize(to: pthread_cond_t())
    unsafe pthread_mutex_init(lock, nil)
    unsafe pthread_cond_init(filled, nil)
  }

  deinit {
    // Safe: nobody has a reference any more, so nobody holds or waits.
    unsafe pthread_cond_destroy(filled)
    unsafe pthread_mutex_destroy(lock)
    unsafe filled.deallocate()
    unsafe lock.deallocate()
  }

  /// False when full or closed.
  func append(_ job: StorageTask) -> Bool {
    locked {
      guard !closed, count < ring.count else { return false }
      ring[(head + count) % ring.count] = job
      count += 1
      // Safe: a valid condition for as long as self.
      unsafe pthread_cond_signal(filled)
      return true
    }
  }

  /// Waits for a job; nil when the queue is closed and empty.
  func next() -> StorageTask? {
    locked {
      while count == 0 {
        if closed { return nil }
        // Safe: the lock is held here, which the wait gives up and takes again.
        unsafe pthread_cond_wait(filled, lock)
      }
      let job = ring[head]
      ring[head] = nil
      head = (head + 1) % ring.count
      count -= 1
      return job
    }
  }

  /// Takes no more jobs; true the first time.
  func close() -> Bool {
    locked {
      let isFirst = !closed
      closed = true
      // Safe: a valid condition for as long as self.
      unsafe pthread_cond_broadcast(filled)
      return isFirst
    }
  }

  var isClosed: Bool { locked { closed } }

  private func locked<Result>(_ body: () -> Result) -> Result {
    // Safe: a valid mutex for as long as self, given back on the same thread.
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return body()
  }
}

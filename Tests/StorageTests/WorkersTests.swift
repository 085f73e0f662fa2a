import Glibc
import SCSI
import Storage
import Testing

/// Collects what has ended, and lets a test wait for some of it. Its lock is one that the thread
/// sanitizer knows, which the one of `Synchronization` is not.
final class Ended: StorageCompletion, @unchecked Sendable {
  private let lock = UnsafeSemaphore(1)
  private let count = UnsafeSemaphore(0)
  private var ended: [(token: UInt64, error: StorageError?)] = []

  func completed(token: UInt64, error: StorageError?) {
    locked { ended.append((token, error)) }
    count.post()
  }

  func wait(_ number: Int) {
    for _ in 0..<number { count.wait() }
  }

  var tokens: [UInt64] { locked { ended.map(\.token).sorted() } }
  var errors: [StorageError] { locked { ended.compactMap(\.error) } }

  private func locked<Result>(_ body: () -> Result) -> Result {
    lock.wait()
    defer { lock.post() }
    return body()
  }
}

final class UnsafeSemaphore: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  init(_ value: UInt32 = 0) { sem_init(semaphore, 0, value) }
  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }
  func post() { sem_post(semaphore) }
  func wait() { while sem_wait(semaphore) != 0 {} }
}

/// A backing that stops inside every operation until it is let on.
final class Gate: BlockBacking {
  let exclusion = RangeExclusion()
  let byteCount: UInt64 = 512
  let isThin = false
  let isInline = false
  let entered = UnsafeSemaphore()
  let leave = UnsafeSemaphore()

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) {}
  func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {}
  func zero(_ range: ByteRange) throws(StorageError) { throw .noSpace }
  func flush() throws(StorageError) {
    entered.post()
    leave.wait()
  }
}

struct WorkersTests {
  static func empty() -> UnsafeMutableRawBufferPointer { .init(start: nil, count: 0) }

  @Test func `four threads write a file, and all of it is there`() throws {
    let directory = Directory()
    let backing = try FileBacking(path: directory.file("disk"), size: 16 << 20)
    let workers = StorageWorkers(count: 4, queueLengthMax: 32)
    let ended = Ended()
    let size = 8 << 10
    let data = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * size, alignment: 4096)
    defer { data.deallocate() }
    data.copyBytes(from: pattern(256 * size))
    var refused = 0
    for index in 0..<256 {
      let range = ByteRange(offset: UInt64(index * size), length: UInt64(size))
      let job = StorageJob(
        .write(range, isForced: index % 64 == 0), on: backing,
        buffer: .init(rebasing: data[index * size..<(index + 1) * size]), token: UInt64(index),
        completion: ended)
      while !workers.submit(job) {
        refused += 1
        ended.wait(1)
      }
    }
    workers.stop()
    #expect(ended.tokens == (0..<256).map(UInt64.init))
    #expect(ended.errors == [])
    #expect(try backing.bytes(0, 256 * size) == pattern(256 * size))
  }

  @Test func `a full queue refuses, a stop finishes what was taken`() {
    let gate = Gate()
    let ended = Ended()
    let workers = StorageWorkers(count: 1, queueLengthMax: 2)
    func submit(_ token: UInt64) -> Bool {
      workers.submit(
        StorageJob(.flush, on: gate, buffer: Self.empty(), token: token, completion: ended))
    }
    #expect(submit(1))
    gate.entered.wait()
    #expect(submit(2))
    #expect(submit(3))
    #expect(!submit(4))
    for _ in 0..<3 { gate.leave.post() }
    workers.stop()
    workers.stop()
    #expect(ended.tokens == [1, 2, 3])
    #expect(!submit(5))
  }

  @Test func `a failure reaches the one who asked`() {
    let ended = Ended()
    let workers = StorageWorkers(count: 2, queueLengthMax: 8)
    let range = ByteRange(offset: 0, length: 512)
    #expect(
      workers.submit(
        StorageJob(
          .zero([range]), on: Gate(), buffer: Self.empty(), token: 9, completion: ended)))
    ended.wait(1)
    #expect(ended.tokens == [9])
    #expect(ended.errors == [.noSpace])
    workers.stop()
  }

  @Test func `letting workers go unstopped is our own bug`() async {
    await #expect(processExitsWith: .failure) {
      _ = StorageWorkers(count: 1, queueLengthMax: 1)
    }
  }
}

import Glibc
import SCSI
import Storage
import Testing

/// A backing whose reads stop until they are let on.
private final class HeldReads: BlockBacking {
  let exclusion = RangeExclusion()
  let byteCount: UInt64 = 1 << 20
  let isThin = false
  let isInline = false
  let entered = UnsafeSemaphore()
  let leave = UnsafeSemaphore()

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) {
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    entered.post()
    leave.wait()
  }
  func readAtHand(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Bool { true }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {}
  func zero(_ range: ByteRange) throws(StorageError) { throw .noSpace }
  func flush() throws(StorageError) {}
}

/// What a thread that must not wait asks of a disk.
struct AtOnceTests {
  let directory = Directory()

  func atOnce(
    _ backing: any BlockBacking, _ operation: DiskOperation, _ bytes: inout [UInt8]
  ) throws -> Bool {
    try bytes.withUnsafeMutableBytes { try backing.performAtOnce(operation, $0) }
  }

  @Test func `what the cache has is read, or nothing is claimed`() throws {
    let path = directory.file("disk")
    let backing = try FileBacking(path: path, size: 4 << 20)
    var bytes = pattern(65536)
    let range = ByteRange(offset: 8192, length: 65536)
    #expect(try atOnce(backing, .write(range, isForced: false), &bytes))
    #expect(try backing.bytes(8192, 65536) == pattern(65536))
    try backing.flush()
    let cache = open(path, O_RDONLY)
    defer { close(cache) }
    // Read again and again, with and without the cache having it.
    for isDropped in [false, true, false] {
      if isDropped {
        posix_fadvise(cache, 0, 0, POSIX_FADV_DONTNEED)
      } else {
        _ = try backing.bytes(8192, 65536)
      }
      bytes = [UInt8](repeating: 0xee, count: 65536)
      if try atOnce(backing, .read(range), &bytes) { #expect(bytes == pattern(65536)) }
    }
  }

  @Test func `past the end of a file that was cut nothing is claimed`() throws {
    let path = directory.file("cut")
    let backing = try FileBacking(path: path, size: 1 << 20)
    try backing.put(pattern(4096), at: 0)
    #expect(truncate(path, 2048) == 0)
    var bytes = [UInt8](repeating: 0, count: 4096)
    #expect(try !atOnce(backing, .read(ByteRange(offset: 0, length: 4096)), &bytes))
    #expect(throws: StorageError.self) { try backing.bytes(0, 4096) }
  }

  @Test func `what waits for the medium, or must be alone, is not done at once`() throws {
    let backing = try FileBacking(path: directory.file("disk"), size: 1 << 20)
    let range = ByteRange(offset: 0, length: 512)
    for operation: DiskOperation in [
      .write(range, isForced: true), .writeAtomic(range, isForced: false), .flush,
      .orWrite(range, isForced: false), .verify(range), .zero([range]),
    ] {
      var bytes = pattern(512)
      #expect(try !atOnce(backing, operation, &bytes), "\(operation)")
    }
    #expect(try backing.bytes(0, 512) == [UInt8](repeating: 0, count: 512))
  }

  @Test func `nobody waits for an operation that is alone in its range`() throws {
    let backing = HeldReads()
    let ended = Ended()
    let workers = StorageWorkers(count: 1, queueLengthMax: 2)
    let range = ByteRange(offset: 4096, length: 512)
    let data = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
    data.initializeMemory(as: UInt8.self, repeating: 0)
    defer { data.deallocate() }
    #expect(
      workers.submit(
        StorageJob(
          .compareAndWrite(range, isForced: false), on: backing, buffer: data, token: 1,
          completion: ended)))
    backing.entered.wait()
    var bytes = [UInt8](repeating: 0, count: 512)
    #expect(try !atOnce(backing, .read(range), &bytes))
    #expect(try !atOnce(backing, .write(range, isForced: false), &bytes))
    #expect(try atOnce(backing, .read(ByteRange(offset: 0, length: 512)), &bytes))
    backing.leave.post()
    workers.stop()
    #expect(ended.errors == [])
    #expect(try atOnce(backing, .read(range), &bytes))
    #expect(try atOnce(backing, .write(range, isForced: false), &bytes))
  }
}

import Bytes
import Glibc
import SCSI
import Storage
import Testing

struct AtomicOperationsTests {
  let directory = Directory()

  func backings() throws -> [any BlockBacking] {
    [
      try FileBacking(path: directory.file("disk"), size: 4 << 20),
      try MemoryBacking(size: 4 << 20),
    ]
  }

  @Test func `the second half is written where the first is what stands there`() throws {
    for backing in try backings() {
      let old = pattern(600 * 512)
      let new = old.map { ~$0 }
      try backing.put(old, at: 512)
      let range = ByteRange(offset: 512, length: UInt64(old.count))
      _ = try backing.perform(.compareAndWrite(range, isForced: true), old + new)
      #expect(try backing.bytes(512, old.count) == new)
      for place in [0, 1, 300_000, old.count - 1] {
        var other = new
        other[place] ^= 1
        #expect(throws: StorageError.differs(offset: UInt64(place))) {
          try backing.perform(.compareAndWrite(range, isForced: false), other + old)
        }
      }
      #expect(try backing.bytes(512, old.count) == new)
    }
  }

  @Test func `bits are ORed in, and nothing beside them`() throws {
    for backing in try backings() {
      let old = pattern(700 * 512)
      let more = old.map { $0 &* 7 &+ 3 }
      try backing.put(old, at: 1024)
      let range = ByteRange(offset: 1024, length: UInt64(more.count))
      _ = try backing.perform(.orWrite(range, isForced: false), more)
      #expect(try backing.bytes(1024, old.count) == zip(old, more).map { $0 | $1 })
      #expect(try backing.bytes(0, 1024).allSatisfy { $0 == 0 })
    }
  }

  /// Four threads count in one block, each by compare and write until that succeeds.
  @Test func `counting by compare and write loses no count`() throws {
    for backing in try backings() {
      let workers = StorageWorkers(count: 4, queueLengthMax: 8)
      let ended = Counted()
      for _ in 0..<4 {
        let isTaken = workers.submit(Counting(backing, ended))
        #expect(isTaken)
      }
      workers.stop()
      let count = try backing.bytes(0, 8).reduce(0) { $0 << 8 | UInt64($1) }
      #expect(count == 4 * Counting.each)
      #expect(ended.value == 4)
    }
  }

  @Test func `an atomic write is seen whole or not at all`() throws {
    for backing in try backings() {
      let workers = StorageWorkers(count: 4, queueLengthMax: 8)
      let ended = Counted()
      for byte in [1, 2] as [UInt8] { _ = workers.submit(Painting(backing, byte, ended)) }
      for _ in 0..<2 { _ = workers.submit(Watching(backing, ended)) }
      workers.stop()
      #expect(ended.value == 4)
    }
  }
}

final class Counted: @unchecked Sendable {
  private let lock = UnsafeSemaphore(1)
  private var count = 0
  func add() {
    lock.wait()
    count += 1
    lock.post()
  }
  var value: Int { count }
}

private final class Counting: StorageWork {
  static let each: UInt64 = 200
  private let backing: any BlockBacking
  private let ended: Counted

  init(_ backing: any BlockBacking, _ ended: Counted) {
    self.backing = backing
    self.ended = ended
  }

  func run() {
    let range = ByteRange(offset: 0, length: 512)
    var done: UInt64 = 0
    while done < Self.each {
      guard let old = try? backing.bytes(0, 512) else { return }
      var new: [UInt8] = []
      new.appendBigEndian(old.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } + 1)
      new += [UInt8](repeating: 0, count: 504)
      let isDone = try? backing.perform(.compareAndWrite(range, isForced: false), old + new)
      if isDone != nil { done += 1 }
    }
    ended.add()
  }
}

private final class Painting: StorageWork {
  private let backing: any BlockBacking
  private let byte: UInt8
  private let ended: Counted

  init(_ backing: any BlockBacking, _ byte: UInt8, _ ended: Counted) {
    self.backing = backing
    self.byte = byte
    self.ended = ended
  }

  func run() {
    let range = ByteRange(offset: 4096, length: 1 << 18)
    let data = [UInt8](repeating: byte, count: 1 << 18)
    for _ in 0..<50 { _ = try? backing.perform(.writeAtomic(range, isForced: false), data) }
    ended.add()
  }
}

private final class Watching: StorageWork {
  private let backing: any BlockBacking
  private let ended: Counted

  init(_ backing: any BlockBacking, _ ended: Counted) {
    self.backing = backing
    self.ended = ended
  }

  func run() {
    let range = ByteRange(offset: 4096, length: 1 << 18)
    for _ in 0..<50 {
      guard let seen = try? backing.perform(.read(range), [UInt8](repeating: 9, count: 1 << 18))
      else { return }
      if seen.contains(where: { $0 != seen[0] }) { return }
    }
    ended.add()
  }
}

struct AllocationTests {
  let directory = Directory()

  struct Piece: Equatable {
    var address: Int
    var count: Int
    var isMapped: Bool

    init(_ address: Int, _ count: Int, _ isMapped: Bool) {
      self.address = address
      self.count = count
      self.isMapped = isMapped
    }
  }

  func status(
    _ backing: any BlockBacking, from offset: UInt64 = 0, room: Int = 4096,
    blockLength: UInt32 = 512
  ) throws -> [Piece] {
    let range = ByteRange(offset: offset, length: backing.byteCount - offset)
    let data = try backing.perform(
      .allocation(range, blockLength: blockLength), [UInt8](repeating: 0xee, count: room))
    func number(_ offset: Int, _ count: Int) -> Int {
      data[offset..<offset + count].reduce(0) { $0 << 8 | Int($1) }
    }
    var pieces: [Piece] = []
    for place in stride(from: 8, to: min(number(0, 4) + 4, room), by: 16) {
      pieces.append(Piece(number(place, 8), number(place + 8, 4), data[place + 12] == 0))
    }
    return pieces
  }

  @Test func `a file's map is told as it is`() throws {
    let backing = try FileBacking(path: directory.file("disk"), size: 1 << 20)
    var found = try status(backing)
    #expect(found == [Piece(0, 2048, false)])
    try backing.put(pattern(8192), at: 65536)
    found = try status(backing)
    #expect(found == [Piece(0, 128, false), Piece(128, 16, true), Piece(144, 1904, false)])
    #expect(try status(backing, from: 65536 + 512).first == Piece(129, 15, true))
    #expect(try status(backing, room: 24).count == 1)
    #expect(try status(backing, blockLength: 4096)[1] == Piece(16, 2, true))
    _ = try backing.perform(.zero([ByteRange(offset: 65536, length: 4096)]))
    found = try status(backing)
    #expect(Array(found.prefix(2)) == [Piece(0, 136, false), Piece(136, 8, true)])
  }

  @Test func `memory has space for what was written`() throws {
    let memory = try MemoryBacking(size: 1 << 20)
    #expect(try status(memory) == [Piece(0, 2048, false)])
    try memory.put(pattern(1 << 20), at: 0)
    #expect(try status(memory) == [Piece(0, 2048, true)])
  }
}

import Glibc
import SCSI
import Storage
import Testing

struct BackingTests {
  let directory = Directory()

  func backings() throws -> [any BlockBacking] {
    [
      try FileBacking(path: directory.file("disk"), size: 4 << 20),
      try MemoryBacking(size: 4 << 20),
    ]
  }

  @Test func `holes read as zeros, and what was written reads back`() throws {
    for backing in try backings() {
      #expect(try backing.bytes(0, 4096) == [UInt8](repeating: 0, count: 4096))
      let data = pattern(100_000)
      try backing.put(data, at: 512 * 777)
      #expect(try backing.bytes(512 * 777, data.count) == data)
      #expect(try backing.bytes(512 * 777 - 1, 1) == [0])
      let end = backing.byteCount - 512
      try backing.put(pattern(512), at: end)
      #expect(try backing.bytes(end, 512) == pattern(512))
      try backing.flush()
    }
  }

  @Test func `zeroed ranges lose their bytes and not a byte beside them`() throws {
    for backing in try backings() {
      let data = pattern(1 << 18).map { $0 | 1 }
      for (offset, length) in [
        (0, 512), (512, 512), (4096, 4096), (4095, 4098), (1, 65535), (8000, 1), (3, 0),
        (0, 1 << 18),
      ] as [(Int, Int)] {
        try backing.put(data, at: 0)
        let range = ByteRange(offset: UInt64(offset), length: UInt64(length))
        _ = try backing.perform(.zero([range]))
        var expected = data
        for index in offset..<offset + length { expected[index] = 0 }
        #expect(try backing.bytes(0, data.count) == expected, "\(backing) \(offset) \(length)")
      }
    }
  }

  @Test func `fill repeats its block, and gives space back for zeros`() throws {
    for backing in try backings() {
      let range = ByteRange(offset: 1024, length: 300 * 1024)
      _ = try backing.perform(.fill(range), pattern(512))
      #expect(try backing.bytes(0, 1024) == [UInt8](repeating: 0, count: 1024))
      for block in [0, 1, 255, 511, 512, 599] as [UInt64] {
        #expect(try backing.bytes(1024 + block * 512, 512) == pattern(512))
      }
      #expect(try backing.bytes(range.end, 512) == [UInt8](repeating: 0, count: 512))
      _ = try backing.perform(.fill(range), [UInt8](repeating: 0, count: 512))
      #expect(try backing.bytes(1024, 300 * 1024).allSatisfy { $0 == 0 })
    }
  }

  @Test func `comparison names the first byte that differs`() throws {
    for backing in try backings() {
      var data = pattern(600_000)
      let range = ByteRange(offset: 4096, length: UInt64(data.count))
      _ = try backing.perform(.writeAndCompare(range), data)
      _ = try backing.perform(.compare(range), data)
      _ = try backing.perform(.verify(range))
      for index in [0, 262_143, 262_144, 599_999] {
        data[index] ^= 0x80
        #expect(throws: StorageError.differs(offset: UInt64(index))) {
          try backing.perform(.compare(range), data)
        }
        data[index] ^= 0x80
      }
    }
  }

  @Test func `bytes outside are our own bug`() async {
    await #expect(processExitsWith: .failure) {
      let backing = try MemoryBacking(size: 1024)
      try backing.put([1, 2], at: 1023)
    }
    await #expect(processExitsWith: .failure) {
      let backing = try MemoryBacking(size: 1024)
      try backing.put([1], at: .max)
    }
    await #expect(processExitsWith: .failure) {
      _ = try MemoryBacking(size: 1024).perform(.read(ByteRange(offset: 0, length: 2)), [1])
    }
  }

  @Test func `memory of impossible size is refused`() {
    #expect(refusal { try MemoryBacking(size: 0) }.contains("multiple of 512"))
    #expect(refusal { try MemoryBacking(size: 513) }.contains("multiple of 512"))
    #expect(refusal { try MemoryBacking(size: 1 << 62) }.contains("can't be had"))
    #expect(refusal { try MemoryBacking(size: .max - 511) }.contains("no disk"))
  }
}

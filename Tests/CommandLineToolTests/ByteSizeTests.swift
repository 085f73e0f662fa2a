import Testing

@testable import mirrorcast

struct ByteSizeTests {
  @Test(
    arguments: [
      ("0", 0), ("4096", 4096), ("4K", 4096), ("4k", 4096), ("1M", 1 << 20), ("2G", 2 << 30),
      ("1T", 1 << 40), ("4KiB", 4096), ("4KB", 4096), ("512B", 512),
    ] as [(String, UInt64)])
  func `sizes are binary`(text: String, byteCount: UInt64) throws {
    #expect(try ByteSize(parsing: text).byteCount == byteCount)
  }

  @Test(arguments: ["", "K", "-1", "+1", "1.5M", "1 M", "0x10", "M1", "1KK", "1P", "٣", "9e9"])
  func `what is no size is refused`(text: String) {
    #expect(throws: (any Error).self) { try ByteSize(parsing: text) }
  }

  @Test(arguments: ["8388608T", "18446744073709551616", "9223372036854775808"])
  func `sizes that overflow are refused, not wrapped`(text: String) {
    #expect(throws: (any Error).self) { try ByteSize(parsing: text) }
  }

  @Test(arguments: [0, 1, 512, 1024, 1536, 1 << 20, 3 << 30, 1 << 40] as [UInt64])
  func `a size written is the size read`(byteCount: UInt64) throws {
    #expect(try ByteSize(parsing: ByteSize(byteCount).description).byteCount == byteCount)
  }
}

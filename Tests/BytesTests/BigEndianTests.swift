import Bytes
import Testing

/// Fields at every offset, aligned or not, against bytes written out by hand.
@Suite struct BigEndianTests {
  @Test func `fields are read most significant byte first`() {
    let bytes: [UInt8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x10]
    let span = bytes.span.bytes
    #expect(span.byte(at: 8) == 0x10)
    #expect(span.bigEndian16(at: 0) == 0x0123)
    #expect(span.bigEndian16(at: 7) == 0xef10)
    #expect(span.bigEndian32(at: 1) == 0x2345_6789)
    #expect(span.bigEndian64(at: 0) == 0x0123_4567_89ab_cdef)
    #expect(span.bigEndian64(at: 1) == 0x2345_6789_abcd_ef10)
    #expect(span.array() == bytes)
  }

  @Test(arguments: 0...8) func `what is stored is read, and nothing beside it`(offset: Int) {
    var bytes = [UInt8](repeating: 0xee, count: 16)
    store(0x0102_0304_0506_0708, at: offset, in: &bytes)
    #expect(bytes.span.bytes.bigEndian64(at: offset) == 0x0102_0304_0506_0708)
    for index in bytes.indices where !(offset..<offset + 8).contains(index) {
      #expect(bytes[index] == 0xee)
    }
  }

  @Test func `appended fields equal stored ones`() {
    var appended: [UInt8] = []
    appended.appendBigEndian(UInt16(0xa1b2))
    appended.appendBigEndian(UInt32(0xc3d4_e5f6))
    appended.appendBigEndian(UInt64(0x0718_293a_4b5c_6d7e))
    var stored = [UInt8](repeating: 0, count: 14)
    var span = stored.mutableSpan
    var bytes = span.mutableBytes
    bytes.storeBigEndian(UInt16(0xa1b2), at: 0)
    bytes.storeBigEndian(UInt32(0xc3d4_e5f6), at: 2)
    bytes.storeBigEndian(UInt64(0x0718_293a_4b5c_6d7e), at: 6)
    #expect(appended == stored)
  }

  @Test func `a copy lands where it was told, an empty one nowhere`() {
    var bytes = [UInt8](repeating: 0, count: 8)
    copy([1, 2, 3], at: 5, in: &bytes)
    copy([], at: 8, in: &bytes)
    #expect(bytes == [0, 0, 0, 0, 0, 1, 2, 3])
  }

  @Test func `a field that reaches over the end is our own bug and traps`() async {
    await #expect(processExitsWith: .failure) {
      let bytes: [UInt8] = [1, 2, 3]
      _ = bytes.span.bytes.bigEndian32(at: 0)
    }
    await #expect(processExitsWith: .failure) {
      let bytes: [UInt8] = [1, 2, 3, 4]
      _ = bytes.span.bytes.bigEndian16(at: -1)
    }
    await #expect(processExitsWith: .failure) {
      var bytes = [UInt8](repeating: 0, count: 4)
      copy([1, 2, 3], at: 2, in: &bytes)
    }
  }
}

private func store(_ value: UInt64, at offset: Int, in bytes: inout [UInt8]) {
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  raw.storeBigEndian(value, at: offset)
}

private func copy(_ source: [UInt8], at offset: Int, in bytes: inout [UInt8]) {
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  raw.copy(source.span.bytes, at: offset)
}

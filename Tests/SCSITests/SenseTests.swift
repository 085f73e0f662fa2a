import Bytes
import SCSI
import Testing

func bytes<Result>(_ array: [UInt8], _ body: (RawSpan) throws -> Result) rethrows -> Result {
  try body(array.span.bytes)
}

struct SenseTests {
  static let all: [SenseData] = [
    .noSense, .invalidOperationCode, .parameterListLengthError, .logicalUnitNotSupported,
    .writeProtected, .invalidField(0), .invalidField(15), .invalidParameter(2),
    SenseData(.illegalRequest, .blockAddressOutOfRange, information: 0),
    SenseData(.illegalRequest, .blockAddressOutOfRange, information: UInt64(UInt32.max)),
    SenseData(.mediumError, .writeError, information: 77),
    SenseData(.mediumError, .unrecoveredReadError, information: 1),
    SenseData(.dataProtect, .spaceAllocationFailed),
    SenseData(.unitAttention, .powerOnOrReset),
    SenseData(.abortedCommand, .protocolServiceDataCRC),
  ]

  @Test(arguments: all) func `fixed format comes back as it went`(_ sense: SenseData) {
    let encoded = sense.fixedFormat
    #expect(encoded.count == 18)
    #expect(Int(encoded[7]) == encoded.count - 8)
    #expect(bytes(encoded) { SenseData($0) } == sense)
  }

  @Test func `the bytes are those that SPC prints`() {
    #expect(
      SenseData.invalidField(2).fixedFormat
        == [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xc0, 0, 2])
    #expect(
      SenseData(.mediumError, .writeError, information: 0x0102_0304).fixedFormat
        == [0xf0, 0, 3, 1, 2, 3, 4, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0])
  }

  @Test func `information over 32 bits is not marked valid`() {
    let sense = SenseData(.illegalRequest, .blockAddressOutOfRange, information: 1 << 32)
    #expect(sense.fixedFormat[0] == 0x70)
    #expect(bytes(sense.fixedFormat) { SenseData($0) }?.information == nil)
  }

  @Test func `descriptor format is read, with its descriptors`() {
    let encoded: [UInt8] = [
      0x72, 0x05, 0x24, 0x00, 0, 0, 0, 20,
      0x00, 0x0a, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2,
      0x02, 0x06, 0, 0, 0xc0, 0, 7, 0,
    ]
    var expected = SenseData.invalidField(7)
    expected.information = 0x1_0000_0002
    #expect(bytes(encoded) { SenseData($0) } == expected)
  }

  @Test func `a descriptor that lies about its length ends the list`() {
    let encoded: [UInt8] = [0x72, 3, 0x11, 0, 0, 0, 0, 255, 0x00, 0xff, 0x80, 0]
    #expect(
      bytes(encoded) { SenseData($0) } == SenseData(.mediumError, .unrecoveredReadError))
  }

  @Test func `every truncation of every format is read or refused`() {
    let descriptors: [UInt8] = [
      0x72, 0x05, 0x24, 0x00, 0, 0, 0, 20, 0x00, 0x0a, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2,
      0x02, 0x06, 0, 0, 0xc0, 0, 7, 0,
    ]
    for whole in Self.all.map(\.fixedFormat) + [descriptors] {
      for count in 0...whole.count {
        let sense = bytes(Array(whole.prefix(count))) { SenseData($0) }
        #expect(count >= 4 || sense == nil || count == 3)
      }
    }
  }

  @Test func `no sequence of bytes traps the reader`() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var noise = (0..<Int.random(in: 0...40)).map { _ in UInt8.random(in: 0...255) }
      if !noise.isEmpty { noise[0] = 0x70 | generator.next() & 0x83 }
      _ = bytes(noise) { SenseData($0)?.description }
    }
  }

  @Test func `people can read it`() {
    #expect(
      SenseData(.dataProtect, .spaceAllocationFailed).description
        == "data protect: space allocation failed, the backing store is full (27/07)")
    #expect(SenseData.invalidField(1).description.hasSuffix("(24/00, command byte 1)"))
    #expect(SenseData(.hardwareError, AdditionalSense(0x5, 0xa)).description.contains("05/0a"))
    #expect(Status.busy.description == "BUSY")
    #expect(Status(rawValue: 0x77).description == "STATUS 0x77")
  }
}

struct LogicalUnitNumberTests {
  @Test func `all single-level numbers come back`() throws {
    for value in 0...LogicalUnitNumber.max {
      let number = try #require(LogicalUnitNumber(value))
      #expect(LogicalUnitNumber(field: number.field) == number)
    }
    #expect(LogicalUnitNumber(5)?.field == 0x0005_0000_0000_0000)
    #expect(LogicalUnitNumber(256)?.field == 0x4100_0000_0000_0000)
    #expect(LogicalUnitNumber(field: 0x4005_0000_0000_0000) == LogicalUnitNumber(5))
  }

  @Test(
    arguments: [
      0x0005_0000_0000_0001, 0x0105_0000_0000_0000, 0x8000_0000_0000_0000, 0xc101_0000_0000_0000,
      0xffff_ffff_ffff_ffff, 0x0000_0001_0000_0000, 0x4000_0001_0000_0000,
    ] as [UInt64])
  func `other forms are none of ours`(_ field: UInt64) {
    #expect(LogicalUnitNumber(field: field) == nil)
  }

  @Test func `numbers outside are refused`() {
    #expect(LogicalUnitNumber(-1) == nil)
    #expect(LogicalUnitNumber(16384) == nil)
  }
}

import Bytes
import ISCSI
import Testing

struct FrameDecoderTests {
  func sample(additional: Int = 0, data: Int) -> PDU {
    var header = BasicHeaderSegment(opcode: .dataOut)
    header.initiatorTaskTag = 0x0102_0304
    header.word40 = 0xa0b0_c0d0
    return PDU(header: header, additional: pattern(additional), data: pattern(data)[...])
  }

  @Test(arguments: [0, 1, 2, 3, 4, 47, 48, 1408, 8192], [0, 4, 16])
  func `reads what was written, in pieces of any size`(data: Int, additional: Int) throws {
    let pdu = sample(additional: additional, data: data)
    let bytes = encoded(pdu)
    #expect(bytes.count == pdu.encodedCount)
    #expect(bytes.count % 4 == 0)
    for chunk in [1, 3, 48, 50, 4096] {
      let read = try decode(bytes + bytes, chunk: chunk)
      #expect(read.count == 2)
      for one in read {
        #expect(one.header.array == pdu.sealedHeader.array)
        #expect(one.additional == pdu.additional)
        #expect(one.data == pdu.data)
      }
    }
  }

  @Test func `yields nothing for any truncation`() throws {
    let bytes = encoded(sample(additional: 8, data: 13))
    for count in 0..<bytes.count {
      var decoder = FrameDecoder()
      let pdus = try decode(Array(bytes[..<count]), decoder: &decoder)
      #expect(pdus.isEmpty)
      #expect(decoder.isBetweenPDUs == (count == 0))
      let rest = try decode(Array(bytes[count...]), decoder: &decoder)
      #expect(rest.count == 1)
      #expect(decoder.isBetweenPDUs)
    }
  }

  @Test func `skips a data segment over the limit and goes on after it`() throws {
    var decoder = FrameDecoder(dataSegmentLengthMax: 512)
    let long = encoded(sample(data: 513))
    let bytes = long + encoded(sample(data: 512))
    for chunk in [1, 7, 100, 5000] {
      var start = 0
      var tooLong: [BasicHeaderSegment] = []
      var pdus: [PDU] = []
      while start < bytes.count {
        let piece = Array(bytes[start..<min(start + chunk, bytes.count)])
        var offset = 0
        while offset < piece.count {
          do {
            if let pdu = try decoder.next(piece, from: &offset) { pdus.append(pdu) }
          } catch .dataSegmentTooLong(let header) {
            tooLong.append(header)
          }
        }
        start += chunk
      }
      #expect(tooLong.map(\.initiatorTaskTag) == [0x0102_0304])
      #expect(tooLong.map(\.dataSegmentLength) == [513])
      #expect(pdus.map(\.data.count) == [512])
    }
  }

  @Test func `refuses sixteen megabytes at its header, before login`() {
    var header = BasicHeaderSegment(opcode: .loginRequest)
    header.dataSegmentLength = 0xff_ffff
    var decoder = FrameDecoder()
    var offset = 0
    #expect(throws: FramingError.self) { _ = try decoder.next(header.array, from: &offset) }
    #expect(offset == 48)
  }

  @Test func `padding that isn't zero is not data`() throws {
    var bytes = encoded(sample(data: 5))
    bytes[bytes.count - 1] = 0xff
    #expect(try decode(bytes).map(\.data.count) == [5])
  }
}

import Bytes
import Testing

/// RFC 1982 arithmetic at the places where a plain comparison would be wrong.
@Suite struct SerialNumberTests {
  @Test func `the number after the last one is zero`() {
    #expect(SerialNumber(.max).next == SerialNumber(0))
    #expect(SerialNumber(.max).precedes(SerialNumber(0)))
    #expect(!SerialNumber(0).precedes(SerialNumber(.max)))
  }

  @Test func `a number doesn't precede itself`() {
    for raw: UInt32 in [0, 1, 0x7fff_ffff, 0x8000_0000, .max] {
      #expect(!SerialNumber(raw).precedes(SerialNumber(raw)))
      #expect(SerialNumber(raw).distance(to: SerialNumber(raw)) == 0)
    }
  }

  @Test func `distance and advance undo each other around the wrap`() {
    for start: UInt32 in [0, 5, 0x7fff_fffe, 0x8000_0001, 0xffff_fffb] {
      for step in [-1024, -1, 0, 1, 7, 1024, 0x7fff_ffff, -0x7fff_ffff] {
        let from = SerialNumber(start)
        #expect(from.distance(to: from.advanced(by: step)) == step)
        #expect(from.precedes(from.advanced(by: step)) == (step > 0))
      }
    }
  }

  @Test func `half the circle away neither precedes the other`() {
    let near = SerialNumber(17)
    let far = SerialNumber(17 &+ 0x8000_0000)
    #expect(!near.precedes(far))
    #expect(!far.precedes(near))
  }
}
